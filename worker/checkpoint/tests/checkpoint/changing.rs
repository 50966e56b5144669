//! A job whose state changes between checkpoints. Its snapshots have what the checkpoint requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use eddyline_checkpoint::storage::Memory;
use eddyline_checkpoint::{
    CheckpointContents, CheckpointHandle, EncodedState, JobOperator, JobStore, Snapshots, Storage,
};
use eddyline_state::snapshot::{Bucket, PARTS};
use eddyline_state::{NO_BUCKET, Snapshot, StateTable, TableRows};
use eddyline_stream::{Assignment, CheckpointId, KeyGroupSet, OperatorUid, SlotIndex, key_hash};

use crate::states::{groups, uid};

/// The operators, their tables, and the number of columns that identify a row.
pub const TABLES: [(&str, &str, usize); 3] =
    [("windows", "sums", 1), ("windows", "values", 2), ("sessions", "open", 0)];

/// The index of a table in [`TABLES`], a bucket, and the identity of a row in it.
pub type Row = (usize, i64, (i64, i64));

/// The version of each row.
pub type State = BTreeMap<Row, i64>;

/// A row's version, and the checkpoint whose barrier was the last before its change.
type Version = (i64, u64);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("second", DataType::Int64, true),
        Field::new("version", DataType::Int64, false),
        Field::new("text", DataType::Utf8, true),
    ]))
}

/// A text that compresses badly.
fn text(key: i64, version: i64) -> String {
    format!("{:016x}", key_hash::hash_i64(key.wrapping_mul(31).wrapping_add(version)))
}

pub fn operators() -> Vec<JobOperator> {
    let mut operators: Vec<JobOperator> = Vec::new();
    for (operator, table, identity) in TABLES {
        let table = StateTable::new(table, schema()).identified_by(identity);
        match operators.iter_mut().find(|known| known.uid == uid(operator)) {
            Some(known) => known.tables.push(table),
            None => operators.push(JobOperator::named(uid(operator), vec![table])),
        }
    }
    operators
}

pub fn store(memory: &Memory) -> JobStore {
    JobStore::open(Storage::in_memory(memory.clone()), "orders").with_operators(operators(), "")
}

/// A job in an attempt.
#[derive(Clone, Debug)]
pub struct Job {
    assignment: Assignment,
    rows: BTreeMap<Row, Version>,
    /// The time of the last drop of each share.
    dropped: BTreeMap<(i64, SlotIndex), u64>,
    now: u64,
    completed: Vec<CheckpointId>,
    /// The number of keys in a chunk of rows.
    chunk: i64,
}

impl Job {
    pub fn new(slots: u16, chunk: i64) -> Self {
        let assignment = Assignment::even(groups(), slots);
        Self { assignment, rows: BTreeMap::new(), dropped: BTreeMap::new(), now: 0, completed: Vec::new(), chunk }
    }

    /// The job in its next attempt, with the restored state.
    pub fn restarted(&self, slots: u16, state: &State) -> Self {
        let rows = state.iter().map(|(row, version)| (*row, (*version, 0))).collect();
        Self { assignment: self.assignment.rescaled(slots), rows, ..Self::new(slots, self.chunk) }
    }

    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// Adds a row, or gives it its next version.
    pub fn change(&mut self, table: usize, bucket: i64, key: i64) {
        let bucket = if TABLES[table].2 == 0 { NO_BUCKET } else { bucket };
        let second = if TABLES[table].2 == 2 { key % 3 } else { 0 };
        let row = self.rows.entry((table, bucket, (key, second))).or_insert((0, 0));
        *row = (row.0 + 1, self.now);
    }

    /// Drops a bucket for the keys of some slots.
    pub fn drop_bucket(&mut self, bucket: i64, slot: impl Fn(SlotIndex) -> bool) {
        let (assignment, now) = (&self.assignment, self.now);
        let is_of = |key: i64| slot(assignment.owner_of_hash(key_hash::hash_i64(key)));
        self.rows.retain(|(_, other, (key, _)), _| *other != bucket || !is_of(*key));
        let slots = (0..assignment.slots()).map(SlotIndex::new).filter(|index| slot(*index));
        self.dropped.extend(slots.map(|slot| ((bucket, slot), now)));
    }

    pub fn state(&self) -> State {
        self.rows.iter().map(|(row, (version, _))| (*row, *version)).collect()
    }

    /// What the job hands over at the barrier of a checkpoint. `is_whole` selects the buckets of which an operator
    /// hands over all rows although fewer are requested.
    pub fn contents(
        &mut self,
        checkpoint: CheckpointId,
        all: bool,
        is_whole: impl Fn(i64) -> bool,
    ) -> CheckpointContents {
        let snapshots = self.snapshots(checkpoint, all, is_whole);
        self.contents_of(&snapshots, all)
    }

    /// The contents of a checkpoint with these snapshots.
    pub fn contents_of(&self, snapshots: &Snapshots, all: bool) -> CheckpointContents {
        CheckpointContents {
            state: Arc::new(EncodedState::of(snapshots, self.assignment.max_parallelism()).expect("they are valid")),
            since: self.since(all),
            part: self.part(),
            splits: BTreeMap::new(),
            finished: BTreeMap::new(),
            committables: BTreeMap::new(),
            assignment: self.assignment.clone(),
        }
    }

    fn since(&self, all: bool) -> Option<CheckpointId> {
        self.completed.last().copied().filter(|_| !all)
    }

    fn part(&self) -> u8 {
        u8::try_from(self.completed.len() % usize::from(PARTS)).expect("small")
    }

