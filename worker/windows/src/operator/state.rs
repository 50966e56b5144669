//! Snapshots of the window aggregation operator.
//!
//! Tables: `groups` has the groups of open slices. Its bucket is the slice's end in local time. `cycles` has the cycles
//! of cumulating windows, by the end of the cycle. `sessions` has open sessions. Each distinct set of these has one
//! more table. `spilled` and `spilled_cycles` have runs of groups on disk: its bucket is the number of the run. The tables of slices and cycles hand over what has changed, or everything. That is gathered on another
//! thread. The bucket of a session is its home: see [`crate::session`]. The watermark is stored too, so that rows that were late before a failure are
//! late after it.
//!
//! A barrier can pass while windows are being emitted that the watermark has passed. For tumbling windows and sessions
//! the snapshot has only what is not emitted. For windows that share slices it has `behind`, the keys with windows that
//! are not emitted. Such a snapshot has everything: groups that are emitted must not come back from an earlier
//! checkpoint, and `behind` needs every key.
//!
//! A run never changes, so it is handed over as a whole or not at all. Its rows say to which slice they belong, and are merged with
//! the others of their key when they are restored.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use eddyline_operators::Result;
use eddyline_state::{Bucket, Frozen, Inventory, NO_BUCKET, RowSink, SnapshotRequest, StateTable, TableRows, fixed};

use super::{WindowAggregateOperator, Windows};
use crate::behind::BEHIND;
use crate::frozen_groups::{Columns, FrozenGroups};
use crate::layout::{Distinct, Layout};
use crate::session::state::state_tables as session_tables;
use crate::shape::{LOCAL_TIME, Shape};
use crate::slice::Slice;
use crate::spilled::frozen::FrozenRun;

/// The names of the tables of groups: their own table, and the prefix of the tables of their distinct sets.
pub(super) type TableNames = (&'static str, &'static str);

pub(super) const SLICES: TableNames = ("groups", "distinct_");
pub(super) const CYCLES: TableNames = ("cycles", "cycle_distinct_");
pub(super) const SPILLED: TableNames = ("spilled", "spilled_distinct_");
pub(super) const SPILLED_CYCLES: TableNames = ("spilled_cycles", "spilled_cycle_distinct_");
pub(super) const WATERMARK: &str = "watermark";

/// The most rows of a batch of a run.
const ROWS_MAX: usize = 65_536;

impl WindowAggregateOperator {
    /// Freezes the tables of open slices or of sessions.
    pub(super) fn freeze(&mut self, request: SnapshotRequest) -> Result<Frozen> {
        let (shape, layout) = (Arc::clone(&self.shape), Arc::clone(&self.layout));
        let union = vec![(WATERMARK.to_owned(), self.watermark.time_ms().to_le_bytes().to_vec())];
        let whole = SnapshotRequest { since: None, ..request };
        let mut half_given = None;
        let mut frozen: Vec<FrozenSlice> = Vec::new();
        let mut runs: Vec<(TableNames, FrozenRun)> = Vec::new();
        match &mut self.windows {
            Windows::Tumble(tumble) => {
                tumble.settle()?;
                let mut emitted = None;
                if let Some((window, in_ranges)) = tumble.in_ranges() {
                    emitted = Some((window, in_ranges.next()));
                    let (merged, given) = in_ranges.merged();
                    let mut groups = merged.hand_over(&layout, whole, window.end);
                    groups.leave_out(given);
                    frozen.push((SLICES, window, groups));
                }
                let given = tumble.given();
                let kept = tumble.tables.first().filter(|_| given > 0);
                let request_of = |slice: Slice| match self.zone.is_fired(slice.end, self.watermark) {
                    true => whole,
                    false => request,
                };
                for (slice, mut groups) in tumble.tables.hand_over(request_of, kept)? {
                    groups.leave_out(if kept == Some(slice) { given } else { 0 });
                    frozen.push((SLICES, slice, groups));
                }
                let from = |slice| match emitted {
                    Some((window, next)) if window == slice => next,
                    _ => Some(0),
                };
                runs.extend(tumble.tables.spilled.freeze(request, from).into_iter().map(|run| (SPILLED, run)));
            }
            Windows::Hop(hop) => {
                half_given = hop.freeze_shown();
                let request = if half_given.is_some() { whole } else { request };
                let handed = hop.tables.hand_over(|_| request, None)?;
                frozen.extend(handed.into_iter().map(|(slice, groups)| (SLICES, slice, groups)));
                runs.extend(hop.tables.spilled.freeze(request, |_| Some(0)).into_iter().map(|run| (SPILLED, run)));
            }
            Windows::Cumulate(cumulate) => {
                half_given = cumulate.freeze_shown();
                let request = if half_given.is_some() { whole } else { request };
                let kept = cumulate.shown_in_memory();
                for (names, of_runs, tables, kept) in [
                    (SLICES, SPILLED, &mut cumulate.tables, None),
                    (CYCLES, SPILLED_CYCLES, &mut cumulate.cycles, kept),
                ] {
                    let handed = tables.hand_over(|_| request, kept)?;
                    frozen.extend(handed.into_iter().map(|(slice, groups)| (names, slice, groups)));
                    runs.extend(tables.spilled.freeze(request, |_| Some(0)).into_iter().map(|run| (of_runs, run)));
                }
            }
            Windows::Session(sessions) => return Ok(sessions.freeze((layout, shape), request, union)),
        }
        Ok(Frozen::in_pieces(move |into| {
            let mut buckets = Vec::new();
            if let Some(half_given) = half_given {
                let groups = frozen.iter().map(|(_, _, groups)| &*groups.handover.packed);
                let (columns, key_hashes) = half_given.behind(&layout, &shape.key_types, groups)?.rows()?;
                let (table, bucket) = (BEHIND.to_owned(), NO_BUCKET);
                buckets.push(Bucket { table: table.clone(), bucket, rows: key_hashes.len() as u64 });
                let rows = RecordBatch::try_new(shape.behind(), columns)?;
                into(TableRows { table, bucket, is_whole: true, key_hashes, rows })?;
            }
            // Slices of one end share a bucket, which is handed over as a whole or not.
            let of_bucket = |(names, slice, _): &FrozenSlice| (names.0, slice.end);
            for of_bucket in frozen.chunk_by(|one, next| of_bucket(one) == of_bucket(next)) {
                write(&shape, &layout, of_bucket, into)?;
                buckets.extend(buckets_of(of_bucket));
            }
            for (names, run) in &runs {
                buckets.extend(write_run(&shape, &layout, *names, run, into)?);
            }
            Ok(Inventory { buckets, union })
        }))
    }

