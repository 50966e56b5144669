//! Snapshots of the window aggregation operator.
//!
//! Tables: `groups` with the groups of open slices, the bucket being the slice's end in local time; `cycles` with what
//! cumulating windows have merged, by the end of the cycle; `sessions`; and one table for each distinct set of these.
//! Tables of slices and cycles are handed over at the barrier, which shares what it does not copy; they are gathered on another
//! thread. Of slices and cycles only what has changed is handed over, if that is asked for; sessions are always handed over as a
//! whole. The watermark goes along, so that rows that were late before a failure are late after it.
//!
//! A barrier can pass while windows that the watermark has passed are being given out. Of tumbling windows and sessions the
//! snapshot has what is not out yet; of windows that share slices it has `behind`, the keys for which some are not. What is handed
//! over then is handed over as a whole: groups that are out must not come back from an earlier checkpoint, and each key of
//! the state has to be looked at.
//!
//! A restore can get a group several times, as it was at one barrier after another. The last one counts.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use arrow::error::ArrowError;
use eddyline_operators::{Error, Result};
use eddyline_state::{
    Bucket, Frozen, NO_BUCKET, Snapshot, SnapshotRequest, StateTable, TableRows, column_types, fixed,
};
use eddyline_stream::Watermark;

use super::{Cut, WindowAggregateOperator, Windows};
use crate::argument::Argument;
use crate::behind::{BEHIND, Behind};
use crate::frozen_groups::{Columns, FrozenGroups};
use crate::groups::{Groups, Input, Rows, key_error};
use crate::layout::Layout;
use crate::session::state::{DISTINCT, SESSIONS};
use crate::shape::{LOCAL_TIME, Shape};
use crate::slice::{Slice, runs_of_windows};

/// The tables that groups are written to: theirs, and what the names of those of their distinct sets begin with.
type TableNames = (&'static str, &'static str);

const SLICES: TableNames = ("groups", DISTINCT);
const CYCLES: TableNames = ("cycles", "cycle_distinct_");
const WATERMARK: &str = "watermark";

impl WindowAggregateOperator {
    /// Freezes the tables of open slices. Sessions are gathered at once.
    pub(super) fn freeze(&mut self, request: SnapshotRequest) -> Result<Frozen> {
        let (shape, layout) = (Arc::clone(&self.shape), Arc::clone(&self.layout));
        let union = vec![(WATERMARK.to_owned(), self.watermark.time_ms().to_le_bytes().to_vec())];
        let whole = SnapshotRequest { since: None, ..request };
        let mut half_given = None;
        let mut frozen = Vec::new();
        let mut push = |names: TableNames, slice: Slice, groups: &mut Groups, request: SnapshotRequest| {
            frozen.push((names, slice, groups.hand_over(&layout, request, slice.end)));
        };
        match &mut self.windows {
            Windows::Tumble(tumble) => {
                let given = tumble.given();
                for (slice, groups) in &mut tumble.tables.slices {
                    let is_due = self.zone.is_fired(slice.end, self.watermark);
                    push(SLICES, *slice, groups, if is_due { whole } else { request });
                }
                if let Some((_, _, groups)) = frozen.first_mut() {
                    groups.leave_out(given);
                }
            }
            Windows::Hop(hop) => {
                half_given = hop.freeze_shown();
                let request = if half_given.is_some() { whole } else { request };
                hop.tables.slices.iter_mut().for_each(|(slice, groups)| push(SLICES, *slice, groups, request));
            }
            Windows::Cumulate(cumulate) => {
                half_given = cumulate.freeze_shown();
                let request = if half_given.is_some() { whole } else { request };
                cumulate.tables.slices.iter_mut().for_each(|(slice, groups)| push(SLICES, *slice, groups, request));
                for (end, groups) in &mut cumulate.cycles {
                    push(CYCLES, Slice { start: *end, end: *end }, groups, request);
                }
            }
            Windows::Session(sessions) => {
                let mut keyed = Vec::new();
                sessions.snapshot(&self.layout, &self.shape, &mut keyed)?;
                return Ok(Snapshot::of_all_rows(keyed, union).into());
            }
        }
        Ok(Frozen::new(move || {
            let (mut keyed, mut buckets) = (Vec::new(), Vec::new());
            if let Some(half_given) = half_given {
                let groups = frozen.iter().map(|(_, _, groups)| &groups.rows.shared);
                let (columns, key_hashes) = half_given.behind(&layout, &shape.key_types, groups)?.rows()?;
                let (table, bucket) = (BEHIND.to_owned(), NO_BUCKET);
                buckets.push(Bucket { table: table.clone(), bucket, rows: key_hashes.len() as u64 });
                let rows = RecordBatch::try_new(shape.behind(), columns)?;
                keyed.push(TableRows { table, bucket, is_whole: true, key_hashes, rows });
            }
            // Slices of one end share a bucket, which is handed over as a whole or not.
            let of_bucket = |(names, slice, _): &(TableNames, Slice, FrozenGroups)| (names.0, slice.end);
            for of_bucket in frozen.chunk_by(|one, next| of_bucket(one) == of_bucket(next)) {
                let is_whole = of_bucket.iter().all(|(_, _, groups)| groups.rows.is_whole);
                for (names, slice, groups) in of_bucket {
                    write(&shape, &layout, *names, (*slice, groups), is_whole, &mut keyed)?;
                }
                buckets.extend(buckets_of(of_bucket));
            }
            Ok(Snapshot { keyed, buckets, union })
        }))
    }

