//! The state of an OVER in snapshots.
//!
//! - `pending`: the waiting rows, with their order of arrival. Rows that the watermark has released and that were not
//!   emitted before the barrier are in a bucket of their own, which every checkpoint gets, and their order of arrival is
//!   negative.
//! - `retained`: the rows that bounded frames can still reach, with the columns that aggregates need.
//! - `pending_removed` and `retained_removed`: which rows of these are gone
//!   ([`handover`](eddyline_state::row_log::handover)).
//! - `accumulators`: for each key the times of [`Lateness`](super::lateness::Lateness) and, for frames without a lower
//!   bound, the totals. A key whose state was dropped is there without times.
//!
//! The totals of bounded frames are not stored: a restore computes them from the retained rows.
//!
//! A restore can come in several parts, with the rows of other keys in each. The watermark is the smallest of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, Int64Builder, ListBuilder, RecordBatch,
    StringArray, UInt32Array, new_null_array,
};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type, Schema, SchemaRef,
    TimestampMillisecondType,
};
use arrow::error::ArrowError;
use eddyline_job_graph::{AggregateCall, AggregateFunction, OverFrame};
use eddyline_state::row_log::RemovedRows;
use eddyline_state::{
    Bucket, Frozen, Inventory, NO_BUCKET, Snapshot, SnapshotRequest, StateTable, TableRows, column_types, input_column,
};
use eddyline_stream::{Watermark, key_hash};

use super::aggregates::exact::Total;
use super::aggregates::moments::Moment;
use super::aggregates::picks::NOT_STORED;
use super::aggregates::{Aggregate, Totals};
use super::frames::Step;
use super::lateness::KeyTimes;
use super::{CHUNK_ROWS, OverOperator, SEQUENCE};
use crate::{Error, Result};

const PENDING: &str = "pending";
const PENDING_REMOVED: &str = "pending_removed";
const RETAINED: &str = "retained";
const RETAINED_REMOVED: &str = "retained_removed";
const ACCUMULATORS: &str = "accumulators";
const WATERMARK: &str = "watermark";

/// The number of time columns after the keys in `accumulators`.
const KEY_TIMES: usize = 3;

/// The columns of a total.
fn total_fields(aggregate: &Aggregate, index: usize, call: &AggregateCall) -> Vec<FieldRef> {
    let named = |part: &str, data_type: DataType| Arc::new(Field::new(format!("${index}_{part}"), data_type, true));
    match &aggregate.totals {
        Totals::Exact(_) => {
            let sum = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);
            vec![named("count", DataType::Int64), named("sum", sum), named("carry", DataType::Int64)]
        }
        Totals::Moments(_) => {
            vec![named("count", DataType::Int64), named("sum", DataType::Float64), named("squares", DataType::Float64)]
        }
        Totals::Texts(_) => vec![named("text", DataType::Utf8)],
        Totals::Picks(_) => vec![named("value", call.argument_type.clone().unwrap_or(DataType::Null))],
    }
}

/// The totals of keys as columns.
fn write_totals(operator: &OverOperator, totals: &Totals, keys: &[u32]) -> Result<Vec<ArrayRef>> {
    Ok(match totals {
        Totals::Exact(exact) => {
            let totals = || keys.iter().map(|key| exact.total(*key));
            let sums = Decimal128Array::from_iter_values(totals().map(|total| total.sum));
            vec![
                Arc::new(Int64Array::from_iter_values(totals().map(|total| total.count))),
                Arc::new(sums.with_precision_and_scale(DECIMAL128_MAX_PRECISION, 0)?),
                Arc::new(Int64Array::from_iter_values(totals().map(|total| total.carry))),
            ]
        }
        Totals::Moments(moments) => {
            let totals = || keys.iter().map(|key| moments.total(*key));
            vec![
                Arc::new(Int64Array::from_iter_values(totals().map(|total| total.count))),
                Arc::new(Float64Array::from_iter_values(totals().map(|total| total.sum_or_mean))),
                Arc::new(Float64Array::from_iter_values(totals().map(|total| total.squares))),
            ]
        }
        Totals::Texts(texts) => vec![Arc::new(StringArray::from_iter(keys.iter().map(|key| texts.total(*key))))],
        Totals::Picks(picks) => vec![picks.values(keys, &operator.kept)?],
    })
}

