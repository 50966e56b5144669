//! Sessions into snapshots and back.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use eddyline_operators::{Error, Result};
use eddyline_state::{NO_BUCKET, TableRows, fixed};

use super::Sessions;
use crate::argument::Argument;
use crate::groups::Rows;
use crate::layout::Layout;
use crate::shape::{LOCAL_TIME, Shape};
use crate::slice::Slice;

/// The state table of sessions.
pub(crate) const SESSIONS: &str = "sessions";

/// What the names of the state tables of distinct sets begin with; their numbers follow.
pub(crate) const DISTINCT: &str = "distinct_";

/// Rows of a snapshot's batch.
const ROWS_MAX: usize = 65_536;

impl Sessions {
    /// All open sessions, in order of arrival.
    pub(crate) fn snapshot(&self, layout: &Layout, shape: &Shape, into: &mut Vec<TableRows>) -> Result<()> {
        let mut open: Vec<u32> =
            (0..self.sessions.len() as u32).filter(|number| self.sessions[*number as usize].is_open).collect();
        open.sort_unstable_by_key(|number| (self.sessions[*number as usize].arrival, *number));
        let schema = shape.session_state(true, layout.fields());
        for block in open.chunks(ROWS_MAX) {
            let (mut columns, key_hashes) = self.identity(block)?;
            let ends = block.iter().map(|number| self.sessions[*number as usize].window.end).collect();
            columns.push(fixed::column(ends, None, &LOCAL_TIME));
            columns.extend(layout.columns(self.store.view(layout), block)?);
            let rows = RecordBatch::try_new(schema.clone(), columns)?;
            let table = SESSIONS.to_owned();
            into.push(TableRows { table, bucket: NO_BUCKET, is_whole: true, key_hashes, rows });
        }
        for (index, set) in layout.distinct.iter().enumerate() {
            let (groups, values) = self.store.sides.distinct[index].all(&set.data_type)?;
            let is_open = |i: &usize| self.sessions[groups[*i] as usize].is_open;
            let kept: Vec<usize> = (0..groups.len()).filter(is_open).collect();
            let value_schema = vec![arrow::datatypes::Field::new("value", set.data_type.clone(), true)];
            let schema = shape.session_state(false, value_schema);
            for block in kept.chunks(ROWS_MAX) {
                let sessions: Vec<u32> = block.iter().map(|i| groups[*i]).collect();
                let (mut columns, key_hashes) = self.identity(&sessions)?;
                let indices: arrow::array::UInt32Array = block.iter().map(|i| *i as u32).collect();
                columns.push(arrow::compute::take(&values, &indices, None)?);
                let rows = RecordBatch::try_new(schema.clone(), columns)?;
                let table = format!("{DISTINCT}{index}");
                into.push(TableRows { table, bucket: NO_BUCKET, is_whole: true, key_hashes, rows });
            }
        }
        Ok(())
    }

    /// Keys and starts of sessions, and the hashes of the keys.
    fn identity(&self, numbers: &[u32]) -> Result<(Vec<ArrayRef>, Vec<u64>)> {
        let keys: Vec<u32> = numbers.iter().map(|number| self.sessions[*number as usize].key).collect();
        let mut columns = self.keys.packed().key_columns(&keys)?;
        let starts = numbers.iter().map(|number| self.sessions[*number as usize].window.start).collect();
        columns.push(fixed::column(starts, None, &LOCAL_TIME));
        let hashes = keys.iter().map(|key| self.keys.packed().hash(*key)).collect();
        Ok((columns, hashes))
    }

    /// Restores sessions. `columns` are those after the keys.
    pub(crate) fn restore(&mut self, layout: &Layout, rows: &Rows<'_>, columns: &[ArrayRef]) -> Result<()> {
        let (starts, ends) = (times(&columns[0]), times(&columns[1]));
        let mut keys = Vec::with_capacity(starts.len());
        self.keys.find_or_insert(&rows.keys, &rows.hashes, 0..starts.len(), &mut keys);
        for (row, key) in keys.into_iter().enumerate() {
            let window = Slice { start: starts[row], end: ends[row] };
            let session = self.open(layout, key, window, self.arrivals);
            self.arrivals += 1;
            rows.input.add(layout, &mut self.store.cells(layout), &[session], row);
        }
        Ok(())
    }

    /// Restores values of a distinct set, for sessions that exist.
    pub(crate) fn restore_distinct(&mut self, set: usize, rows: &Rows<'_>, columns: &[ArrayRef]) -> Result<()> {
        let starts = times(&columns[0]);
        let mut keys = Vec::with_capacity(starts.len());
        self.keys.find_or_insert(&rows.keys, &rows.hashes, 0..starts.len(), &mut keys);
        let mut sessions = Vec::with_capacity(starts.len());
        for (start, key) in starts.iter().zip(keys) {
            let window = Slice { start: *start, end: *start };
            let session = self.touching(key, window).next();
            let session = session.ok_or_else(|| Error::Restore {
                table: format!("{DISTINCT}{set}"),
                reason: format!("a value belongs to a session from {start} that is not in {SESSIONS}"),
            })?;
            sessions.push(session);
        }
        let values = Argument::of_distinct(columns[1].as_ref(), None);
        self.store.sides.distinct[set].insert(&sessions, &values, 0);
        Ok(())
    }
}

fn times(column: &ArrayRef) -> &[i64] {
    column.as_primitive::<TimestampMillisecondType>().values()
}
