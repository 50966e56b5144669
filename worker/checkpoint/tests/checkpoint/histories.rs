//! Which checkpoints belong to the same history, and what is known about the output of those that were skipped.

use std::collections::BTreeMap;

use bytes::Bytes;
use eddyline_checkpoint::{CheckpointContents, CheckpointHandle, JobStore, Started, Storage, copy_savepoint};
use eddyline_stream::Assignment;

use crate::states::{self, checkpoint, contents, groups, sample, uid};

fn options() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn job(root: &str) -> JobStore {
    JobStore::open(Storage::open(root, &options()).expect("a folder"), "orders")
}

/// The next start, from something else than the latest checkpoint.
async fn begun(root: &str, token: &str, restored: Option<&CheckpointHandle>) -> (Started, String) {
    let store = job(root).with_start(token).beginning_anew();
    let started = store.start_attempt(states::identity()).await.expect("started");
    assert!(started.latest.is_none(), "nothing has come of this start yet");
    let history = started.writer.settle_history(restored).await.expect("a name");
    (started, history)
}

/// The next start from the latest checkpoint.
async fn resumed(root: &str) -> (Started, String) {
    let started = job(root).start_attempt(states::identity()).await.expect("started");
    let history = started.writer.settle_history(started.latest.as_ref()).await.expect("a name");
    (started, history)
}

fn state(staged: &str) -> CheckpointContents {
    let mut state = contents(&sample(2), &Assignment::even(groups(), 2));
    state.committables.insert(uid("sink"), vec![serde_json::json!({ "object": staged })]);
    state
}

/// Writes a checkpoint that has staged an object.
async fn write(root: &str, started: &Started, number: u64) -> CheckpointHandle {
    let staged = format!("sink/attempt-{}/{number}", started.attempt.number());
    job(root).put_staged(&staged, Bytes::from_static(b"rows")).await.expect("staged");
    let completed = started.writer.write(checkpoint(number), state(&staged)).await.expect("written");
    job(root).read(&completed).await.expect("as written")
}

async fn savepoint(root: &str, started: &Started, number: u64) -> CheckpointHandle {
    let staged = format!("sink/attempt-{}/{number}", started.attempt.number());
    let uri = started.writer.write_savepoint(&format!("{root}/saved"), checkpoint(number), &state(&staged)).await;
    CheckpointHandle::open_uri(&uri.expect("saved"), &options()).await.expect("opened")
}

async fn commit(started: &Started, number: u64) {
    started.writer.mark_committed(checkpoint(number)).await.expect("noted");
    started.writer.flush().await.expect("written");
}

#[tokio::test]
async fn a_history_goes_on_from_its_latest_checkpoint_and_from_the_savepoint_that_was_taken_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let (first, history) = begun(&root, "1", None).await;
    assert_eq!(history, job(&root).history().await.expect("a name"), "the first of the folder is the folder's");
    let saved = savepoint(&root, &first, 1).await;
    let written = write(&root, &first, 1).await;
    for (what, token, restored) in [("the savepoint", "2", &saved), ("the checkpoint", "3", &written)] {
        assert_eq!(restored.history().await.expect("read").as_ref(), Some(&history));
        assert_eq!(begun(&root, token, Some(restored)).await.1, history, "{what}");
    }
    let (second, resumed_in) = resumed(&root).await;
    assert_eq!(resumed_in, history);
    write(&root, &second, 2).await;
    assert_eq!(resumed(&root).await.1, history);
}

#[tokio::test]
async fn a_start_from_anything_else_begins_a_history_that_goes_on_when_the_job_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let (first, history) = begun(&root, "1", None).await;
    let old = savepoint(&root, &first, 1).await;
    write(&root, &first, 1).await;
    write(&root, &first, 2).await;
    let mut known = vec![history];
    for (token, restored, number) in [("2", None, 3), ("3", Some(&old), 4), ("4", Some(&old), 5)] {
        let (started, drawn) = begun(&root, token, restored).await;
        assert!(!known.contains(&drawn), "start {token}");
        let saved = savepoint(&root, &started, number).await;
        assert_eq!(saved.history().await.expect("read").as_ref(), Some(&drawn));
        let written = write(&root, &started, number).await;
        assert_eq!(written.history().await.expect("read").as_ref(), Some(&drawn));
        assert_eq!(resumed(&root).await.1, drawn, "the next attempt follows on");
        known.push(drawn);
    }
    // A start without a checkpoint leaves no history behind.
    begun(&root, "5", None).await;
    assert_eq!(Some(&resumed(&root).await.1), known.last());
}

#[tokio::test]
async fn what_was_skipped_stays_open_whatever_is_committed_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let (first, history) = begun(&root, "1", None).await;
    write(&root, &first, 1).await;
    commit(&first, 1).await;
    let skipped = write(&root, &first, 2).await;

    let (second, _) = begun(&root, "2", None).await;
    assert_eq!(second.skipped.iter().map(|open| open.id).collect::<Vec<_>>(), [checkpoint(2)]);
    write(&root, &second, 3).await;
    let (third, _) = resumed(&root).await;
    let ids = |open: &[eddyline_checkpoint::CompletedCheckpoint]| open.iter().map(|open| open.id).collect::<Vec<_>>();
    assert_eq!(ids(&third.uncommitted), [checkpoint(3)], "the skipped checkpoint is not among them");
    assert_eq!(ids(&third.skipped), [checkpoint(2)]);
    commit(&third, 3).await;
    third.writer.collect_garbage().await.expect("collected");

    assert_eq!(skipped.open_output().await.expect("looked up"), Some(history.clone()));
    assert_eq!(skipped.get_staged("sink/attempt-1/2").await.expect("kept"), "rows");
    skipped.mark_committed().await.expect("nothing to note");
    let copied = copy_savepoint(skipped.uri(), &format!("{root}/copy"), &options()).await.expect("copied");
    let copied = CheckpointHandle::open_uri(&copied.uri, &options()).await.expect("opened");
    assert_eq!(copied.open_output().await.expect("looked up"), Some(history));
    assert_eq!(copied.get_staged("sink/attempt-1/2").await.expect("a copy"), "rows");

    // It stays in control records no longer than other checkpoints.
    for number in 4..=5 {
        write(&root, &third, number).await;
        commit(&third, number).await;
    }
    assert_eq!(ids(&resumed(&root).await.0.skipped), []);
}
