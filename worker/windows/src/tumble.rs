//! Windows that are one slice each: `TUMBLE`, and windows that rows carry with them.

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::Result;
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
}

impl Tumble {
    pub(crate) fn new(key_types: &[DataType], layout: Arc<Layout>) -> std::result::Result<Self, Error> {
        Ok(Self { tables: SliceTables::new(key_types, layout)? })
    }

    /// The table that rows of a slice go to; `None` if they are late.
    pub(crate) fn admit(&mut self, slice: Slice, zone: &Zone, watermark: Watermark) -> Option<&mut Groups> {
        (!zone.is_fired(slice.end, watermark)).then(|| self.tables.open(slice))
    }

    pub(crate) fn fire(&mut self, firing: &mut Firing<'_>) -> Result<()> {
        while let Some(entry) = self.tables.slices.first_entry() {
            if !firing.is_due(entry.key().end) {
                break;
            }
            let (window, groups) = entry.remove_entry();
            firing.emit(window, &groups, &groups.all())?;
            self.tables.recycle(groups);
        }
        Ok(())
    }
}
