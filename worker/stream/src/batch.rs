//! A batch of rows: the unit in which operators, channels and connectors handle data.

use arrow::array::{Array, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::error::ArrowError;

use crate::key_hash::{UnsupportedKey, hash_columns};
use crate::{Kinds, RowKind};

/// The [key hash v1](crate::key_hash) of each row of a batch. Cheap to clone. A `Vec` converts without a copy.
pub type KeyHashes = ScalarBuffer<u64>;

/// Rows in columns, with their kinds and key hashes.
///
/// Cuts, filters and copies are methods of the batch, so that kinds and hashes stay with their rows and [no pair is
/// torn](crate::kinds). The parts cannot be replaced one by one:
///
/// ```compile_fail
/// # use eddyline_stream::Batch;
/// fn tear(mut batch: Batch) -> Batch {
///     batch.rows = batch.rows.slice(0, 1);
///     batch
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    /// The columns.
    rows: RecordBatch,
    /// The kind of each row; `None` if all are inserts.
    kinds: Option<Kinds>,
    /// The key hashes of the edge that carried the batch, if it was keyed. The exchange computes them once, so that
    /// state does not hash again.
    key_hashes: Option<KeyHashes>,
}

/// A row that is not an insert, where only inserts are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of kind {kind}, but only inserts (+I) are accepted here")]
pub struct NotInsertOnly {
    /// The kind of the first such row.
    pub kind: RowKind,
}

impl Batch {
    /// Inserts without key hashes.
    pub fn new(rows: RecordBatch) -> Self {
        Self { rows, kinds: None, key_hashes: None }
    }

    /// Inserts with their key hashes.
    ///
    /// # Panics
    /// There is not one hash for each row.
    pub fn keyed(rows: RecordBatch, key_hashes: KeyHashes) -> Self {
        Self::new(rows).with_key_hashes(key_hashes)
    }

    /// Rows of these kinds; `None` if all are inserts.
    ///
    /// # Panics
    /// There is not one kind for each row.
    pub fn with_kinds(rows: RecordBatch, kinds: Option<Kinds>) -> Self {
        if let Some(kinds) = &kinds {
            assert_eq!(rows.num_rows(), kinds.len(), "one kind for each row");
        }
        Self { rows, kinds, key_hashes: None }
    }

    /// The columns.
    #[inline]
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The columns, if all rows are inserts.
    ///
    /// # Errors
    /// When one is not.
    #[inline]
    pub fn inserts(&self) -> Result<&RecordBatch, NotInsertOnly> {
        match &self.kinds {
            None => Ok(&self.rows),
            Some(kinds) => {
                let other = kinds.iter().find(|kind| *kind != RowKind::Insert);
                Err(NotInsertOnly { kind: other.expect("one of the kinds is no insert") })
            }
        }
    }

    /// Takes the columns out, if all rows are inserts.
    ///
    /// # Errors
    /// When one is not.
    pub fn into_inserts(self) -> Result<RecordBatch, NotInsertOnly> {
        self.inserts()?;
        Ok(self.rows)
    }

    /// The kind of each row; `None` if all are inserts.
    #[inline]
    pub fn kinds(&self) -> Option<&Kinds> {
        self.kinds.as_ref()
    }

