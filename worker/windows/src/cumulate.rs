//! `CUMULATE`: windows that share a start and grow by a step.
//!
//! A cycle is the longest of these windows. Its table contains the slices whose own window has fired. Each step merges
//! one slice into it and emits the whole table. Rows that are late for their slice, but not for the cycle, are added to
//! the cycle's table, so that every later step contains them.
//!
//! A cycle can have runs on disk. The runs of a slice become runs of its cycle, and each step reads those of the cycle.

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::{Progress, Result};
use eddyline_state::{PackedRows, SpillDirectory};
use eddyline_stream::Watermark;

use crate::Error;
use crate::behind::{Behind, CatchUp, HalfGiven};
use crate::groups::Groups;
use crate::layout::Layout;
use crate::output::Firing;
use crate::ranges::{InRanges, Ranges};
use crate::slice::{Grid, Slice};
use crate::slice_tables::SliceTables;
use crate::zone::Zone;

/// Each run of a cycle is read with each step, so few may wait.
const RUNS_MERGED_AT_ONCE: usize = if cfg!(debug_assertions) { 2 } else { 4 };

/// The window that is being emitted. Its last slice is merged into its cycle.
#[derive(Debug)]
struct Shown {
    end: i64,
    cycle_end: i64,
    /// The number of emitted groups.
    given: u32,
    /// Set if the cycle has runs.
    in_ranges: Option<InRanges>,
}

/// A cycle as a slice.
pub(crate) fn cycle_slice(cycle_end: i64) -> Slice {
    Slice { start: cycle_end, end: cycle_end }
}

/// Open slices, and the cycles they are merged into.
#[derive(Debug)]
pub(crate) struct Cumulate {
    // Fixed at start.
    size_ms: i64,
    step_ms: i64,
    offset_ms: i64,
    // Changing.
    pub(crate) tables: SliceTables,
    /// The groups of cycles.
    pub(crate) cycles: SliceTables,
    /// The last window end that has fired.
    fired_until: i64,
    shown: Option<Shown>,
    catch_up: Option<CatchUp>,
}

impl Cumulate {
    pub(crate) fn new(
        (size_ms, step_ms, offset_ms): (i64, i64, i64),
        key_types: &[DataType],
        layout: Arc<Layout>,
    ) -> std::result::Result<Self, Error> {
        let tables = SliceTables::new(key_types, Arc::clone(&layout), RUNS_MERGED_AT_ONCE)?;
        let cycles = SliceTables::new(key_types, layout, RUNS_MERGED_AT_ONCE)?;
        Ok(Self { size_ms, step_ms, offset_ms, tables, cycles, fired_until: i64::MIN, shown: None, catch_up: None })
    }

    /// The end of the cycle that a slice or step belongs to.
    fn cycle_end(&self, slice_end: i64) -> i64 {
        let grid = Grid { step_ms: self.size_ms, offset_ms: self.offset_ms };
        grid.slice_of(slice_end - 1).map_or(i64::MAX, |cycle| cycle.end)
    }

    pub(crate) fn admit(&mut self, slice: Slice, zone: &Zone, watermark: Watermark) -> Option<&mut Groups> {
        let cycle_end = self.cycle_end(slice.end);
        if zone.is_fired(cycle_end, watermark) {
            None
        } else if zone.is_fired(slice.end, watermark) {
            Some(self.cycle(cycle_end))
        } else {
            Some(self.tables.open(slice))
        }
    }

    /// The table of a cycle. Created if it does not exist.
    pub(crate) fn cycle(&mut self, cycle_end: i64) -> &mut Groups {
        let tables = &mut self.tables;
        self.cycles.slices.entry(cycle_slice(cycle_end)).or_insert_with(|| tables.table())
    }

    /// The keys that are behind, to add others to.
    pub(crate) fn take_behind(&mut self) -> Option<Behind> {
        self.catch_up.take().map(CatchUp::into_behind)
    }

    /// Restores which windows have fired. Keys in `behind` have windows that the watermark has passed and that are not
    /// emitted.
    pub(crate) fn resume(&mut self, zone: &mut Zone, watermark: Watermark, behind: Behind) {
        self.fired_until = zone.last_fired(self.step_ms, self.offset_ms, watermark);
        let catch_up = CatchUp::new(behind, self.fired_until);
        if let Some(first) = catch_up.first() {
            self.fired_until = self.fired_until.min(first - self.step_ms);
            self.catch_up = Some(catch_up);
        }
        // Keys that are less far behind than others can have a cycle whose last window is emitted.
        let fired_until = self.fired_until;
        while let Some(cycle) = self.cycles.first().filter(|cycle| cycle.end <= fired_until) {
            self.cycles.remove(cycle);
        }
    }

    /// The end of the next window that is not empty.
    fn next_end(&self) -> Option<i64> {
        let of_cycle = self.cycles.first().map(|cycle| self.fired_until.max(cycle.end - self.size_ms) + self.step_ms);
        let of_slice = self.tables.first().map(|slice| slice.end);
        of_cycle.into_iter().chain(of_slice).min()
    }

    pub(crate) fn fire(&mut self, firing: &mut Firing<'_>) -> Result<Progress> {
        loop {
            if self.shown.is_none() {
                let Some(end) = self.next_end().filter(|end| firing.is_due(*end)) else { break };
                self.begin(end, firing.layout)?;
            }
            if self.show(firing)? == Progress::More {
                return Ok(Progress::More);
            }
            self.finish();
        }
        let passed = firing.zone.last_fired(self.step_ms, self.offset_ms, firing.watermark);
        self.fired_until = self.fired_until.max(passed);
        self.catch_up = None;
        Ok(Progress::Done)
    }

