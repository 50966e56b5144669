//! What a table hands over at a barrier.
//!
//! Groups are copied at once, which leaves their chunk to the table, unless most of a chunk is handed over: then it is shared,
//! and the table copies it if it changes it while it is still shared. The turn to be handed over although nothing has changed goes
//! by blocks of groups, which are smaller than chunks, so that each checkpoint gets about as many.

use super::GroupTable;
use crate::chunk::chunk_of;
use crate::packed_rows::PackedRows;
use crate::snapshot::{PARTS, SnapshotRequest};

/// Groups of a block, as a power of two. Builds for tests have small ones, so that small tables have several.
const BLOCK_BITS: u32 = if cfg!(test) {
    2
} else if cfg!(debug_assertions) {
    6
} else {
    12
};

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
    Shared,
    /// Under this number, among the copies.
    Copied(u32),
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Added to the number of a block. Buckets begin with different blocks, so that the first blocks of many small tables do not
    /// all come with the same checkpoint.
    shift: u64,
    part: u8,
}

impl Turn {
    fn new(bucket: i64, part: u8) -> Self {
        Self { shift: (bucket as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32, part }
    }

    fn has(self, group: u32) -> bool {
        (u64::from(group >> BLOCK_BITS) + self.shift) % u64::from(PARTS) == u64::from(self.part)
    }

    /// The blocks of a range of groups that begins with a block: each with whether it has the turn.
    fn blocks(self, range: std::ops::Range<u32>) -> impl Iterator<Item = (std::ops::Range<u32>, bool)> {
        let end = range.end;
        range.step_by(1 << BLOCK_BITS).map(move |start| (start..end.min(start + (1 << BLOCK_BITS)), self.has(start)))
    }
}

/// Groups as they were at a barrier: all of a table, or those that a [`SnapshotRequest`] asks for.
#[derive(Debug)]
pub struct Handover {
    /// Whether these are all groups of the table.
    pub is_whole: bool,
    turn: Turn,
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
    /// Whether a group that is handed over is so although it may not have changed: all that belongs to it has to go along.
    pub fn is_complete(&self, group: u32) -> bool {
        self.is_whole || self.turn.has(group)
    }

    /// Whether a chunk is shared.
    pub fn is_shared(&self, chunk: usize) -> bool {
        self.parts.binary_search_by_key(&chunk, |part| part.chunk).is_ok()
    }

    /// Where a group is, `None` if it is not handed over.
    pub fn place_of(&self, group: u32) -> Option<Place> {
        match self.parts.binary_search_by_key(&chunk_of(group), |part| part.chunk) {
            Ok(part) => match &self.parts[part].groups {
                None => Some(Place::Shared),
                Some(groups) => groups.binary_search(&group).ok().map(|_| Place::Shared),
            },
            Err(_) => self.copied.binary_search(&group).ok().map(|copy| Place::Copied(copy as u32)),
        }
    }

    /// The groups of a part.
    pub fn groups_of(&self, part: &Part) -> Vec<u32> {
        part.groups.clone().unwrap_or_else(|| self.shared.groups_of_chunk(part.chunk).collect())
    }
}

impl GroupTable {
    /// What a checkpoint gets of this table, which is that of `bucket`.
    pub fn hand_over(&mut self, request: SnapshotRequest, bucket: i64) -> Handover {
        let len = self.packed.len();
        let turn = Turn::new(bucket, request.part);
        let changed = self.changes.barrier(request.checkpoint, request.since, len);
        let changed = changed.filter(|changed| {
            let known: usize = changed.bits.iter().map(|bits| bits.count_ones() as usize).sum();
            let due: usize =
                turn.blocks(0..len as u32).filter(|(_, is_due)| *is_due).map(|(block, _)| block.len()).sum();
            // Otherwise most is handed over anyway, and what is older is of no more use with all of it.
            (known + (len - changed.groups) + due) * 2 <= len
        });
        let chunks = 0..self.packed.chunk_count();
        let Some(changed) = changed else {
            let parts = chunks.map(|chunk| self.whole_chunk(chunk)).collect();
            return self.take((true, turn), parts, Vec::new(), None);
        };
        let (mut parts, mut copied) = (Vec::new(), Vec::new());
        for chunk in chunks {
            let range = self.packed.groups_of_chunk(chunk);
            let mut groups = Vec::new();
            for (block, is_due) in turn.blocks(range.clone()) {
                let first_new =
                    if is_due { block.start } else { (changed.groups as u32).clamp(block.start, block.end) };
                push_set_bits(&changed.bits, block.start..first_new, &mut groups);
                groups.extend(first_new..block.end);
            }
            if self.free.len() > 0 {
                groups.retain(|group| !self.free.contains(*group));
            }
            if groups.len() * 2 <= range.len() {
                copied.extend(groups);
            } else {
                let is_all = groups.len() == range.len();
                parts.push(Part { chunk, groups: (!is_all).then_some(groups) });
            }
        }
        let removed =
            changed.removed.map(|removed| self.without_present(removed)).filter(|removed| !removed.is_empty());
        self.take((false, turn), parts, copied, removed)
    }

    /// All groups as they are now, and how many there were at the barrier of `request.since`: 0 if that is not known. For a
    /// table whose groups do not change once they are there.
    pub fn hand_over_added(&mut self, request: SnapshotRequest) -> (PackedRows, u32) {
        let changed = self.changes.barrier(request.checkpoint, request.since, self.packed.len());
        (self.freeze(), changed.map_or(0, |changed| changed.groups as u32))
    }

    fn take(
        &mut self,
        (is_whole, turn): (bool, Turn),
        parts: Vec<Part>,
        copied: Vec<u32>,
        removed: Option<PackedRows>,
    ) -> Handover {
        let copies = self.packed.copy(&copied);
        let is_shared = |chunk: usize| parts.binary_search_by_key(&chunk, |part| part.chunk).is_ok();
        let shared = self.packed.freeze(is_shared);
        Handover { is_whole, turn, parts, shared, copied, copies, removed }
    }

    fn whole_chunk(&self, chunk: usize) -> Part {
        let range = self.packed.groups_of_chunk(chunk);
        Part { chunk, groups: self.free.any_in(range.clone()).then(|| self.free.others(range)) }
    }

    /// Keys that were removed, each once, without those that have come again.
    fn without_present(&self, removed: PackedRows) -> PackedRows {
        let gone: Vec<u32> = (0..removed.len() as u32).filter(|group| self.find(&removed, *group).is_none()).collect();
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
