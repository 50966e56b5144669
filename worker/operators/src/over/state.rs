//! The state of an OVER in snapshots.
//!
//! - `pending`: the waiting rows, with their order of arrival. It is negative for rows that the watermark has released
//!   and that were not emitted before the barrier.
//! - `retained`: the rows that bounded frames can still reach, with the columns that aggregates need.
//! - `accumulators`: for each key the times of [`Lateness`](super::lateness::Lateness) and, for frames without a lower
//!   bound, the totals.
//!
//! The totals of bounded frames are not stored: a restore computes them from the retained rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, Int64Builder, ListBuilder, RecordBatch,
    StringArray, UInt32Array, new_null_array,
};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type, Schema, SchemaRef,
    TimestampMillisecondType,
};
use arrow::error::ArrowError;
use eddyline_job_graph::{AggregateCall, AggregateFunction, OverFrame};
use eddyline_state::{Frozen, NO_BUCKET, Snapshot, StateTable, TableRows, column_types, input_column};
use eddyline_stream::Watermark;

use super::aggregates::exact::Total;
use super::aggregates::moments::Moment;
use super::aggregates::{Aggregate, Totals};
use super::lateness::KeyRecord;
use super::rows::RowRef;
use super::{OverOperator, SEQUENCE};
use crate::{Error, Result};