/// Restores the totals of an aggregate. `rows` are row numbers of the table, with the keys of the rows.
fn read_totals(operator: &mut OverOperator, index: usize, rows: &[(usize, u32)], columns: &[ArrayRef]) -> Result<()> {
    match &mut operator.aggregates[index].totals {
        Totals::Exact(exact) => {
            let (counts, carries) = (columns[0].as_primitive::<Int64Type>(), columns[2].as_primitive::<Int64Type>());
            let sums = columns[1].as_primitive::<Decimal128Type>();
            for (row, key) in rows {
                let (count, carry) = (counts.value(*row), carries.value(*row));
                exact.restore(*key, Total { count, sum: sums.value(*row), carry });
            }
        }
        Totals::Moments(moments) => {
            let counts = columns[0].as_primitive::<Int64Type>();
            let (sums, squares) = (columns[1].as_primitive::<Float64Type>(), columns[2].as_primitive::<Float64Type>());
            for (row, key) in rows {
                let (sum_or_mean, squares) = (sums.value(*row), squares.value(*row));
                moments.restore(*key, Moment { count: counts.value(*row), sum_or_mean, squares });
            }
        }
        Totals::Texts(texts) => {
            let values = columns[0].as_string::<i32>();
            for (row, key) in rows {
                texts.restore(*key, values.is_valid(*row).then(|| values.value(*row)));
            }
        }
        Totals::Picks(picks) => {
            let values = &columns[0];
            let schema = Arc::clone(operator.kept.schema());
            let column = |(i, field): (usize, &FieldRef)| {
                if i == picks.argument() { Arc::clone(values) } else { new_null_array(field.data_type(), values.len()) }
            };
            let kept = schema.fields().iter().enumerate().map(column).collect();
            let appended = operator.kept.append(&RecordBatch::try_new(Arc::clone(&schema), kept)?)?;
            for (row, key) in rows.iter().filter(|(row, _)| values.is_valid(*row)) {
                picks.restore(*key, appended.at(*row), &mut operator.kept);
            }
            (0..values.len()).for_each(|row| operator.kept.release(appended.at(row), || NOT_STORED));
        }
    }
    Ok(())
}

impl OverOperator {
    fn is_bounded(&self) -> bool {
        matches!(self.config.frame, OverFrame::Rows(_) | OverFrame::Range(_))
    }

    fn key_fields(&self) -> Vec<FieldRef> {
        self.config.keys.iter().map(|key| Arc::clone(&self.pending_schema.fields()[*key])).collect()
    }

    fn retained_schema(&self) -> SchemaRef {
        Arc::clone(self.kept.schema())
    }

    fn accumulators_schema(&self) -> SchemaRef {
        let mut fields = self.key_fields();
        let times = DataType::new_list(DataType::Int64, true);
        fields.push(Arc::new(Field::new("$last_fired", DataType::Int64, true)));
        fields.push(Arc::new(Field::new("$cleanup", DataType::Int64, true)));
        fields.push(Arc::new(Field::new("$superseded_cleanups", times, true)));
        if !self.is_bounded() {
            for (index, (aggregate, call)) in self.aggregates.iter().zip(&self.config.aggregates).enumerate() {
                fields.extend(total_fields(aggregate, index, call));
            }
        }
        Arc::new(Schema::new(fields))
    }

