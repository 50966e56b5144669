//! GROUP BY without a window: a table with a row for each key, which changes as rows come.
//!
//! A batch of input is a unit. Its rows are added to their groups, and then each group that has changed emits one change: an
//! insert of a new key, or an update from the result before the batch to the one after it. A group whose result is the
//! same emits nothing, as in Flink. So the results are those of Flink with mini-batches of the size of a batch.
//!
//! What was emitted last follows from the accumulators, so nothing else is state. A barrier comes between two batches.
//!
//! Rows of a changelog also retract. Then each group counts its rows. The retracted rows of a batch are aggregated by themselves
//! and subtracted. A group without rows is dead: its key is deleted from the result. Dead groups stay in the table, so that a
//! checkpoint says that they are dead, until they are in the majority. A retraction of rows that never came, as at the beginning of a
//! changelog that is read from its middle, has no effect, as in Flink.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, interleave};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use eddyline_job_graph::GroupAggregate;
use eddyline_operators::{Collector, Counters, InputIndex, Operator, Progress, Result};
use eddyline_state::{
    Bucket, Frozen, Inventory, NO_BUCKET, RowSink, Snapshot, SnapshotRequest, StateTable, TableRows, fixed,
    input_column,
};
use eddyline_stream::{Batch, KindsBuilder, Watermark};

use crate::Error;
use crate::argument::Argument;
use crate::frozen_groups::{Columns, FrozenGroups};
use crate::groups::{Groups, Input, Rows, key_error};
use crate::layout::{Distinct, Layout};
use crate::operator::restore::check;

/// The table of groups in snapshots.
const GROUPS: &str = "groups";
/// The beginning of the names of the tables of distinct sets.
const DISTINCT: &str = "distinct_";

/// Dead groups are removed when there are more of them than others, and more than this number.
const DEAD_GROUPS_MIN: usize = 1024;

/// The operator of [`GroupAggregate`].
#[derive(Debug)]
pub struct GroupAggregateOperator {
    // Fixed at start.
    keys: Vec<usize>,
    key_types: Vec<DataType>,
    key_fields: Vec<FieldRef>,
    layout: Arc<Layout>,
    output: SchemaRef,
    // Changing.
    groups: Groups,
    /// The retracted rows of a batch; empty between two batches. `None` if rows are never retracted.
    retracted: Option<Groups>,
    /// The number of groups without rows.
    dead: usize,
    /// Changes of the last batch that are not emitted yet.
    pending: Option<Batch>,
    of_rows: Vec<u32>,
    touched: Touched,
}

impl GroupAggregateOperator {
    /// Makes an operator without state. The column indices of the configuration refer to `input`. `output` has the keys
    /// and then the results. `retracts`: the input is a changelog whose rows can be retracted.
    ///
    /// # Errors
    /// When a function does not accept the type of its argument, or a key cannot be hashed.
    pub fn new(
        config: GroupAggregate,
        input: &SchemaRef,
        output: SchemaRef,
        retracts: bool,
    ) -> std::result::Result<Self, Error> {
        let columns = input.fields().len();
        let field = |key: &usize| input.fields().get(*key).ok_or(Error::NoSuchColumn { position: *key, columns });
        let key_fields: Vec<FieldRef> =
            config.keys.iter().map(|key| field(key).cloned()).collect::<std::result::Result<_, Error>>()?;
        let key_types: Vec<DataType> = key_fields.iter().map(|field| field.data_type().clone()).collect();
        let layout = Arc::new(Layout::new(&config.aggregates, input, retracts)?);
        if retracts && !layout.is_invertible() {
            let message = "a row of an aggregate that cannot retract rows is retracted".to_owned();
            return Err(Error::InvalidWindow(message));
        }
        Ok(Self {
            groups: Groups::new(&key_types, &layout)?,
            retracted: retracts.then(|| Groups::new(&key_types, &layout)).transpose()?,
            dead: 0,
            key_types,
            keys: config.keys,
            key_fields,
            layout,
            output,
            pending: None,
            of_rows: Vec::new(),
            touched: Touched::default(),
        })
    }