    /// As [`Job::contents`], before it is encoded.
    pub fn snapshots(&mut self, checkpoint: CheckpointId, all: bool, is_whole: impl Fn(i64) -> bool) -> Snapshots {
        let (since, part) = (self.since(all), self.part());
        let mut snapshots = Snapshots::new();
        for (index, (operator, table, identity)) in TABLES.into_iter().enumerate() {
            for slot in (0..self.assignment.slots()).map(SlotIndex::new) {
                let mut snapshot = Snapshot::default();
                let mut buckets: BTreeMap<i64, Vec<(Row, Version)>> = BTreeMap::new();
                for (row, value) in &self.rows {
                    if row.0 == index && self.assignment.owner_of_hash(key_hash::hash_i64(row.2.0)) == slot {
                        buckets.entry(row.1).or_default().push((*row, *value));
                    }
                }
                for (bucket, rows) in buckets {
                    let (table, count) = (table.to_owned(), rows.len() as u64);
                    snapshot.buckets.push(Bucket { table: table.clone(), bucket, rows: count });
                    let is_new = |since: &u64| self.dropped.get(&(bucket, slot)).is_some_and(|at| at >= since);
                    let since = since.map(CheckpointId::number).filter(|_| identity > 0 && !is_whole(bucket));
                    let since = since.filter(|since| !is_new(since));
                    let is_wanted = |((_, _, (key, _)), (_, changed)): &(Row, Version)| {
                        since.is_none_or(|since| *changed >= since)
                            || (key / self.chunk).rem_euclid(i64::from(PARTS)) == i64::from(part)
                    };
                    let wanted: Vec<_> = rows.into_iter().filter(is_wanted).collect();
                    for piece in wanted.chunks(50) {
                        snapshot.keyed.push(table_rows(&table, bucket, since.is_none(), piece));
                    }
                }
                snapshots.push((uid(operator), slot, snapshot));
            }
        }
        // Later changes are after the barrier.
        self.now = checkpoint.number();
        snapshots
    }

    pub fn completed(&mut self, checkpoint: CheckpointId) {
        self.completed.push(checkpoint);
    }
}

fn table_rows(table: &str, bucket: i64, is_whole: bool, rows: &[(Row, Version)]) -> TableRows {
    let keys = || rows.iter().map(|((_, _, (key, _)), _)| *key);
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(keys().collect::<Int64Array>()),
        Arc::new(rows.iter().map(|((_, _, (_, second)), _)| (*second != 0).then_some(*second)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|(_, (version, _))| *version).collect::<Int64Array>()),
        Arc::new(
            rows.iter().map(|((_, _, (key, _)), (version, _))| Some(text(*key, *version))).collect::<StringArray>(),
        ),
    ];
    let key_hashes = keys().map(key_hash::hash_i64).collect();
    let rows = RecordBatch::try_new(schema(), columns).expect("the declared columns");
    TableRows { table: table.to_owned(), bucket, is_whole, key_hashes, rows }
}

/// Adds what the operators of a job have after they have restored these rows.
fn applied(operator: &str, snapshot: Snapshot, into: &mut State) {
    assert!(snapshot.buckets.is_empty());
    for part in snapshot.keyed {
        let is_it = |(of, table, _): &(&str, &str, usize)| *of == operator && *table == part.table;
        let table = TABLES.iter().position(is_it).expect("a table of the job");
        let column = |index: usize| part.rows.column(index).as_primitive::<Int64Type>();
        for row in 0..part.rows.num_rows() {
            let (key, version) = (column(0).value(row), column(2).value(row));
            let second = column(1).iter().nth(row).flatten().unwrap_or(0);
            assert_eq!(part.key_hashes[row], key_hash::hash_i64(key));
            assert_eq!(part.rows.column(3).as_string::<i32>().value(row), text(key, version));
            let before = into.insert((table, part.bucket, (key, second)), version);
            assert!(before.is_none_or(|before| before <= version), "an older version comes later");
        }
    }
}

/// The state that subtasks restore, each for its own key groups.
pub async fn restored(handle: &CheckpointHandle, assignment: &Assignment) -> State {
    let mut state = State::new();
    for slot in (0..assignment.slots()).map(SlotIndex::new) {
        restore_into(handle, &assignment.key_groups_of(slot), &mut state).await;
    }
    state
}

async fn restore_into(handle: &CheckpointHandle, key_groups: &KeyGroupSet, state: &mut State) {
    let operators: std::collections::BTreeSet<OperatorUid> =
        TABLES.iter().map(|(operator, _, _)| uid(operator)).collect();
    for operator in operators {
        let snapshot = handle.restore(&operator, key_groups).await.expect("it restores");
        applied(operator.as_str(), snapshot, state);
    }
}

/// A job with checkpoint 7, which has all state, and checkpoint 8, which has the changes.
pub async fn write_sample(root: &str) -> Job {
    let storage = Storage::open(root, &BTreeMap::new()).expect("a folder");
    let store = JobStore::open(storage, "orders").with_operators(operators(), "");
    let started = store.start_attempt(crate::states::identity()).await.expect("started");
    let mut job = Job::new(3, 16);
    (0..2000).for_each(|key| job.change(0, 60_000, key));
    (0..100).for_each(|key| job.change(1, 60_000, key));
    (0..40).for_each(|key| job.change(2, 0, key));
    for number in [7, 8] {
        if number == 8 {
            (0..2100).step_by(21).for_each(|key| job.change(0, 60_000, key));
            (0..3).for_each(|key| job.change(1, 120_000, key));
        }
        let number = CheckpointId::new(number);
        let contents = job.contents(number, false, |_| false);
        started.writer.write(number, contents).await.expect("written");
        job.completed(number);
    }
    job
}
