//! Windows that are one slice each: `TUMBLE`, and windows that rows carry with them.

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::{Progress, Result};
use eddyline_stream::Watermark;

use crate::Error;
use crate::groups::Groups;
use crate::layout::Layout;
use crate::output::Firing;
use crate::slice::Slice;
use crate::slice_tables::SliceTables;
use crate::zone::Zone;

/// A table for each open window.
#[derive(Debug)]
pub(crate) struct Tumble {
    pub(crate) tables: SliceTables,
    /// How many groups of the first window are out, while it is being given out.
    given: u32,
}

impl Tumble {
    pub(crate) fn new(key_types: &[DataType], layout: Arc<Layout>) -> std::result::Result<Self, Error> {
        Ok(Self { tables: SliceTables::new(key_types, layout)?, given: 0 })
    }

    /// The table that rows of a slice go to; `None` if they are late.
    pub(crate) fn admit(&mut self, slice: Slice, zone: &Zone, watermark: Watermark) -> Option<&mut Groups> {
        (!zone.is_fired(slice.end, watermark)).then(|| self.tables.open(slice))
    }

    pub(crate) fn fire(&mut self, firing: &mut Firing<'_>) -> Result<Progress> {
        while let Some(entry) = self.tables.slices.first_entry().filter(|entry| firing.is_due(entry.key().end)) {
            if firing.emit(*entry.key(), entry.get(), &mut self.given, |_| true)? == Progress::More {
                return Ok(Progress::More);
            }
            let groups = entry.remove();
            self.tables.recycle(groups);
            self.given = 0;
        }
        Ok(Progress::Done)
    }

    /// How many groups of the first window are out. They are still in its table.
    pub(crate) fn given(&self) -> u32 {
        self.given
    }

    /// Bytes held and groups.
    pub(crate) fn size(&self) -> (usize, usize) {
        let (bytes, groups) = self.tables.size();
        (bytes, groups - self.given as usize)
    }
}