    /// The state tables. `inputs` describes the columns of the input.
    pub(super) fn tables_of_state(&self, inputs: &[String]) -> Vec<StateTable> {
        let (layout, shape) = (&self.layout, &self.shape);
        let identity = if layout.has_ordered_sets() { 0 } else { shape.identity() };
        let of_runs = |(name, distinct): TableNames| {
            let groups = StateTable::new(name, shape.spilled_state(layout.fields()))
                .holding(shape.spilled_contents(inputs, layout.contents(inputs)));
            let sets = layout.distinct.iter().enumerate().map(move |(index, set)| {
                StateTable::new(format!("{distinct}{index}"), shape.spilled_state(vec![value_field(set)]))
                    .holding(shape.spilled_contents(inputs, vec![set.content(inputs)]))
            });
            std::iter::once(groups).chain(sets)
        };
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
            Windows::Tumble(_) => of_groups(SLICES).chain(of_runs(SPILLED)).collect(),
            Windows::Hop(_) => of_groups(SLICES).chain(of_runs(SPILLED)).chain([behind()]).collect(),
            Windows::Cumulate(_) => {
                let in_memory = of_groups(SLICES).chain(of_groups(CYCLES));
                in_memory.chain(of_runs(SPILLED)).chain(of_runs(SPILLED_CYCLES)).chain([behind()]).collect()
            }
            Windows::Session(_) => session_tables(shape, layout, inputs),
        }
    }
}

/// A slice with what a checkpoint stores of it.
type FrozenSlice = (TableNames, Slice, FrozenGroups);

/// Gathers slices that end together: their groups, and the values of their distinct sets.
fn write(
    shape: &Shape,
    layout: &Layout,
    slices: &[FrozenSlice],
    into: RowSink<'_>,
) -> std::result::Result<(), ArrowError> {
    let mut push = |table: &str, schema: &SchemaRef, slice: Slice, is_whole: bool, rows: Columns| {
        let (table, count) = (table.to_owned(), rows.hashes.len());
        let mut columns = rows.keys;
        if shape.is_attached {
            columns.push(fixed::column(vec![slice.start; count], None, &LOCAL_TIME));
        }
        columns.extend(rows.values);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
        into(TableRows { table, bucket: slice.end, is_whole, key_hashes: rows.hashes, rows: batch })
    };
    let schema = shape.state(layout);
    let is_whole = slices.iter().all(|(_, _, groups)| groups.is_whole());
    for ((table, _), slice, groups) in slices {
        groups.gather(layout, |rows| push(table, &schema, *slice, is_whole, rows))?;
    }
    for (index, set) in layout.distinct.iter().enumerate() {
        let schema = shape.distinct_state(&set.data_type);
        let is_whole = slices.iter().all(|(_, _, groups)| groups.distinct[index].is_whole());
        for ((_, distinct), slice, groups) in slices {
            let table = format!("{distinct}{index}");
            groups.gather_distinct(index, &set.data_type, |rows| push(&table, &schema, *slice, is_whole, rows))?;
        }
    }
    Ok(())
}

