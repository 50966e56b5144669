//! What a table hands over at a barrier.
//!
//! Groups that have changed are copied, and so are those whose turn it is. If nothing is known of what has changed, or most would
//! be copied, the whole table is shared.

use std::ops::Range;
use std::sync::Arc;

use crate::group_table::GroupTable;
use crate::packed_rows::PackedRows;
use crate::snapshot::{PARTS, SnapshotRequest};

/// Groups of a block, as a power of two. The turn goes by blocks, so that most of what is copied lies side by side.
/// Builds for tests have small blocks, so that small tables have several.
const BLOCK_BITS: u32 = if cfg!(debug_assertions) { 3 } else { 12 };

/// Whose turn it is to be handed over although nothing has changed.
#[derive(Clone, Copy)]
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

    /// The blocks of so many groups, each with whether it has the turn.
    fn blocks(self, groups: usize) -> impl Iterator<Item = (Range<u32>, bool)> {
        let end = groups as u32;
        (0..end).step_by(1 << BLOCK_BITS).map(move |start| {
            let number = u64::from(start >> BLOCK_BITS) + self.shift;
            (start..end.min(start + (1 << BLOCK_BITS)), number % u64::from(PARTS) == u64::from(self.part))
        })
    }
}

/// Groups as they were at a barrier: all of a table, or those that a [`SnapshotRequest`] asks for.
#[derive(Debug)]
pub struct Handover {
    /// Whether these are all groups of the table.
    pub is_whole: bool,
    /// How many groups the table has.
    pub len: usize,
    /// The groups that are handed over, in ascending order; empty if these are all.
    pub groups: Vec<u32>,
    /// Their rows: all of the table if it is whole, otherwise copies of these groups.
    pub packed: Arc<PackedRows>,
}

impl Handover {
    /// The numbers of the rows that are handed over, in the order of their groups.
    pub fn rows(&self) -> Range<u32> {
        let rows = if self.is_whole { self.len } else { self.groups.len() };
        0..rows as u32
    }
}

impl GroupTable {
    /// What a checkpoint gets of this table, which is that of `bucket`.
    pub fn hand_over(&mut self, request: SnapshotRequest, bucket: i64) -> Handover {
        let len = self.len();
        let turn = Turn::new(bucket, request.part);
        let changed = self.changes.barrier(request.checkpoint, request.since, len);
        let changed = changed.filter(|changed| {
            let due: usize = turn.blocks(len).filter(|(_, is_due)| *is_due).map(|(block, _)| block.len()).sum();
            (changed.known() + (len - changed.groups) + due) * 2 <= len
        });
        let Some(changed) = changed else {
            return Handover { is_whole: true, len, groups: Vec::new(), packed: self.freeze() };
        };
        let mut groups = Vec::new();
        for (block, is_due) in turn.blocks(len) {
            let first_new = if is_due { block.start } else { (changed.groups as u32).clamp(block.start, block.end) };
            push_set_bits(&changed.bits, block.start..first_new, &mut groups);
            groups.extend(first_new..block.end);
        }
        let packed = Arc::new(self.packed().copy(&groups));
        Handover { is_whole: false, len, groups, packed }
    }
}

/// Appends the numbers in a range whose bits are set.
fn push_set_bits(bits: &[u64], range: Range<u32>, into: &mut Vec<u32>) {
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

#[cfg(test)]
mod tests;