    pub(super) fn restore_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        let mut watermark: Option<Watermark> = None;
        for value in snapshot.union_values(WATERMARK) {
            let bytes = <[u8; 8]>::try_from(value).map_err(|_| Error::Restore {
                table: WATERMARK.to_owned(),
                reason: format!("{} bytes instead of 8", value.len()),
            })?;
            let stored = Watermark::new(i64::from_le_bytes(bytes));
            watermark = Some(watermark.map_or(stored, |known| known.min(stored)));
        }
        self.watermark = watermark.unwrap_or(Watermark::MIN);
        let tables = self.tables_of_state(&[]);
        for rows in &snapshot.keyed {
            check(&tables, rows)?;
        }
        // Values of distinct sets belong to groups, which come first.
        let is_distinct = |rows: &&TableRows| rows.table.contains("distinct");
        let (behind, groups): (Vec<_>, Vec<_>) =
            snapshot.keyed.iter().filter(|rows| !is_distinct(rows)).partition(|rows| rows.table == BEHIND);
        groups.into_iter().try_for_each(|rows| self.read(rows, None))?;
        for rows in snapshot.keyed.iter().filter(is_distinct) {
            let number = rows.table.rsplit_once('_').and_then(|(_, number)| number.parse().ok());
            let set = number.filter(|set| *set < self.layout.distinct.len()).ok_or_else(|| Error::Restore {
                table: rows.table.clone(),
                reason: "this operator has no such table".to_owned(),
            })?;
            self.read(rows, Some(set))?;
        }
        let mut keys_behind = Behind::new(&self.shape.key_types).map_err(|error| key_error(&error))?;
        for rows in behind {
            keys_behind.restore(rows.rows.columns(), &rows.key_hashes)?;
        }
        match &mut self.windows {
            Windows::Hop(hop) => hop.resume(&self.layout, &mut self.zone, self.watermark, keys_behind),
            Windows::Cumulate(cumulate) => {
                cumulate.resume(&mut self.zone, self.watermark, keys_behind);
                Ok(())
            }
            Windows::Tumble(_) | Windows::Session(_) => Ok(()),
        }
    }

    /// Reads rows of groups, or of the distinct set `set`.
    fn read(&mut self, rows: &TableRows, set: Option<usize>) -> Result<()> {
        let keys = self.shape.keys.len();
        let columns = rows.rows.columns();
        let num_rows = rows.rows.num_rows();
        let start = keys + usize::from(self.shape.is_attached);
        let values = if matches!(self.windows, Windows::Session(_)) { keys + 2 } else { start };
        let input = Input::Partial(columns.get(values..).unwrap_or_default());
        let added = Rows::new(&columns[..keys], Some(&rows.key_hashes), num_rows, input)?;
        let (layout, scratch) = (&self.layout, &mut self.scratch);
        let mut add = |groups: &mut Groups, range: std::ops::Range<usize>| match set {
            None => groups.restore(layout, &added, range, scratch),
            Some(set) => {
                let column = columns[start].slice(range.start, range.len());
                groups.restore_distinct(set, &added, range, &Argument::of_distinct(column.as_ref(), None));
            }
        };
        let slice = match self.cut {
            Cut::Grid { grid, .. } => Slice { start: rows.bucket.saturating_sub(grid.step_ms), end: rows.bucket },
            _ => Slice { start: rows.bucket, end: rows.bucket },
        };
        match &mut self.windows {
            Windows::Session(sessions) => match set {
                None => sessions.restore(layout, &added, &columns[keys..])?,
                Some(set) => sessions.restore_distinct(set, &added, &columns[keys..])?,
            },
            Windows::Cumulate(cumulate) if rows.table.starts_with("cycle") => {
                add(cumulate.cycle(rows.bucket), 0..num_rows)
            }
            Windows::Cumulate(cumulate) => add(cumulate.tables.open(slice), 0..num_rows),
            Windows::Hop(hop) => add(hop.tables.open(slice), 0..num_rows),
            Windows::Tumble(tumble) if self.shape.is_attached => {
                let starts = columns[keys].as_primitive::<TimestampMillisecondType>().values();
                for run in runs_of_windows(starts, &vec![rows.bucket; num_rows]) {
                    add(tumble.tables.open(run.slice), run.rows);
                }
            }
            Windows::Tumble(tumble) => add(tumble.tables.open(slice), 0..num_rows),
        }
        Ok(())
    }

    /// The tables; `inputs` spell the columns of the input.
    pub(super) fn tables_of_state(&self, inputs: &[String]) -> Vec<StateTable> {
        let (layout, shape) = (&self.layout, &self.shape);
        let identity = if layout.has_ordered_sets() { 0 } else { shape.identity() };
        let of_groups = |(name, distinct): TableNames| {
            let groups = StateTable::new(name, shape.state(layout))
                .holding(shape.contents(inputs, layout.contents(inputs)))
                .identified_by(identity);
            let sets = layout.distinct.iter().enumerate().map(move |(index, set)| {
                let contents = shape.contents(inputs, vec![set.content(inputs)]);
                StateTable::new(format!("{distinct}{index}"), shape.distinct_state(&set.data_type))
                    .holding(contents)
                    .identified_by(if layout.has_ordered_sets() { 0 } else { identity + 1 })
            });
            std::iter::once(groups).chain(sets)
        };
        let behind = || {
            let contents = shape.key_contents(inputs).chain(["next_window_end".to_owned()]).collect();
            StateTable::new(BEHIND, shape.behind()).holding(contents)
        };
        match &self.windows {
            Windows::Tumble(_) => of_groups(SLICES).collect(),
            Windows::Hop(_) => of_groups(SLICES).chain([behind()]).collect(),
            Windows::Cumulate(_) => of_groups(SLICES).chain(of_groups(CYCLES)).chain([behind()]).collect(),
            Windows::Session(_) => {
                let schema = shape.session_state(true, layout.fields());
                let contents = shape.session_contents(inputs, true, layout.contents(inputs));
                let sets = layout.distinct.iter().enumerate().map(|(index, set)| {
                    let value = arrow::datatypes::Field::new("value", set.data_type.clone(), true);
                    let contents = shape.session_contents(inputs, false, vec![set.content(inputs)]);
                    StateTable::new(format!("{DISTINCT}{index}"), shape.session_state(false, vec![value]))
                        .holding(contents)
                });
                std::iter::once(StateTable::new(SESSIONS, schema).holding(contents)).chain(sets).collect()
            }
        }
    }
}