/// The column of a distinct set's values.
fn value_field(set: &Distinct) -> Field {
    Field::new("value", set.data_type.clone(), true)
}

/// Lists the buckets of a run, and gathers its rows if they are handed over: groups, and the values of their distinct sets.
fn write_run(
    shape: &Shape,
    layout: &Layout,
    names: TableNames,
    frozen: &FrozenRun,
    into: RowSink<'_>,
) -> std::result::Result<Vec<Bucket>, ArrowError> {
    let (run, slice) = (&frozen.run, frozen.slice);
    let table_of = |set: Option<usize>| set.map_or(names.0.to_owned(), |set| format!("{}{set}", names.1));
    let tables = std::iter::once(None).chain((0..layout.distinct.len()).map(Some));
    let bucket = |(set, rows)| Bucket { table: table_of(set), bucket: run.number, rows };
    if !frozen.is_handed_over {
        let listed = tables.map(|set| bucket((set, set.map_or(run.run.rows(), |set| run.values[set]))));
        return Ok(listed.filter(|bucket| bucket.rows > 0).collect());
    }
    let mut pieces: Vec<Pieces> = Vec::new();
    for set in tables.clone() {
        let values = set.map_or(layout.fields(), |set| vec![value_field(&layout.distinct[set])]);
        let schema = shape.spilled_state(values);
        pieces.push(Pieces {
            table: table_of(set),
            bucket: run.number,
            schema,
            waiting: Vec::new(),
            key_hashes: Vec::new(),
        });
    }
    let mut rows = vec![0; pieces.len()];
    frozen.gather(layout, |set, columns| {
        let (of, count) = (set.map_or(0, |set| set + 1), columns.hashes.len());
        rows[of] += count as u64;
        let mut all = columns.keys;
        if shape.is_attached {
            all.push(fixed::column(vec![slice.start; count], None, &LOCAL_TIME));
        }
        all.push(fixed::column(vec![slice.end; count], None, &LOCAL_TIME));
        all.push(fixed::column(vec![run.age; count], None, &DataType::Int64));
        all.extend(columns.values);
        pieces[of].push(all, columns.hashes, into)
    })?;
    pieces.iter_mut().try_for_each(|piece| piece.flush(into))?;
    Ok(tables.zip(rows).map(bucket).filter(|bucket| bucket.rows > 0).collect())
}

/// Rows of a bucket that are put together to pieces of at most [`ROWS_MAX`].
struct Pieces {
    table: String,
    bucket: i64,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    key_hashes: Vec<u64>,
}

impl Pieces {
    fn push(
        &mut self,
        columns: Vec<ArrayRef>,
        hashes: Vec<u64>,
        into: RowSink<'_>,
    ) -> std::result::Result<(), ArrowError> {
        if self.key_hashes.len() + hashes.len() > ROWS_MAX {
            self.flush(into)?;
        }
        self.waiting.push(RecordBatch::try_new(self.schema.clone(), columns)?);
        self.key_hashes.extend(hashes);
        Ok(())
    }

    fn flush(&mut self, into: RowSink<'_>) -> std::result::Result<(), ArrowError> {
        if self.key_hashes.is_empty() {
            return Ok(());
        }
        let rows = concat_batches(&self.schema, &std::mem::take(&mut self.waiting))?;
        let (table, key_hashes) = (self.table.clone(), std::mem::take(&mut self.key_hashes));
        into(TableRows { table, bucket: self.bucket, is_whole: true, key_hashes, rows })
    }
}

/// The buckets of slices that end together.
fn buckets_of(slices: &[FrozenSlice]) -> Vec<Bucket> {
    let Some((names, slice, first)) = slices.first() else { return Vec::new() };
    let bucket = |table: String, rows: usize| Bucket { table, bucket: slice.end, rows: rows as u64 };
    let groups = slices.iter().map(|(_, _, groups)| groups.len()).sum();
    let sets = (0..first.distinct.len()).map(|index| {
        let values = slices.iter().map(|(_, _, groups)| groups.distinct[index].len(groups.left_out)).sum();
        bucket(format!("{}{index}", names.1), values)
    });
    std::iter::once(bucket(names.0.to_owned(), groups)).chain(sets).filter(|bucket| bucket.rows > 0).collect()
}
