//! The tables of the slices that are open, and a few empty ones to use next.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;

use crate::Error;
use crate::groups::Groups;
use crate::layout::Layout;
use crate::slice::Slice;

/// How many cleared tables are kept.
const SPARE_MAX: usize = 2;

/// Groups by slice. Tables are used again, so that a job that opens and fires windows all day neither allocates nor
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
    /// When a key type cannot be a key; after that, tables can always be made.
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

    /// An empty table.
    pub(crate) fn table(&mut self) -> Groups {
        self.spare.pop().unwrap_or_else(|| {
            Groups::new(&self.key_types, &self.layout)
                .expect("the key types were checked when the first table was made")
        })
    }

    /// Takes a table back.
    pub(crate) fn recycle(&mut self, mut table: Groups) {
        if self.spare.len() < SPARE_MAX {
            table.clear();
            self.spare.push(table);
        }
    }

    /// The slice that ends first.
    pub(crate) fn first(&self) -> Option<Slice> {
        self.slices.keys().next().copied()
    }

    /// Bytes held and groups.
    pub(crate) fn size(&self) -> (usize, usize) {
        let bytes = self.slices.values().chain(&self.spare).map(Groups::bytes).sum();
        (bytes, self.slices.values().map(Groups::len).sum())
    }
}
