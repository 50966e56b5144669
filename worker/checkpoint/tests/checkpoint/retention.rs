//! Garbage collection: what is kept and what is removed.

use bytes::Bytes;
use eddyline_checkpoint::collector::LOOK_EVERY;
use eddyline_checkpoint::retention::AGE_MS;
use eddyline_checkpoint::storage::{Fault, Memory};
use eddyline_stream::Assignment;

use crate::states::{self, checkpoint, contents, groups, sample, start};

fn checkpoints(memory: &Memory) -> Vec<String> {
    let names = memory.names();
    names
        .iter()
        .filter_map(|name| name.strip_prefix("orders/chk/")?.strip_suffix("/manifest"))
        .map(str::to_owned)
        .collect()
}

fn staged(memory: &Memory) -> Vec<String> {
    memory.names().iter().filter_map(|name| name.strip_prefix("orders/staged/")).map(str::to_owned).collect()
}

#[tokio::test]
async fn so_many_completed_checkpoints_stay() {
    let memory = Memory::new();
    let assignment = Assignment::even(groups(), 1);
    let writer = start(&memory).await.writer;
    for number in 1..=5 {
        writer.write(checkpoint(number), contents(&sample(1), &assignment)).await.expect("written");
        writer.mark_committed(checkpoint(number)).await.expect("noted");
        writer.collect_garbage().await.expect("collected");
    }
    assert_eq!(checkpoints(&memory), ["0000000004-1", "0000000005-1"]);
}

#[tokio::test]
async fn what_a_dead_attempt_has_left_goes_when_it_is_old() {
    let memory = Memory::new();
    let assignment = Assignment::even(groups(), 1);
    start(&memory).await.writer.write(checkpoint(1), contents(&sample(1), &assignment)).await.expect("written");
    // This belongs to a checkpoint that was never completed.
    memory.poke("orders/chk/0000000002-1/manifest", "half");
    memory.poke("orders/state/0000000001/leader/0000000002.run", "half");
    memory.set_time(AGE_MS - 1);
    let writer = start(&memory).await.writer;
    assert_eq!(writer.collect_garbage().await.expect("collected").files, 0);
    memory.set_time(AGE_MS);
    writer.write(checkpoint(3), contents(&sample(1), &assignment)).await.expect("written");
    for _ in 1..LOOK_EVERY {
        assert_eq!(writer.collect_garbage().await.expect("collected").files, 0, "it does not look");
    }
    assert_eq!(writer.collect_garbage().await.expect("collected").files, 2);
    assert_eq!(checkpoints(&memory), ["0000000001-1", "0000000003-2"]);
}

#[tokio::test]
async fn staged_output_is_kept_until_its_commit_is_known_to_be_done() {
    let memory = Memory::new();
    let store = states::store(&memory);
    let (own, left) = ("sink/attempt-1/1/slot-0", "sink/attempt-1/2/slot-0");
    let mut state = contents(&sample(1), &Assignment::even(groups(), 1));
    state.committables.insert(states::uid("sink"), vec![serde_json::json!({ "objects": [{ "name": own }] })]);
    let started = start(&memory).await;
    for name in [own, left] {
        store.put_staged(name, Bytes::from_static(b"rows")).await.expect("staged");
    }
    started.writer.write(checkpoint(1), state).await.expect("written");
    memory.set_time(2 * AGE_MS);
    let started = start(&memory).await;
    assert_eq!(started.writer.collect_garbage().await.expect("collected").staged, 1);
    assert_eq!(staged(&memory), [own], "the other never came into a checkpoint");
    started.writer.mark_committed(checkpoint(1)).await.expect("noted");
    started.writer.collect_garbage().await.expect("collected");
    assert_eq!(store.get_staged(own).await.expect("still there"), "rows", "not durable yet");
    started.writer.flush().await.expect("written");
    assert_eq!(started.writer.collect_garbage().await.expect("collected").staged, 1);
    let error = store.get_staged(own).await.expect_err("gone").to_string();
    assert!(error.contains("orders/staged/sink/attempt-1/1/slot-0 does not exist"), "{error}");
}

#[tokio::test]
async fn staged_output_of_a_checkpoint_that_is_dropped_goes_with_it() {
    let memory = Memory::new();
    let store = states::store(&memory);
    let identity = eddyline_checkpoint::JobIdentity { retain: 1, ..states::identity() };
    let started = store.start_attempt(identity).await.expect("started");
    for number in 1..=3 {
        let name = format!("sink/attempt-1/{number}");
        store.put_staged(&name, Bytes::from_static(b"rows")).await.expect("staged");
        let mut state = contents(&sample(1), &Assignment::even(groups(), 1));
        state.committables.insert(states::uid("sink"), vec![serde_json::json!(name)]);
        started.writer.write(checkpoint(number), state).await.expect("written");
        started.writer.mark_committed(checkpoint(number)).await.expect("noted");
        started.writer.collect_garbage().await.expect("collected");
    }
    assert_eq!(staged(&memory), ["sink/attempt-1/3"], "its commit is not durably done");
}

#[tokio::test]
async fn nothing_goes_when_a_kept_manifest_cannot_be_read() {
    let memory = Memory::new();
    let assignment = Assignment::even(groups(), 1);
    let writer = start(&memory).await.writer;
    for number in 1..=4 {
        writer.write(checkpoint(number), contents(&sample(1), &assignment)).await.expect("written");
        writer.mark_committed(checkpoint(number)).await.expect("noted");
    }
    memory.poke("orders/chk/0000000003-1/manifest", "damaged");
    let writer = start(&memory).await.writer;
    memory.set_time(2 * AGE_MS);
    writer.collect_garbage().await.expect_err("refused");
    assert_eq!(checkpoints(&memory).len(), 4);
}

#[tokio::test]
async fn what_an_attempt_has_written_itself_is_removed_without_a_look() {
    let memory = Memory::new();
    let assignment = Assignment::even(groups(), 1);
    let writer = start(&memory).await.writer;
    let mut keys = sample(1);
    let mut removed = 0;
    for number in 1..=u64::from(LOOK_EVERY) {
        keys.insert(("windows".into(), "sums".into(), 7), (0..6000 + number as i64).collect());
        if number % 5 == 0 {
            // Its run file is stored, its manifest is not.
            memory.plan(memory.requests() + 1, Fault::Before);
            writer.write(checkpoint(number), contents(&keys, &assignment)).await.expect_err("storage fails");
            continue;
        }
        writer.write(checkpoint(number), contents(&keys, &assignment)).await.expect("written");
        writer.mark_committed(checkpoint(number)).await.expect("noted");
        let before = memory.requests();
        let collected = writer.collect_garbage().await.expect("collected");
        removed += collected.files;
        let looks = if number == 1 { 6 } else { 0 };
        assert_eq!(memory.requests() - before, looks + (collected.files + collected.records) as u64);
    }
    assert!(removed > 100, "{removed}");
    assert_eq!(checkpoints(&memory), ["0000000063-1", "0000000064-1"]);
    assert_eq!(memory.names().iter().filter(|name| name.contains("/state/")).count(), 2);
}
