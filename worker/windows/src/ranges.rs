//! Reads groups in ranges of key hashes, from runs on disk and from tables in memory.
//!
//! A source has groups in order of their hashes. The groups of a range come from all sources, the oldest first, and are merged
//! into one small table. A range ends where the first source has nothing more in memory, so each block of a run is read once,
//! and a block of each run is in memory at a time.
//!
//! What has been read is known by one hash: a reader can be dropped at any time, and another one continues there, even if
//! tables have become runs in between.

use std::sync::Arc;

use eddyline_operators::{Progress, Result};
use eddyline_state::PackedRows;
use eddyline_state::spill::{self, Run};

use crate::accumulator::Sides;
use crate::groups::Groups;
use crate::layout::Layout;
use crate::output::Firing;
use crate::slice::Slice;

/// The most groups that one table adds to a range, and the least that a range has unless it is the last one. Builds for tests
/// have small ranges, so that small tables have several.
const RANGE_GROUPS: usize = if cfg!(debug_assertions) { 3 } else { 4096 };

/// The bytes of a range from which on it is not extended.
const RANGE_BYTES: usize = 1 << 20;

/// Groups in order of their hashes.
#[derive(Debug)]
pub(crate) struct Source {
    rows: Arc<PackedRows>,
    sides: Arc<Sides>,
    /// The groups in memory in order.
    order: Vec<u32>,
    /// The number of groups in `order` that are read.
    taken: usize,
    /// The run, and the number of its next block.
    run: Option<(Arc<Run>, usize)>,
}

impl Source {
    /// The groups of a table from a hash on.
    pub(crate) fn of_table(groups: &Groups, from: u64) -> Self {
        let (rows, order) = (groups.freeze(), groups.packed().order_by_hash());
        let taken = order.partition_point(|group| rows.hashes()[*group as usize] < from);
        Self { rows, sides: groups.freeze_sides(), order, taken, run: None }
    }

    /// The rows of a run from a hash on.
    ///
    /// # Errors
    /// When the disk does not return what was written.
    pub(crate) fn of_run(run: &Arc<Run>, layout: &Layout, from: u64) -> spill::Result<Self> {
        let (rows, sides) = (Arc::new(run.form().clone()), Arc::new(Sides::default()));
        let first = run.block_of(from);
        let mut source = Self { rows, sides, order: Vec::new(), taken: 0, run: Some((Arc::clone(run), first)) };
        source.load(layout)?;
        source.taken = source.position(from);
        Ok(source)
    }

    /// Reads the next block if all in memory is taken.
    fn load(&mut self, layout: &Layout) -> spill::Result<()> {
        let Some((run, next)) = &mut self.run else { return Ok(()) };
        if self.taken == self.order.len() && *next < run.blocks() {
            let (rows, sides) = read_block(run, *next, layout)?;
            self.order.clear();
            self.order.extend(0..rows.len() as u32);
            (self.rows, self.sides, self.taken) = (Arc::new(rows), Arc::new(sides), 0);
            *next += 1;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.taken == self.order.len()
    }

    fn hash(&self, place: usize) -> u64 {
        self.rows.hashes()[self.order[place] as usize]
    }

    /// The place of the first group with this hash or a greater one.
    fn position(&self, hash: u64) -> usize {
        self.order.partition_point(|group| self.rows.hashes()[*group as usize] < hash)
    }

    /// The hash before which a range must end. `None` if it may have all.
    fn limit(&self) -> Option<u64> {
        let ahead = self.taken + RANGE_GROUPS;
        if ahead < self.order.len() {
            let first = self.hash(self.taken);
            if let Some(place) = (ahead..self.order.len()).find(|place| self.hash(*place) > first) {
                return Some(self.hash(place));
            }
        }
        self.run.as_ref().and_then(|(run, next)| run.first_hash(*next))
    }
}

/// Reads a block of a run.
pub(crate) fn read_block(run: &Run, block: usize, layout: &Layout) -> spill::Result<(PackedRows, Sides)> {
    let read = run.read(block)?;
    let sides = layout.sides().decode(read.rows.len(), &read.beside);
    let sides = sides.ok_or_else(|| run.corrupt(block, "what is beside its rows has another form"))?;
    Ok((read.rows, sides))
}

/// A reader of groups from some hash on.
#[derive(Debug)]
pub(crate) struct Ranges {
    /// The oldest is first.
    sources: Vec<Source>,
}

impl Ranges {
    /// Reads these sources, the oldest first.
    pub(crate) fn new(sources: Vec<Source>) -> Self {
        Self { sources }
    }

    /// Merges the groups of the next range into an empty table. Gives the hash with which the range after it begins, or
    /// `None` if this is the last one.
    pub(crate) fn next(&mut self, layout: &Layout, into: &mut Groups) -> Result<Option<u64>> {
        loop {
            for source in &mut self.sources {
                source.load(layout)?;
            }
            self.sources.retain(|source| !source.is_done());
            let until = self.sources.iter().filter_map(Source::limit).min();
            for source in &mut self.sources {
                let end = until.map_or(source.order.len(), |until| source.position(until));
                let groups = &source.order[source.taken..end];
                into.absorb_rows(layout, (&source.rows, &source.sides), groups)?;
                source.taken = end;
            }
            if until.is_none() || into.len() >= RANGE_GROUPS || into.content_bytes() >= RANGE_BYTES {
                return Ok(until);
            }
        }
    }
}

/// A window that is emitted range by range.
#[derive(Debug)]
pub(crate) struct InRanges {
    /// The groups of the range that is being emitted.
    merged: Groups,
    /// The number of its groups that are emitted.
    given: u32,
    /// The hash with which the next range begins; `None` behind the last one.
    next: Option<u64>,
    reader: Option<Ranges>,
}

impl InRanges {
    /// Begins with an empty table.
    pub(crate) fn new(merged: Groups) -> Self {
        Self { merged, given: 0, next: Some(0), reader: None }
    }

    /// Emits groups as far as there is room. `open` makes a reader from a hash on. `is_shown` selects groups.
    pub(crate) fn emit(
        &mut self,
        window: Slice,
        firing: &mut Firing<'_>,
        open: impl Fn(u64) -> spill::Result<Ranges>,
        mut is_shown: impl FnMut(&PackedRows, u32) -> bool,
    ) -> Result<Progress> {
        loop {
            let packed = self.merged.packed();
            let progress = firing.emit(window, &self.merged, &mut self.given, |group| is_shown(packed, group))?;
            let Some(from) = self.next.filter(|_| progress == Progress::Done) else { return Ok(progress) };
            let layout = Arc::clone(firing.layout);
            if self.reader.is_none() {
                self.reader = Some(open(from)?);
            }
            self.merged.clear(&layout);
            self.given = 0;
            if let Some(reader) = &mut self.reader {
                self.next = reader.next(&layout, &mut self.merged)?;
            }
        }
    }

    /// Closes the reader, because tables become runs. It is opened again where it was.
    pub(crate) fn pause(&mut self) {
        self.reader = None;
    }

    /// The groups of the range that is being emitted, and how many of them are emitted.
    pub(crate) fn merged(&mut self) -> (&mut Groups, u32) {
        (&mut self.merged, self.given)
    }

    /// The hash from which on groups are not in [`Self::merged`] and not emitted. `None` if there are none.
    pub(crate) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Ends. Gives the table for reuse.
    pub(crate) fn into_table(self) -> Groups {
        self.merged
    }

    /// The bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.merged.bytes()
    }
}
