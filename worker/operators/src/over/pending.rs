//! Rows that wait for the watermark.
//!
//! Rows lie in buckets of time, in order of arrival within each; a bucket is sorted when the watermark reaches it. So a
//! watermark touches the rows that it releases and at most one more bucket, however many rows wait after them.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddyline_stream::Watermark;

use super::rows::{FrozenRows, RowRef, RowStore};
use crate::Result;

/// A row that waits.
#[derive(Clone, Copy, Debug)]
pub struct PendingRow {
    /// Its event time, in milliseconds.
    pub time: i64,
    /// Its key.
    pub key: u32,
    /// Where it is.
    pub at: RowRef,
}

/// The rows that wait.
pub struct Pending {
    rows: RowStore,
    /// By time divided by the length of a bucket.
    buckets: BTreeMap<i64, Vec<PendingRow>>,
}

/// Buckets are 2^8 = 256 milliseconds long.
const BUCKET_BITS: u32 = 8;

impl Pending {
    /// No rows, of these columns.
    pub fn new(schema: SchemaRef) -> Self {
        Self { rows: RowStore::new(schema, Vec::new()), buckets: BTreeMap::new() }
    }

    /// Adds rows in order of arrival, with the time and key of each.
    pub fn insert(&mut self, rows: RecordBatch, times_and_keys: &[(i64, u32)]) -> Result<()> {
        let block = self.rows.insert(rows)?;
        let mut cached: Option<(i64, Vec<PendingRow>)> = None;
        for (&(time, key), row) in times_and_keys.iter().zip(0..) {
            let at = RowRef { block, row };
            self.rows.retain(at);
            let number = time >> BUCKET_BITS;
            if cached.as_ref().is_none_or(|(cached, _)| *cached != number) {
                let bucket = self.buckets.remove(&number).unwrap_or_default();
                if let Some((number, bucket)) = cached.replace((number, bucket)) {
                    self.buckets.insert(number, bucket);
                }
            }
            if let Some((_, bucket)) = &mut cached {
                bucket.push(PendingRow { time, key, at });
            }
        }
        self.buckets.extend(cached);
        self.rows.release_block(block);
        Ok(())
    }

    /// Takes rows whose time the watermark has reached off the list, in order of time and arrival: about `rows_max`,
    /// all of one time or none. They stay stored until [`Self::take`].
    pub fn pop_until(&mut self, watermark: Watermark, rows_max: usize) -> Vec<PendingRow> {
        let mut popped = Vec::new();
        while popped.len() < rows_max
            && let Some(mut entry) = self.buckets.first_entry()
        {
            let number = *entry.key();
            let last_of_bucket = (number << BUCKET_BITS) | ((1 << BUCKET_BITS) - 1);
            let mut ripe = if last_of_bucket <= watermark.time_ms() {
                entry.remove()
            } else {
                let ripe = entry.get_mut().extract_if(.., |row| row.time <= watermark.time_ms()).collect();
                let emptied = entry.get().is_empty();
                if emptied {
                    entry.remove();
                }
                ripe
            };
            if ripe.is_empty() {
                break;
            }
            ripe.sort_by_key(|row| row.time);
            popped.append(&mut ripe);
        }
        popped
    }

    /// The rows that were popped, copied together; they are no longer stored.
    pub fn take(&mut self, refs: &[RowRef]) -> Result<RecordBatch> {
        let rows = self.rows.gather(refs)?;
        refs.iter().for_each(|at| self.rows.release(*at));
        Ok(rows)
    }

    /// All rows that wait, and the key of each.
    pub fn freeze(&self) -> (FrozenRows, Vec<u32>) {
        let waiting = || self.buckets.values().flatten();
        (self.rows.freeze(waiting().map(|row| row.at)), waiting().map(|row| row.key).collect())
    }

    /// How many rows wait.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row waits.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The size of what is stored.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.rows.len() * size_of::<PendingRow>()
    }
}
