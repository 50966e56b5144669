//! What a table hands over at a barrier.
//!
//! Few groups that have changed are copied at once, which leaves their chunks to the table. A chunk of which many have
//! changed is shared, and so is one whose turn it is to be handed over as a whole. The table copies it if it changes it while
//! it is still shared.

use super::row_keys::RowKeys;
use super::{GroupTable, NONE, StoredKeys};
use crate::chunk::{CHUNK_GROUPS, chunk_of};
use crate::packed_rows::PackedRows;
use crate::snapshot::{PARTS, SnapshotRequest};

/// Up to so many changed groups of a chunk are copied at the barrier.
const COPIED_MAX: usize = CHUNK_GROUPS / 8;

/// A chunk that is shared.
#[derive(Debug)]
pub struct Part {
    /// Its number.
    pub chunk: usize,
    /// Which of its groups are handed over, in ascending order; `None` for all.
    pub groups: Option<Vec<u32>>,
}

/// Where a group is that is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under its number, in a chunk that is shared.
    Shared {
        /// Whether all groups of the chunk are handed over.
        is_whole_chunk: bool,
    },
    /// Under this number, among the copies.
    Copied(u32),
}

/// Groups as they were at a barrier: all of a table, or those that a [`SnapshotRequest`] asks for.
#[derive(Debug)]
pub struct Handover {
    /// Whether these are all groups of the table.
    pub is_whole: bool,
    /// The chunks that are shared.
    pub parts: Vec<Part>,
    /// The rows of these chunks, by the numbers of the groups.
    pub shared: PackedRows,
    /// The groups that are copied, in ascending order.
    pub copied: Vec<u32>,
    /// Their rows, numbered from 0.
    pub copies: PackedRows,
    /// The keys of groups that have been removed, as rows of no meaning; none if all groups are handed over.
    pub removed: Option<PackedRows>,
}

impl Handover {
    /// Whether nothing is handed over.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.copied.is_empty() && self.removed.is_none()
    }

    /// Whether a chunk is shared.
    pub fn is_shared(&self, chunk: usize) -> bool {
        self.parts.binary_search_by_key(&chunk, |part| part.chunk).is_ok()
    }

    /// Where a group is, `None` if it is not handed over.
    pub fn place_of(&self, group: u32) -> Option<Place> {
        match self.parts.binary_search_by_key(&chunk_of(group), |part| part.chunk) {
            Ok(part) => match &self.parts[part].groups {
                None => Some(Place::Shared { is_whole_chunk: true }),
                Some(groups) => groups.binary_search(&group).ok().map(|_| Place::Shared { is_whole_chunk: false }),
            },
            Err(_) => self.copied.binary_search(&group).ok().map(|copy| Place::Copied(copy as u32)),
        }
    }

    /// The groups of a part.
    pub fn groups_of(&self, part: &Part) -> Vec<u32> {
        part.groups.clone().unwrap_or_else(|| self.shared.groups_of_chunk(part.chunk).collect())
    }
}

/// Whether it is a chunk's turn to be handed over. Buckets begin with different chunks, so that the first chunks of many small
/// tables do not all come with the same checkpoint.
fn is_due(chunk: usize, bucket: i64, part: u8) -> bool {
    let of_bucket = (bucket as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (chunk as u64).wrapping_add(of_bucket) % u64::from(PARTS) == u64::from(part)
}

impl GroupTable {
    /// What a checkpoint gets of this table, which is that of `bucket`.
    pub fn hand_over(&mut self, request: SnapshotRequest, bucket: i64) -> Handover {
        let len = self.packed.len();
        let changed = self.changes.barrier(request.checkpoint, request.since, len);
        let is_due = |chunk: &usize| is_due(*chunk, bucket, request.part);
        let chunks = 0..self.packed.chunk_count();
        let changed = changed.filter(|changed| {
            let known: usize = changed.bits.iter().map(|bits| bits.count_ones() as usize).sum();
            let due: usize = chunks.clone().filter(is_due).map(|chunk| self.packed.groups_of_chunk(chunk).len()).sum();
            // Otherwise most is handed over anyway, and what is older is of no more use with all of it.
            (known + (len - changed.groups) + due) * 2 <= len
        });
        let Some(changed) = changed else {
            let parts = chunks.map(|chunk| Part { chunk, groups: self.unless_all(chunk) }).collect();
            return self.take(true, parts, Vec::new(), None);
        };
        let (mut parts, mut copied) = (Vec::new(), Vec::new());
        for chunk in chunks {
            if is_due(&chunk) {
                parts.push(Part { chunk, groups: self.unless_all(chunk) });
                continue;
            }
            let range = self.packed.groups_of_chunk(chunk);
            let first_new = (changed.groups as u32).clamp(range.start, range.end);
            let mut groups = Vec::new();
            push_set_bits(&changed.bits, range.start..first_new, &mut groups);
            groups.extend(first_new..range.end);
            if self.free.len() > 0 {
                groups.retain(|group| !self.free.contains(*group));
            }
            if groups.len() <= COPIED_MAX {
                copied.extend(groups);
            } else {
                let is_all = groups.len() == range.len();
                parts.push(Part { chunk, groups: (!is_all).then_some(groups) });
            }
        }
        let removed =
            changed.removed.map(|removed| self.without_present(removed)).filter(|removed| !removed.is_empty());
        self.take(false, parts, copied, removed)
    }

    /// All groups as they are now, and how many there were at the barrier of `request.since`: 0 if that is not known. For a
    /// table whose groups do not change once they are there.
    pub fn hand_over_added(&mut self, request: SnapshotRequest) -> (PackedRows, u32) {
        let changed = self.changes.barrier(request.checkpoint, request.since, self.packed.len());
        (self.packed.freeze(|_| true), changed.map_or(0, |changed| changed.groups as u32))
    }

    fn take(&mut self, is_whole: bool, parts: Vec<Part>, copied: Vec<u32>, removed: Option<PackedRows>) -> Handover {
        let copies = self.packed.copy(&copied);
        let is_shared = |chunk: usize| parts.binary_search_by_key(&chunk, |part| part.chunk).is_ok();
        let shared = self.packed.freeze(is_shared);
        Handover { is_whole, parts, shared, copied, copies, removed }
    }

    /// The groups of a chunk, `None` if none of its numbers is free.
    fn unless_all(&self, chunk: usize) -> Option<Vec<u32>> {
        let range = self.packed.groups_of_chunk(chunk);
        self.free.any_in(range.clone()).then(|| self.free.others(range))
    }

    /// Keys that were removed, each once, without those that have come again.
    fn without_present(&self, removed: PackedRows) -> PackedRows {
        let keys = StoredKeys { of: &removed };
        let is_gone = |row: &u32| {
            let is_key = |group| keys.matches(&self.packed, group, *row as usize);
            self.directory.find(removed.hash(*row), is_key) == NONE
        };
        let gone: Vec<u32> = (0..removed.len() as u32).filter(is_gone).collect();
        let mut once = Self::of_packed(removed.empty_like(), &self.initial);
        once.adopt(&removed, &gone, &mut Vec::new());
        once.packed
    }
}

/// Appends the numbers in a range whose bits are set.
fn push_set_bits(bits: &[u64], range: std::ops::Range<u32>, into: &mut Vec<u32>) {
    for word in range.start / 64..range.end.div_ceil(64) {
        let mut rest = bits.get(word as usize).copied().unwrap_or(0);
        while rest != 0 {
            let group = word * 64 + rest.trailing_zeros();
            if range.contains(&group) {
                into.push(group);
            }
            rest &= rest - 1;
        }
    }
}
