//! Savepoints stand alone, wherever they are.

use std::collections::BTreeMap;
use std::fs;

use eddyline_checkpoint::storage::Memory;
use eddyline_checkpoint::{CheckpointHandle, Error, JobStore, Started, Storage, inspect};
use eddyline_stream::Assignment;

use crate::states::{self, assert_restores, checkpoint, contents, groups, sample, start, uid};

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("a folder");
    for item in fs::read_dir(from).expect("a folder") {
        let item = item.expect("an item");
        fs::copy(item.path(), to.join(item.file_name())).expect("copied");
    }
}

#[tokio::test]
async fn a_job_begun_anew_leaves_the_savepoints_of_its_name_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = format!("{}/saved", folder.path().display());
    let mut uris = Vec::new();
    for rows in [4, 5] {
        let started = states::store(&Memory::new()).start_attempt(states::identity()).await.expect("started");
        let state = contents(&sample(rows), &Assignment::even(groups(), 3));
        uris.push((rows, started.writer.write_savepoint(&saved, checkpoint(1), &state).await.expect("saved")));
    }
    for (rows, uri) in uris {
        let handle = CheckpointHandle::open_uri(&uri, &BTreeMap::new()).await.expect("opened");
        assert_restores(&handle, &sample(rows)).await;
    }
}

#[tokio::test]
async fn a_savepoint_can_be_moved_and_outlives_its_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let options = BTreeMap::new();
    let storage = Storage::open(&path("jobs"), &options).expect("a folder");
    let store = JobStore::open(storage, "orders");
    let started = store.start_attempt(states::identity()).await.expect("started");
    let state = contents(&sample(4), &Assignment::even(groups(), 3));
    let uri = started.writer.write_savepoint(&path("saved"), checkpoint(1), &state).await.expect("saved");
    assert!(uri.contains("/saved/savepoint-orders-0000000001-1-"), "{uri}");
    started.writer.write(checkpoint(1), state).await.expect("a savepoint is no checkpoint");

    let from = uri.strip_prefix("file://").expect("a local file");
    copy(from.as_ref(), path("elsewhere/kept").as_ref());
    fs::remove_dir_all(path("saved")).expect("removed");
    fs::remove_dir_all(path("jobs")).expect("removed");
    let handle = store.open_uri(&path("elsewhere/kept"), &options).await.expect("opened");
    assert!(handle.is_savepoint());
    assert_restores(&handle, &sample(4)).await;
    let by_manifest = CheckpointHandle::open_uri(&path("elsewhere/kept/manifest"), &options).await.expect("opened");
    assert_eq!(by_manifest.splits(&uid("source")), handle.splits(&uid("source")));
    let error = store.open_uri(&path("saved"), &options).await.expect_err("gone");
    assert!(matches!(error, Error::MissingManifest { .. }), "{error}");
}

#[tokio::test]
async fn a_checkpoint_and_a_job_open_by_location_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let options = BTreeMap::new();
    let store = JobStore::open(Storage::open(&root, &options).expect("a folder"), "orders");
    let started = store.start_attempt(states::identity()).await.expect("started");
    let mut keys = sample(1);
    keys.insert(("windows".into(), "sums".into(), 7), (0..6000).collect());
    let completed =
        started.writer.write(checkpoint(1), contents(&keys, &Assignment::even(groups(), 2))).await.expect("written");
    for uri in [completed.uri.as_str(), &format!("{root}/orders"), &format!("{}/manifest", completed.uri)] {
        let handle = CheckpointHandle::open_uri(uri, &options).await.expect("opened");
        assert_restores(&handle, &keys).await;
    }
}

#[tokio::test]
async fn a_look_inside_shows_what_is_there() {
    let memory = Memory::new();
    let started = start(&memory).await;
    let state = contents(&sample(4), &Assignment::even(groups(), 3));
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().display().to_string();
    let uri = started.writer.write_savepoint(&dir, checkpoint(9), &state).await.expect("saved");
    let inspection = inspect(&uri, &BTreeMap::new()).await.expect("opened");
    let windows = &inspection.operators[&uid("windows")];
    assert_eq!((windows.tables[0].rows, windows.tables[0].buckets.len()), (110, 2));
    assert_eq!(windows.union_values["watermark"], 3);
    let text = inspection.to_string();
    for part in [
        "savepoint 9 of job orders",
        "max parallelism  64",
        "run file         state.run (",
        "operator windows\n  table sums (key Int64 NOT NULL, name Utf8,",
        "bucket 60000: 40 rows",
        "no bucket: 25 rows",
        "value watermark of 3 subtasks",
        "split {\"finished\":false,\"id\":\"orders-0\"",
        "committables 1",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

/// Ends the commits of checkpoints that are written now, and removes what is not needed then.
async fn go_on_and_collect(started: &Started, numbers: [u64; 2]) {
    for number in numbers {
        let state = contents(&sample(number as i64), &Assignment::even(groups(), 3));
        started.writer.write(checkpoint(number), state).await.expect("written");
        started.writer.mark_committed(checkpoint(number)).await.expect("noted");
    }
    started.writer.collect_garbage().await.expect("collected");
}

fn there(uri: &str) -> bool {
    fs::exists(uri.strip_prefix("file://").expect("a local folder").to_owned() + "/manifest").expect("a folder")
}

#[tokio::test]
async fn a_savepoint_whose_checkpoint_failed_is_removed_and_one_that_was_handed_over_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let store = JobStore::open(Storage::open(&path("jobs"), &BTreeMap::new()).expect("a folder"), "orders");
    let started = store.start_attempt(states::identity()).await.expect("started");
    let state = contents(&sample(4), &Assignment::even(groups(), 3));
    let saved =
        async |number| started.writer.write_savepoint(&path("saved"), checkpoint(number), &state).await.expect("saved");
    let (failed, kept, open) = (saved(1).await, saved(2).await, saved(9).await);
    started.writer.hand_over_savepoint(&kept).await.expect("noted");
    go_on_and_collect(&started, [2, 3]).await;
    assert_eq!([&failed, &kept, &open].map(|uri| there(uri)), [false, true, true], "9 is not complete yet");
    started.writer.hand_over_savepoint(&failed).await.expect_err("it is gone");
}

#[tokio::test]
async fn a_savepoint_of_a_dead_attempt_that_nobody_was_told_of_is_removed_when_it_is_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let store = JobStore::open(Storage::open(&path("jobs"), &BTreeMap::new()).expect("a folder"), "orders");
    let dead = store.start_attempt(states::identity()).await.expect("started");
    let state = contents(&sample(4), &Assignment::even(groups(), 3));
    let uri = dead.writer.write_savepoint(&path("saved"), checkpoint(1), &state).await.expect("saved");
    dead.writer.write(checkpoint(1), state).await.expect("written");

    let next = store.start_attempt(states::identity()).await.expect("started");
    go_on_and_collect(&next, [2, 3]).await;
    assert!(there(&uri), "its attempt may only be slow");
    let notes = path("jobs/orders/savepoints");
    for note in fs::read_dir(&notes).expect("a folder") {
        let file = fs::File::options().write(true).open(note.expect("a note").path()).expect("a note");
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 60 * 60);
        file.set_modified(long_ago).expect("a time");
    }
    go_on_and_collect(&next, [4, 5]).await;
    assert!(!there(&uri));
    assert!(!fs::exists(&notes).expect("a folder"), "nor is a note of it");
}
