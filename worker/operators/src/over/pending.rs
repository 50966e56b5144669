//! Rows that wait for the watermark.
//!
//! Rows are in buckets by time, in order of arrival within each bucket. A bucket is sorted when the watermark reaches
//! it. So a watermark touches the rows that it releases and at most one more bucket, however many later rows wait.

use std::collections::{BTreeMap, VecDeque};

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
    /// Its position in the store.
    pub at: RowRef,
}

/// The rows that wait.
pub struct Pending {
    rows: RowStore,
    /// The buckets, by time divided by the length of a bucket.
    buckets: BTreeMap<i64, Vec<PendingRow>>,
    /// Rows of one bucket that the watermark has reached, in order of time and arrival. They precede all other rows.
    ripe: VecDeque<PendingRow>,
}

/// How rows of a key at one time are popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// There are no peers: each row has its own frame.
    None,
    /// All at once, if there is room for all of them; otherwise later.
    IfThereIsRoom,
    /// All at once, even if there is not enough room.
    Together,
}

/// Buckets are 2^8 = 256 milliseconds long.
const BUCKET_BITS: u32 = 8;

impl Pending {
    /// An empty list of rows with these columns.
    pub fn new(schema: SchemaRef) -> Self {
        Self { rows: RowStore::new(schema, Vec::new()), buckets: BTreeMap::new(), ripe: VecDeque::new() }
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

    /// Whether there are rows that the watermark has reached. Then [`Self::pop_until`] returns some, unless the first
    /// peers do not fit.
    pub fn is_due(&mut self, watermark: Watermark) -> bool {
        let first = self.buckets.first_key_value().map(|(number, _)| number << BUCKET_BITS);
        if self.ripe.is_empty()
            && first.is_some_and(|first| first <= watermark.time_ms())
            && let Some(ripe) = self.ripen(watermark)
        {
            self.ripe = ripe.into();
        }
        !self.ripe.is_empty()
    }

    /// Whether there are ripe rows: rows that a watermark has released.
    pub fn has_ripe(&self) -> bool {
        !self.ripe.is_empty()
    }

    /// Pops up to `rows_max` rows that the watermark has reached, in order of time and arrival. Peers are not
    /// separated, so there can be more rows. If the rows of one time are split, they come in order of their keys.
    /// Popped rows stay stored until [`Self::take`].
    pub fn pop_until(&mut self, watermark: Watermark, rows_max: usize, peers: Peers) -> Vec<PendingRow> {
        let mut popped = Vec::new();
        while popped.len() < rows_max {
            if self.ripe.is_empty() {
                let Some(ripe) = self.ripen(watermark) else { break };
                self.ripe = ripe.into();
            }
            let room = rows_max - popped.len();
            if self.ripe.len() <= room {
                popped.extend(self.ripe.drain(..));
                continue;
            }
            let count = match peers {
                Peers::None => room,
                _ => self.count_whole(room, popped.is_empty(), peers),
            };
            popped.extend(self.ripe.drain(..count));
            break;
        }
        popped
    }

    /// Removes from the first bucket the rows that the watermark has reached, in order of time and arrival.
    fn ripen(&mut self, watermark: Watermark) -> Option<Vec<PendingRow>> {
        let mut entry = self.buckets.first_entry()?;
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
        ripe.sort_by_key(|row| row.time);
        (!ripe.is_empty()).then_some(ripe)
    }

    /// The number of ripe rows to pop without separating peers, where more than `room` rows are ripe. The rows of one
    /// time are split only if they are the first to be popped.
    fn count_whole(&mut self, room: usize, are_first: bool, peers: Peers) -> usize {
        let rows = self.ripe.make_contiguous();
        let time = rows[room].time;
        let start = rows.partition_point(|row| row.time < time);
        if start > 0 || !are_first {
            return start;
        }
        let end = rows.partition_point(|row| row.time <= time);
        rows[..end].sort_by_key(|row| row.key);
        let key = rows[room].key;
        let fitting = rows[..end].partition_point(|row| row.key < key);
        match peers {
            Peers::Together if fitting == 0 => rows[..end].partition_point(|row| row.key <= key),
            _ => fitting,
        }
    }

    /// Removes popped rows from the store, and returns them as one batch. `refs` must be all popped rows.
    pub fn take(&mut self, refs: &[RowRef]) -> Result<RecordBatch> {
        let rows = self.rows.gather(refs)?;
        refs.iter().for_each(|at| self.rows.release(*at));
        if self.rows.is_sparse() {
            // A row far in the future keeps its whole batch in memory.
            let waiting = self.ripe.iter_mut().chain(self.buckets.values_mut().flatten());
            self.rows.compact(waiting.map(|row| &mut row.at).collect())?;
        }
        Ok(rows)
    }

    /// Adds ripe rows, in order of time and arrival. There must be no other ripe rows yet.
    pub fn insert_ripe(&mut self, rows: RecordBatch, times_and_keys: &[(i64, u32)]) -> Result<()> {
        let block = self.rows.insert(rows)?;
        for (&(time, key), row) in times_and_keys.iter().zip(0..) {
            let at = RowRef { block, row };
            self.rows.retain(at);
            self.ripe.push_back(PendingRow { time, key, at });
        }
        self.rows.release_block(block);
        Ok(())
    }

    /// All waiting rows, the key of each, and the number of rows that `releasing` releases. These come first.
    pub fn freeze(&self, releasing: Watermark) -> (FrozenRows, Vec<u32>, usize) {
        let is_released = move |row: &&PendingRow| row.time <= releasing.time_ms();
        let in_buckets = || self.buckets.values().flatten();
        let released = || self.ripe.iter().chain(in_buckets().filter(is_released));
        let waiting = || released().chain(in_buckets().filter(move |row| !is_released(row)));
        let rows = self.rows.freeze(waiting().map(|row| row.at));
        (rows, waiting().map(|row| row.key).collect(), released().count())
    }

    /// The number of waiting rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no waiting rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The size of the stored rows, in bytes.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.rows.len() * size_of::<PendingRow>()
    }
}
