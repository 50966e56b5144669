//! Orders groups by their key hashes.

use std::ops::Range;

/// The mean number of groups that are sorted at a time.
const BUCKET_GROUPS: usize = 128;
const BUCKETS_MAX: usize = 4096;

/// The numbers of all groups, in ascending order of their hashes. Groups with one hash keep their order.
///
/// Hashes are spread evenly, so groups are distributed to buckets by the beginning of their hash, and each bucket is sorted in
/// the cache.
pub(crate) fn by_hash(hashes: &[u64]) -> Vec<u32> {
    let least = hashes.iter().copied().min().unwrap_or(0);
    let width = hashes.iter().copied().max().unwrap_or(0) - least;
    let buckets = (hashes.len() / BUCKET_GROUPS).clamp(2, BUCKETS_MAX).next_power_of_two();
    let shift = (u64::BITS - width.leading_zeros()).saturating_sub(buckets.trailing_zeros());
    let bucket_of = |hash: u64| ((hash - least) >> shift) as usize;
    let mut ends = vec![0u32; buckets + 1];
    hashes.iter().for_each(|hash| ends[bucket_of(*hash) + 1] += 1);
    for bucket in 1..ends.len() {
        ends[bucket] += ends[bucket - 1];
    }
    let mut order = vec![0u32; hashes.len()];
    for (group, hash) in hashes.iter().enumerate() {
        let place = &mut ends[bucket_of(*hash)];
        order[*place as usize] = group as u32;
        *place += 1;
    }
    let mut sorted: Vec<(u64, u32)> = Vec::new();
    let mut start = 0;
    for end in &ends[..buckets] {
        let bucket = &mut order[start..*end as usize];
        sorted.clear();
        sorted.extend(bucket.iter().map(|group| (hashes[*group as usize], *group)));
        sorted.sort_unstable();
        bucket.iter_mut().zip(&sorted).for_each(|(place, (_, group))| *place = *group);
        start = *end as usize;
    }
    order
}

/// Cuts groups in order of their hashes into blocks of about `groups_max`. Groups with one hash are in one block.
pub(crate) fn blocks<'a>(
    hashes: &'a [u64],
    order: &'a [u32],
    groups_max: usize,
) -> impl Iterator<Item = &'a [u32]> + 'a {
    let mut rest: Range<usize> = 0..order.len();
    std::iter::from_fn(move || {
        let start = rest.start;
        let hash = |place: usize| hashes[order[place] as usize];
        let mut end = start.saturating_add(groups_max.max(1)).min(rest.end);
        while end > start && end < rest.end && hash(end - 1) == hash(end) {
            end += 1;
        }
        rest.start = end;
        (start < end).then(|| &order[start..end])
    })
}
