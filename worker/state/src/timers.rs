//! Timers: the times at which an operator has something to do for a key.
//!
//! A timer is in event time or in processing time. An operator sets its timers here and takes those that are due when
//! it learns the time. Snapshots contain the timers as rows of a table, so they move with the key group of their key.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use arrow::error::ArrowError;

use crate::snapshot::{NO_BUCKET, StateTable, TableRows, column_types};

/// The state table of timers.
pub const TIMERS: &str = "timers";

/// The time domain of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeDomain {
    /// The timer is due when the watermark reaches its time.
    Event,
    /// The timer is due when the machine's clock reaches its time.
    Processing,
}

/// A timer of a key. Timers are ordered by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// The time, in milliseconds since the epoch.
    pub time_ms: i64,
    /// The key hash of the key. It determines the timer's key group.
    pub key_hash: u64,
    /// The key, in a format of the operator.
    pub key: Box<[u8]>,
}

/// The timers of a subtask. A key has at most one timer for each domain and time.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    event: BTreeSet<Timer>,
    processing: BTreeSet<Timer>,
    key_bytes: usize,
}

impl Timers {
    fn of(&mut self, domain: TimeDomain) -> &mut BTreeSet<Timer> {
        match domain {
            TimeDomain::Event => &mut self.event,
            TimeDomain::Processing => &mut self.processing,
        }
    }

    /// Sets a timer. `false` if it was set already.
    pub fn set(&mut self, domain: TimeDomain, timer: Timer) -> bool {
        let bytes = timer.key.len();
        let is_new = self.of(domain).insert(timer);
        self.key_bytes += if is_new { bytes } else { 0 };
        is_new
    }

    /// Cancels a timer. `false` if it was not set.
    pub fn cancel(&mut self, domain: TimeDomain, timer: &Timer) -> bool {
        let was_set = self.of(domain).remove(timer);
        self.key_bytes -= if was_set { timer.key.len() } else { 0 };
        was_set
    }

    /// The time of the earliest timer.
    pub fn next(&self, domain: TimeDomain) -> Option<i64> {
        let timers = match domain {
            TimeDomain::Event => &self.event,
            TimeDomain::Processing => &self.processing,
        };
        timers.first().map(|timer| timer.time_ms)
    }

    /// Removes and returns the earliest timer, if it is due.
    pub fn take_due(&mut self, domain: TimeDomain, now_ms: i64) -> Option<Timer> {
        let timers = self.of(domain);
        if timers.first()?.time_ms > now_ms {
            return None;
        }
        let timer = timers.pop_first()?;
        self.key_bytes -= timer.key.len();
        Some(timer)
    }

    /// The number of timers.
    pub fn len(&self) -> usize {
        self.event.len() + self.processing.len()
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.event.is_empty() && self.processing.is_empty()
    }

    /// The estimated size in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.len() * size_of::<Timer>() + self.key_bytes
    }

    /// The state table of timers.
    pub fn table() -> StateTable {
        let contents = vec!["by clock".to_owned(), "time".to_owned(), "key".to_owned()];
        StateTable::new(TIMERS, schema()).holding(contents)
    }

    /// All timers as rows of [`Self::table`]. `None` if there are no timers.
    ///
    /// # Errors
    /// When the keys do not fit in a column.
    pub fn rows(&self) -> Result<Option<TableRows>, ArrowError> {
        if self.is_empty() {
            return Ok(None);
        }
        let domains = [(&self.event, false), (&self.processing, true)];
        let all = || domains.iter().flat_map(|(timers, by_clock)| timers.iter().map(move |timer| (timer, *by_clock)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from_iter(all().map(|(_, by_clock)| Some(by_clock)))),
            Arc::new(TimestampMillisecondArray::from_iter_values(all().map(|(timer, _)| timer.time_ms))),
            Arc::new(BinaryArray::from_iter(all().map(|(timer, _)| Some(&timer.key)))),
        ];
        Ok(Some(TableRows {
            table: TIMERS.to_owned(),
            bucket: NO_BUCKET,
            is_whole: true,
            key_hashes: all().map(|(timer, _)| timer.key_hash).collect(),
            rows: RecordBatch::try_new(schema(), columns)?,
        }))
    }

    /// Restores rows of [`Self::table`].
    ///
    /// # Errors
    /// [`ArrowError::SchemaError`] when they are rows of another table.
    pub fn restore(&mut self, rows: &TableRows) -> Result<(), ArrowError> {
        let count = rows.rows.num_rows();
        let has_null = rows.rows.columns().iter().any(|column| column.null_count() > 0);
        if column_types(rows.rows.schema_ref()) != column_types(&schema()) || rows.key_hashes.len() != count || has_null
        {
            return Err(ArrowError::SchemaError("these rows are no timers".to_owned()));
        }
        let columns = rows.rows.columns();
        let by_clock = columns[0].as_boolean();
        let times = columns[1].as_primitive::<TimestampMillisecondType>();
        let keys = columns[2].as_binary::<i32>();
        for row in 0..count {
            let domain = if by_clock.value(row) { TimeDomain::Processing } else { TimeDomain::Event };
            let (time_ms, key_hash) = (times.value(row), rows.key_hashes[row]);
            self.set(domain, Timer { time_ms, key_hash, key: keys.value(row).into() });
        }
        Ok(())
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("by_clock", DataType::Boolean, false),
        Field::new("time", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        Field::new("key", DataType::Binary, false),
    ]))
}

