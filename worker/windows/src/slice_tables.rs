//! The groups of open slices: a table in memory for each, and runs on disk for those that did not fit. And a few empty tables
//! for reuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::Result;
use eddyline_state::spill;
use eddyline_state::{SnapshotRequest, SpillDirectory};

use crate::Error;
use crate::frozen_groups::FrozenGroups;
use crate::groups::Groups;
use crate::layout::Layout;
use crate::ranges::Source;
use crate::slice::Slice;
use crate::spilled::Spilled;

/// The number of cleared tables that are kept.
const SPARE_MAX: usize = 2;

/// A smaller table is not written to disk. Builds for tests write every table.
const EVICTED_BYTES_MIN: usize = if cfg!(debug_assertions) { 1 } else { 64 << 10 };

/// Groups that get rows often stay in memory if they are at most this part of a table.
const KEPT_MAX: (usize, usize) = (7, 8);

/// A table with one row that came lately in so many groups is filled again.
const BUSY_ROWS_MIN: usize = 4;

/// While state is on disk, a larger table is not shared with a checkpoint, but written to disk: the first change would copy it.
const SHARED_BYTES_MAX: usize = if cfg!(debug_assertions) { 1 } else { 1 << 20 };

/// Groups by slice. Tables are reused, so that a job that opens and fires windows for a long time neither allocates nor
/// grows.
#[derive(Debug)]
pub(crate) struct SliceTables {
    // Fixed at start.
    key_types: Vec<DataType>,
    layout: Arc<Layout>,
    // Changing.
    /// The tables in memory. Their groups are newer than those of the runs.
    pub(crate) slices: BTreeMap<Slice, Groups>,
    pub(crate) spilled: Spilled,
    spare: Vec<Groups>,
}

impl SliceTables {
    /// Makes no tables. Of the runs of a slice, `merged_at_once` are merged at a time.
    ///
    /// # Errors
    /// When a type cannot be a key. If this succeeds, tables can always be made.
    pub(crate) fn new(
        key_types: &[DataType],
        layout: Arc<Layout>,
        merged_at_once: usize,
    ) -> std::result::Result<Self, Error> {
        let spare = vec![Groups::new(key_types, &layout)?];
        let spilled = Spilled::new(merged_at_once);
        Ok(Self { key_types: key_types.to_vec(), layout, slices: BTreeMap::new(), spilled, spare })
    }

    /// The table of a slice. Created if it does not exist.
    pub(crate) fn open(&mut self, slice: Slice) -> &mut Groups {
        if !self.slices.contains_key(&slice) {
            let table = self.table();
            self.slices.insert(slice, table);
        }
        self.slices.get_mut(&slice).expect("it has just been inserted if it was missing")
    }

    /// Returns an empty table, a reused one if there is one.
    pub(crate) fn table(&mut self) -> Groups {
        self.spare.pop().unwrap_or_else(|| {
            Groups::new(&self.key_types, &self.layout)
                .expect("the key types were checked when the first table was made")
        })
    }

    /// Keeps a table for reuse.
    pub(crate) fn recycle(&mut self, mut table: Groups) {
        if self.spare.len() < SPARE_MAX {
            table.clear(&self.layout);
            self.spare.push(table);
        }
    }

    /// The slice that ends first.
    pub(crate) fn first(&self) -> Option<Slice> {
        let in_memory = self.slices.keys().next().copied();
        in_memory.into_iter().chain(self.spilled.first()).min()
    }

    /// Removes a slice.
    pub(crate) fn remove(&mut self, slice: Slice) {
        self.spilled.remove(slice);
        if let Some(groups) = self.slices.remove(&slice) {
            self.recycle(groups);
        }
    }

    /// The groups of a slice from a hash on, the oldest first.
    pub(crate) fn sources(&self, slice: Slice, from: u64) -> spill::Result<Vec<Source>> {
        let mut sources = self.spilled.sources(slice, &self.layout, from)?;
        sources.extend(self.slices.get(&slice).map(|groups| Source::of_table(groups, from)));
        Ok(sources)
    }

    /// The bytes in memory, those on disk, and the number of groups.
    pub(crate) fn size(&self) -> (usize, u64, usize) {
        let (memory, disk, rows) = self.spilled.size();
        let bytes: usize = self.slices.values().chain(&self.spare).map(Groups::bytes).sum();
        (memory + bytes, disk, rows + self.slices.values().map(Groups::len).sum::<usize>())
    }

    /// Frees the empty tables. Gives their bytes.
    pub(crate) fn free_spare(&mut self) -> usize {
        self.spare.drain(..).map(|table| table.bytes()).sum()
    }

