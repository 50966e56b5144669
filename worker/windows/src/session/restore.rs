//! Restores sessions.
//!
//! A row replaces what its key has in the same home. A row without a window says that the session is gone. Earlier
//! releases wrote all sessions in no home, and in the table of values the start of the session of each value.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::TimestampMillisecondType;
use eddyline_operators::{Error, Result};
use eddyline_state::NO_BUCKET;

use super::Sessions;
use super::row::Row;
use super::state::EARLIER_VALUES;
use crate::argument::Argument;
use crate::groups::Rows;
use crate::layout::Layout;
use crate::slice::Slice;

impl Sessions {
    /// Restores sessions of a bucket. `columns` are those after the keys.
    pub(crate) fn restore(
        &mut self,
        layout: &Layout,
        rows: &Rows<'_>,
        bucket: i64,
        columns: &[ArrayRef],
    ) -> Result<()> {
        let (starts, ends) = (times(&columns[0]), times(&columns[1]));
        let keys = self.keys(rows, starts.len());
        let is_gone = |row: usize| columns[0].is_null(row) || columns[1].is_null(row);
        let mut restored = Vec::new();
        let mut first = 0;
        for (row, key) in keys.iter().enumerate() {
            let known = self.in_home(*key, bucket);
            if known.is_some() || is_gone(row) {
                // What was opened so far must have its accumulators before it is replaced.
                self.add_restored(layout, rows, first..row, &restored);
                restored.clear();
                first = row;
            }
            known.iter().for_each(|known| self.close(layout, &[*known]));
            if is_gone(row) {
                first = row + 1;
                continue;
            }
            let window = Slice { start: starts[row], end: ends[row] };
            restored.push(match known {
                Some(known) => self.open_again(known, window),
                None => self.open(*key, (window, self.arrivals), Some(bucket).filter(|bucket| *bucket != NO_BUCKET)),
            });
            self.arrivals += 1;
        }
        self.add_restored(layout, rows, first..keys.len(), &restored);
        self.remove_empty(keys);
        Ok(())
    }

    fn add_restored(&mut self, layout: &Layout, rows: &Rows<'_>, range: Range<usize>, sessions: &[u32]) {
        debug_assert!(sessions.is_empty() || range.len() == sessions.len(), "a session for each row");
        if !sessions.is_empty() {
            rows.input.add(layout, &mut self.cells(sessions), sessions, range.start);
        }
    }

    /// Opens a session in a row whose session is closed.
    fn open_again(&mut self, number: u32, window: Slice) -> u32 {
        let row = self.row(number);
        self.set_row(number, Row { window: Some(window), arrival: self.arrivals, ..row });
        self.ends.add(number, window.end);
        self.open += 1;
        number
    }

    /// The keys of rows, as lookups find them.
    fn keys(&mut self, rows: &Rows<'_>, count: usize) -> Vec<u32> {
        let mut keys = Vec::with_capacity(count);
        self.table.find_or_insert(&rows.keys, &rows.hashes, 0..count, &mut keys);
        keys
    }

    /// The row of a key in a home.
    fn in_home(&self, key: u32, home: i64) -> Option<u32> {
        self.rows_of(key).find(|(_, row)| row.home == Some(home)).map(|(number, _)| number)
    }

    /// Restores values of a distinct set. Those of sessions that are gone are dropped.
    pub(crate) fn restore_distinct(
        &mut self,
        set: usize,
        rows: &Rows<'_>,
        (table, bucket): (&str, i64),
        columns: &[ArrayRef],
    ) -> Result<()> {
        let is_earlier = table.starts_with(EARLIER_VALUES);
        let values = &columns[usize::from(is_earlier)];
        let keys = self.keys(rows, values.len());
        let mut sessions = Vec::with_capacity(keys.len());
        let mut kept: Vec<u32> = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            let session = if is_earlier {
                let start = times(&columns[0])[row];
                let session = self.touching(*key, Slice { start, end: start }).next();
                Some(session.ok_or_else(|| Error::Restore {
                    table: table.to_owned(),
                    reason: format!("a value belongs to a session from {start} that is not in the state"),
                })?)
            } else {
                self.in_home(*key, bucket).filter(|number| self.row(*number).window.is_some())
            };
            if let Some(session) = session {
                sessions.push(session);
                kept.push(row as u32);
            }
        }
        let values = arrow::compute::take(values, &arrow::array::UInt32Array::from(kept), None)?;
        let sides = std::sync::Arc::make_mut(&mut self.sides);
        sides.distinct[set].insert(&sessions, &Argument::of_distinct(values.as_ref(), None), 0);
        self.count_values();
        self.remove_empty(keys);
        Ok(())
    }
}

fn times(column: &ArrayRef) -> &[i64] {
    column.as_primitive::<TimestampMillisecondType>().values()
}
