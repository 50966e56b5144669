//! `HOP`: windows of several slices, one every slide.
//!
//! Slices stay in their tables until the last of their windows has fired. What a window adds up to comes from one of:
//!
//! - a *running total*, when rows can be taken out again exactly (counts, sums of whole numbers and decimals): add the
//!   newest slice, subtract the oldest. Two merges a window, however long it is.
//! - *two stacks* otherwise (minima, floats, distinct): `back` is the merge of all slices since the last flip, `front` has
//!   merges of older slices: each from one slice up to the flip. A window is the `front` that begins with its oldest slice,
//!   and `back`; when the front is used up, it is rebuilt from the slices. With few slices in a window every slice has
//!   its merge in the front, and a window costs two merges. With many that would be as many copies of all keys, so that
//!   only every √n-th slice has one, and up to √n slices before it are merged each time.
//!
//! Both are derived from the slices and so are no part of a snapshot.

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::{Progress, Result};
use eddyline_stream::Watermark;

use crate::Error;
use crate::behind::{Behind, CatchUp, HalfGiven};
use crate::groups::{Groups, Rows, has_rows};
use crate::layout::Layout;
use crate::output::Firing;
use crate::slice::{Run, Slice};
use crate::slice_tables::SliceTables;
use crate::zone::Zone;

/// Windows of up to so many slices have a merge for each in the front.
const SLICES_MERGED_EACH_MAX: usize = 8;

/// A total is rebuilt when it has more groups without rows than with, and more than this.
const DEAD_GROUPS_MIN: usize = 1024;

#[derive(Debug)]
enum Merged {
    Total(Groups),
    Stacks {
        /// By the end of the slice they begin with; the oldest slice last.
        front: Vec<(i64, Groups)>,
        /// The end of the newest slice in `front`.
        flipped_at: i64,
        back: Groups,
        /// The end of the oldest slice in `back`.
        back_oldest: Option<i64>,
        /// A slice that is already merged has got more rows.
        is_stale: bool,
    },
}

/// Where the groups of a window are.
#[derive(Debug)]
enum Place {
    Total,
    Front,
    Back,
    Slice(Slice),
    Merged(Groups),
}

impl Place {
    fn groups<'a>(&'a self, tables: &'a SliceTables, merged: &'a Merged) -> &'a Groups {
        match (self, merged) {
            (Place::Merged(groups), _) | (_, Merged::Total(groups)) => groups,
            (Place::Slice(slice), _) => &tables.slices[slice],
            (Place::Front, Merged::Stacks { front, back, .. }) => front.last().map_or(back, |(_, groups)| groups),
            (_, Merged::Stacks { back, .. }) => back,
        }
    }

    fn groups_mut<'a>(&'a mut self, tables: &'a mut SliceTables, merged: &'a mut Merged) -> &'a mut Groups {
        match (self, merged) {
            (Place::Merged(groups), _) | (_, Merged::Total(groups)) => groups,
            (Place::Slice(slice), _) => {
                tables.slices.get_mut(slice).expect("slices of the window that is given out have not expired")
            }
            (Place::Front, Merged::Stacks { front, back, .. }) => front.last_mut().map_or(back, |(_, groups)| groups),
            (_, Merged::Stacks { back, .. }) => back,
        }
    }
}

/// The window that is being given out. It is added up, and its slices have not expired.
#[derive(Debug)]
struct Shown {
    window: Slice,
    place: Place,
    /// How many groups are out.
    given: u32,
}

