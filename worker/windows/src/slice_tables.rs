//! The tables of open slices, and a few empty ones for reuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;

use crate::Error;
use crate::groups::Groups;
use crate::layout::Layout;
use crate::slice::Slice;

/// The number of cleared tables that are kept.
const SPARE_MAX: usize = 2;

/// Groups by slice. Tables are reused, so that a job that opens and fires windows for a long time neither allocates nor
/// grows.
#[derive(Debug)]
pub(crate) struct SliceTables {
    // Fixed at start.
    key_types: Vec<DataType>,
    layout: Arc<Layout>,
    // Changing.
    pub(crate) slices: BTreeMap<Slice, Groups>,
    spare: Vec<Groups>,
}

impl SliceTables {
    /// # Errors
    /// When a type cannot be a key. If this succeeds, tables can always be made.
    pub(crate) fn new(key_types: &[DataType], layout: Arc<Layout>) -> Result<Self, Error> {
        let spare = vec![Groups::new(key_types, &layout)?];
        Ok(Self { key_types: key_types.to_vec(), layout, slices: BTreeMap::new(), spare })
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
        self.slices.keys().next().copied()
    }

    /// The size in bytes, and the number of groups.
    pub(crate) fn size(&self) -> (usize, usize) {
        let bytes = self.slices.values().chain(&self.spare).map(Groups::bytes).sum();
        (bytes, self.slices.values().map(Groups::len).sum())
    }
}
