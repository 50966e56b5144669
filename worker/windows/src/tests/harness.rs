//! Drives operators: several subtasks behind an exchange, with restarts at another parallelism.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, TimestampMillisecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use eddyline_job_graph::{TimeColumn, WindowAggregate, WindowAssigner, WindowColumn};
use eddyline_operators::{Collector, Operator};
use eddyline_state::{Frozen, Snapshot, SnapshotRequest, TableRows};
use eddyline_stream::key_hash::hash_columns;
use eddyline_stream::{Assignment, Batch, CheckpointId, MaxParallelism, Watermark};

use super::aggregates::Call;
use super::chain::Chain;
use super::rows::{Event, Row, batch, schema, time_column};
use crate::{LocalWindowAggregate, WindowAggregateOperator};

/// An aggregation with all window columns.
pub(super) fn config(assigner: WindowAssigner, keys: &[usize], calls: &[Call]) -> WindowAggregate {
    let is_attached = matches!(assigner, WindowAssigner::Attached { .. });
    let time: Option<TimeColumn> = (!is_attached).then(time_column);
    WindowAggregate {
        assigner,
        time,
        keys: keys.to_vec(),
        aggregates: calls.iter().map(|(call, _)| call.clone()).collect(),
        window_columns: vec![WindowColumn::Start, WindowColumn::End, WindowColumn::Time],
    }
}

/// What an operator hands over, frozen.
fn freeze(operator: &mut impl Operator, request: SnapshotRequest) -> Frozen {
    operator.snapshot(request).expect("state").expect("it has some")
}

/// The state of an operator that takes no other checkpoints, in rows.
pub(super) fn snapshot_of(operator: &mut impl Operator) -> Snapshot {
    freeze(operator, SnapshotRequest::all(CheckpointId::NONE)).gather().expect("rows")
}

/// What an operator does after a barrier does not show in what was frozen there.
fn assert_unchanged(frozen: Vec<(Frozen, Snapshot)>) {
    for (frozen, snapshot) in frozen {
        let parts = |snapshot: Snapshot| -> Vec<_> {
            snapshot.keyed.into_iter().map(|part| (part.table, part.bucket, part.key_hashes, part.rows)).collect()
        };
        assert_eq!(parts(frozen.gather().expect("rows")), parts(snapshot));
    }
}

/// Parallel subtasks of one aggregation.
pub(super) struct Job {
    config: WindowAggregate,
    local: Option<LocalWindowAggregate>,
    subtasks: Vec<WindowAggregateOperator>,
    assignment: Assignment,
    late: u64,
    checkpoint: CheckpointId,
    /// What completed checkpoints have of each subtask.
    chains: Vec<Chain>,
    pub(super) output: Vec<RecordBatch>,
}

impl Job {
    pub(super) fn new(config: WindowAggregate, subtasks: u16, is_local: bool) -> Self {
        let local = is_local.then(|| LocalWindowAggregate::new(&config, &schema()).expect("can be computed in parts"));
        let mut job = Self {
            config,
            local,
            subtasks: Vec::new(),
            assignment: Assignment::even(MaxParallelism::DEFAULT, subtasks),
            late: 0,
            checkpoint: CheckpointId::NONE,
            chains: Vec::new(),
            output: Vec::new(),
        };
        job.start((0..subtasks).map(|_| job.subtask()).collect());
        job
    }

    fn start(&mut self, subtasks: Vec<WindowAggregateOperator>) {
        self.chains = subtasks.iter().map(|subtask| Chain::new(subtask.state_tables(&[]))).collect();
        self.subtasks = subtasks;
    }

    fn all_rows(&mut self) -> SnapshotRequest {
        self.checkpoint = self.checkpoint.next();
        SnapshotRequest::all(self.checkpoint)
    }

    /// A checkpoint of what has changed, which completes or not.
    pub(super) fn checkpoint(&mut self, completes: bool) {
        self.checkpoint = self.checkpoint.next();
        for (subtask, chain) in self.subtasks.iter_mut().zip(&mut self.chains) {
            let snapshot = freeze(subtask, chain.request(self.checkpoint)).gather().expect("rows");
            if completes {
                chain.complete(self.checkpoint, snapshot);
            }
        }
    }