/// Open slices and what is merged of them.
#[derive(Debug)]
pub(crate) struct Hop {
    // Fixed at start.
    size_ms: i64,
    slide_ms: i64,
    offset_ms: i64,
    // Changing.
    pub(crate) tables: SliceTables,
    merged: Merged,
    /// The last window end that has fired; slices up to here are merged.
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
        let mut tables = SliceTables::new(key_types, layout)?;
        let table = tables.table();
        let merged = if is_invertible {
            Merged::Total(table)
        } else {
            Merged::Stacks { front: Vec::new(), flipped_at: i64::MIN, back: table, back_oldest: None, is_stale: false }
        };
        let (shown, catch_up) = (None, None);
        Ok(Self { size_ms, slide_ms, offset_ms, tables, merged, fired_until: i64::MIN, shown, catch_up })
    }

    /// Adds a run of rows; `false` if they are late for all their windows.
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
                Merged::Total(total) => total.add(layout, rows, run.rows.clone(), scratch),
                Merged::Stacks { is_stale, .. } => *is_stale = true,
            }
        }
        true
    }

    /// Merges the slices that had fired before a restore. Keys in `behind` have windows that the watermark has passed and that
    /// are still to be given out.
    pub(crate) fn resume(
        &mut self,
        layout: &Layout,
        zone: &mut Zone,
        watermark: Watermark,
        behind: Behind,
    ) -> Result<()> {
        self.fired_until = zone.last_fired(self.slide_ms, self.offset_ms, watermark);
        let catch_up = CatchUp::new(behind, self.fired_until);
        if let Some(first) = catch_up.first() {
            self.fired_until = self.fired_until.min(first - self.slide_ms);
            self.catch_up = Some(catch_up);
        }
        // Of keys that are not as far behind as others there can be slices whose last window is out.
        let in_no_later = self.fired_until.saturating_sub(self.size_ms - self.slide_ms);
        self.tables.slices.retain(|slice, _| slice.end > in_no_later);
        match &mut self.merged {
            Merged::Total(total) => {
                for (_, groups) in self.tables.slices.iter().filter(|(slice, _)| slice.end <= self.fired_until) {
                    total.absorb(layout, groups, &groups.all())?;
                }
            }
            Merged::Stacks { is_stale, .. } => *is_stale = true,
        }
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

    /// Adds up a window.
    fn begin(&mut self, end: i64, layout: &Layout) -> Result<()> {
        self.fired_until = end;
        let window = Slice { end, start: end - self.size_ms };
        let newest = Slice { end, start: end - self.slide_ms };
        let newest = self.tables.slices.get(&newest);
        let place = match &mut self.merged {
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

    /// Adds up a window of two stacks.
    fn merge(&mut self, window: Slice, layout: &Layout) -> Result<Place> {
        let Merged::Stacks { front, flipped_at, back, .. } = &mut self.merged else { return Ok(Place::Total) };
        while front.last().is_some_and(|(slice_end, _)| *slice_end <= window.start) {
            let (_, table) = front.pop().expect("it has a last one");
            self.tables.recycle(table);
        }
        let mut merged = self.tables.table();
        // Slices of the window that are older than the oldest merge in the front.
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
        Ok(Place::Merged(merged))
    }

    /// Gives out what there is room for of the window.
    fn show(&mut self, firing: &mut Firing<'_>) -> Result<Progress> {
        let Some(shown) = &mut self.shown else { return Ok(Progress::Done) };
        let groups = shown.place.groups(&self.tables, &self.merged);
        let layout = Arc::clone(firing.layout);
        let has_rows = has_rows(&layout, groups.packed());
        let end = shown.window.end;
        let is_wanted = |group| match &self.catch_up {
            Some(catch_up) => has_rows(group) && catch_up.wants(groups.packed(), group, end),
            None => has_rows(group),
        };
        firing.emit(shown.window, groups, &mut shown.given, is_wanted)
    }

    /// A window is out.
    fn finish(&mut self, layout: &Layout) -> Result<()> {
        let Some(Shown { window, place, .. }) = self.shown.take() else { return Ok(()) };
        if let Place::Merged(merged) = place {
            self.tables.recycle(merged);
        }
        self.expire(window.start + self.slide_ms, layout)
    }

    /// The window that is half given out, if one is.
    pub(crate) fn freeze_shown(&mut self) -> Option<HalfGiven> {
        let Shown { window, place, given } = self.shown.as_mut()?;
        let groups = place.groups_mut(&mut self.tables, &mut self.merged).freeze_rows();
        let (end, step_ms, catch_up) = (window.end, self.slide_ms, self.catch_up.clone());
        Some(HalfGiven { groups, given: *given, end, step_ms, catch_up })
    }

    /// Drops the slices that are in no later window: those that end here or before.
    fn expire(&mut self, until: i64, layout: &Layout) -> Result<()> {
        while let Some(entry) = self.tables.slices.first_entry().filter(|entry| entry.key().end <= until) {
            let groups = entry.remove();
            if let Merged::Total(total) = &mut self.merged {
                total.subtract(layout, &groups);
            }
            self.tables.recycle(groups);
        }
        let is_empty = self.tables.first().is_none_or(|slice| slice.end > self.fired_until);
        match &mut self.merged {
            Merged::Total(total) if is_empty => total.clear(),
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
                back.clear();
                *back_oldest = None;
            }
            Merged::Stacks { .. } => {}
        }
        Ok(())
    }

    /// Bytes held and groups, with what is merged.
    pub(crate) fn size(&self) -> (usize, usize) {
        let (bytes, groups) = self.tables.size();
        let merged = match &self.merged {
            Merged::Total(total) => total.bytes(),
            Merged::Stacks { front, back, .. } => {
                back.bytes() + front.iter().map(|(_, table)| table.bytes()).sum::<usize>()
            }
        };
        (bytes + merged, groups)
    }
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
    back.clear();
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
