//! `HOP`: windows of several slices. A window ends with every slice.
//!
//! Slices stay in their tables until the last of their windows has fired. A window is computed in one of two ways:
//!
//! - A *running total*, if rows can be subtracted exactly (counts, sums of whole numbers and decimals): add the newest
//!   slice and subtract the oldest one. A window of any length costs two merges.
//! - *Two stacks* otherwise (minima, floats, distinct): `back` is the merge of all slices since the last flip. `front`
//!   has merges of older slices, each from one slice up to the flip. A window is the `front` that begins with its oldest
//!   slice, merged with `back`. When the front is used up, it is rebuilt from the slices. If a window has few slices,
//!   every slice has a merge in the front, and a window costs two merges. With many slices that would be many copies of
//!   all keys. Then only every √n-th slice has a merge, and up to √n slices before it are merged for each window.
//!
//! Both are derived from the slices, so they are not part of a snapshot. They are not kept while memory is short: then each
//! window is merged from its slices, range by range.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::{Progress, Result};
use eddyline_state::{PackedRows, SpillDirectory, spill};
use eddyline_stream::Watermark;

use crate::Error;
use crate::behind::{Behind, CatchUp, HalfGiven};
use crate::groups::{Groups, Rows, has_rows};
use crate::layout::Layout;
use crate::output::Firing;
use crate::ranges::{InRanges, Ranges};
use crate::slice::{Run, Slice};
use crate::slice_tables::SliceTables;
use crate::zone::Zone;

/// The most slices of a window for which the front has a merge for each slice.
const SLICES_MERGED_EACH_MAX: usize = 8;

/// A total is rebuilt when it has more groups without rows than with rows, and more than this number.
const DEAD_GROUPS_MIN: usize = 1024;

/// Each run is read for every window of its slice, so few may wait.
const RUNS_MERGED_AT_ONCE: usize = if cfg!(debug_assertions) { 2 } else { 4 };

#[derive(Debug)]
enum Merged {
    /// Nothing is merged until the slices that end at `until` or before have expired and nothing is on disk.
    Nothing {
        until: i64,
    },
    Total(Groups),
    Stacks {
        /// The merges, with the end of the slice that each begins with. The one with the oldest slice is last.
        front: Vec<(i64, Groups)>,
        /// The end of the newest slice in `front`.
        flipped_at: i64,
        back: Groups,
        /// The end of the oldest slice in `back`.
        back_oldest: Option<i64>,
        /// Whether a slice that is already merged has received more rows.
        is_stale: bool,
    },
}

/// The place of a window's groups.
#[derive(Debug)]
enum Place {
    Total,
    Front,
    Back,
    Slice(Slice),
    Merged(Box<Groups>),
    Ranges(Box<InRanges>),
}

impl Place {
    /// The groups, if they are in one table.
    fn groups<'a>(&'a self, tables: &'a SliceTables, merged: &'a Merged) -> Option<&'a Groups> {
        match (self, merged) {
            (Place::Ranges(_), _) => None,
            (Place::Merged(groups), _) => Some(groups),
            (_, Merged::Total(groups)) => Some(groups),
            (Place::Slice(slice), _) => tables.slices.get(slice),
            (Place::Front, Merged::Stacks { front, .. }) if !front.is_empty() => front.last().map(|(_, groups)| groups),
            (_, Merged::Stacks { back, .. }) => Some(back),
            (_, Merged::Nothing { .. }) => None,
        }
    }
}

/// The window that is being emitted. It is computed, and its slices have not expired.
#[derive(Debug)]
struct Shown {
    window: Slice,
    place: Place,
    /// The number of emitted groups.
    given: u32,
}

/// Open slices and their merges.
#[derive(Debug)]
pub(crate) struct Hop {
    // Fixed at start.
    size_ms: i64,
    slide_ms: i64,
    offset_ms: i64,
    is_invertible: bool,
    // Changing.
    pub(crate) tables: SliceTables,
    merged: Merged,
    /// The last window end that has fired. Slices up to it are merged.
    fired_until: i64,
    shown: Option<Shown>,
    catch_up: Option<CatchUp>,
}