    pub(super) fn tables(&self, inputs: &[String]) -> Vec<StateTable> {
        let mut tables = vec![
            StateTable::new(PENDING, Arc::clone(&self.pending_schema)).holding(self.pending_contents(inputs)),
            RemovedRows::table(PENDING_REMOVED, SEQUENCE),
            StateTable::new(ACCUMULATORS, self.accumulators_schema())
                .holding(self.accumulators_contents(inputs))
                .identified_by(self.config.keys.len()),
        ];
        if self.is_bounded() {
            let kept = self.kept_columns.iter();
            let contents = kept.map(|column| self.pending_content(inputs, *column)).collect();
            tables.push(StateTable::new(RETAINED, self.retained_schema()).holding(contents));
            tables.push(RemovedRows::table(RETAINED_REMOVED, SEQUENCE));
        }
        tables
    }

    /// The columns of waiting rows: those of the input, then the order of arrival.
    fn pending_contents(&self, inputs: &[String]) -> Vec<String> {
        (0..self.pending_schema.fields().len()).map(|column| self.pending_content(inputs, column)).collect()
    }

    fn pending_content(&self, inputs: &[String], column: usize) -> String {
        if column + 1 == self.pending_schema.fields().len() {
            SEQUENCE.to_owned()
        } else {
            input_column(inputs, column)
        }
    }

    fn accumulators_contents(&self, inputs: &[String]) -> Vec<String> {
        let mut contents: Vec<String> = self.config.keys.iter().map(|key| input_column(inputs, *key)).collect();
        let schema = self.accumulators_schema();
        let times = contents.len() + KEY_TIMES;
        contents.extend(schema.fields()[contents.len()..times].iter().map(|field| field.name().clone()));
        if !self.is_bounded() {
            for (index, (aggregate, call)) in self.aggregates.iter().zip(&self.config.aggregates).enumerate() {
                let column =
                    |column: Option<usize>| column.map_or("*".to_owned(), |column| input_column(inputs, column));
                let separator = match &call.function {
                    AggregateFunction::ListAgg { separator } => format!(" by {separator:?}"),
                    _ => String::new(),
                };
                let function = format!("{}{separator}", call.function.name());
                let of = format!("{function} of {} if {}", column(call.argument), column(call.filter));
                // Without the index prefix of the field, because the call can be at another index.
                let part = |field: &FieldRef| field.name().split_once('_').map_or("", |(_, part)| part).to_owned();
                let parts = total_fields(aggregate, index, call);
                contents.extend(parts.iter().map(|field| format!("{} of {of}", part(field))));
            }
        }
        contents
    }

    /// Freezes what a checkpoint gets of the waiting and kept rows. Of state that exists once per key, that is copied
    /// immediately.
    pub(super) fn freeze(&mut self, request: SnapshotRequest) -> Result<Frozen> {
        let (released, released_keys, pending) = self.pending.hand_over(self.releasing, request, &self.keys);
        if !released.is_empty() {
            // Keys without rows left to emit may be restored by another subtask, which does not know that a watermark
            // was in progress.
            let releasing = released_keys.iter().copied().collect();
            self.lateness.pass_others(self.watermark.time_ms().saturating_add(1), &releasing);
            self.follow_cleanups();
        }
        let released_hashes: Vec<u64> = released_keys.iter().map(|key| self.keys.hash(*key)).collect();
        let retained = self.is_bounded().then(|| self.kept.hand_over(request));
        let keys = self.keys.hand_over(request);
        let numbers: Vec<u32> = if keys.is_whole { keys.rows().collect() } else { keys.groups.clone() };
        let times_and_totals = self.write_accumulators(&numbers)?;
        let watermark = self.watermark.time_ms().to_le_bytes().to_vec();
        let accumulators_schema = self.accumulators_schema();
        let key_columns = self.config.keys.clone();
        let position = |column: &usize| self.kept_columns.binary_search(column).expect("every column used is kept");
        let retained_key_columns: Vec<usize> = self.config.keys.iter().map(position).collect();
        Ok(Frozen::in_pieces(move |into| {
            let mut inventory = Inventory { buckets: Vec::new(), union: vec![(WATERMARK.to_owned(), watermark)] };
            let mut push = |table: &str, is_whole, count: usize, key_hashes: Vec<u64>, rows: RecordBatch| {
                let (table, bucket) = (table.to_owned(), NO_BUCKET);
                if count > 0 {
                    inventory.buckets.push(Bucket { table: table.clone(), bucket, rows: count as u64 });
                }
                if rows.num_rows() == 0 {
                    return Ok(());
                }
                into(TableRows { table, bucket, is_whole, key_hashes, rows })
            };
            let rows: Vec<u32> = keys.rows().collect();
            let columns = [keys.packed.key_columns(&rows)?, times_and_totals].concat();
            let accumulators = RecordBatch::try_new(accumulators_schema, columns)?;
            let hashes = rows.iter().map(|row| keys.packed.hashes()[*row as usize]).collect();
            push(ACCUMULATORS, keys.is_whole, keys.len, hashes, accumulators)?;
            push(PENDING, true, released.len(), released_hashes, marked(released.gather()?)?)?;
            let hashes = |rows: &RecordBatch| hashes_of(rows, &key_columns);
            pending.gather_into(PENDING, PENDING_REMOVED, hashes, into, &mut inventory)?;
            if let Some(retained) = retained {
                let hashes = |rows: &RecordBatch| hashes_of(rows, &retained_key_columns);
                retained.gather_into(RETAINED, RETAINED_REMOVED, hashes, into, &mut inventory)?;
            }
            Ok(inventory)
        }))
    }

