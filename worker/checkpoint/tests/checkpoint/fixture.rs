//! Savepoints of the first form must open for ever. `examples/write_fixture.rs` has written them; it is not run again.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_checkpoint::{CheckpointHandle, JobStore, Storage};
use eddyline_stream::{Assignment, SlotIndex};

use crate::states::{self, assert_restores, checkpoint, contents, groups, sample, uid};

fn location(name: &str) -> String {
    format!("{}/tests/fixtures/v1/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn assert_golden(handle: &CheckpointHandle) {
    assert_eq!(handle.id(), checkpoint(7));
    assert_eq!(handle.job(), "orders");
    assert_eq!(handle.max_parallelism(), groups());
    assert_eq!(handle.assignment(), &Assignment::even(groups(), 3));
    assert_eq!(handle.splits(&uid("source"))[0]["position"]["offset"], 17);
    assert_eq!(handle.committables()[&uid("sink")][0]["file"], "part-0");
    let fit = handle.fit(&states::named(["windows", "sessions", "source", "sink"]), &BTreeSet::new()).expect("it fits");
    assert!(!fit.is_compared, "this form does not say what operators compute");
    assert_restores(handle, &sample(100)).await;
    let owned = handle.assignment().rescaled(2).key_groups_of(SlotIndex::new(1));
    let snapshot = handle.restore(&uid("windows"), &owned).await.expect("restored");
    assert_eq!(snapshot.union_values("watermark").count(), 3);
    assert_eq!(states::row_set(snapshot.keyed), states::expected(&sample(100), "windows", &owned));
}

#[tokio::test]
async fn the_first_savepoint_opens() {
    let uri = location("savepoint-orders-0000000007-1");
    let handle = CheckpointHandle::open_uri(&uri, &BTreeMap::new()).await.expect("opened");
    assert!(handle.is_savepoint());
    assert_golden(&handle).await;
}

#[tokio::test]
async fn the_first_checkpoint_opens_through_its_control_log() {
    let storage = Storage::open(&location("jobs"), &BTreeMap::new()).expect("a folder");
    let handle = JobStore::open(storage, "orders").latest().await.expect("read").expect("a checkpoint");
    assert_golden(&handle).await;
}

/// The first release that told histories apart has written it: checkpoint 2 of the first one is not committed and was skipped,
/// checkpoint 3 of the second one is committed.
#[tokio::test]
async fn a_control_log_with_two_histories_opens() {
    let storage = Storage::open(&location("histories"), &BTreeMap::new()).expect("a folder");
    let latest = JobStore::open(storage, "orders").latest().await.expect("read").expect("a checkpoint");
    assert_eq!((latest.id(), latest.open_output().await.expect("looked up")), (checkpoint(3), None));
    let second = latest.history().await.expect("looked up").expect("it is listed");
    let uri = location("histories/orders/chk/0000000002-1");
    let skipped = CheckpointHandle::open_uri(&uri, &BTreeMap::new()).await.expect("opened");
    let first = skipped.open_output().await.expect("looked up");
    assert_eq!(first.as_deref(), Some("9ec455d4"), "the name of the first one is in the folder");
    assert_ne!(first, Some(second));
}

/// The bytes that this release writes are still the bytes of the first form, so that a change of the form is seen. What
/// may differ are the random nonces of control records.
#[tokio::test]
async fn this_release_writes_the_first_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let storage = Storage::open(&format!("{root}/jobs"), &BTreeMap::new()).expect("a folder");
    let started = JobStore::open(storage, "orders").start_attempt(states::identity()).await.expect("started");
    let state = contents(&sample(100), &Assignment::even(groups(), 3));
    let saved = started.writer.write_savepoint(&root, checkpoint(7), &state).await.expect("saved");
    let saved = saved.strip_prefix("file://").expect("a local folder");
    started.writer.write(checkpoint(7), state).await.expect("written");
    for (fixture, written) in [
        ("savepoint-orders-0000000007-1/manifest", format!("{saved}/manifest")),
        ("savepoint-orders-0000000007-1/state.run", format!("{saved}/state.run")),
        ("jobs/orders/chk/0000000007-1/manifest", format!("{root}/jobs/orders/chk/0000000007-1/manifest")),
    ] {
        let (then, now) = (std::fs::read(location(fixture)), std::fs::read(written));
        assert!(then.expect("a fixture") == now.expect("written"), "{fixture} has changed");
    }
}