/// Gathers what a checkpoint gets of a slice: its groups, and the values of their distinct sets.
fn write(
    shape: &Shape,
    layout: &Layout,
    (table, distinct): TableNames,
    (slice, groups): (Slice, &FrozenGroups),
    is_whole: bool,
    into: &mut Vec<TableRows>,
) -> std::result::Result<(), ArrowError> {
    let mut push = |table: &str, schema: &SchemaRef, rows: Columns| {
        let (table, count) = (table.to_owned(), rows.hashes.len());
        let mut columns = rows.keys;
        if shape.is_attached {
            columns.push(fixed::column(vec![slice.start; count], None, &LOCAL_TIME));
        }
        columns.extend(rows.values);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
        into.push(TableRows { table, bucket: slice.end, is_whole, key_hashes: rows.hashes, rows: batch });
        Ok::<_, ArrowError>(())
    };
    let schema = shape.state(layout);
    groups.gather(layout, |rows| push(table, &schema, rows))?;
    for (index, set) in layout.distinct.iter().enumerate() {
        let (table, schema) = (format!("{distinct}{index}"), shape.distinct_state(&set.data_type));
        groups.gather_distinct(index, &set.data_type, |rows| push(&table, &schema, rows))?;
    }
    Ok(())
}

/// The buckets of slices that end together.
fn buckets_of(slices: &[(TableNames, Slice, FrozenGroups)]) -> Vec<Bucket> {
    let Some((names, slice, first)) = slices.first() else { return Vec::new() };
    let bucket = |table: String, rows: usize| Bucket { table, bucket: slice.end, rows: rows as u64 };
    let groups = slices.iter().map(|(_, _, groups)| groups.len()).sum();
    let sets = (0..first.distinct.len()).map(|index| {
        let values = slices.iter().map(|(_, _, groups)| groups.distinct_len(index)).sum();
        bucket(format!("{}{index}", names.1), values)
    });
    std::iter::once(bucket(names.0.to_owned(), groups)).chain(sets).filter(|bucket| bucket.rows > 0).collect()
}

/// Refuses rows that this operator has not written.
fn check(tables: &[StateTable], rows: &TableRows) -> Result<()> {
    let refuse = |reason| Err(Error::Restore { table: rows.table.clone(), reason });
    let Some(table) = tables.iter().find(|table| table.name == rows.table) else {
        return refuse("this operator has no such table".to_owned());
    };
    let (found, expected) = (column_types(rows.rows.schema_ref()), column_types(&table.schema));
    if found != expected {
        return refuse(format!("its columns have the types {found:?}, expected are {expected:?}"));
    }
    if rows.key_hashes.len() != rows.rows.num_rows() {
        return refuse(format!("{} key hashes for {} rows", rows.key_hashes.len(), rows.rows.num_rows()));
    }
    let keys_and_times = table.schema.fields().iter().zip(rows.rows.columns());
    for (field, column) in keys_and_times.filter(|(field, _)| !field.is_nullable()) {
        if column.null_count() > 0 {
            return refuse(format!("column {} has NULLs", field.name()));
        }
    }
    Ok(())
}
