//! Savepoints of all format versions must open in every later release. `examples/write_fixture.rs` has written them. It
//! is not run again.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_checkpoint::{CheckpointHandle, JobStore, Storage};
use eddyline_stream::{Assignment, SlotIndex};

use crate::changing;
use crate::states::{self, assert_restores, checkpoint, contents, groups, sample, uid};

fn location(version: u32, name: &str) -> String {
    format!("{}/tests/fixtures/v{version}/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn assert_golden(handle: &CheckpointHandle, version: u32) {
    assert_eq!(handle.inspect().await.expect("inspected").format_version, version);
    let finished: &[&[u8]] = if version == 1 { &[] } else { &[b"a full block", b"and the rest"] };
    assert_eq!(handle.finished(&uid("source")), finished);
    assert_eq!(handle.id(), checkpoint(7));
    assert_eq!(handle.job(), "orders");
    assert_eq!(handle.max_parallelism(), groups());
    assert_eq!(handle.assignment(), &Assignment::even(groups(), 3));
    assert_eq!(handle.splits(&uid("source"))[0]["position"]["offset"], 17);
    assert_eq!(handle.committables()[&uid("sink")][0]["file"], "part-0");
    let fit = handle.fit(&states::named(["windows", "sessions", "source", "sink"]), &BTreeSet::new()).expect("it fits");
    assert!(!fit.is_compared, "this version does not record what operators compute");
    assert_restores(handle, &sample(100)).await;
    let owned = handle.assignment().rescaled(2).key_groups_of(SlotIndex::new(1));
    let snapshot = handle.restore(&uid("windows"), &owned).await.expect("restored");
    assert_eq!(snapshot.union_values("watermark").count(), 3);
    assert_eq!(states::row_set(snapshot.keyed), states::expected(&sample(100), "windows", &owned));
}

#[tokio::test]
async fn savepoints_of_each_form_open() {
    for version in [1, 2] {
        let uri = location(version, "savepoint-orders-0000000007-1");
        let handle = CheckpointHandle::open_uri(&uri, &BTreeMap::new()).await.expect("opened");
        assert!(handle.is_savepoint());
        assert_golden(&handle, version).await;
    }
}

#[tokio::test]
async fn checkpoints_of_each_form_open_through_their_control_log() {
    for version in [1, 2] {
        let storage = Storage::open(&location(version, "jobs"), &BTreeMap::new()).expect("a folder");
        let handle = JobStore::open(storage, "orders").latest().await.expect("read").expect("a checkpoint");
        assert_golden(&handle, version).await;
    }
}

/// The first release with histories has written this. Checkpoint 2 of the first history is not committed and was
/// skipped. Checkpoint 3 of the second one is committed.
#[tokio::test]
async fn a_control_log_with_two_histories_opens() {
    let storage = Storage::open(&location(1, "histories"), &BTreeMap::new()).expect("a folder");
    let latest = JobStore::open(storage, "orders").latest().await.expect("read").expect("a checkpoint");
    assert_eq!((latest.id(), latest.open_output().await.expect("looked up")), (checkpoint(3), None));
    let second = latest.history().await.expect("looked up").expect("it is listed");
    let uri = location(1, "histories/orders/chk/0000000002-1");
    let skipped = CheckpointHandle::open_uri(&uri, &BTreeMap::new()).await.expect("opened");
    let first = skipped.open_output().await.expect("looked up");
    assert_eq!(first.as_deref(), Some("9ec455d4"), "the name of the first one is in the folder");
    assert_ne!(first, Some(second));
}

/// The bytes that this release writes are still those of the oldest format version that has all fields in use. So the
/// test detects a change of the format. The random nonces of control records may differ.
#[tokio::test]
async fn this_release_writes_the_oldest_form_that_has_all_of_it() {
    for version in [1, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().display().to_string();
        let storage = Storage::open(&format!("{root}/jobs"), &BTreeMap::new()).expect("a folder");
        let started = JobStore::open(storage, "orders").start_attempt(states::identity()).await.expect("started");
        let state = contents(&sample(100), &Assignment::even(groups(), 3));
        let state = if version == 1 { state } else { states::with_finished(state) };
        let saved = started.writer.write_savepoint(&root, checkpoint(7), &state).await.expect("saved");
        let saved = saved.strip_prefix("file://").expect("a local folder");
        started.writer.write(checkpoint(7), state).await.expect("written");
        for (fixture, written) in [
            ("savepoint-orders-0000000007-1/manifest", format!("{saved}/manifest")),
            ("savepoint-orders-0000000007-1/state.run", format!("{saved}/state.run")),
            ("jobs/orders/chk/0000000007-1/manifest", format!("{root}/jobs/orders/chk/0000000007-1/manifest")),
        ] {
            let (then, now) = (std::fs::read(location(version, fixture)), std::fs::read(written));
            assert!(then.expect("a fixture") == now.expect("written"), "{fixture} of version {version} has changed");
        }
    }
}

/// Checkpoint 8 has the changes since checkpoint 7 in its manifest. All other rows are in the run file of checkpoint 7.
#[tokio::test]
async fn a_checkpoint_with_what_has_changed_opens_and_is_written_like_that() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let job = changing::write_sample(&root).await;
    let storage = Storage::open(&location(3, "jobs"), &BTreeMap::new()).expect("a folder");
    let latest = JobStore::open(storage, "orders").latest().await.expect("read").expect("a checkpoint");
    assert_eq!((latest.id(), latest.inspect().await.expect("inspected").format_version), (checkpoint(8), 3));
    for slots in 1..=3 {
        assert_eq!(changing::restored(&latest, &job.assignment().rescaled(slots)).await, job.state());
    }
    for name in ["chk/0000000008-1/manifest", "state/0000000001/leader/0000000007.run"] {
        let then = std::fs::read(location(3, &format!("jobs/orders/{name}"))).expect("a fixture");
        assert!(then == std::fs::read(format!("{root}/orders/{name}")).expect("written"), "{name} has changed");
    }
}

#[tokio::test]
async fn a_copy_of_a_checkpoint_has_what_was_read_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let storage = Storage::open(&location(2, "jobs"), &BTreeMap::new()).expect("a folder");
    let latest = JobStore::open(storage, "orders").latest().await.expect("read").expect("a checkpoint");
    eddyline_checkpoint::copy_savepoint(latest.uri(), &format!("{root}/copy"), &BTreeMap::new()).await.expect("copied");
    let copy = CheckpointHandle::open_uri(&format!("{root}/copy"), &BTreeMap::new()).await.expect("opened");
    assert!(copy.is_savepoint());
    assert_golden(&copy, 2).await;
}
