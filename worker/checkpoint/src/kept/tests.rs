use super::*;
use eddyline_stream::{KeyGroup, MaxParallelism};

fn written(shares: &[(i64, u16)]) -> Written {
    let max_parallelism = MaxParallelism::try_from(4).expect("a power of two");
    let groups = |slot: u16| {
        let mut groups = KeyGroupSet::empty(max_parallelism);
        groups.insert(KeyGroup::new(slot));
        groups
    };
    let slot = |slot: u16| SlotIndex::new(slot);
    Written {
        key_groups: shares.iter().map(|(_, at)| (slot(*at), groups(*at))).collect(),
        shares: shares.iter().map(|(bucket, at)| ((*bucket, slot(*at)), 1)).collect(),
    }
}

fn live(shares: &[(i64, u16)]) -> BTreeMap<SlotIndex, Vec<i64>> {
    let mut live: BTreeMap<SlotIndex, Vec<i64>> = BTreeMap::new();
    shares.iter().for_each(|(bucket, slot)| live.entry(SlotIndex::new(*slot)).or_default().push(*bucket));
    live
}

/// The runs as (slots, buckets).
fn runs(live_shares: &[(i64, u16)], written_shares: &[(i64, u16)]) -> Vec<(Vec<usize>, Vec<i64>)> {
    let runs = alike(&live(live_shares), &written(written_shares)).into_iter();
    runs.map(|(slots, buckets)| (slots.into_iter().map(SlotIndex::index).collect(), buckets)).collect()
}

#[test]
fn a_run_never_refers_to_what_does_not_count_any_more() {
    let all = [(10, 0), (10, 1), (20, 0), (20, 1), (30, 1)];
    assert_eq!(runs(&all, &all), [(vec![0, 1], vec![10, 20, 30])], "a missing bucket may be referred to");
    assert_eq!(runs(&all[..2], &all), [(vec![0, 1], vec![10])], "whole buckets are gone");
    assert_eq!(runs(&[(10, 0), (20, 0), (20, 1), (30, 1)], &all), [(vec![0], vec![10, 20]), (vec![1], vec![20, 30])]);
    assert_eq!(runs(&[(10, 0)], &all), [(vec![0], vec![10])], "slot 1 has written bucket 10 again");
}
