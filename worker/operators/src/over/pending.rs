//! Rows that wait for the watermark.
//!
//! Rows lie in buckets of time, in order of arrival within each; a bucket is sorted when the watermark reaches it. So a
//! watermark touches the rows that it releases and at most one more bucket, however many rows wait after them.

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
    /// Where it is.
    pub at: RowRef,
}

/// The rows that wait.
pub struct Pending {
    rows: RowStore,
    /// By time divided by the length of a bucket.
    buckets: BTreeMap<i64, Vec<PendingRow>>,
    /// Rows of one bucket that the watermark has reached, in order of time and arrival. They come before all others.
    ripe: VecDeque<PendingRow>,
}

/// How rows of a key at one time are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Like others: they have different frames.
    None,
    /// All at once, or later if there is no room for all.
    IfThereIsRoom,
    /// All at once, whether there is room or not.
    Together,
}

/// Buckets are 2^8 = 256 milliseconds long.
const BUCKET_BITS: u32 = 8;

impl Pending {
    /// No rows, of these columns.
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

    /// Whether there are rows that the watermark has reached. Then [`Self::pop_until`] has some, unless there is no room for the
    /// peers that come first.
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

    /// Whether there are rows that a watermark has released.
    pub fn has_ripe(&self) -> bool {
        !self.ripe.is_empty()
    }

    /// Takes rows whose time the watermark has reached off the list, in order of time and arrival, up to `rows_max`. Peers are
    /// not parted: together they can be more, and where the rows of a time are parted, they come in order of their keys. Rows
    /// stay stored until [`Self::take`].
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

    /// The rows of the first bucket that the watermark has reached, in order of time and arrival.
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

    /// How many ripe rows to take, of which there are more than `room`, without parting peers. Those of one time are parted only
    /// if they are the first to be taken.
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

    /// The rows that were popped, copied together; they are no longer stored. All that have been popped are taken at once.
    pub fn take(&mut self, refs: &[RowRef]) -> Result<RecordBatch> {
        let rows = self.rows.gather(refs)?;
        refs.iter().for_each(|at| self.rows.release(*at));
        if self.rows.is_sparse() {
            // A row far in the future keeps the batch that it came in.
            let waiting = self.ripe.iter_mut().chain(self.buckets.values_mut().flatten());
            self.rows.compact(waiting.map(|row| &mut row.at).collect())?;
        }
        Ok(rows)
    }

    /// Adds rows that a watermark has released, in order of time and arrival. There are no others yet.
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

    /// All rows that wait, and the key of each. First come those that `releasing` releases, and how many they are.
    pub fn freeze(&self, releasing: Watermark) -> (FrozenRows, Vec<u32>, usize) {
        let is_released = move |row: &&PendingRow| row.time <= releasing.time_ms();
        let in_buckets = || self.buckets.values().flatten();
        let released = || self.ripe.iter().chain(in_buckets().filter(is_released));
        let waiting = || released().chain(in_buckets().filter(move |row| !is_released(row)));
        let rows = self.rows.freeze(waiting().map(|row| row.at));
        (rows, waiting().map(|row| row.key).collect(), released().count())
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