    /// The kind of a row.
    #[inline]
    pub fn kind(&self, row: usize) -> RowKind {
        self.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.get(row))
    }

    /// The key hashes of the edge that carried the batch, if it was keyed.
    #[inline]
    pub fn key_hashes(&self) -> Option<&[u64]> {
        self.key_hashes.as_deref()
    }

    /// Removes the key hashes, because the next edge is not keyed by them.
    #[must_use]
    pub fn without_key_hashes(self) -> Self {
        Self { key_hashes: None, ..self }
    }

    /// Takes the key hashes out.
    pub fn into_key_hashes(self) -> Option<KeyHashes> {
        self.key_hashes
    }

    /// The hashes that the batch carries, or those of its columns `keys` if it carries none.
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

    /// The batch with these key hashes. An update that changes the key becomes a `-D` of the old key and a `+I` of the
    /// new one, whoever owns the keys.
    ///
    /// # Panics
    /// There is not one hash for each row.
    #[must_use]
    pub fn with_key_hashes(mut self, key_hashes: KeyHashes) -> Self {
        assert_eq!(self.rows.num_rows(), key_hashes.len(), "one hash for each row");
        self.kinds = self.kinds.map(|kinds| kinds.split_pairs(|row| key_hashes[row] != key_hashes[row + 1]));
        self.key_hashes = Some(key_hashes);
        self
    }

    /// The number of rows.
    #[inline]
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// The same rows with other columns, without key hashes.
    ///
    /// # Panics
    /// The number of rows differs.
    #[must_use]
    pub fn with_columns(self, rows: RecordBatch) -> Self {
        assert_eq!(self.rows.num_rows(), rows.num_rows(), "the same rows");
        Self { rows, kinds: self.kinds, key_hashes: None }
    }

    /// The same rows with some of their columns, without key hashes.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn project(&self, columns: &[usize]) -> Result<Self, ArrowError> {
        Ok(Self { rows: self.rows.project(columns)?, kinds: self.kinds.clone(), key_hashes: None })
    }

    /// The rows for which the mask is true. The mask has no NULL. One row of an update that passes without the other
    /// becomes `-D` or `+I`.
    ///
    /// # Errors
    /// When the rows cannot be copied.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self, ArrowError> {
        Ok(Self {
            rows: filter_record_batch(&self.rows, mask)?,
            kinds: self.kinds.as_ref().and_then(|kinds| kinds.filter(mask)),
            key_hashes: self
                .key_hashes
                .as_ref()
                .map(|hashes| mask.values().set_indices().map(|row| hashes[row]).collect()),
        })
    }

    /// The rows with these numbers, in this order. A row of an update that is not next to its partner becomes `-D` or
    /// `+I`.
    ///
    /// # Errors
    /// When the rows cannot be copied.
    pub fn take(&self, numbers: &UInt32Array) -> Result<Self, ArrowError> {
        self.take_with(numbers, |rows, numbers| take_record_batch(rows, numbers))
    }

    /// Like [`Batch::take`], with a function that copies the rows.
    ///
    /// # Errors
    /// Those of `gather`.
    ///
    /// # Panics
    /// `gather` returns another number of rows.
    pub fn take_with<E>(
        &self,
        numbers: &UInt32Array,
        gather: impl FnOnce(&RecordBatch, &UInt32Array) -> Result<RecordBatch, E>,
    ) -> Result<Self, E> {
        let rows = gather(&self.rows, numbers)?;
        assert_eq!(rows.num_rows(), numbers.len(), "one row for each number");
        Ok(Self {
            rows,
            kinds: self.kinds.as_ref().and_then(|kinds| kinds.take(numbers.values())),
            key_hashes: self
                .key_hashes
                .as_ref()
                .map(|hashes| numbers.values().iter().map(|row| hashes[*row as usize]).collect()),
        })
    }

    /// Removes and returns the first `rows` rows, and one more if the cut would tear a pair. The batch keeps the rest.
    pub fn split_to(&mut self, rows: usize) -> Self {
        let rows = self.cut_at(rows);
        let left = self.num_rows() - rows;
        let part = |offset, length| Self {
            rows: self.rows.slice(offset, length),
            kinds: self.kinds.as_ref().and_then(|kinds| kinds.slice(offset, length)),
            key_hashes: self.key_hashes.as_ref().map(|hashes| hashes.slice(offset, length)),
        };
        let (first, rest) = (part(0, rows), part(rows, left));
        *self = rest;
        first
    }

    /// The first position at or after `rows` where a cut tears no pair.
    pub fn cut_at(&self, rows: usize) -> usize {
        let is_inside = self.kinds.as_ref().is_some_and(|kinds| kinds.is_inside_pair(rows));
        (rows + usize::from(is_inside)).min(self.num_rows())
    }

    /// The batch in pieces of `rows` rows, at least one. A piece that would tear a pair has one row more.
    pub fn pieces(mut self, rows: usize) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || (self.num_rows() > 0).then(|| self.split_to(rows.max(1))))
    }

    /// The rows of several batches with the same columns, concatenated, without key hashes; `None` if there are no
    /// batches.
    ///
    /// # Errors
    /// When their columns differ.
    pub fn concat(batches: &[Self]) -> Result<Option<Self>, ArrowError> {
        let Some(first) = batches.first() else { return Ok(None) };
        let rows = concat_batches(first.rows.schema_ref(), batches.iter().map(|batch| &batch.rows))?;
        let kinds = Kinds::concat(batches.iter().map(|batch| (batch.kinds.as_ref(), batch.num_rows())));
        Ok(Some(Self { rows, kinds, key_hashes: None }))
    }
}

#[cfg(test)]
mod tests;
