//! Snapshots of the window aggregation operator.
//!
//! Tables: `groups` has the groups of open slices. Its bucket is the slice's end in local time. `cycles` has the cycles
//! of cumulating windows, by the end of the cycle. `sessions` has open sessions. Each distinct set of these has one
//! more table. The tables of slices and cycles are frozen at the barrier, which only shares them, and gathered on
//! another thread. The watermark is stored too, so that rows that were late before a failure are late after it.
//!
//! A barrier can pass while windows are being emitted that the watermark has passed. For tumbling windows and sessions
//! the snapshot has only what is not emitted. For windows that share slices it has `behind`, the keys with windows that
//! are not emitted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter;
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use arrow::error::ArrowError;
use eddyline_operators::{Error, Result};
use eddyline_state::{Frozen, NO_BUCKET, Snapshot, StateTable, TableRows, column_types, fixed};
use eddyline_stream::Watermark;

use super::{Cut, WindowAggregateOperator, Windows};
use crate::argument::Argument;
use crate::behind::{BEHIND, Behind};
use crate::groups::{FrozenGroups, Groups, Input, Rows, key_error};
use crate::layout::Layout;
use crate::session::state::{DISTINCT, SESSIONS};
use crate::shape::{LOCAL_TIME, Shape};
use crate::slice::{Slice, runs_of_windows};
use crate::slice_tables::SliceTables;

/// The names of the tables of groups: their own table, and the prefix of the tables of their distinct sets.
type TableNames = (&'static str, &'static str);

const SLICES: TableNames = ("groups", DISTINCT);
const CYCLES: TableNames = ("cycles", "cycle_distinct_");
const WATERMARK: &str = "watermark";

/// The most rows of a batch in a snapshot.
const ROWS_MAX: usize = 65_536;

impl WindowAggregateOperator {
    /// Freezes the tables of open slices. Sessions are gathered at once.
    pub(super) fn freeze(&self) -> Result<Frozen> {
        let mut keyed = Vec::new();
        let mut frozen = Vec::new();
        let mut half_given = None;
        let mut push_slices = |tables: &SliceTables| {
            frozen.extend(tables.slices.iter().map(|(slice, groups)| (SLICES, *slice, groups.freeze(), 0)));
        };
        match &self.windows {
            Windows::Tumble(tumble) => {
                frozen.extend(tumble.open().map(|(slice, groups, given)| (SLICES, *slice, groups.freeze(), given)));
            }
            Windows::Hop(hop) => {
                push_slices(&hop.tables);
                half_given = hop.freeze_shown();
            }
            Windows::Cumulate(cumulate) => {
                push_slices(&cumulate.tables);
                let cycle =
                    |(end, groups): (&i64, &Groups)| (CYCLES, Slice { start: *end, end: *end }, groups.freeze(), 0);
                frozen.extend(cumulate.cycles.iter().map(cycle));
                half_given = cumulate.freeze_shown();
            }
            Windows::Session(sessions) => sessions.snapshot(&self.layout, &self.shape, &mut keyed)?,
        }
        let (shape, layout) = (Arc::clone(&self.shape), Arc::clone(&self.layout));
        let union = vec![(WATERMARK.to_owned(), self.watermark.time_ms().to_le_bytes().to_vec())];
        Ok(Frozen::new(move || {
            if let Some(half_given) = half_given {
                let groups = frozen.iter().map(|(_, _, groups, _)| groups);
                let (columns, key_hashes) = half_given.behind(&layout, &shape.key_types, groups)?.rows()?;
                let rows = RecordBatch::try_new(shape.behind(), columns)?;
                keyed.push(TableRows { table: BEHIND.to_owned(), bucket: NO_BUCKET, is_whole: true, key_hashes, rows });
            }
            for (names, slice, groups, given) in frozen {
                write(&shape, &layout, names, (slice, &groups, given), &mut keyed)?;
            }
            Ok(Snapshot::of_all_rows(keyed, union))
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
        // Groups are restored before the values of their distinct sets.
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
            None => groups.add(layout, &added, range, scratch),
            Some(set) => {
                let mut of = Vec::with_capacity(range.len());
                groups.find_or_insert(&added, range.clone(), &mut of);
                let column = columns[start].slice(range.start, range.len());
                groups.restore_distinct(set, &of, &Argument::of_distinct(column.as_ref(), None));
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

    /// The state tables. `inputs` describes the columns of the input.
    pub(super) fn tables_of_state(&self, inputs: &[String]) -> Vec<StateTable> {
        let (layout, shape) = (&self.layout, &self.shape);
        let of_groups = |(name, distinct): TableNames| {
            let groups =
                StateTable::new(name, shape.state(layout)).holding(shape.contents(inputs, layout.contents(inputs)));
            let sets = layout.distinct.iter().enumerate().map(move |(index, set)| {
                let contents = shape.contents(inputs, vec![set.content(inputs)]);
                StateTable::new(format!("{distinct}{index}"), shape.distinct_state(&set.data_type)).holding(contents)
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

/// Gathers the groups of a slice from a given number on, and the values of their distinct sets.
fn write(
    shape: &Shape,
    layout: &Layout,
    (table, distinct): TableNames,
    (slice, groups, first): (Slice, &FrozenGroups, u32),
    into: &mut Vec<TableRows>,
) -> std::result::Result<(), ArrowError> {
    let mut push = |table: &str, schema: SchemaRef, of: &[u32], values: Vec<ArrayRef>| {
        let mut columns = groups.packed.key_columns(of)?;
        if shape.is_attached {
            columns.push(fixed::column(vec![slice.start; of.len()], None, &LOCAL_TIME));
        }
        columns.extend(values);
        let options = RecordBatchOptions::new().with_row_count(Some(of.len()));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let hashes = groups.packed.hashes();
        let key_hashes = of.iter().map(|group| hashes[*group as usize]).collect();
        into.push(TableRows { table: table.to_owned(), bucket: slice.end, is_whole: true, key_hashes, rows });
        Ok::<_, ArrowError>(())
    };
    let schema = shape.state(layout);
    let all: Vec<u32> = (first..groups.packed.len() as u32).collect();
    for of in all.chunks(ROWS_MAX) {
        push(table, schema.clone(), of, layout.columns(groups.view(), of)?)?;
    }
    for (index, set) in layout.distinct.iter().enumerate() {
        let (mut of, mut values) = groups.sides.distinct[index].all(&set.data_type)?;
        if first > 0 {
            let is_left: BooleanArray = of.iter().map(|group| Some(*group >= first)).collect();
            values = filter(&values, &is_left)?;
            of.retain(|group| *group >= first);
        }
        for (block, of) in of.chunks(ROWS_MAX).enumerate() {
            let values = values.slice(block * ROWS_MAX, of.len());
            push(&format!("{distinct}{index}"), shape.distinct_state(&set.data_type), of, vec![values])?;
        }
    }
    Ok(())
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