    /// A checkpoint that completes. What checkpoints have handed over is then the whole state.
    pub(super) fn checked_checkpoint(&mut self) {
        let all = self.all_rows();
        let whole: Vec<Snapshot> =
            self.subtasks.iter_mut().map(|subtask| freeze(subtask, all).gather().expect("rows")).collect();
        self.checkpoint(true);
        self.chains.iter().zip(&whole).for_each(|(chain, whole)| chain.check(whole));
    }

    fn subtask(&self) -> WindowAggregateOperator {
        WindowAggregateOperator::new(self.config.clone(), schema()).expect("a valid configuration")
    }

    /// What every subtask's state is: frozen, and gathered at once.
    fn freeze(&mut self) -> Vec<(Frozen, Snapshot)> {
        let (first, second) = (self.all_rows(), self.all_rows());
        let frozen = self.subtasks.iter_mut().map(|subtask| {
            let frozen = freeze(subtask, first);
            (frozen, freeze(subtask, second).gather().expect("rows"))
        });
        frozen.collect()
    }

    pub(super) fn rows(&mut self, rows: &[Row]) {
        let frozen = self.freeze();
        self.add(batch(rows));
        assert_unchanged(frozen);
    }

    pub(super) fn add(&mut self, rows: RecordBatch) {
        let mut out = Collector::default();
        match &mut self.local {
            Some(local) => {
                // Either is right at any time; which it is follows from the rows alone.
                local.set_bypass(rows.num_rows().is_multiple_of(3), &mut out).expect("flushes");
                local.process_batch(Batch::new(rows), &mut out).expect("valid rows");
            }
            None => {
                let keys: Vec<&dyn Array> = self.config.keys.iter().map(|key| rows.column(*key).as_ref()).collect();
                let hashes = hash_columns(&keys, rows.num_rows()).expect("keys");
                out.emit(Batch::keyed(rows, hashes.into()));
            }
        }
        self.exchange(out);
    }

    fn exchange(&mut self, mut out: Collector) {
        let mut results = Collector::default();
        for batch in out.drain() {
            let hashes = batch.key_hashes.expect("a keyed edge");
            for (slot, subtask) in self.subtasks.iter_mut().enumerate() {
                let is_mine = |hash: &u64| self.assignment.owner_of_hash(*hash).index() == slot;
                let mask = BooleanArray::from_iter(hashes.iter().map(|hash| Some(is_mine(hash))));
                let mine = filter_record_batch(&batch.rows, &mask).expect("a filter");
                let hashes: Vec<u64> = hashes.iter().copied().filter(|hash| is_mine(hash)).collect();
                subtask.process_batch(Batch::keyed(mine, hashes.into()), &mut results).expect("valid rows");
            }
        }
        self.output.extend(results.drain().map(|batch| batch.rows));
    }

    pub(super) fn watermark(&mut self, time: i64) {
        let frozen = self.freeze();
        self.advance(time);
        assert_unchanged(frozen);
    }

    pub(super) fn advance(&mut self, time: i64) {
        let mut out = Collector::default();
        if let Some(local) = &mut self.local {
            local.on_watermark(Watermark::new(time), &mut out).expect("flushes");
        }
        self.exchange(out);
        let mut results = Collector::default();
        for subtask in &mut self.subtasks {
            subtask.on_watermark(Watermark::new(time), &mut results).expect("fires");
        }
        self.output.extend(results.drain().map(|batch| batch.rows));
    }