    /// The columns of keys in `accumulators` behind those of the keys.
    fn write_accumulators(&self, keys: &[u32]) -> Result<Vec<ArrayRef>> {
        let times: Vec<KeyTimes> = keys.iter().map(|key| self.lateness.times(*key)).collect();
        let mut superseded = ListBuilder::new(Int64Builder::new());
        keys.iter().for_each(|key| superseded.append_value(self.lateness.superseded(*key).map(Some)));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter(times.iter().map(|times| times.last_fired))),
            Arc::new(Int64Array::from_iter(times.iter().map(|times| times.cleanup))),
            Arc::new(superseded.finish()),
        ];
        if !self.is_bounded() {
            for aggregate in &self.aggregates {
                columns.extend(write_totals(self, &aggregate.totals, keys)?);
            }
        }
        Ok(columns)
    }

    pub(super) fn read_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        if let Some(accumulators) = table(snapshot, ACCUMULATORS, &self.accumulators_schema())? {
            self.read_accumulators(&accumulators)?;
        }
        if self.is_bounded()
            && let Some(retained) = log_table(snapshot, RETAINED, RETAINED_REMOVED, &self.retained_schema())?
        {
            self.read_retained(&retained)?;
        }
        if let Some(pending) = log_table(snapshot, PENDING, PENDING_REMOVED, &self.pending_schema)? {
            self.read_pending(&pending)?;
        }
        // The smallest, because a row that was not late in one of the former subtasks must not be late here.
        let watermarks = snapshot.union_values(WATERMARK).map(|bytes| {
            let bytes = bytes.try_into().map_err(|_| refused(WATERMARK, "a watermark has 8 bytes"))?;
            Ok(Watermark::new(i64::from_le_bytes(bytes)))
        });
        let watermarks = watermarks.collect::<Result<Vec<_>>>()?;
        self.restored = watermarks.into_iter().chain(self.restored).min();
        self.watermark = self.restored.unwrap_or(Watermark::MIN);
        Ok(())
    }

    /// Reads keys with their times and totals. Of several rows of a key the last one counts.
    fn read_accumulators(&mut self, table: &Table) -> Result<()> {
        let mut columns = table.rows.columns().to_vec();
        let mut rest = columns.split_off(self.config.keys.len());
        let keys = self.keys.ids_of(&columns, &table.key_hashes)?;
        let totals = rest.split_off(KEY_TIMES);
        let last: BTreeMap<u32, usize> = keys.into_iter().enumerate().map(|(row, key)| (key, row)).collect();
        let (last_fired, cleanups) = (rest[0].as_primitive::<Int64Type>(), rest[1].as_primitive::<Int64Type>());
        let superseded = rest[2].as_list::<i32>();
        let value = |column: &Int64Array, row: usize| column.is_valid(row).then(|| column.value(row));
        for (key, row) in &last {
            let times = KeyTimes { last_fired: value(last_fired, *row), cleanup: value(cleanups, *row) };
            let superseded = superseded.value(*row);
            let superseded = superseded.as_primitive::<Int64Type>().values();
            self.lateness.restore(*key, times, superseded.iter().copied());
            if matches!(self.config.frame, OverFrame::Range(_)) && times == KeyTimes::default() && superseded.is_empty()
            {
                self.keys.drop_state(*key);
            }
        }
        if self.is_bounded() {
            return Ok(());
        }
        let rows: Vec<(usize, u32)> = last.into_iter().map(|(key, row)| (row, key)).collect();
        let mut totals = totals.as_slice();
        for index in 0..self.aggregates.len() {
            let width = total_fields(&self.aggregates[index], index, &self.config.aggregates[index]).len();
            let (columns, others) = totals.split_at(width);
            read_totals(self, index, &rows, columns)?;
            totals = others;
        }
        Ok(())
    }

    fn read_retained(&mut self, table: &Table) -> Result<()> {
        let position = |column: usize| self.kept_columns.binary_search(&column).expect("every column used is kept");
        let time = position(self.config.time.column);
        let key_columns: Vec<usize> = self.config.keys.iter().map(|key| position(*key)).collect();
        // Rows of the same key and time that arrive later must sort after these.
        let arrivals = table.rows.column(table.rows.num_columns() - 1).as_primitive::<Int64Type>();
        let next = arrivals.values().iter().max().map_or(0, |last| last.saturating_add(1));
        self.sequence = self.sequence.max(next);
        let mut restored = Vec::new();
        for order in in_order(&table.rows, time).chunks(CHUNK_ROWS) {
            let rows = take_record_batch(&table.rows, &UInt32Array::from(order.to_vec()))?;
            let hashes: Vec<u64> = order.iter().map(|row| table.key_hashes[*row as usize]).collect();
            let columns: Vec<ArrayRef> = key_columns.iter().map(|key| Arc::clone(rows.column(*key))).collect();
            let keys = self.keys.ids_of(&columns, &hashes)?;
            let times = rows.column(time).as_primitive::<TimestampMillisecondType>();
            let appended = self.kept.append(&rows)?;
            for (row, key) in keys.iter().enumerate() {
                self.frames.restore(*key, times.value(row), appended.at(row));
            }
            restored.extend(keys);
        }
        restored.sort_unstable();
        restored.dedup();
        let steps: Vec<Step> = restored.into_iter().map(|key| self.frames.restored(key)).collect();
        for aggregate in &mut self.aggregates {
            aggregate.restore(&steps, &self.frames, &mut self.kept);
        }
        Ok(())
    }

    fn read_pending(&mut self, table: &Table) -> Result<()> {
        let order = in_order(&table.rows, self.config.time.column);
        let sequence = table.rows.column(table.rows.num_columns() - 1).as_primitive::<Int64Type>();
        let (released, waiting): (Vec<u32>, Vec<u32>) =
            order.into_iter().partition(|row| sequence.value(*row as usize) < 0);
        let (rows, times) = self.numbered_again(table, released)?;
        self.pending.insert_ripe(&rows, &times)?;
        let (rows, times) = self.numbered_again(table, waiting)?;
        self.pending.insert(&rows, &times)
    }

    /// Waiting rows of a snapshot, with the time and key of each. They get new numbers, because former subtasks may
    /// have used the same numbers. Only the order within a key has a meaning.
    fn numbered_again(&mut self, table: &Table, order: Vec<u32>) -> Result<(RecordBatch, Vec<(i64, u32)>)> {
        let order = UInt32Array::from(order);
        let input = table.rows.num_columns() - 1;
        let columns = table.rows.columns()[..input].iter().map(|column| take(column, &order, None));
        let mut columns = columns.collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        let hashes: Vec<u64> = order.values().iter().map(|row| table.key_hashes[*row as usize]).collect();
        let key_columns: Vec<ArrayRef> = self.config.keys.iter().map(|key| Arc::clone(&columns[*key])).collect();
        let keys = self.keys.ids_of(&key_columns, &hashes)?;
        self.keys.have_state(&keys);
        let end = self.sequence + i64::try_from(hashes.len()).expect("a batch has fewer rows than i64 counts");
        columns.push(Arc::new(Int64Array::from_iter_values(self.sequence..end)));
        self.sequence = end;
        let rows = RecordBatch::try_new(Arc::clone(&self.pending_schema), columns)?;
        let times: Vec<(i64, u32)> = self.times(&rows)?.iter().copied().zip(keys).collect();
        Ok((rows, times))
    }
}

