//! What checkpoints have handed over one after another: a reader of them that knows only their contract.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_state::{Bucket, PARTS, Snapshot, SnapshotRequest, StateTable, TableRows};
use eddyline_stream::CheckpointId;

use crate::testing::rows_of;

/// Pieces of a bucket, each with the round in which it was handed over, oldest first.
type Pieces = Vec<(u64, TableRows)>;

/// What the last complete checkpoint of a subtask refers to.
pub struct Chain {
    tables: Vec<StateTable>,
    checkpoints: u64,
    completed: Option<CheckpointId>,
    round: u64,
    buckets: BTreeMap<(String, i64), Pieces>,
    union: Vec<(String, Vec<u8>)>,
    /// How many rows of each table the last complete checkpoint has got.
    pub handed_over: BTreeMap<String, usize>,
}

impl Chain {
    pub fn new(tables: Vec<StateTable>) -> Self {
        Self {
            tables,
            checkpoints: 0,
            completed: None,
            round: 0,
            buckets: BTreeMap::new(),
            union: Vec::new(),
            handed_over: BTreeMap::new(),
        }
    }

    /// The request of the next checkpoint, for changes or for everything.
    pub fn request(&mut self, is_whole: bool) -> SnapshotRequest {
        self.checkpoints += 1;
        let part = u8::try_from(self.round % u64::from(PARTS)).expect("small");
        let since = self.completed.filter(|_| !is_whole);
        SnapshotRequest { checkpoint: CheckpointId::new(self.checkpoints), since, part }
    }

    /// A checkpoint is complete, and got this.
    pub fn complete(&mut self, request: SnapshotRequest, snapshot: Snapshot) {
        self.handed_over.clear();
        for rows in &snapshot.keyed {
            *self.handed_over.entry(rows.table.clone()).or_default() += rows.rows.num_rows();
        }
        let mut before = std::mem::take(&mut self.buckets);
        for Bucket { table, bucket, rows } in snapshot.buckets {
            let name = (table.clone(), bucket);
            assert!(!self.buckets.contains_key(&name), "{name:?} is listed once");
            let of_bucket = |part: &&TableRows| part.table == table && part.bucket == bucket;
            let given: Vec<&TableRows> = snapshot.keyed.iter().filter(of_bucket).collect();
            let mut pieces = before.remove(&name).unwrap_or_default();
            pieces.retain(|(round, _)| self.round < round + u64::from(PARTS));
            if given.iter().any(|part| part.is_whole) {
                assert!(given.iter().all(|part| part.is_whole), "{name:?}");
                pieces.clear();
            }
            pieces.extend(given.into_iter().map(|part| (self.round, part.clone())));
            assert_eq!(self.distinct(&table, &pieces), rows, "{name:?} in round {}", self.round);
            self.buckets.insert(name, pieces);
        }
        let listed = |part: &TableRows| self.buckets.contains_key(&(part.table.clone(), part.bucket));
        assert!(snapshot.keyed.iter().all(listed), "only listed buckets are handed over");
        self.union = snapshot.union;
        (self.completed, self.round) = (Some(request.checkpoint), self.round + 1);
    }

    /// The number of rows of a bucket; those with one identity are one.
    fn distinct(&self, table: &str, pieces: &Pieces) -> u64 {
        let table = self.tables.iter().find(|known| known.name == table).expect("a table of the operator");
        if table.identity == 0 {
            assert!(pieces.iter().all(|(_, part)| part.is_whole), "{}", table.name);
            return pieces.iter().map(|(_, part)| part.rows.num_rows() as u64).sum();
        }
        let identity: Vec<usize> = (0..table.identity).collect();
        let rows = pieces.iter().map(|(_, part)| rows_of(&part.rows.project(&identity).expect("leading columns")));
        let texts: BTreeSet<String> = rows.flatten().map(|row| format!("{row:?}")).collect();
        texts.len() as u64
    }

    /// What subtasks restore.
    pub fn restored(&self) -> Snapshot {
        let keyed = self.buckets.values().flatten().map(|(_, part)| part.clone()).collect();
        Snapshot { keyed, buckets: Vec::new(), union: self.union.clone() }
    }
}