    /// Stops with a snapshot and starts with another number of subtasks, from pieces of `chunk` rows.
    pub(super) fn rescale(&mut self, subtasks: u16, chunk: usize) {
        let mut out = Collector::default();
        if let Some(local) = &mut self.local {
            local.before_barrier(&mut out).expect("flushes");
            assert_eq!(local.counters().state_rows, 0, "nothing is left in front of the exchange");
        }
        self.exchange(out);
        self.late = self.late_rows();
        self.checked_checkpoint();
        let snapshots: Vec<Snapshot> = self.chains.iter().map(Chain::restored).collect();
        for (table, rows) in self.subtasks[0]
            .state_tables(&[])
            .iter()
            .flat_map(|table| snapshots.iter().flat_map(|snapshot| &snapshot.keyed).map(move |rows| (table, rows)))
        {
            assert!(
                rows.table != table.name || rows.rows.schema() == table.schema,
                "{} has another schema",
                rows.table
            );
        }
        self.assignment = self.assignment.rescaled(subtasks);
        let mut restored = Vec::new();
        for slot in 0..usize::from(subtasks) {
            let mut part = Snapshot::default();
            for snapshot in &snapshots {
                part.union.extend(snapshot.union.iter().cloned());
                for rows in &snapshot.keyed {
                    let mine: Vec<u32> = (0..rows.key_hashes.len() as u32)
                        .filter(|row| self.assignment.owner_of_hash(rows.key_hashes[*row as usize]).index() == slot)
                        .collect();
                    part.keyed.extend(mine.chunks(chunk).map(|mine| pick(rows, mine)));
                }
            }
            let mut subtask = self.subtask();
            subtask.restore(part).expect("its own state");
            restored.push(subtask);
        }
        self.start(restored);
    }

    pub(super) fn late_rows(&self) -> u64 {
        self.late + self.subtasks.iter().map(|subtask| subtask.counters().late_rows).sum::<u64>()
    }

    /// How many rows of a table the last complete checkpoint got.
    pub(super) fn last_rows(&self, table: &str) -> usize {
        self.chains.iter().map(|chain| chain.last_rows(table)).sum()
    }

    pub(super) fn state_bytes(&self) -> usize {
        self.subtasks.iter().map(|subtask| subtask.counters().state_bytes).sum()
    }

    pub(super) fn state_rows(&self) -> usize {
        self.subtasks.iter().map(|subtask| subtask.counters().state_rows).sum()
    }

    /// Handles events, then the end of the input; restarts before event `restart.0`. Before an event is a checkpoint or none,
    /// repeatedly as in `checkpoints`, and each of them completes or not.
    pub(super) fn run(
        mut self,
        events: &[Event],
        checkpoints: &[Option<bool>],
        restart: Option<(usize, u16, usize)>,
    ) -> (Vec<String>, u64) {
        for (position, event) in events.iter().enumerate() {
            match checkpoints.get(position % checkpoints.len().max(1)).copied().flatten() {
                Some(true) => self.checked_checkpoint(),
                Some(false) => self.checkpoint(false),
                None => {}
            }
            if let Some((_, subtasks, chunk)) = restart.filter(|(at, ..)| *at == position) {
                self.rescale(subtasks, chunk);
            }
            match event {
                Event::Rows(rows) => self.rows(rows),
                Event::Watermark(time) => self.watermark(*time),
            }
        }
        self.watermark(i64::MAX);
        assert_eq!(self.state_rows(), 0, "the end of the input fires all windows");
        let mut lines: Vec<String> = self.output.iter().flat_map(lines).collect();
        lines.sort();
        (lines, self.late_rows())
    }
}

fn pick(rows: &TableRows, which: &[u32]) -> TableRows {
    TableRows {
        table: rows.table.clone(),
        bucket: rows.bucket,
        is_whole: rows.is_whole,
        key_hashes: which.iter().map(|row| rows.key_hashes[*row as usize]).collect(),
        rows: take_record_batch(&rows.rows, &UInt32Array::from(which.to_vec())).expect("rows of the batch"),
    }
}

/// The rows of a batch as text, each column followed by a bar.
pub(super) fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default();
    let texts: Vec<Vec<String>> = batch
        .columns()
        .iter()
        .map(|column| {
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options).expect("printable");
            let text = |row: usize| match column.data_type() {
                _ if column.is_null(row) => String::new(),
                DataType::Float64 => format!("{:.6}", column.as_primitive::<Float64Type>().value(row)),
                DataType::Timestamp(..) => column.as_primitive::<TimestampMillisecondType>().value(row).to_string(),
                _ => formatter.value(row).to_string(),
            };
            (0..batch.num_rows()).map(text).collect()
        })
        .collect();
    (0..batch.num_rows()).map(|row| texts.iter().map(|column| format!("{}|", column[row])).collect()).collect()
}
