//! `CUMULATE`: windows that share a start and grow by a step.
//!
//! A cycle is the longest of such windows. Its table collects the slices whose own window has fired; each step merges
//! one slice into it and emits all of it. Rows that are late for their slice, but not for the cycle, are added to the
//! cycle's table at once, so that every later step contains them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::{Progress, Result};
use eddyline_stream::Watermark;

use crate::Error;
use crate::behind::{Behind, CatchUp, HalfGiven};
use crate::groups::Groups;
use crate::layout::Layout;
use crate::output::Firing;
use crate::slice::{Grid, Slice};
use crate::slice_tables::SliceTables;
use crate::zone::Zone;

/// The window that is being given out; its last slice is merged into its cycle.
#[derive(Clone, Copy, Debug)]
struct Shown {
    end: i64,
    cycle_end: i64,
    /// How many groups are out.
    given: u32,
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
    /// By the end of the cycle.
    pub(crate) cycles: BTreeMap<i64, Groups>,
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
        let tables = SliceTables::new(key_types, layout)?;
        Ok(Self {
            size_ms,
            step_ms,
            offset_ms,
            tables,
            cycles: BTreeMap::new(),
            fired_until: i64::MIN,
            shown: None,
            catch_up: None,
        })
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

    /// Says what has fired before a restore. Keys in `behind` have windows that the watermark has passed and that are still to be
    /// given out.
    pub(crate) fn resume(&mut self, zone: &mut Zone, watermark: Watermark, behind: Behind) {
        self.fired_until = zone.last_fired(self.step_ms, self.offset_ms, watermark);
        let catch_up = CatchUp::new(behind, self.fired_until);
        if let Some(first) = catch_up.first() {
            self.fired_until = self.fired_until.min(first - self.step_ms);
            self.catch_up = Some(catch_up);
        }
        // Of keys that are not as far behind as others there can be a cycle whose last window is out.
        let fired_until = self.fired_until;
        self.cycles.retain(|end, _| *end > fired_until);
    }

    /// The end of the next window that is not empty.
    fn next_end(&self) -> Option<i64> {
        let of_cycle = self.cycles.keys().next().map(|end| self.fired_until.max(end - self.size_ms) + self.step_ms);
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
        let slice = Slice { end, start: end - self.step_ms };
        if let Some(mut groups) = self.tables.slices.remove(&slice) {
            // The first slice of a cycle becomes the cycle.
            if let Some(cycle) = self.cycles.get_mut(&cycle_end) {
                cycle.absorb(layout, &groups, &groups.all())?;
                self.tables.recycle(groups);
            } else {
                groups.forget_changes();
                self.cycles.insert(cycle_end, groups);
            }
        }
        self.shown = Some(Shown { end, cycle_end, given: 0 });
        Ok(())
    }

    /// Gives out what there is room for of the window.
    fn show(&mut self, firing: &mut Firing<'_>) -> Result<Progress> {
        let Some(Shown { end, cycle_end, given }) = &mut self.shown else { return Ok(Progress::Done) };
        let Some(cycle) = self.cycles.get(cycle_end) else { return Ok(Progress::Done) };
        let window = Slice { end: *end, start: *cycle_end - self.size_ms };
        let is_wanted = |group| match &self.catch_up {
            Some(catch_up) => catch_up.wants(cycle.packed(), group, window.end),
            None => true,
        };
        firing.emit(window, cycle, given, is_wanted)
    }

    /// A window is out.
    fn finish(&mut self) {
        if let Some(Shown { end, cycle_end, .. }) = self.shown.take()
            && end == cycle_end
            && let Some(cycle) = self.cycles.remove(&cycle_end)
        {
            self.tables.recycle(cycle);
        }
    }

    /// The window that is half given out, if one is.
    pub(crate) fn freeze_shown(&mut self) -> Option<HalfGiven> {
        let Shown { end, cycle_end, given } = *self.shown.as_ref()?;
        let groups = self.cycles.get_mut(&cycle_end)?.freeze_rows();
        Some(HalfGiven { groups, given, end, step_ms: self.step_ms, catch_up: self.catch_up.clone() })
    }
}