    /// Merges the last slice of a window.
    fn begin(&mut self, end: i64, layout: &Layout) -> Result<()> {
        self.fired_until = end;
        let cycle_end = self.cycle_end(end);
        let (slice, cycle) = (Slice { end, start: end - self.step_ms }, cycle_slice(cycle_end));
        if let Some(directory) = self.tables.spilled.directory().filter(|_| self.tables.spilled.has(slice)) {
            // What the cycle has in memory is older than the runs of the slice.
            self.cycles.evict(cycle, &directory)?;
            self.cycles.spilled.adopt(cycle, self.tables.spilled.remove(slice), layout, directory)?;
        }
        if let Some(mut groups) = self.tables.slices.remove(&slice) {
            // The first slice of a cycle becomes the cycle.
            if let Some(known) = self.cycles.slices.get_mut(&cycle) {
                known.absorb(layout, &groups, &groups.all())?;
                self.tables.recycle(groups);
            } else {
                groups.forget_changes();
                self.cycles.slices.insert(cycle, groups);
            }
        }
        let is_in_ranges = self.cycles.spilled.has(cycle);
        let in_ranges = is_in_ranges.then(|| InRanges::new(self.tables.table()));
        self.shown = Some(Shown { end, cycle_end, given: 0, in_ranges });
        Ok(())
    }

    /// Emits groups of the window as far as there is room.
    fn show(&mut self, firing: &mut Firing<'_>) -> Result<Progress> {
        let Some(Shown { end, cycle_end, given, in_ranges }) = &mut self.shown else { return Ok(Progress::Done) };
        let window = Slice { end: *end, start: *cycle_end - self.size_ms };
        let (cycle, catch_up) = (cycle_slice(*cycle_end), &mut self.catch_up);
        let is_wanted = |groups: &PackedRows, group| match catch_up {
            Some(catch_up) => catch_up.wants(groups, group, window.end),
            None => true,
        };
        if let Some(in_ranges) = in_ranges {
            let open = |from| Ok(Ranges::new(self.cycles.sources(cycle, from)?));
            return in_ranges.emit(window, firing, open, is_wanted);
        }
        let Some(groups) = self.cycles.slices.get(&cycle) else { return Ok(Progress::Done) };
        let mut is_wanted = is_wanted;
        firing.emit(window, groups, given, |group| is_wanted(groups.packed(), group))
    }

    /// Ends a window that is completely emitted.
    fn finish(&mut self) {
        let Some(Shown { end, cycle_end, in_ranges, .. }) = self.shown.take() else { return };
        if let Some(in_ranges) = in_ranges {
            self.tables.recycle(in_ranges.into_table());
        }
        if end == cycle_end {
            self.cycles.spilled.remove(cycle_slice(cycle_end));
            if let Some(cycle) = self.cycles.slices.remove(&cycle_slice(cycle_end)) {
                self.tables.recycle(cycle);
            }
        }
    }

    /// Whether a window is being emitted while groups are on disk.
    pub(crate) fn is_in_ranges(&self) -> bool {
        self.shown.is_some() && !(self.tables.spilled.is_empty() && self.cycles.spilled.is_empty())
    }

    /// The window that is partly emitted, if there is one.
    pub(crate) fn freeze_shown(&self) -> Option<HalfGiven> {
        let Shown { end, cycle_end, given, .. } = *self.shown.as_ref()?;
        let groups = self.cycles.slices.get(&cycle_slice(cycle_end))?.freeze();
        Some(HalfGiven { groups, given, end, step_ms: self.step_ms, catch_up: self.catch_up.clone() })
    }

    /// The cycle that is being emitted from memory.
    pub(crate) fn shown_in_memory(&self) -> Option<Slice> {
        let shown = self.shown.as_ref().filter(|shown| shown.in_ranges.is_none())?;
        Some(cycle_slice(shown.cycle_end))
    }

    /// Writes tables to disk until so many bytes are freed. Gives how many were.
    pub(crate) fn evict(&mut self, bytes: usize, directory: &SpillDirectory) -> Result<usize> {
        let mut freed = self.tables.free_spare() + self.cycles.free_spare();
        if let Some(in_ranges) = self.shown.as_mut().and_then(|shown| shown.in_ranges.as_mut()) {
            in_ranges.pause();
        }
        let kept = self.shown_in_memory();
        let slices = self.tables.evictable(None).into_iter().map(|(rows, slice)| (rows, false, slice));
        let mut tables: Vec<_> = slices.collect();
        tables.extend(self.cycles.evictable(kept).into_iter().map(|(rows, slice)| (rows, true, slice)));
        tables.sort_unstable();
        for (_, is_cycle, slice) in tables {
            if freed >= bytes {
                break;
            }
            freed += if is_cycle { &mut self.cycles } else { &mut self.tables }.evict_cold(slice, directory)?;
        }
        Ok(freed)
    }

    /// The bytes in memory, those on disk, and the number of groups.
    pub(crate) fn size(&self) -> (usize, u64, usize) {
        let (slices, cycles) = (self.tables.size(), self.cycles.size());
        let shown = self.shown.as_ref().and_then(|shown| shown.in_ranges.as_ref()).map_or(0, InRanges::bytes);
        (slices.0 + cycles.0 + shown, slices.1 + cycles.1, slices.2 + cycles.2)
    }
}