#[cfg(test)]
mod tests {
    use arrow::array::UInt32Array;
    use arrow::compute::take_record_batch;

    use super::*;

    fn timer(time_ms: i64, key: &str) -> Timer {
        let key_hash = key.bytes().fold(0, |hash, byte| hash * 31 + u64::from(byte));
        Timer { time_ms, key_hash, key: key.as_bytes().into() }
    }

    fn due(timers: &mut Timers, domain: TimeDomain, now_ms: i64) -> Vec<Timer> {
        std::iter::from_fn(|| timers.take_due(domain, now_ms)).collect()
    }

    #[test]
    fn timers_are_due_in_order_of_time_and_each_once() {
        let mut timers = Timers::default();
        for (time, key) in [(20, "b"), (10, "a"), (20, "a"), (30, "a"), (10, "a")] {
            timers.set(TimeDomain::Event, timer(time, key));
        }
        timers.set(TimeDomain::Processing, timer(5, "a"));
        assert_eq!((timers.len(), timers.next(TimeDomain::Event)), (5, Some(10)));
        assert!(due(&mut timers, TimeDomain::Event, 9).is_empty());
        assert_eq!(due(&mut timers, TimeDomain::Event, 20), [timer(10, "a"), timer(20, "a"), timer(20, "b")]);
        assert!(
            timers.cancel(TimeDomain::Event, &timer(30, "a")) && !timers.cancel(TimeDomain::Event, &timer(30, "a"))
        );
        assert_eq!((timers.next(TimeDomain::Event), timers.next(TimeDomain::Processing)), (None, Some(5)));
        assert_eq!(due(&mut timers, TimeDomain::Processing, 5), [timer(5, "a")]);
        assert!(timers.is_empty() && timers.bytes() == 0);
    }

    #[test]
    fn restored_timers_go_where_their_keys_go() {
        let mut before = Timers::default();
        for number in 0..50i64 {
            let domain = if number % 3 == 0 { TimeDomain::Processing } else { TimeDomain::Event };
            before.set(domain, timer(number / 2, &format!("key {}", number % 7)));
        }
        let rows = before.rows().expect("fits").expect("there are some");
        for slots in 1..=3u64 {
            let mut slots: Vec<Timers> = (0..slots)
                .map(|slot| {
                    let mine: Vec<u32> = (0u32..)
                        .zip(&rows.key_hashes)
                        .filter(|(_, hash)| **hash % slots == slot)
                        .map(|of| of.0)
                        .collect();
                    let part = TableRows {
                        key_hashes: mine.iter().map(|row| rows.key_hashes[*row as usize]).collect(),
                        rows: take_record_batch(&rows.rows, &UInt32Array::from(mine)).expect("rows of the batch"),
                        ..rows.clone()
                    };
                    let mut timers = Timers::default();
                    timers.restore(&part).expect("its own rows");
                    timers
                })
                .collect();
            for domain in [TimeDomain::Event, TimeDomain::Processing] {
                let mut restored: Vec<Timer> = slots.iter_mut().flat_map(|timers| due(timers, domain, 100)).collect();
                restored.sort();
                assert_eq!(restored, due(&mut before.clone(), domain, 100));
            }
        }
    }

    #[test]
    fn rows_of_another_table_are_refused() {
        let mut timers = Timers::default();
        timers.set(TimeDomain::Event, timer(1, "a"));
        let mut rows = timers.rows().expect("fits").expect("one");
        rows.rows = rows.rows.project(&[0, 1]).expect("two columns");
        assert!(Timers::default().restore(&rows).is_err());
    }
}
