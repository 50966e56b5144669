//! Slices. Windows consist of slices, and each row is in one slice.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType};
use eddyline_operators as operators;

use crate::zone::Zone;

/// A slice or a window in local time, in milliseconds. `start` is inclusive and `end` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slice {
    pub(crate) end: i64,
    pub(crate) start: i64,
}

/// A grid of slices: each has `step_ms`, and one begins `offset_ms` after the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) step_ms: i64,
    pub(crate) offset_ms: i64,
}

impl Grid {
    /// The slice that contains a local time. `None` if its bounds would overflow.
    #[inline]
    pub(crate) fn slice_of(&self, local_ms: i64) -> Option<Slice> {
        let into = local_ms.checked_sub(self.offset_ms)?.rem_euclid(self.step_ms);
        let start = local_ms.checked_sub(into)?;
        Some(Slice { start, end: start.checked_add(self.step_ms)? })
    }
}

/// Consecutive rows of one slice.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) slice: Slice,
    pub(crate) rows: Range<usize>,
}

/// The time values of a column. It must not have a NULL.
pub(crate) fn times<'a>(column: &'a dyn Array, name: &str) -> operators::Result<&'a [i64]> {
    if let Some(row) = column.nulls().and_then(|nulls| (0..nulls.len()).find(|row| nulls.is_null(*row))) {
        return Err(operators::Error::InvalidRow(format!(
            "the time attribute {name} is NULL in row {row} of a batch, so the row belongs to no window; leave such rows out \
             with WHERE {name} IS NOT NULL, or compute {name} so that it always has a value"
        )));
    }
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => Ok(column.as_primitive::<TimestampMillisecondType>().values()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(column.as_primitive::<TimestampMicrosecondType>().values()),
        DataType::Int64 => Ok(column.as_primitive::<Int64Type>().values()),
        other => Err(operators::Error::InvalidRow(format!("the time attribute {name} has type {other}"))),
    }
}

/// Splits rows into runs by the slices of a grid.
pub(crate) fn runs_of_times(grid: Grid, zone: &mut Zone, times: &[i64]) -> operators::Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    // The slice is empty, so that the first row starts a run.
    let mut current = Slice { start: 0, end: 0 };
    let is_utc = zone.is_utc();
    for (row, time) in times.iter().enumerate() {
        let local = if is_utc { *time } else { zone.local(*time) };
        if local < current.start || local >= current.end {
            current = grid.slice_of(local).ok_or_else(|| {
                operators::Error::InvalidRow(format!("no window can hold the time {time} (milliseconds since 1970)"))
            })?;
            if let Some(last) = runs.last_mut() {
                last.rows.end = row;
            }
            runs.push(Run { slice: current, rows: row..times.len() });
        }
    }
    Ok(runs)
}

/// Splits rows into runs by the windows that they have.
pub(crate) fn runs_of_windows(starts: &[i64], ends: &[i64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (row, (start, end)) in starts.iter().zip(ends).enumerate() {
        let slice = Slice { start: *start, end: *end };
        match runs.last_mut() {
            Some(run) if run.slice == slice => run.rows.end = row + 1,
            _ => runs.push(Run { slice, rows: row..row + 1 }),
        }
    }
    runs
}

/// Gathers the rows of each slice if they are scattered over many short runs. Keeps their order within the slice. The
/// indices are the new order of the rows. `None` if it has not changed.
pub(crate) fn gather(runs: Vec<Run>) -> (Vec<Run>, Option<UInt32Array>) {
    /// Runs with a shorter mean length than this are gathered.
    const ROWS_PER_RUN_MIN: usize = 64;
    let rows = runs.last().map_or(0, |run| run.rows.end);
    if runs.len() <= 4 || rows / runs.len() >= ROWS_PER_RUN_MIN {
        return (runs, None);
    }
    let mut by_slice: Vec<&Run> = runs.iter().collect();
    by_slice.sort_by_key(|run| run.slice);
    let mut indices: Vec<u32> = Vec::with_capacity(rows);
    let mut gathered: Vec<Run> = Vec::new();
    for run in by_slice {
        let start = indices.len();
        indices.extend(run.rows.start as u32..run.rows.end as u32);
        match gathered.last_mut() {
            Some(last) if last.slice == run.slice => last.rows.end = indices.len(),
            _ => gathered.push(Run { slice: run.slice, rows: start..indices.len() }),
        }
    }
    if gathered.len() == runs.len() {
        return (runs, None);
    }
    (gathered, Some(UInt32Array::from(indices)))
}

/// The columns with their rows in a new order. Unused columns are not reordered.
pub(crate) fn reorder(columns: &[ArrayRef], used: &[bool], order: &UInt32Array) -> operators::Result<Vec<ArrayRef>> {
    columns
        .iter()
        .zip(used)
        .map(|(column, used)| if *used { Ok(take(column, order, None)?) } else { Ok(column.clone()) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_negative_times_are_floored() {
        let grid = Grid { step_ms: 10, offset_ms: 0 };
        assert_eq!(grid.slice_of(-1), Some(Slice { start: -10, end: 0 }));
        assert_eq!(grid.slice_of(-10), Some(Slice { start: -10, end: 0 }));
        assert_eq!(grid.slice_of(0), Some(Slice { start: 0, end: 10 }));
        let moved = Grid { step_ms: 10, offset_ms: -3 };
        assert_eq!(moved.slice_of(-4), Some(Slice { start: -13, end: -3 }));
        assert_eq!(grid.slice_of(i64::MAX), None);
    }

    #[test]
    fn scattered_rows_are_put_side_by_side_in_order() {
        let grid = Grid { step_ms: 10, offset_ms: 0 };
        let mut zone = Zone::new(None).expect("no zone");
        let runs = runs_of_times(grid, &mut zone, &[1, 11, 2, 12, 3, 13]).expect("runs");
        let (runs, order) = gather(runs);
        assert_eq!(order.expect("rows moved").values().as_ref(), [0, 2, 4, 1, 3, 5]);
        assert_eq!(
            runs.iter().map(|run| (run.slice.end, run.rows.clone())).collect::<Vec<_>>(),
            [(10, 0..3), (20, 3..6)]
        );
    }
}