impl Hop {
    pub(crate) fn new(
        (size_ms, slide_ms, offset_ms): (i64, i64, i64),
        key_types: &[DataType],
        layout: Arc<Layout>,
    ) -> std::result::Result<Self, Error> {
        let is_invertible = layout.is_invertible() && layout.rows_slot.is_some();
        let tables = SliceTables::new(key_types, layout, RUNS_MERGED_AT_ONCE)?;
        let merged = Merged::Nothing { until: i64::MIN };
        let (shown, catch_up) = (None, None);
        Ok(Self { size_ms, slide_ms, offset_ms, is_invertible, tables, merged, fired_until: i64::MIN, shown, catch_up })
    }

    /// Adds a run of rows. `false` if they are late for all their windows.
    pub(crate) fn add(
        &mut self,
        layout: &Layout,
        (rows, run): (&Rows<'_>, &Run),
        (zone, watermark): (&Zone, Watermark),
        scratch: &mut Vec<u32>,
    ) -> bool {
        let last_window_end = run.slice.end.saturating_add(self.size_ms - self.slide_ms);
        if zone.is_fired(last_window_end, watermark) {
            return false;
        }
        self.tables.open(run.slice).add(layout, rows, run.rows.clone(), scratch);
        if run.slice.end <= self.fired_until {
            match &mut self.merged {
                Merged::Nothing { .. } => {}
                Merged::Total(total) => total.add(layout, rows, run.rows.clone(), scratch),
                Merged::Stacks { is_stale, .. } => *is_stale = true,
            }
        }
        true
    }

    /// The keys that are behind, to add others to.
    pub(crate) fn take_behind(&mut self) -> Option<Behind> {
        self.catch_up.take().map(CatchUp::into_behind)
    }

    /// Restores which windows have fired. Keys in `behind` have windows that the watermark has passed and that are not
    /// emitted.
    pub(crate) fn resume(&mut self, zone: &mut Zone, watermark: Watermark, behind: Behind) {
        self.fired_until = zone.last_fired(self.slide_ms, self.offset_ms, watermark);
        let catch_up = CatchUp::new(behind, self.fired_until);
        if let Some(first) = catch_up.first() {
            self.fired_until = self.fired_until.min(first - self.slide_ms);
            self.catch_up = Some(catch_up);
        }
        // Keys that are less far behind than others can have slices whose last window is emitted.
        let in_no_later = self.fired_until.saturating_sub(self.size_ms - self.slide_ms);
        while let Some(slice) = self.tables.first().filter(|slice| slice.end <= in_no_later) {
            self.tables.remove(slice);
        }
        self.merged = Merged::Nothing { until: i64::MIN };
    }

    /// Merges the slices whose windows have fired, if they are not merged and memory is no longer short.
    fn merge_again(&mut self, layout: &Layout) -> Result<()> {
        let Merged::Nothing { until } = self.merged else { return Ok(()) };
        if !self.tables.spilled.is_empty() || self.tables.first().is_some_and(|slice| slice.end <= until) {
            return Ok(());
        }
        let mut table = self.tables.table();
        self.merged = if self.is_invertible {
            for (_, groups) in self.tables.slices.iter().filter(|(slice, _)| slice.end <= self.fired_until) {
                table.absorb(layout, groups, &groups.all())?;
            }
            Merged::Total(table)
        } else {
            Merged::Stacks { front: Vec::new(), flipped_at: i64::MIN, back: table, back_oldest: None, is_stale: true }
        };
        Ok(())
    }

    /// The end of the next window that is not empty.
    fn next_end(&self) -> Option<i64> {
        self.tables.first().map(|slice| slice.end.max(self.fired_until.saturating_add(self.slide_ms)))
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
            self.finish(firing.layout)?;
        }
        let passed = firing.zone.last_fired(self.slide_ms, self.offset_ms, firing.watermark);
        self.fired_until = self.fired_until.max(passed);
        self.catch_up = None;
        Ok(Progress::Done)
    }

    /// Computes a window.
    fn begin(&mut self, end: i64, layout: &Layout) -> Result<()> {
        self.merge_again(layout)?;
        self.fired_until = end;
        let window = Slice { end, start: end - self.size_ms };
        let newest = Slice { end, start: end - self.slide_ms };
        let newest = self.tables.slices.get(&newest);
        let place = match &mut self.merged {
            Merged::Nothing { .. } => Place::Ranges(Box::new(InRanges::new(self.tables.table()))),
            Merged::Total(total) => {
                if let Some(newest) = newest {
                    total.absorb(layout, newest, &newest.all())?;
                }
                Place::Total
            }
            Merged::Stacks { front, flipped_at, back, back_oldest, is_stale } => {
                if *is_stale || back_oldest.is_some_and(|oldest| oldest <= window.start) {
                    let slices_per_window = (self.size_ms / self.slide_ms) as usize;
                    flip(&mut self.tables, window, slices_per_window, (front, back), layout)?;
                    (*flipped_at, *back_oldest, *is_stale) = (end, None, false);
                } else if let Some(newest) = newest {
                    back.absorb(layout, newest, &newest.all())?;
                    *back_oldest = back_oldest.or(Some(end));
                }
                self.merge(window, layout)?
            }
        };
        self.shown = Some(Shown { window, place, given: 0 });
        Ok(())
    }

