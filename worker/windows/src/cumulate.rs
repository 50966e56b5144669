//! `CUMULATE`: windows that share a start and grow by a step.
//!
//! A cycle is the longest of such windows. Its table collects the slices whose own window has fired; each step merges
//! one slice into it and emits all of it. Rows that are late for their slice, but not for the cycle, are added to the
//! cycle's table at once, so that every later step contains them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::Result;
use eddyline_stream::Watermark;

use crate::Error;
use crate::groups::Groups;
use crate::layout::Layout;
use crate::output::Firing;
use crate::slice::{Grid, Slice};
use crate::slice_tables::SliceTables;
use crate::zone::Zone;

/// Open slices, and the cycles they are merged into.
#[derive(Debug)]
pub(crate) struct Cumulate {
    // Fixed at start.
    size_ms: i64,
    step_ms: i64,
    offset_ms: i64,
    // Changing.
    pub(crate) tables: SliceTables,
    /// By the end of the cycle.
    pub(crate) cycles: BTreeMap<i64, Groups>,
    /// The last window end that has fired.
    fired_until: i64,
}

impl Cumulate {
    pub(crate) fn new(
        (size_ms, step_ms, offset_ms): (i64, i64, i64),
        key_types: &[DataType],
        layout: Arc<Layout>,
    ) -> std::result::Result<Self, Error> {
        let tables = SliceTables::new(key_types, layout)?;
        Ok(Self { size_ms, step_ms, offset_ms, tables, cycles: BTreeMap::new(), fired_until: i64::MIN })
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
        self.cycles.entry(cycle_end).or_insert_with(|| tables.table())
    }

    /// Says what has fired before a restore.
    pub(crate) fn resume(&mut self, zone: &mut Zone, watermark: Watermark) {
        self.fired_until = zone.last_fired(self.step_ms, self.offset_ms, watermark);
    }

    /// The end of the next window that is not empty.
    fn next_end(&self) -> Option<i64> {
        let of_cycle = self.cycles.keys().next().map(|end| self.fired_until.max(end - self.size_ms) + self.step_ms);
        let of_slice = self.tables.first().map(|slice| slice.end);
        of_cycle.into_iter().chain(of_slice).min()
    }

    pub(crate) fn fire(&mut self, firing: &mut Firing<'_>) -> Result<()> {
        while let Some(end) = self.next_end().filter(|end| firing.is_due(*end)) {
            let cycle_end = self.cycle_end(end);
            let slice = Slice { end, start: end - self.step_ms };
            if let Some(mut groups) = self.tables.slices.remove(&slice) {
                // The first slice of a cycle becomes the cycle.
                if let Some(cycle) = self.cycles.get_mut(&cycle_end) {
                    cycle.absorb(firing.layout, &groups, &groups.all())?;
                    self.tables.recycle(groups);
                } else {
                    groups.forget_changes();
                    self.cycles.insert(cycle_end, groups);
                }
            }
            if let Some(cycle) = self.cycles.get(&cycle_end) {
                firing.emit(Slice { end, start: cycle_end - self.size_ms }, cycle, &cycle.all())?;
            }
            if end == cycle_end
                && let Some(cycle) = self.cycles.remove(&cycle_end)
            {
                self.tables.recycle(cycle);
            }
            self.fired_until = end;
        }
        let passed = firing.zone.last_fired(self.step_ms, self.offset_ms, firing.watermark);
        self.fired_until = self.fired_until.max(passed);
        Ok(())
    }
}