/// Marks rows by a negative order of arrival, which is that of the rows.
fn marked(rows: RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let mut columns = rows.columns().to_vec();
    let marks = (i64::MIN..).take(rows.num_rows());
    if let Some(sequence) = columns.last_mut() {
        *sequence = Arc::new(Int64Array::from_iter_values(marks));
    }
    RecordBatch::try_new(rows.schema(), columns)
}

/// The hashes of keys in these columns.
fn hashes_of(rows: &RecordBatch, keys: &[usize]) -> std::result::Result<Vec<u64>, ArrowError> {
    let columns: Vec<&dyn Array> = keys.iter().map(|key| rows.column(*key).as_ref()).collect();
    let hashes = key_hash::hash_columns(&columns, rows.num_rows());
    hashes.map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))
}

/// The rows of one table of a snapshot.
struct Table {
    rows: RecordBatch,
    key_hashes: Vec<u64>,
}

/// All rows of a table, or `None` if there are none.
fn table(snapshot: &Snapshot, name: &str, schema: &SchemaRef) -> Result<Option<Table>> {
    let parts: Vec<&TableRows> = snapshot.keyed.iter().filter(|part| part.table == name).collect();
    if parts.is_empty() {
        return Ok(None);
    }
    for part in &parts {
        if column_types(part.rows.schema_ref()) != column_types(schema) {
            return Err(refused(name, "its columns differ from those of this query"));
        }
        if part.key_hashes.len() != part.rows.num_rows() {
            return Err(refused(name, "there is not one key hash for each row"));
        }
    }
    let batches = parts.iter().map(|part| RecordBatch::try_new(Arc::clone(schema), part.rows.columns().to_vec()));
    let batches = batches.collect::<std::result::Result<Vec<_>, _>>()?;
    let rows = concat_batches(schema, &batches)?;
    let key_hashes = parts.iter().flat_map(|part| part.key_hashes.iter().copied()).collect();
    Ok(Some(Table { rows, key_hashes }))
}

