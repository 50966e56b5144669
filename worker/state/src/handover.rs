//! What a table hands over at a barrier.
//!
//! Groups that have changed are copied, and so are those whose turn it is. If nothing is known of what has changed, or most would
//! be copied, the whole table is shared.
//!
//! Groups whose turn it is next are copied between two barriers, a block with each change of the table. At the barrier only those of
//! them that have changed are copied again. So the barrier waits for what has changed, and not for an eighth of the table.

use std::ops::Range;
use std::sync::Arc;

use crate::changes::Changed;
use crate::group_table::GroupTable;
use crate::packed_rows::PackedRows;
use crate::snapshot::{PARTS, SnapshotRequest};
use crate::vacancies::{Vacancies, is_set};

/// Groups of a block, as a power of two. The turn goes by blocks, so that most of what is copied lies side by side.
/// Builds for tests have small blocks, so that small tables have several.
const BLOCK_BITS: u32 = if cfg!(debug_assertions) { 3 } else { 12 };

/// Whose turn it is to be handed over although nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Whether a block has the turn.
    fn has(self, block: u32) -> bool {
        (u64::from(block) + self.shift) % u64::from(PARTS) == u64::from(self.part)
    }

    /// The blocks of so many groups, each with whether it has the turn.
    fn blocks(self, groups: usize) -> impl Iterator<Item = (Range<u32>, bool)> {
        let end = groups as u32;
        (0..end)
            .step_by(1 << BLOCK_BITS)
            .map(move |start| (start..end.min(start + (1 << BLOCK_BITS)), self.has(start >> BLOCK_BITS)))
    }
}

/// Groups as they were at a barrier: all of a table, or those that a [`SnapshotRequest`] asks for.
#[derive(Debug)]
pub struct Handover {
    /// Whether these are all groups of the table.
    pub is_whole: bool,
    /// How many groups the table has.
    pub len: usize,
    /// The group of each row, each once; empty if all groups are handed over, and their rows have their numbers.
    pub groups: Vec<u32>,
    /// Rows: all of the table if it is whole, otherwise copies of these groups, in their order.
    pub packed: Arc<PackedRows>,
    /// A bit for each row, set if the row is of no group. Rows behind the last bit have groups.
    vacant: Vec<u64>,
}

impl Handover {
    /// The numbers of the rows that are handed over, in ascending order.
    pub fn rows(&self) -> impl Iterator<Item = u32> {
        (0..self.packed.len() as u32).filter(|row| !is_set(&self.vacant, *row))
    }
}

/// Copies of groups whose turn it is at the next barrier, if the checkpoint of the last one completes.
///
/// They are copied from the first block on. What changes later is known at the barrier, and copied again.
#[derive(Clone, Debug, Default)]
pub(crate) struct CopiedAhead {
    /// `None` if there was no barrier.
    turn: Option<Turn>,
    /// The next block to look at.
    next: u32,
    groups: Vec<u32>,
    packed: Option<PackedRows>,
}

impl CopiedAhead {
    fn new(turn: Turn) -> Self {
        Self { turn: Some(turn), ..Self::default() }
    }

    /// Copies the next block that has the turn, if it is full.
    #[inline(never)]
    pub(crate) fn copy_a_block(&mut self, table: &PackedRows) {
        let Some(turn) = self.turn else { return };
        let full_blocks = (table.len() >> BLOCK_BITS) as u32;
        while self.next < full_blocks {
            let block = self.next;
            self.next += 1;
            if turn.has(block) {
                self.append(table, block << BLOCK_BITS..(block + 1) << BLOCK_BITS);
                return;
            }
        }
    }