const PENDING: &str = "pending";
const RETAINED: &str = "retained";
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
            let block = operator.kept.insert(RecordBatch::try_new(Arc::clone(&schema), kept)?)?;
            for (row, key) in rows.iter().filter(|(row, _)| values.is_valid(*row)) {
                let row = u32::try_from(*row).expect("a batch has fewer rows than u32 counts");
                picks.restore(*key, RowRef { block, row }, &mut operator.kept);
            }
            operator.kept.release_block(block);
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
            StateTable::new(ACCUMULATORS, self.accumulators_schema()).holding(self.accumulators_contents(inputs)),
        ];
        if self.is_bounded() {
            let kept = self.kept_columns.iter();
            let contents = kept.map(|column| self.pending_content(inputs, *column)).collect();
            tables.push(StateTable::new(RETAINED, self.retained_schema()).holding(contents));
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

    /// Freezes the waiting and kept rows. State that exists once per key is copied immediately.
    pub(super) fn freeze(&mut self) -> Result<Frozen> {
        let (pending, keys, released) = self.pending.freeze(self.releasing);
        if released > 0 {
            // Keys without rows left to emit may be restored by another subtask, which does not know that a watermark
            // was in progress.
            let releasing = keys[..released].iter().copied().collect();
            self.lateness.pass_others(self.watermark.time_ms().saturating_add(1), &releasing);
            self.forget_cleaned();
        }
        let mut frozen = vec![(PENDING, pending, self.hashes(&keys), released)];
        if self.is_bounded() {
            let (keys, refs): (Vec<u32>, Vec<RowRef>) = self.frames.all().unzip();
            frozen.push((RETAINED, self.kept.freeze(refs.into_iter()), self.hashes(&keys), 0));
        }
        let keys = self.keys.all();
        let accumulators = (self.write_accumulators(&keys)?, self.hashes(&keys));
        let watermark = self.watermark.time_ms().to_le_bytes().to_vec();
        Ok(Frozen::new(move || {
            let mut keyed = Vec::new();
            let mut push = |table: &str, rows: RecordBatch, key_hashes| {
                if rows.num_rows() > 0 {
                    let table = table.to_owned();
                    keyed.push(TableRows { table, bucket: NO_BUCKET, is_whole: true, key_hashes, rows });
                }
            };
            push(ACCUMULATORS, accumulators.0, accumulators.1);
            for (table, rows, key_hashes, released) in frozen.into_iter().filter(|(_, rows, ..)| !rows.is_empty()) {
                push(table, mark(rows.gather()?, released)?, key_hashes);
            }
            Ok(Snapshot::of_all_rows(keyed, vec![(WATERMARK.to_owned(), watermark)]))
        }))
    }

    fn hashes(&self, keys: &[u32]) -> Vec<u64> {
        keys.iter().map(|key| self.keys.hash(*key)).collect()
    }

    fn write_accumulators(&self, keys: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.keys.columns(keys)?;
        let records: Vec<KeyRecord> = keys.iter().map(|key| self.lateness.record(*key)).collect();
        columns.push(Arc::new(Int64Array::from_iter(records.iter().map(|record| record.last_fired))));
        columns.push(Arc::new(Int64Array::from_iter(records.iter().map(|record| record.cleanup))));
        let mut superseded: Vec<(u32, i64)> = self.lateness.superseded().collect();
        superseded.sort_unstable();
        let mut lists = ListBuilder::new(Int64Builder::new());
        for key in keys {
            let of_key = superseded.partition_point(|(other, _)| other < key)
                ..superseded.partition_point(|(other, _)| other <= key);
            lists.append_value(superseded[of_key].iter().map(|(_, due)| Some(*due)));
        }
        columns.push(Arc::new(lists.finish()));
        if !self.is_bounded() {
            for aggregate in &self.aggregates {
                columns.extend(write_totals(self, &aggregate.totals, keys)?);
            }
        }
        Ok(RecordBatch::try_new(self.accumulators_schema(), columns)?)
    }

    pub(super) fn read_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        if let Some(accumulators) = table(snapshot, ACCUMULATORS, &self.accumulators_schema())? {
            self.read_accumulators(&accumulators)?;
        }
        if self.is_bounded()
            && let Some(retained) = table(snapshot, RETAINED, &self.retained_schema())?
        {
            self.read_retained(&retained)?;
        }
        if let Some(pending) = table(snapshot, PENDING, &self.pending_schema)? {
            self.read_pending(&pending)?;
        }
        // The smallest, because a row that was not late in one of the former subtasks must not be late here.
        let watermarks = snapshot.union_values(WATERMARK).map(|bytes| {
            let bytes = bytes.try_into().map_err(|_| refused(WATERMARK, "a watermark has 8 bytes"))?;
            Ok(Watermark::new(i64::from_le_bytes(bytes)))
        });
        let watermarks = watermarks.collect::<Result<Vec<_>>>()?;
        self.watermark = watermarks.into_iter().min().unwrap_or(Watermark::MIN);
        Ok(())
    }

    fn read_accumulators(&mut self, table: &Table) -> Result<()> {
        let mut columns = table.rows.columns().to_vec();
        let mut rest = columns.split_off(self.config.keys.len());
        let keys = self.keys.ids_of(&columns, &table.key_hashes)?;
        let totals = rest.split_off(KEY_TIMES);
        let (last_fired, cleanups) = (rest[0].as_primitive::<Int64Type>(), rest[1].as_primitive::<Int64Type>());
        let superseded = rest[2].as_list::<i32>();
        let value = |column: &Int64Array, row: usize| column.is_valid(row).then(|| column.value(row));
        for (row, key) in keys.iter().enumerate() {
            let record = KeyRecord { last_fired: value(last_fired, row), cleanup: value(cleanups, row) };
            self.lateness.restore(*key, &record);
            for due in superseded.value(row).as_primitive::<Int64Type>().values() {
                self.lateness.restore_superseded(*key, *due);
            }
        }
        if self.is_bounded() {
            return Ok(());
        }
        let rows: Vec<(usize, u32)> = keys.into_iter().enumerate().collect();
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
        let columns: Vec<ArrayRef> =
            self.config.keys.iter().map(|key| Arc::clone(table.rows.column(position(*key)))).collect();
        let (rows, hashes) = (&table.rows, &table.key_hashes);
        let keys = self.keys.ids_of(&columns, hashes)?;
        let order = in_order(rows, time);
        let times = rows.column(time).as_primitive::<TimestampMillisecondType>();
        // Rows of the same key and time that arrive later must sort after these.
        let arrivals = rows.column(rows.num_columns() - 1).as_primitive::<Int64Type>();
        let next = arrivals.values().iter().max().map_or(0, |last| last.saturating_add(1));
        self.sequence = self.sequence.max(next);
        let block = self.kept.insert(rows.clone())?;
        for row in order {
            let (time, key) = (times.value(row as usize), keys[row as usize]);
            self.frames.restore(key, time, RowRef { block, row }, &mut self.kept);
        }
        self.kept.release_block(block);
        let steps = self.frames.restored();
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
        self.pending.insert_ripe(rows, &times)?;
        let (rows, times) = self.numbered_again(table, waiting)?;
        self.pending.insert(rows, &times)
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
        let end = self.sequence + i64::try_from(hashes.len()).expect("a batch has fewer rows than i64 counts");
        columns.push(Arc::new(Int64Array::from_iter_values(self.sequence..end)));
        self.sequence = end;
        let rows = RecordBatch::try_new(Arc::clone(&self.pending_schema), columns)?;
        let times: Vec<(i64, u32)> = self.times(&rows)?.iter().copied().zip(keys).collect();
        Ok((rows, times))
    }
}

/// Marks the first `count` rows by a negative order of arrival.
fn mark(rows: RecordBatch, count: usize) -> std::result::Result<RecordBatch, ArrowError> {
    if count == 0 {
        return Ok(rows);
    }
    let mut columns = rows.columns().to_vec();
    let sequence = columns.pop().map(|column| column.as_primitive::<Int64Type>().clone());
    let marked = sequence.iter().flat_map(|column| column.values().iter().enumerate());
    let marked = marked.map(|(row, number)| if row < count { i64::MIN + number } else { *number });
    columns.push(Arc::new(Int64Array::from_iter_values(marked)));
    RecordBatch::try_new(rows.schema(), columns)
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
