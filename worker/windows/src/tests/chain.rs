//! What checkpoints have handed over one after another: a reader of them that knows only their contract.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use eddyline_job_graph::WindowAssigner;
use eddyline_state::{PARTS, Snapshot, SnapshotRequest, StateTable, TableRows};
use eddyline_stream::CheckpointId;

use super::aggregates::{distinct_values, mergeable};
use super::harness::{Job, config, lines};
use super::rows::{KEY, Row, batch};

/// Rows by what identifies them, of every bucket of every table.
type Rows = BTreeMap<(String, i64), BTreeMap<String, String>>;

/// The files that the last complete checkpoint of a subtask refers to, oldest first.
pub(super) struct Chain {
    tables: Vec<StateTable>,
    completed: Option<CheckpointId>,
    part: u8,
    files: VecDeque<Snapshot>,
}

impl Chain {
    pub(super) fn new(tables: Vec<StateTable>) -> Self {
        Self { tables, completed: None, part: 0, files: VecDeque::new() }
    }

    pub(super) fn request(&self, checkpoint: CheckpointId) -> SnapshotRequest {
        SnapshotRequest { checkpoint, since: self.completed, part: self.part }
    }

    /// Takes what a checkpoint got.
    pub(super) fn complete(&mut self, checkpoint: CheckpointId, snapshot: Snapshot) {
        self.completed = Some(checkpoint);
        self.part = (self.part + 1) % PARTS;
        self.files.push_back(snapshot);
        if self.files.len() > usize::from(PARTS) {
            self.files.pop_front();
        }
    }

    /// Checks that this is put together to all that the subtask has.
    pub(super) fn check(&self, whole: &Snapshot) {
        let restored = self.restored();
        assert_eq!(self.rows(&restored.keyed), self.rows(&whole.keyed));
        let listed = &self.files.back().expect("it has just been pushed").buckets;
        let listed: BTreeMap<_, _> =
            listed.iter().map(|bucket| ((bucket.table.clone(), bucket.bucket), bucket.rows)).collect();
        let counted = self.rows(&whole.keyed).into_iter().map(|(bucket, rows)| (bucket, rows.len() as u64)).collect();
        assert_eq!(listed, counted);
    }

    /// What a subtask that restores gets: the oldest rows first, none of buckets that are gone or have been handed over as a
    /// whole since.
    pub(super) fn restored(&self) -> Snapshot {
        let mut keyed: Vec<TableRows> = Vec::new();
        let Some(last) = self.files.back() else { return Snapshot::default() };
        for file in &self.files {
            keyed.retain(|old| {
                let same = |new: &&TableRows| new.table == old.table && new.bucket == old.bucket;
                !file.keyed.iter().find(same).is_some_and(|new| new.is_whole)
            });
            keyed.extend(file.keyed.iter().cloned());
        }
        let is_there = |rows: &TableRows| {
            last.buckets.iter().any(|bucket| bucket.table == rows.table && bucket.bucket == rows.bucket)
        };
        keyed.retain(is_there);
        Snapshot { keyed: joined(keyed), buckets: Vec::new(), union: last.union.clone() }
    }

    /// How many rows of a table the last checkpoint got.
    pub(super) fn last_rows(&self, table: &str) -> usize {
        let of_table = self.files.back().into_iter().flat_map(|file| &file.keyed).filter(|rows| rows.table == table);
        of_table.map(|rows| rows.rows.num_rows()).sum()
    }

    /// Rows in their order, the last of an identity.
    fn rows(&self, parts: &[TableRows]) -> Rows {
        let mut rows = Rows::new();
        for part in parts {
            let table = self.tables.iter().find(|table| table.name == part.table).expect("a table of the operator");
            let identity: Vec<usize> = match table.identity {
                0 => (0..part.rows.num_columns()).collect(),
                columns => (0..columns).collect(),
            };
            let names = lines(&part.rows.project(&identity).expect("columns of the table"));
            let bucket = rows.entry((part.table.clone(), part.bucket)).or_default();
            bucket.extend(names.into_iter().zip(lines(&part.rows)));
        }
        rows
    }
}

/// All rows of a bucket in one piece.
fn joined(pieces: Vec<TableRows>) -> Vec<TableRows> {
    let mut joined: Vec<TableRows> = Vec::new();
    for piece in pieces {
        match joined.iter_mut().find(|other| other.table == piece.table && other.bucket == piece.bucket) {
            Some(other) => {
                other.key_hashes.extend(piece.key_hashes);
                other.rows = concat_batches(&other.rows.schema(), [&other.rows, &piece.rows]).expect("one schema");
            }
            None => joined.push(piece),
        }
    }
    joined
}

#[test]
fn only_what_has_changed_of_a_large_table_is_handed_over() {
    let keys = 20_000;
    let calls = [&mergeable()[..1], &mergeable()[3..4], &distinct_values()[..1]].concat();
    let mut job = Job::new(config(WindowAssigner::Tumble { size_ms: 1_000, offset_ms: 0 }, &[KEY], &calls), 1, false);
    let row = |key: i64, value: i64| {
        let text = Some(format!("{value:03}"));
        Row { key: Some(key), time: 1, value: Some(value), text, flag: Some(true) }
    };
    job.add(batch(&(0..keys).map(|key| row(key, 5)).collect::<Vec<_>>()));
    job.checkpoint(true);
    let mut handed_over = Vec::new();
    for round in 0..i64::from(PARTS) {
        job.add(batch(&(0..100).map(|i| row(i * 200 + round, round)).collect::<Vec<_>>()));
        job.add(batch(&[row(keys + round, 1)]));
        // One that is abandoned: its changes come with the next one.
        job.checkpoint(false);
        job.checkpoint(true);
        handed_over.push(job.last_rows("groups"));
    }
    // An eighth of the groups, give or take a block, and what has changed.
    let eighth = keys as usize / usize::from(PARTS);
    assert!(handed_over.iter().all(|rows| (eighth - 64..eighth + 64 + 101).contains(rows)), "{handed_over:?}");
    job.rescale(2, 10_000);
    job.watermark(i64::MAX);
    let rows: usize = job.output.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows as i64, keys + i64::from(PARTS));
}
