//! Windows of one slice: `TUMBLE`, and windows that rows already have.

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::{Progress, Result};
use eddyline_state::SpillDirectory;
use eddyline_stream::Watermark;

use crate::Error;
use crate::groups::Groups;
use crate::layout::Layout;
use crate::output::Firing;
use crate::ranges::{InRanges, Ranges};
use crate::slice::Slice;
use crate::slice_tables::SliceTables;
use crate::zone::Zone;

/// Each run is read once, so many may wait.
const RUNS_MERGED_AT_ONCE: usize = if cfg!(debug_assertions) { 3 } else { 64 };

/// A table for each open window.
#[derive(Debug)]
pub(crate) struct Tumble {
    pub(crate) tables: SliceTables,
    /// The number of emitted groups of the first window, while it is being emitted from its table alone.
    given: u32,
    /// The first window, while it is being emitted from runs and its table.
    in_ranges: Option<InRanges>,
}

impl Tumble {
    pub(crate) fn new(key_types: &[DataType], layout: Arc<Layout>) -> std::result::Result<Self, Error> {
        let tables = SliceTables::new(key_types, layout, RUNS_MERGED_AT_ONCE)?;
        Ok(Self { tables, given: 0, in_ranges: None })
    }

    /// The table for rows of a slice. `None` if they are late.
    pub(crate) fn admit(&mut self, slice: Slice, zone: &Zone, watermark: Watermark) -> Option<&mut Groups> {
        (!zone.is_fired(slice.end, watermark)).then(|| self.tables.open(slice))
    }

    pub(crate) fn fire(&mut self, firing: &mut Firing<'_>) -> Result<Progress> {
        while let Some(window) = self.tables.first().filter(|window| firing.is_due(window.end)) {
            let progress = match self.tables.slices.get(&window) {
                Some(groups) if !self.tables.spilled.has(window) => {
                    firing.emit(window, groups, &mut self.given, |_| true)?
                }
                _ => {
                    let in_ranges = self.in_ranges.get_or_insert_with(|| InRanges::new(self.tables.table()));
                    let open = |from| Ok(Ranges::new(self.tables.sources(window, from)?));
                    in_ranges.emit(window, firing, open, |_, _| true)?
                }
            };
            if progress == Progress::More {
                return Ok(Progress::More);
            }
            self.given = 0;
            if let Some(in_ranges) = self.in_ranges.take() {
                self.tables.recycle(in_ranges.into_table());
            }
            self.tables.remove(window);
        }
        Ok(Progress::Done)
    }

    /// How many groups of the first window are emitted. They are still in its table.
    pub(crate) fn given(&self) -> u32 {
        self.given
    }

    /// Before a barrier: the window that is being emitted range by range has its groups in runs and in one small table.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let Some(in_ranges) = &mut self.in_ranges else { return Ok(()) };
        in_ranges.pause();
        match (self.tables.first(), self.tables.spilled.directory()) {
            (Some(window), Some(directory)) => self.tables.evict(window, &directory).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The window that is being emitted range by range.
    pub(crate) fn in_ranges(&mut self) -> Option<(Slice, &mut InRanges)> {
        self.tables.first().zip(self.in_ranges.as_mut())
    }

    /// Writes tables to disk until so many bytes are freed. Gives how many were.
    pub(crate) fn evict(&mut self, bytes: usize, directory: &SpillDirectory) -> Result<usize> {
        let mut freed = self.tables.free_spare();
        if let Some(in_ranges) = &mut self.in_ranges {
            in_ranges.pause();
        }
        let kept = self.tables.first().filter(|_| self.given > 0);
        freed += self.tables.free(kept, bytes.saturating_sub(freed), directory)?;
        Ok(freed)
    }

    /// The bytes in memory, those on disk, and the number of groups.
    pub(crate) fn size(&self) -> (usize, u64, usize) {
        let (bytes, disk, groups) = self.tables.size();
        let in_ranges = self.in_ranges.as_ref().map_or(0, InRanges::bytes);
        (bytes + in_ranges, disk, groups - self.given as usize)
    }
}