    /// Copies groups that follow the others.
    fn append(&mut self, table: &PackedRows, groups: Range<u32>) {
        let start = self.groups.len();
        self.groups.extend(groups);
        let packed = self.packed.get_or_insert_with(|| {
            let mut packed = table.empty_like();
            // Room for what will have changed, too: to move everything at the barrier would take as long as to copy it.
            // Memory that is not used is not resident.
            let blocks = (table.len() >> BLOCK_BITS).div_ceil(usize::from(PARTS));
            packed.reserve((2 * blocks) << BLOCK_BITS);
            packed
        });
        packed.append(table, &self.groups[start..]);
    }

    /// Copies again those of the groups that have changed.
    fn refresh(&mut self, table: &PackedRows, changed: &Changed, vacancies: &Vacancies) {
        let Some(packed) = &mut self.packed else { return };
        let mut again = Vec::new();
        for (block, row) in self.groups.chunks(1 << BLOCK_BITS).zip((0..).step_by(1 << BLOCK_BITS)) {
            again.clear();
            let (start, end) = (block[0], block[0] + block.len() as u32);
            let first_new = (changed.groups as u32).clamp(start, end);
            push_set_bits(&changed.bits, start..first_new, &mut again);
            again.extend(first_new..end);
            for group in &again {
                let row = row + (group - start) as usize;
                if vacancies.is_used() {
                    // Another key can have taken the place.
                    packed.copy_row(row, table, *group as usize);
                } else {
                    packed.copy_accumulators(row, table, *group as usize);
                }
            }
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.groups.capacity() * 4 + self.packed.as_ref().map_or(0, PackedRows::content_bytes)
    }
}

impl GroupTable {
    /// What a checkpoint gets of this table, which is that of `bucket`.
    pub fn hand_over(&mut self, request: SnapshotRequest, bucket: i64) -> Handover {
        let (len, places) = (self.len(), self.places());
        let turn = Turn::new(bucket, request.part);
        let next_turn = Turn::new(bucket, (request.part + 1) % PARTS);
        let mut copied = std::mem::replace(&mut *self.ahead, CopiedAhead::new(next_turn));
        let changed = self.changes.barrier(request.checkpoint, request.since, places);
        let changed = changed.filter(|changed| {
            let due: usize = turn.blocks(places).filter(|(_, is_due)| *is_due).map(|(block, _)| block.len()).sum();
            (changed.known() + (places - changed.groups) + due) * 2 <= places
        });
        let Some(changed) = changed else {
            let vacant = self.vacancies.bits().to_vec();
            return Handover { is_whole: true, len, groups: Vec::new(), packed: self.freeze(), vacant };
        };
        if copied.turn == Some(turn) {
            copied.refresh(self.packed(), &changed, &self.vacancies);
        } else {
            copied = CopiedAhead::new(turn);
        }
        let mut others = Vec::new();
        for (block, is_due) in turn.blocks(places) {
            if is_due && block.start >> BLOCK_BITS >= copied.next {
                copied.append(self.packed(), block);
            } else if !is_due {
                let first_new = (changed.groups as u32).clamp(block.start, block.end);
                push_set_bits(&changed.bits, block.start..first_new, &mut others);
                others.extend(first_new..block.end);
            }
        }
        if self.vacancies.is_used() {
            others.retain(|group| !self.vacancies.contains(*group));
        }
        let mut packed = copied.packed.unwrap_or_else(|| self.packed().empty_like());
        packed.reserve(others.len());
        packed.append(self.packed(), &others);
        let mut groups = copied.groups;
        let mut vacant = Vec::new();
        if self.vacancies.is_used() {
            vacant = vec![0; groups.len().div_ceil(64)];
            let rows = (0..).zip(&groups).filter(|(_, group)| self.vacancies.contains(**group));
            rows.for_each(|(row, _): (usize, _)| vacant[row >> 6] |= 1 << (row & 63));
        }
        groups.append(&mut others);
        if self.vacancies.is_used() {
            packed.copy_nulls(self.packed(), &groups);
        }
        Handover { is_whole: false, len, groups, packed: Arc::new(packed), vacant }
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