    /// Computes a window from two stacks.
    fn merge(&mut self, window: Slice, layout: &Layout) -> Result<Place> {
        let Merged::Stacks { front, flipped_at, back, .. } = &mut self.merged else { return Ok(Place::Total) };
        while front.last().is_some_and(|(slice_end, _)| *slice_end <= window.start) {
            let (_, table) = front.pop().expect("it has a last one");
            self.tables.recycle(table);
        }
        let mut merged = self.tables.table();
        // These slices of the window are older than the oldest merge in the front.
        let until = front.last().map_or(*flipped_at, |(slice_end, _)| slice_end - 1);
        let is_alone = |slice: &Slice| slice.end > window.start && slice.end <= until;
        let alone = self.tables.slices.iter().filter(|(slice, _)| is_alone(slice));
        let alone = alone.map(|(slice, groups)| (Place::Slice(*slice), groups));
        let front = front.last().map(|(_, groups)| (Place::Front, groups));
        let parts = alone.chain(front).chain([(Place::Back, &*back)]).filter(|(_, groups)| !groups.is_empty());
        let mut parts: Vec<(Place, &Groups)> = parts.collect();
        if parts.len() == 1
            && let Some((place, _)) = parts.pop()
        {
            self.tables.recycle(merged);
            return Ok(place);
        }
        for (_, part) in parts {
            merged.absorb(layout, part, &part.all())?;
        }
        Ok(Place::Merged(Box::new(merged)))
    }

    /// Emits groups of the window as far as there is room.
    fn show(&mut self, firing: &mut Firing<'_>) -> Result<Progress> {
        let Some(Shown { window, place, given }) = &mut self.shown else { return Ok(Progress::Done) };
        let (window, catch_up) = (*window, &mut self.catch_up);
        let mut is_behind = |groups: &PackedRows, group| match catch_up {
            Some(catch_up) => catch_up.wants(groups, group, window.end),
            None => true,
        };
        if let Place::Ranges(in_ranges) = place {
            let open = |from| open(&self.tables, window, from);
            return in_ranges.emit(window, firing, open, is_behind);
        }
        let Some(groups) = place.groups(&self.tables, &self.merged) else { return Ok(Progress::Done) };
        let layout = Arc::clone(firing.layout);
        let has_rows = has_rows(&layout, groups.packed());
        firing.emit(window, groups, given, |group| has_rows(group) && is_behind(groups.packed(), group))
    }

    /// Ends a window that is completely emitted.
    fn finish(&mut self, layout: &Layout) -> Result<()> {
        let Some(Shown { window, place, .. }) = self.shown.take() else { return Ok(()) };
        match place {
            Place::Merged(merged) => self.tables.recycle(*merged),
            Place::Ranges(in_ranges) => self.tables.recycle(in_ranges.into_table()),
            _ => {}
        }
        self.expire(window.start + self.slide_ms, layout)
    }

