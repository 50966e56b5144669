//! The keys of a subtask, numbered.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use eddyline_state::{GroupTable, Handover, NO_BUCKET, SnapshotRequest, encode_keys};
use eddyline_stream::key_hash::UnsupportedKey;

use crate::{Error, Result};

/// Keys without state are dropped when there are more of them than this, and more than half as many as there are others.
/// Builds for tests drop them soon.
const GONE_MAX: usize = if cfg!(debug_assertions) { 1 } else { 1024 };

/// Assigns every key a small number, which indexes its state.
///
/// A key whose state is dropped keeps its number for a while, so that checkpoints get to know that nothing is left of it.
pub struct KeyTable {
    // Fixed at start.
    columns: Vec<usize>,
    types: Vec<DataType>,

    // Changing.
    table: GroupTable,
    /// Whether a key has no state, for the first numbers; others have state.
    is_gone: Vec<bool>,
    gone: usize,
}

impl KeyTable {
    /// An empty table for keys of these input columns.
    pub fn new(columns: &[usize], input: &SchemaRef) -> Result<Self> {
        let types: Vec<DataType> = columns.iter().map(|column| input.field(*column).data_type().clone()).collect();
        let table = GroupTable::new(&types, &[]).map_err(|error| unsupported(&error))?;
        Ok(Self { columns: columns.to_vec(), types, table, is_gone: Vec::new(), gone: 0 })
    }

    /// The numbers of the keys of rows. A new key gets a number. `hashes` are the key hashes of the rows.
    pub fn ids(&mut self, rows: &RecordBatch, hashes: &[u64]) -> Result<Vec<u32>> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| Arc::clone(rows.column(*column))).collect();
        self.ids_of(&columns, hashes)
    }

    /// The numbers of keys given as columns.
    pub fn ids_of(&mut self, columns: &[ArrayRef], hashes: &[u64]) -> Result<Vec<u32>> {
        let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
        let keys = encode_keys(&columns, hashes.len()).map_err(|error| unsupported(&error))?;
        let mut ids = Vec::with_capacity(hashes.len());
        let mut start = 0;
        while start < hashes.len() {
            let end = hashes.len().min(start.saturating_add(keys.block_rows()));
            self.table.find_or_insert(&keys, hashes, start..end, &mut ids);
            start = end;
        }
        Ok(ids)
    }

    /// Notes that the state of keys changes.
    pub fn note_changes(&mut self, ids: &[u32]) {
        self.table.note_changes(ids);
    }

    /// Notes that a key no longer has state.
    pub fn drop_state(&mut self, id: u32) {
        let index = id as usize;
        if self.is_gone.len() <= index {
            self.is_gone.resize(index + 1, false);
        }
        self.gone += usize::from(!std::mem::replace(&mut self.is_gone[index], true));
        self.note_changes(&[id]);
    }

    /// Notes that keys have state.
    pub fn have_state(&mut self, ids: &[u32]) {
        if self.gone > 0 {
            for id in ids {
                if let Some(is_gone) = self.is_gone.get_mut(*id as usize) {
                    self.gone -= usize::from(std::mem::replace(is_gone, false));
                }
            }
        }
    }

    /// The numbers of the keys with state, in order, if there are so many others that these are worth dropping.
    pub fn worth_keeping(&self) -> Option<Vec<u32>> {
        let has_state = |id: &u32| !self.is_gone.get(*id as usize).is_some_and(|is_gone| *is_gone);
        let are_many = self.gone > GONE_MAX && self.gone > self.len() / 2;
        are_many.then(|| (0..self.table.len() as u32).filter(has_state).collect())
    }

    /// Keeps these keys, in order, which get the numbers from 0 on. The next checkpoint gets all of them.
    pub fn renumber(&mut self, kept: &[u32]) -> Result<()> {
        let mut table = GroupTable::new(&self.types, &[]).map_err(|error| unsupported(&error))?;
        table.adopt(self.table.packed(), kept, &mut Vec::with_capacity(kept.len()));
        (self.table, self.is_gone, self.gone) = (table, Vec::new(), 0);
        Ok(())
    }

    /// The key hash of a key.
    pub fn hash(&self, id: u32) -> u64 {
        self.table.packed().hashes()[id as usize]
    }

    /// What a checkpoint gets of the keys.
    pub fn hand_over(&mut self, request: SnapshotRequest) -> Handover {
        self.table.hand_over(request, NO_BUCKET)
    }

    /// The number of keys with state.
    pub fn len(&self) -> usize {
        self.table.len() - self.gone
    }

    /// Whether no key has state.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.is_gone.capacity()
    }
}

fn unsupported(error: &UnsupportedKey) -> Error {
    Error::Unsupported(error.to_string())
}
