//! The keys of a subtask, numbered.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;
use std::sync::Arc;

use crate::Result;

/// Assigns every key a small number, which indexes its state. The numbers of removed keys are reused.
pub struct KeyTable {
    // Fixed at start.
    columns: Vec<usize>,
    converter: RowConverter,

    // Changing.
    table: HashTable<u32>,
    hashes: Vec<u64>,
    /// The key in comparable form; empty for a free number.
    keys: Vec<Box<[u8]>>,
    free: Vec<u32>,
}

impl KeyTable {
    /// An empty table for keys of these input columns.
    pub fn new(columns: &[usize], input: &SchemaRef) -> Result<Self> {
        let fields = columns.iter().map(|column| SortField::new(input.field(*column).data_type().clone())).collect();
        Ok(Self {
            columns: columns.to_vec(),
            converter: RowConverter::new(fields)?,
            table: HashTable::new(),
            hashes: Vec::new(),
            keys: Vec::new(),
            free: Vec::new(),
        })
    }

    /// The numbers of the keys of rows. A new key gets a number. `hashes` are the key hashes of the rows.
    pub fn ids(&mut self, rows: &RecordBatch, hashes: &[u64]) -> Result<Vec<u32>> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| Arc::clone(rows.column(*column))).collect();
        self.ids_of(&columns, hashes)
    }

    /// The numbers of keys given as columns.
    pub fn ids_of(&mut self, columns: &[ArrayRef], hashes: &[u64]) -> Result<Vec<u32>> {
        if self.columns.is_empty() {
            return Ok(hashes.iter().map(|hash| self.id(*hash, &[])).collect());
        }
        let columns: Vec<ArrayRef> = columns.iter().map(canonical).collect();
        let encoded = self.converter.convert_columns(&columns)?;
        Ok(hashes.iter().enumerate().map(|(row, hash)| self.id(*hash, encoded.row(row).data())).collect())
    }

    fn id(&mut self, hash: u64, key: &[u8]) -> u32 {
        let found = self.table.find(hash, |id| self.hashes[*id as usize] == hash && *self.keys[*id as usize] == *key);
        if let Some(id) = found {
            return *id;
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.hashes[id as usize] = hash;
                self.keys[id as usize] = key.into();
                id
            }
            None => {
                self.hashes.push(hash);
                self.keys.push(key.into());
                u32::try_from(self.keys.len() - 1).expect("fewer keys than u32 counts fit in memory")
            }
        };
        self.table.insert_unique(hash, id, |id| self.hashes[*id as usize]);
        id
    }

    /// Removes a key. Its number may be reused.
    pub fn remove(&mut self, id: u32) {
        if let Ok(entry) = self.table.find_entry(self.hashes[id as usize], |other| *other == id) {
            entry.remove();
            self.keys[id as usize] = Box::default();
            self.free.push(id);
        }
    }

    /// The key hash of a key.
    pub fn hash(&self, id: u32) -> u64 {
        self.hashes[id as usize]
    }

    /// The numbers of all keys, in order.
    pub fn all(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.table.iter().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// The key columns of these numbers.
    pub fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        if self.columns.is_empty() {
            return Ok(Vec::new());
        }
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(ids.iter().map(|id| parser.parse(&self.keys[*id as usize])))?)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// The column with equal values in one form: one zero and one NaN, like the key hash.
fn canonical(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => {
            let one = |value: f32| if value.is_nan() { f32::NAN } else { value + 0.0 };
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(one))
        }
        DataType::Float64 => {
            let one = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(one))
        }
        _ => Arc::clone(column),
    }
}