/// All rows of the table of a log that are there, or `None` if there are none.
fn log_table(snapshot: &Snapshot, name: &str, removed: &str, schema: &SchemaRef) -> Result<Option<Table>> {
    let Some(Table { rows, key_hashes }) = table(snapshot, name, schema)? else { return Ok(None) };
    let removed = RemovedRows::of(snapshot, removed).map_err(|error| refused(removed, &error.to_string()))?;
    let (rows, key_hashes) = removed.leave_out(rows, key_hashes)?;
    Ok(Some(Table { rows, key_hashes }))
}

/// The row numbers in order of time and arrival. The order of arrival is the last column.
fn in_order(rows: &RecordBatch, time: usize) -> Vec<u32> {
    debug_assert_eq!(rows.schema_ref().field(rows.num_columns() - 1).name(), SEQUENCE);
    let times = rows.column(time).as_primitive::<TimestampMillisecondType>().values();
    let sequence = rows.column(rows.num_columns() - 1).as_primitive::<Int64Type>().values();
    let mut order: Vec<u32> = (0..).take(rows.num_rows()).collect();
    order.sort_by_key(|row| (times[*row as usize], sequence[*row as usize]));
    order
}

fn refused(table: &str, reason: &str) -> Error {
    Error::Restore { table: table.to_owned(), reason: reason.to_owned() }
}