    /// Adds rows to their groups. Returns the changes of the result.
    fn add(&mut self, batch: &Batch) -> Result<Option<Batch>> {
        if self.retracted.is_none() {
            batch.inserts()?;
        }
        let columns = batch.rows().columns();
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(&columns[*key])).collect();
        let input = Input::raw(&self.layout, columns);
        let rows = Rows::new(&keys, batch.key_hashes(), batch.num_rows(), input)?;
        let before = self.groups.len();
        self.groups.find(&rows, 0..batch.num_rows(), &mut self.of_rows);
        let touched = self.touched.of(&self.of_rows, self.groups.len());
        let was_alive = self.are_alive(&touched, before);
        let known = selected(&touched, &was_alive);
        let old = self.layout.results(self.groups.view(), &known)?;
        match batch.kinds() {
            None => self.groups.add_found(&self.layout, &rows, &self.of_rows),
            Some(kinds) => {
                let is_retraction: Vec<bool> = kinds.iter().map(|kind| kind.is_retraction()).collect();
                self.add_changes(batch, &rows.hashes, &is_retraction)?;
            }
        }
        let is_alive = self.are_alive(&touched, self.groups.len());
        let alive = selected(&touched, &is_alive);
        let new = self.layout.results(self.groups.view(), &alive)?;
        let changes = self.changes(&touched, (&was_alive, &old), (&is_alive, &new))?;
        self.bury(&touched, before, (&was_alive, &is_alive))?;
        Ok(changes)
    }

    /// Which of these groups have rows. Groups from number `all` on have none yet.
    fn are_alive(&self, groups: &[u32], all: usize) -> Vec<bool> {
        let (words, stride, first) = self.groups.packed().rows();
        let count = self.layout.rows_slot.map(|slot| first + self.layout.slots[slot].offset);
        let has_rows = |group: u32| count.is_none_or(|count| words[group as usize * stride + count] as i64 > 0);
        groups.iter().map(|group| (*group as usize) < all && has_rows(*group)).collect()
    }

    /// Adds the rows of a changelog to their groups, and subtracts those that are retracted.
    fn add_changes(&mut self, batch: &Batch, hashes: &[u64], is_retraction: &[bool]) -> Result<()> {
        let (layout, of_rows) = (&self.layout, &self.of_rows);
        let part = |retractions: bool| {
            let mask: BooleanArray = is_retraction.iter().map(|is| Some(*is == retractions)).collect();
            let of_part = |row: &usize| is_retraction[*row] == retractions;
            let hashes: Vec<u64> = (0..hashes.len()).filter(of_part).map(|row| hashes[row]).collect();
            let groups: Vec<u32> = (0..of_rows.len()).filter(of_part).map(|row| of_rows[row]).collect();
            Ok::<_, ArrowError>((filter_record_batch(batch.rows(), &mask)?, hashes, groups))
        };
        let (inserted, hashes, groups) = part(false)?;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(inserted.column(*key))).collect();
        let rows = Rows::new(&keys, Some(&hashes), groups.len(), Input::raw(layout, inserted.columns()))?;
        self.groups.add_found(layout, &rows, &groups);
        let (retracted, hashes, groups) = part(true)?;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(retracted.column(*key))).collect();
        let rows = Rows::new(&keys, Some(&hashes), groups.len(), Input::raw(layout, retracted.columns()))?;
        if let Some(aside) = &mut self.retracted {
            aside.add(layout, &rows, 0..groups.len(), &mut Vec::new());
            self.groups.subtract(layout, aside);
            aside.clear(layout);
        }
        Ok(())
    }

    /// The changes of groups from what they were to what they are: which of them had rows and have rows, and the results of
    /// those.
    fn changes(
        &self,
        touched: &[u32],
        (was_alive, old): (&[bool], &[ArrayRef]),
        (is_alive, new): (&[bool], &[ArrayRef]),
    ) -> Result<Option<Batch>> {
        // The row of each group in the old and in the new results.
        let (mut in_old, mut in_new) = (0, 0);
        let mut both = Vec::new();
        let places: Vec<(usize, usize)> = was_alive
            .iter()
            .zip(is_alive)
            .map(|(was, is)| {
                let place = (in_old, in_new);
                both.extend((*was && *is).then_some(place));
                in_old += usize::from(*was);
                in_new += usize::from(*is);
                place
            })
            .collect();
        let is_changed = changed(old, new, &both)?;
        let mut is_changed = is_changed.into_iter();
        let mut kinds = KindsBuilder::default();
        let (mut groups, mut values) = (Vec::new(), Vec::new());
        for (((group, (old, new)), was), is) in touched.iter().zip(places).zip(was_alive).zip(is_alive) {
            match (was, is) {
                (false, true) => {
                    kinds.insert();
                    groups.push(*group);
                    values.push((1, new));
                }
                (true, false) => {
                    kinds.delete();
                    groups.push(*group);
                    values.push((0, old));
                }
                (true, true) if is_changed.next() == Some(true) => {
                    kinds.update();
                    groups.extend([*group, *group]);
                    values.extend([(0, old), (1, new)]);
                }
                _ => {}
            }
        }
        if groups.is_empty() {
            return Ok(None);
        }
        let mut columns = self.groups.key_columns(&groups)?;
        for (old, new) in old.iter().zip(new) {
            columns.push(interleave(&[old.as_ref(), new.as_ref()], &values)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?;
        let hashes: Vec<u64> = groups.iter().map(|group| self.groups.hashes()[*group as usize]).collect();
        Ok(Some(Batch::with_kinds(rows, kinds.finish()).with_key_hashes(hashes.into())))
    }

    /// Makes groups without rows empty, and removes them all when they are in the majority.
    fn bury(&mut self, touched: &[u32], before: usize, (was_alive, is_alive): (&[bool], &[bool])) -> Result<()> {
        if self.retracted.is_none() {
            return Ok(());
        }
        let dead: Vec<u32> =
            touched.iter().zip(is_alive).filter(|(_, is_alive)| !**is_alive).map(|(group, _)| *group).collect();
        let were_dead = touched.iter().zip(was_alive).filter(|(group, was)| (**group as usize) < before && !**was);
        self.dead = self.dead + dead.len() - were_dead.count();
        self.groups.reset(&dead);
        if self.dead > DEAD_GROUPS_MIN.max(self.groups.len() - self.dead) {
            let kept = Groups::new(&self.key_types, &self.layout);
            let mut kept = kept.map_err(|error| key_error(&error))?;
            kept.absorb(&self.layout, &self.groups, &self.groups.alive(&self.layout))?;
            (self.groups, self.dead) = (kept, 0);
        }
        Ok(())
    }

    /// Emits pending changes as far as there is room.
    fn emit(&mut self, out: &mut Collector) -> Progress {
        while let Some(pending) = &mut self.pending {
            let room = out.room();
            if room == 0 {
                return Progress::More;
            }
            out.emit(pending.split_to(room));
            if pending.num_rows() == 0 {
                self.pending = None;
            }
        }
        Progress::Done
    }

    fn state_of(&self, values: Vec<Field>) -> SchemaRef {
        let fields = self.key_fields.iter().cloned().chain(values.into_iter().map(Arc::new));
        Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
    }

    fn schema_of_set(&self, set: &Distinct) -> SchemaRef {
        self.state_of(vec![Field::new("value", set.data_type.clone(), true)])
    }

    fn read(&mut self, rows: &TableRows, set: Option<usize>) -> Result<()> {
        let keys = self.keys.len();
        let (columns, count) = (rows.rows.columns(), rows.rows.num_rows());
        let added = Rows::new(&columns[..keys], Some(&rows.key_hashes), count, Input::Partial(&columns[keys..]))?;
        match set {
            None => self.groups.restore(&self.layout, &added, 0..count, &mut self.of_rows),
            Some(set) => {
                self.groups.restore_distinct(
                    set,
                    &added,
                    0..count,
                    &Argument::of_distinct(columns[keys].as_ref(), None),
                );
            }
        }
        Ok(())
    }
}

impl Operator for GroupAggregateOperator {
    fn process(&mut self, _: InputIndex, batch: Batch, out: &mut Collector) -> Result<Progress> {
        if batch.num_rows() > 0 {
            self.pending = self.add(&batch)?;
        }
        Ok(self.emit(out))
    }

    fn resume(&mut self, out: &mut Collector) -> Result<Progress> {
        Ok(self.emit(out))
    }

    fn snapshot(&mut self, request: SnapshotRequest) -> Result<Option<Frozen>> {
        let groups = self.groups.hand_over(&self.layout, request, NO_BUCKET);
        let layout = Arc::clone(&self.layout);
        let of_groups = self.state_of(layout.fields());
        let of_sets: Vec<SchemaRef> = layout.distinct.iter().map(|set| self.schema_of_set(set)).collect();
        Ok(Some(Frozen::in_pieces(move |into| {
            write(&layout, &groups, (&of_groups, &of_sets), into)?;
            let sets =
                groups.distinct.iter().enumerate().map(|(index, set)| (format!("{DISTINCT}{index}"), set.len(0)));
            let tables = std::iter::once((GROUPS.to_owned(), groups.len())).chain(sets);
            let bucket = |(table, rows)| Bucket { table, bucket: NO_BUCKET, rows: rows as u64 };
            Ok(Inventory { buckets: tables.filter(|(_, rows)| *rows > 0).map(bucket).collect(), union: Vec::new() })
        })))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<Option<Watermark>> {
        let tables = self.state_tables(&[]);
        snapshot.keyed.iter().try_for_each(|rows| check(&tables, rows))?;
        // Groups are restored before the values of their distinct sets.
        for rows in snapshot.keyed.iter().filter(|rows| rows.table == GROUPS) {
            self.read(rows, None)?;
        }
        for rows in &snapshot.keyed {
            if let Some(set) = rows.table.strip_prefix(DISTINCT).and_then(|set| set.parse().ok()) {
                self.read(rows, Some(set))?;
            }
        }
        if self.retracted.is_some() {
            self.dead = self.groups.len() - self.groups.alive(&self.layout).len();
        }
        Ok(None)
    }

    fn state_tables(&self, inputs: &[String]) -> Vec<StateTable> {
        let layout = &self.layout;
        let keys = || self.keys.iter().map(|key| input_column(inputs, *key));
        // The order of the values of a set is kept only where all of them are handed over.
        let identity = |columns: usize| if layout.has_ordered_sets() { 0 } else { columns };
        let groups = StateTable::new(GROUPS, self.state_of(layout.fields()))
            .holding(keys().chain(layout.contents(inputs)).collect())
            .identified_by(identity(self.keys.len()));
        let sets = layout.distinct.iter().enumerate().map(|(index, set)| {
            StateTable::new(format!("{DISTINCT}{index}"), self.schema_of_set(set))
                .holding(keys().chain([set.content(inputs)]).collect())
                .identified_by(identity(self.keys.len() + 1))
        });
        std::iter::once(groups).chain(sets).collect()
    }

    fn counters(&self) -> Counters {
        Counters { state_bytes: self.groups.bytes(), state_rows: self.groups.len() - self.dead, ..Counters::default() }
    }
}

/// Gathers groups, and the values of their distinct sets.
fn write(
    layout: &Layout,
    groups: &FrozenGroups,
    (of_groups, of_sets): (&SchemaRef, &[SchemaRef]),
    into: RowSink<'_>,
) -> std::result::Result<(), ArrowError> {
    let mut push = |table: &str, schema: &SchemaRef, is_whole: bool, rows: Columns| {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.hashes.len()));
        let columns = rows.keys.into_iter().chain(rows.values).collect();
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        into(TableRows { table: table.to_owned(), bucket: NO_BUCKET, is_whole, key_hashes: rows.hashes, rows: batch })
    };
    groups.gather(layout, |rows| push(GROUPS, of_groups, groups.is_whole(), rows))?;
    for (index, (set, schema)) in layout.distinct.iter().zip(of_sets).enumerate() {
        let (table, is_whole) = (format!("{DISTINCT}{index}"), groups.distinct[index].is_whole());
        groups.gather_distinct(index, &set.data_type, |rows| push(&table, schema, is_whole, rows))?;
    }
    Ok(())
}