    /// Whether a window is being emitted range by range. If groups are on disk, every window is.
    pub(crate) fn is_in_ranges(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| matches!(shown.place, Place::Ranges(_)))
    }

    /// The window that is partly emitted, if there is one.
    pub(crate) fn freeze_shown(&self) -> Option<HalfGiven> {
        let Shown { window, place, given } = self.shown.as_ref()?;
        let groups = place.groups(&self.tables, &self.merged)?.freeze();
        let (end, step_ms, catch_up) = (window.end, self.slide_ms, self.catch_up.clone());
        Some(HalfGiven { groups, given: *given, end, step_ms, catch_up })
    }

    /// Frees what is derived from slices, then writes slices to disk until so many bytes are freed. Gives how many were.
    pub(crate) fn evict(&mut self, bytes: usize, directory: &SpillDirectory) -> Result<usize> {
        let mut freed = self.tables.free_spare();
        match self.shown.as_mut().map(|shown| &mut shown.place) {
            Some(Place::Ranges(in_ranges)) => in_ranges.pause(),
            // The window that is being emitted is in what is derived, or in a slice.
            Some(_) => return Ok(freed),
            None => {}
        }
        freed += self.merged.bytes();
        let until = self.tables.slices.keys().next_back().map_or(i64::MIN, |slice| slice.end);
        self.merged = Merged::Nothing { until };
        freed += self.tables.free(None, bytes.saturating_sub(freed), directory)?;
        Ok(freed)
    }

    /// Drops the slices that end at `until` or before, which are in no later window.
    fn expire(&mut self, until: i64, layout: &Layout) -> Result<()> {
        while let Some(slice) = self.tables.first().filter(|slice| slice.end <= until) {
            if let (Merged::Total(total), Some(groups)) = (&mut self.merged, self.tables.slices.get(&slice)) {
                total.subtract(layout, groups);
            }
            self.tables.remove(slice);
        }
        let is_empty = self.tables.first().is_none_or(|slice| slice.end > self.fired_until);
        match &mut self.merged {
            Merged::Total(total) if is_empty => total.clear(layout),
            Merged::Total(total) => {
                let alive = total.alive(layout);
                if total.len() - alive.len() > alive.len().max(DEAD_GROUPS_MIN) {
                    let mut compacted = self.tables.table();
                    compacted.absorb(layout, total, &alive)?;
                    self.tables.recycle(std::mem::replace(total, compacted));
                }
            }
            Merged::Stacks { front, back, back_oldest, .. } if is_empty => {
                front.drain(..).for_each(|(_, table)| self.tables.recycle(table));
                back.clear(layout);
                *back_oldest = None;
            }
            Merged::Nothing { .. } | Merged::Stacks { .. } => {}
        }
        Ok(())
    }

    /// The bytes in memory including merges, those on disk, and the number of groups.
    pub(crate) fn size(&self) -> (usize, u64, usize) {
        let (bytes, disk, groups) = self.tables.size();
        let shown = match self.shown.as_ref().map(|shown| &shown.place) {
            Some(Place::Ranges(in_ranges)) => in_ranges.bytes(),
            _ => 0,
        };
        (bytes + self.merged.bytes() + shown, disk, groups)
    }
}

impl Merged {
    fn bytes(&self) -> usize {
        match self {
            Merged::Nothing { .. } => 0,
            Merged::Total(total) => total.bytes(),
            Merged::Stacks { front, back, .. } => {
                back.bytes() + front.iter().map(|(_, table)| table.bytes()).sum::<usize>()
            }
        }
    }
}

/// Reads the slices of a window from a hash on, in the order of time.
fn open(tables: &SliceTables, window: Slice, from: u64) -> spill::Result<Ranges> {
    let in_memory = tables.slices.keys().copied();
    let slices: BTreeSet<Slice> = in_memory.chain(tables.spilled.slices()).collect();
    let mut sources = Vec::new();
    for slice in slices.into_iter().filter(|slice| slice.end > window.start && slice.end <= window.end) {
        sources.extend(tables.sources(slice, from)?);
    }
    Ok(Ranges::new(sources))
}

/// Rebuilds the front from the slices of a window, newest first, and empties the back.
fn flip(
    tables: &mut SliceTables,
    window: Slice,
    slices_per_window: usize,
    (front, back): (&mut Vec<(i64, Groups)>, &mut Groups),
    layout: &Layout,
) -> Result<()> {
    let slices_per_merge = if slices_per_window <= SLICES_MERGED_EACH_MAX { 1 } else { slices_per_window.isqrt() };
    back.clear(layout);
    front.drain(..).for_each(|(_, table)| tables.recycle(table));
    let is_inside = |slice: &&Slice| slice.end > window.start && slice.end <= window.end;
    let slices: Vec<Slice> = tables.slices.keys().filter(is_inside).copied().collect();
    for slices in slices.rchunks(slices_per_merge) {
        let mut merged = tables.table();
        for slice in slices {
            let groups = &tables.slices[slice];
            merged.absorb(layout, groups, &groups.all())?;
        }
        if let Some((_, newer)) = front.last() {
            merged.absorb(layout, newer, &newer.all())?;
        }
        front.push((slices[0].end, merged));
    }
    Ok(())
}
