//! Rows that wait for the watermark.
//!
//! Rows are in buckets by time, in order of arrival within each bucket. A bucket is sorted when the watermark reaches
//! it. So a watermark touches the rows that it releases and at most one more bucket, however many later rows wait.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddyline_state::row_log::{FrozenRows, LogHandover, Nothing};
use eddyline_state::{RowLog, RowRef, SnapshotRequest};
use eddyline_stream::Watermark;

use super::keys::KeyTable;
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
    rows: RowLog,
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
        Self { rows: RowLog::new(schema, Nothing), buckets: BTreeMap::new(), ripe: VecDeque::new() }
    }

    /// Adds rows in order of arrival, with the time and key of each.
    pub fn insert(&mut self, rows: &RecordBatch, times_and_keys: &[(i64, u32)]) -> Result<()> {
        let appended = self.rows.append(rows)?;
        let mut cached: Option<(i64, Vec<PendingRow>)> = None;
        for (row, &(time, key)) in times_and_keys.iter().enumerate() {
            let at = appended.at(row);
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

    /// Removes popped rows from the log, and returns them as one batch. `popped` must be all popped rows.
    pub fn take(&mut self, popped: &[PendingRow], keys: &KeyTable) -> Result<RecordBatch> {
        let refs: Vec<RowRef> = popped.iter().map(|row| row.at).collect();
        let rows = self.rows.gather(&refs)?;
        popped.iter().for_each(|row| self.rows.release(row.at, || keys.hash(row.key)));
        // A row far in the future keeps its whole batch in memory.
        if let Some(moved) = self.rows.compact()? {
            self.waiting_mut().for_each(|row| row.at = moved.now(row.at));
        }
        Ok(rows)
    }

    fn waiting_mut(&mut self) -> impl Iterator<Item = &mut PendingRow> {
        self.ripe.iter_mut().chain(self.buckets.values_mut().flatten())
    }

    /// Adds ripe rows, in order of time and arrival within each key.
    pub fn insert_ripe(&mut self, rows: &RecordBatch, times_and_keys: &[(i64, u32)]) -> Result<()> {
        let appended = self.rows.append(rows)?;
        let rows = times_and_keys.iter().enumerate().map(|(row, (time, key))| (appended.at(row), *time, *key));
        self.ripe.extend(rows.map(|(at, time, key)| PendingRow { time, key, at }));
        self.ripe.make_contiguous().sort_by_key(|row| row.time);
        Ok(())
    }

    /// What a checkpoint gets: the rows that `releasing` releases, with the key of each, and apart from them the others.
    pub fn hand_over(
        &mut self,
        releasing: Watermark,
        request: SnapshotRequest,
        keys: &KeyTable,
    ) -> (FrozenRows, Vec<u32>, LogHandover) {
        let is_released = |row: &&PendingRow| row.time <= releasing.time_ms();
        let reached = self.buckets.range(..=releasing.time_ms() >> BUCKET_BITS).flat_map(|(_, bucket)| bucket);
        let released: Vec<PendingRow> = self.ripe.iter().chain(reached.filter(is_released)).copied().collect();
        released.iter().for_each(|row| self.rows.set_aside(row.at, || keys.hash(row.key)));
        let frozen = self.rows.freeze(released.iter().map(|row| row.at));
        (frozen, released.iter().map(|row| row.key).collect(), self.rows.hand_over(request))
    }

    /// The keys of waiting rows.
    pub fn keys(&self) -> impl Iterator<Item = u32> {
        self.ripe.iter().chain(self.buckets.values().flatten()).map(|row| row.key)
    }

    /// Keeps these keys, in order, which get the numbers from 0 on. They include those of all waiting rows.
    pub fn renumber(&mut self, kept: &[u32]) {
        for row in self.waiting_mut() {
            row.key = kept.partition_point(|key| *key < row.key) as u32;
        }
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
