//! Restored state is the written state, whatever the parallelism.

use std::sync::Arc;

use eddyline_checkpoint::HeldState;
use eddyline_checkpoint::storage::Memory;
use eddyline_state::NO_BUCKET;
use eddyline_stream::{Assignment, KeyGroupSet, SlotIndex};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::states::{self, Keys, checkpoint, contents, groups, start, uid};

fn any_keys() -> impl Strategy<Value = Keys> {
    let bucket = prop_oneof![Just(NO_BUCKET), Just(0), Just(-5), (1i64..4).prop_map(|n| n * 60_000)];
    let name = (prop_oneof!["windows", "sessions"], prop_oneof!["sums", "late"], bucket);
    btree_map(name, vec(any::<i32>().prop_map(i64::from), 0..60), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn restoring_at_any_parallelism_gives_back_exactly_what_was_there(
        keys in any_keys(),
        before in 1u16..9,
        after in 1u16..9,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let memory = Memory::new();
            let assignment = Assignment::even(groups(), before);
            let writer = start(&memory).await.writer;
            let contents = contents(&keys, &assignment);
            let snapshots = Arc::new(states::snapshots(&keys, &assignment));
            let held = HeldState::new(writer.write(checkpoint(1), contents).await.expect("written"), snapshots);
            let handle = start(&memory).await.latest.expect("a checkpoint");
            assert!(held.is_of(&handle));
            let now = handle.assignment().rescaled(after);
            for slot in (0..after).map(SlotIndex::new) {
                let owned = now.key_groups_of(slot);
                for operator in ["windows", "sessions"] {
                    let snapshot = handle.restore(&uid(operator), &owned).await.expect("restored");
                    assert_eq!(states::row_set(snapshot.keyed), states::expected(&keys, operator, &owned));
                    let requests = memory.requests();
                    let from_memory = held.restore(&uid(operator), &owned).await.expect("restored");
                    assert_eq!(memory.requests(), requests, "nothing is read");
                    assert_eq!(from_memory.union, snapshot.union);
                    assert_eq!(states::row_set(from_memory.keyed), states::expected(&keys, operator, &owned));
                }
            }
        });
    }
}

#[tokio::test]
async fn state_in_memory_stands_for_its_own_checkpoint_only() {
    let memory = Memory::new();
    let writer = start(&memory).await.writer;
    let contents = contents(&states::sample(0), &Assignment::even(groups(), 2));
    let first = writer.write(checkpoint(1), contents.clone()).await.expect("written");
    let held = HeldState::new(first, Arc::default());
    writer.write(checkpoint(2), contents).await.expect("written");
    assert!(!held.is_of(&start(&memory).await.latest.expect("a checkpoint")));
}

#[tokio::test]
async fn a_restored_subtask_gets_the_values_of_every_former_subtask() {
    let memory = Memory::new();
    let assignment = Assignment::even(groups(), 3);
    let keys = states::sample(0);
    let writer = start(&memory).await.writer;
    writer.write(checkpoint(1), contents(&keys, &assignment)).await.expect("written");
    let handle = start(&memory).await.latest.expect("a checkpoint");
    let snapshot = handle.restore(&uid("windows"), &KeyGroupSet::empty(groups())).await.expect("restored");
    assert!(snapshot.keyed.is_empty());
    let mut values: Vec<u8> = snapshot.union_values("watermark").map(|value| value[0]).collect();
    values.sort_unstable();
    assert_eq!(values, [0, 1, 2]);
    assert_eq!(handle.assignment(), &assignment);
    assert_eq!(handle.splits(&uid("source"))[0]["position"]["offset"], 17);
    assert!(handle.splits(&uid("windows")).is_empty());
    assert_eq!(handle.committables()[&uid("sink")].len(), 1);
}

#[tokio::test]
async fn rows_in_large_blocks_come_back_too() {
    // 40 000 rows in two key groups have several blocks each. They have a file of their own, which is read by ranges.
    let memory = Memory::new();
    let few = eddyline_stream::MaxParallelism::try_from(2).expect("a power of two");
    let identity = eddyline_checkpoint::JobIdentity { max_parallelism: few, ..states::identity() };
    let keys: Keys = [(("windows".into(), "sums".into(), 5), (0..40_000).collect())].into();
    let writer = states::store(&memory).start_attempt(identity).await.expect("started").writer;
    let completed = writer.write(checkpoint(1), contents(&keys, &Assignment::even(few, 2))).await.expect("written");
    assert!(completed.bytes > 256 << 10, "{} bytes: not read as a whole", completed.bytes);
    let before = memory.requests();
    let handle = states::store(&memory).latest().await.expect("read").expect("a checkpoint");
    let mut half = KeyGroupSet::empty(few);
    half.insert(eddyline_stream::KeyGroup::new(1));
    let snapshot = handle.restore(&uid("windows"), &half).await.expect("restored");
    assert_eq!(states::row_set(snapshot.keyed), states::expected(&keys, "windows", &half));
    assert!(memory.requests() - before < 10, "ranges are read together");
}

#[tokio::test]
async fn state_in_parts_is_the_whole_state() {
    let memory = Memory::new();
    let assignment = Assignment::even(groups(), 3);
    let mut keys: Keys = [(("windows".into(), "sums".into(), 5), (0..20_000).collect())].into();
    keys.insert(("windows".into(), "sums".into(), 6), (0..300).collect());
    keys.insert(("sessions".into(), "open".into(), 5), (0..10).collect());
    let writer = start(&memory).await.writer;
    writer.write(checkpoint(1), contents(&keys, &assignment)).await.expect("written");
    let handle = start(&memory).await.latest.expect("a checkpoint");
    let windows = uid("windows");
    let owned = assignment.key_groups_of(SlotIndex::new(1));
    for bytes_max in [1, 100_000, u64::MAX] {
        let parts = handle.parts(&windows, &owned, bytes_max).await.expect("known");
        let count = owned.iter().count();
        match bytes_max {
            1 => assert_eq!(parts.len(), count, "a key group is not split"),
            u64::MAX => assert_eq!(parts.len(), 1),
            _ => assert!((2..count).contains(&parts.len()), "{} parts", parts.len()),
        }
        let mut rows = Vec::new();
        for part in &parts {
            let snapshot = handle.restore(&windows, part).await.expect("restored");
            assert_eq!(snapshot.union_values("watermark").count(), 3, "with each part");
            let of_part = states::row_set(snapshot.keyed);
            assert_eq!(of_part, states::expected(&keys, "windows", part));
            rows.extend(of_part);
        }
        rows.sort();
        let mut all: Vec<_> = states::expected(&keys, "windows", &owned).into_iter().collect();
        all.sort();
        assert_eq!(rows, all);
    }
    let none = handle.parts(&uid("unknown"), &owned, u64::MAX).await.expect("known");
    assert!(none.is_empty());
}

#[tokio::test]
async fn small_state_needs_no_object_of_its_own() {
    let memory = Memory::new();
    let writer = start(&memory).await.writer;
    writer.write(checkpoint(1), contents(&states::sample(3), &Assignment::even(groups(), 2))).await.expect("written");
    let names = memory.names();
    assert!(names.iter().all(|name| !name.contains("/state/")), "{names:?}");
    let handle = states::store(&memory).latest().await.expect("read").expect("a checkpoint");
    states::assert_restores(&handle, &states::sample(3)).await;
}
