//! A batch of rows: the unit in which operators, channels and connectors handle data.

use arrow::array::{Array, RecordBatch};
use arrow::buffer::ScalarBuffer;

use crate::key_hash::{UnsupportedKey, hash_columns};

/// The [key hash v1](crate::key_hash) of each row of a batch. Shared, and made of a `Vec` without copying it.
pub type KeyHashes = ScalarBuffer<u64>;

/// Rows in columns, and what is known about them.
///
/// Every row is an insert: changelog row kinds come with the operators that produce updates.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The columns.
    pub rows: RecordBatch,
    /// The hashes under the keys of the edge that carried the batch, if it was keyed.
    /// Computed once by the exchange and carried along, so that state does not hash again.
    pub key_hashes: Option<KeyHashes>,
}

impl Batch {
    /// A batch that was not keyed.
    pub fn new(rows: RecordBatch) -> Self {
        Self { rows, key_hashes: None }
    }

    /// A batch whose key hashes are known; there must be one for each row.
    pub fn keyed(rows: RecordBatch, key_hashes: KeyHashes) -> Self {
        debug_assert_eq!(rows.num_rows(), key_hashes.len());
        Self { rows, key_hashes: Some(key_hashes) }
    }

    /// The hashes that the batch carries, or else those of its columns `keys`.
    ///
    /// # Errors
    /// When a column's type cannot be a key.
    pub fn key_hashes_by(&self, keys: &[usize]) -> Result<KeyHashes, UnsupportedKey> {
        if let Some(hashes) = &self.key_hashes {
            return Ok(hashes.clone());
        }
        let columns: Vec<&dyn Array> = keys.iter().map(|key| self.rows.column(*key).as_ref()).collect();
        Ok(hash_columns(&columns, self.num_rows())?.into())
    }

    /// How many rows there are.
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }
}
