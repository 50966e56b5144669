//! Savepoints that are copied from storage, and the staged output in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use eddyline_checkpoint::{CheckpointContents, CheckpointHandle, Error, JobStore, Started, Storage, copy_savepoint};
use eddyline_stream::Assignment;

use crate::states::{self, assert_restores, checkpoint, contents, groups, sample, uid};

fn options() -> BTreeMap<String, String> {
    BTreeMap::new()
}

/// A job in a folder, with output that is staged for its first checkpoint.
async fn job(root: &str) -> (JobStore, Started, CheckpointContents) {
    let store = JobStore::open(Storage::open(root, &options()).expect("a folder"), "orders");
    let started = store.start_attempt(states::identity()).await.expect("started");
    store.history().await.expect("a name");
    store.put_staged("sink/attempt-1/a", Bytes::from_static(b"rows")).await.expect("staged");
    store.put_staged("sink/attempt-1/later", Bytes::from_static(b"more")).await.expect("staged");
    let mut keys = sample(4);
    keys.insert(("windows".into(), "sums".into(), 7), (0..6000).collect());
    let mut state = contents(&keys, &Assignment::even(groups(), 3));
    state.committables.insert(uid("sink"), vec![serde_json::json!({ "objects": [{ "name": "sink/attempt-1/a" }] })]);
    (store, started, state)
}

fn keys() -> states::Keys {
    let mut keys = sample(4);
    keys.insert(("windows".into(), "sums".into(), 7), (0..6000).collect());
    keys
}

#[tokio::test]
async fn a_savepoint_holds_what_is_staged_until_its_output_is_visible() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let (store, started, state) = job(&path("jobs")).await;
    let uri = started.writer.write_savepoint(&path("saved"), checkpoint(1), &state).await.expect("saved");
    std::fs::remove_dir_all(path("jobs")).expect("removed");
    let handle = store.open_uri(&uri, &options()).await.expect("opened");
    assert!(handle.open_output().await.expect("looked up").is_some());
    assert_eq!(handle.get_staged("sink/attempt-1/a").await.expect("a copy"), "rows");
    handle.get_staged("sink/attempt-1/later").await.expect_err("it belongs to no committable of the savepoint");
    handle.mark_committed().await.expect("noted");
    assert!(handle.open_output().await.expect("looked up").is_none());
    handle.get_staged("sink/attempt-1/a").await.expect_err("nobody needs it");
    assert_eq!(eddyline_checkpoint::remove_savepoint(&uri, &options()).await.expect("removed"), 4);
}

#[tokio::test]
async fn the_latest_checkpoint_of_a_dead_job_becomes_a_savepoint_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let (store, started, state) = job(&path("jobs")).await;
    let error = copy_savepoint(&store.uri(), &path("final"), &options()).await.expect_err("no checkpoint");
    assert!(matches!(error, Error::MissingManifest { .. }), "{error}");
    started.writer.write(checkpoint(1), state).await.expect("written");
    let copied = copy_savepoint(&store.uri(), &path("final"), &options()).await.expect("copied");
    assert_eq!((copied.uri, copied.checkpoint), (format!("file://{}", path("final")), checkpoint(1)));
    assert!(copied.taken_at_ms > 1_600_000_000_000, "{}", copied.taken_at_ms);

    // A repeated copy returns what the first one has made, although there is a later checkpoint.
    let later = contents(&sample(5), &Assignment::even(groups(), 3));
    started.writer.write(checkpoint(2), later).await.expect("written");
    let again = copy_savepoint(&store.uri(), &path("final"), &options()).await.expect("found");
    assert_eq!(again.checkpoint, checkpoint(1));

    std::fs::remove_dir_all(path("jobs")).expect("removed");
    let handle = CheckpointHandle::open_uri(&path("final"), &options()).await.expect("opened");
    assert!(handle.is_savepoint());
    assert_restores(&handle, &keys()).await;
    assert!(handle.open_output().await.expect("looked up").is_some(), "the output is not known to be committed");
    assert_eq!(handle.get_staged("sink/attempt-1/a").await.expect("a copy"), "rows");

    // The controller finds out in this way whether a savepoint exists.
    let itself = copy_savepoint(&path("final"), &path("final"), &options()).await.expect("found");
    assert_eq!(itself.checkpoint, checkpoint(1));
    let error = copy_savepoint(&path("none"), &path("none"), &options()).await.expect_err("not there");
    assert!(matches!(error, Error::MissingManifest { .. }), "{error}");

    // A savepoint can be copied too.
    copy_savepoint(&path("final"), &path("second"), &options()).await.expect("copied");
    std::fs::remove_dir_all(path("final")).expect("removed");
    let handle = CheckpointHandle::open_uri(&path("second"), &options()).await.expect("opened");
    assert_restores(&handle, &keys()).await;
    assert_eq!(handle.get_staged("sink/attempt-1/a").await.expect("a copy"), "rows");
}

#[tokio::test]
async fn a_copy_of_a_committed_checkpoint_has_nothing_to_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let (store, started, state) = job(&path("jobs")).await;
    started.writer.write(checkpoint(1), state).await.expect("written");
    started.writer.mark_committed(checkpoint(1)).await.expect("noted");
    started.writer.flush().await.expect("written");
    copy_savepoint(&store.uri(), &path("final"), &options()).await.expect("copied");
    let handle = CheckpointHandle::open_uri(&path("final"), &options()).await.expect("opened");
    assert!(handle.open_output().await.expect("looked up").is_none());
}

#[tokio::test]
async fn a_copy_that_was_cut_off_is_made_of_the_checkpoint_that_is_the_latest_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let (store, started, state) = job(&path("jobs")).await;
    let mut later = contents(&sample(5), &Assignment::even(groups(), 3));
    later.committables.clone_from(&state.committables);
    started.writer.write(checkpoint(1), state).await.expect("written");
    started.writer.mark_committed(checkpoint(1)).await.expect("noted");
    started.writer.flush().await.expect("written");
    copy_savepoint(&store.uri(), &path("final"), &options()).await.expect("copied");
    // The manifest is written last, so an interrupted copy leaves this.
    std::fs::remove_file(path("final/manifest")).expect("removed");

    started.writer.write(checkpoint(2), later).await.expect("written");
    let copied = copy_savepoint(&store.uri(), &path("final"), &options()).await.expect("copied");
    assert_eq!(copied.checkpoint, checkpoint(2));
    let handle = CheckpointHandle::open_uri(&path("final"), &options()).await.expect("opened");
    assert_restores(&handle, &sample(5)).await;
    assert!(handle.open_output().await.expect("looked up").is_some(), "the earlier one was committed, not this one");
}

#[tokio::test]
async fn a_folder_with_the_savepoint_of_another_job_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let (store, started, state) = job(&path("jobs")).await;
    started.writer.write(checkpoint(1), state).await.expect("written");
    copy_savepoint(&store.uri(), &path("final"), &options()).await.expect("copied");
    let other = JobStore::open(Storage::open(&path("jobs"), &options()).expect("a folder"), "payments");
    let started = other.start_attempt(states::identity()).await.expect("started");
    let state = contents(&sample(5), &Assignment::even(groups(), 3));
    started.writer.write(checkpoint(1), state).await.expect("written");
    let error = copy_savepoint(&other.uri(), &path("final"), &options()).await.expect_err("taken").to_string();
    assert!(error.contains("of job orders already"), "{error}");
}