/// Finds the different groups of a batch.
#[derive(Debug, Default)]
struct Touched {
    /// A bit for each group; all are 0 between two batches.
    bits: Vec<u64>,
}

impl Touched {
    /// The different ones of some groups, in order of their first place. There are `all` groups.
    fn of(&mut self, groups: &[u32], all: usize) -> Vec<u32> {
        self.bits.resize(all.div_ceil(64).max(self.bits.len()), 0);
        let mut touched = Vec::new();
        for group in groups {
            let (word, bit) = ((group >> 6) as usize, 1u64 << (group & 63));
            if self.bits[word] & bit == 0 {
                self.bits[word] |= bit;
                touched.push(*group);
            }
        }
        touched.iter().for_each(|group| self.bits[(group >> 6) as usize] = 0);
        touched
    }
}

/// Those of some groups that are marked.
fn selected(groups: &[u32], marks: &[bool]) -> Vec<u32> {
    groups.iter().zip(marks).filter(|(_, mark)| **mark).map(|(group, _)| *group).collect()
}

/// Whether results are different, for pairs of an old row and a new row.
fn changed(
    old: &[ArrayRef],
    new: &[ArrayRef],
    places: &[(usize, usize)],
) -> std::result::Result<Vec<bool>, ArrowError> {
    let mut changed = vec![false; places.len()];
    for (old, new) in old.iter().zip(new) {
        let mut compare = |is_equal: &dyn Fn(usize, usize) -> bool| {
            for ((row, place), changed) in places.iter().zip(&mut changed) {
                let (was_null, is_null) = (old.is_null(*row), new.is_null(*place));
                *changed |= was_null != is_null || (!was_null && !is_equal(*row, *place));
            }
        };
        match old.data_type() {
            DataType::Utf8 => {
                let (old, new) = (old.as_string::<i32>(), new.as_string::<i32>());
                compare(&|row, place| old.value(row) == new.value(place));
            }
            DataType::Binary => {
                let (old, new) = (old.as_binary::<i32>(), new.as_binary::<i32>());
                compare(&|row, place| old.value(row) == new.value(place));
            }
            DataType::Decimal128(..) => {
                let (old, new) = (old.as_primitive::<Decimal128Type>(), new.as_primitive::<Decimal128Type>());
                compare(&|row, place| old.value(row) == new.value(place));
            }
            other => match (fixed::images(old.as_ref()), fixed::images(new.as_ref())) {
                (Some(old), Some(new)) => compare(&|row, place| old[row] == new[place]),
                _ => {
                    return Err(ArrowError::InvalidArgumentError(format!(
                        "results of type {other} cannot be compared"
                    )));
                }
            },
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests;