    /// The tables that can be written to disk, each with how many rows came lately for each KiB of it. All but `kept`.
    pub(crate) fn evictable(&mut self, kept: Option<Slice>) -> Vec<(usize, Slice)> {
        let tables = self.slices.iter_mut().filter(|(slice, _)| Some(**slice) != kept);
        let rated = tables.filter(|(_, groups)| groups.bytes() >= EVICTED_BYTES_MIN);
        rated.map(|(slice, groups)| (groups.take_recent_rows() / (groups.bytes() >> 10).max(1), *slice)).collect()
    }

    /// Writes tables to disk, those to which the fewest rows came lately first, until so many bytes are freed. Gives how
    /// many were. `kept` stays in memory.
    pub(crate) fn free(&mut self, kept: Option<Slice>, bytes: usize, directory: &SpillDirectory) -> Result<usize> {
        let mut tables = self.evictable(kept);
        tables.sort_unstable();
        let mut freed = 0;
        for (_, slice) in tables {
            if freed >= bytes {
                break;
            }
            freed += self.evict_cold(slice, directory)?;
        }
        Ok(freed)
    }

    /// Writes the table of a slice to disk, except for groups that get rows often. Gives the bytes that are freed.
    pub(crate) fn evict_cold(&mut self, slice: Slice, directory: &SpillDirectory) -> Result<usize> {
        let Some(groups) = self.slices.get(&slice) else { return Ok(0) };
        let (all, bytes, kept) = (groups.len(), groups.bytes(), groups.touched());
        if kept.len() > all * KEPT_MAX.0 / KEPT_MAX.1 {
            return self.evict(slice, directory);
        }
        let is_busy = groups.recent_rows() * BUSY_ROWS_MIN >= all;
        self.write(slice, &kept, directory)?;
        if is_busy {
            let room = all - kept.len();
            let groups = self.open(slice);
            groups.note_touched();
            groups.reserve(room);
        }
        Ok(bytes.saturating_sub(self.slices.get(&slice).map_or(0, Groups::bytes)))
    }

    /// Writes the table of a slice to disk. Gives the bytes that are freed.
    pub(crate) fn evict(&mut self, slice: Slice, directory: &SpillDirectory) -> Result<usize> {
        let bytes = self.slices.get(&slice).map_or(0, Groups::bytes);
        self.write(slice, &[], directory)?;
        Ok(bytes)
    }

    /// Writes groups of a slice to disk: all but these, which are in ascending order.
    fn write(&mut self, slice: Slice, kept: &[u32], directory: &SpillDirectory) -> Result<()> {
        let Some(groups) = self.slices.get_mut(&slice) else { return Ok(()) };
        let order = if kept.is_empty() {
            groups.packed().order_by_hash()
        } else {
            let mut is_kept = vec![false; groups.len()];
            kept.iter().for_each(|group| is_kept[*group as usize] = true);
            let others: Vec<u32> = groups.all().into_iter().filter(|group| !is_kept[*group as usize]).collect();
            groups.packed().ordered_by_hash(&others)
        };
        if !order.is_empty() {
            self.spilled.write(slice, (groups, &order), &self.layout, directory)?;
        }
        if kept.is_empty() {
            self.slices.remove(&slice);
        } else {
            groups.retain(kept);
        }
        // Slices of one end share a bucket of snapshots, out of which groups have vanished.
        let others = self.slices.iter_mut().filter(|(other, _)| other.end == slice.end);
        others.for_each(|(_, groups)| groups.forget_changes());
        Ok(())
    }

    /// What a checkpoint gets of the tables. All but `kept` can become runs.
    pub(crate) fn hand_over(
        &mut self,
        request: impl Fn(Slice) -> SnapshotRequest,
        kept: Option<Slice>,
    ) -> Result<Vec<(Slice, FrozenGroups)>> {
        let layout = Arc::clone(&self.layout);
        let hand_over = |slice: Slice, groups: &mut Groups| groups.hand_over(&layout, request(slice), slice.end);
        let tables = self.slices.iter_mut();
        let mut handed: Vec<(Slice, FrozenGroups)> =
            tables.map(|(slice, groups)| (*slice, hand_over(*slice, groups))).collect();
        let Some(directory) = self.spilled.directory() else { return Ok(handed) };
        let is_shared = |(slice, groups): &&(Slice, FrozenGroups)| {
            let is_large = groups.len() > 0 && self.slices[slice].bytes() >= SHARED_BYTES_MAX;
            is_large && groups.is_whole() && Some(*slice) != kept
        };
        let shared: Vec<Slice> = handed.iter().filter(is_shared).map(|(slice, _)| *slice).collect();
        handed.retain(|(slice, _)| !shared.contains(slice));
        for slice in &shared {
            self.evict(*slice, &directory)?;
        }
        // The groups of others in the buckets of these have to be handed over as a whole.
        for (slice, frozen) in handed.iter_mut().filter(|(slice, _)| shared.iter().any(|gone| gone.end == slice.end)) {
            if let Some(groups) = self.slices.get_mut(slice) {
                *frozen = hand_over(*slice, groups);
            }
        }
        Ok(handed)
    }
}
