//! Drives operators: several subtasks after an exchange, with restarts at another parallelism.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMillisecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use eddyline_job_graph::{TimeColumn, WindowAggregate, WindowAssigner, WindowColumn};
use eddyline_operators::{Collector, InputIndex, Operator, Progress, Result};
use eddyline_state::{Frozen, Snapshot, SnapshotRequest, SpillDirectory, TableRows};
use eddyline_stream::key_hash::hash_columns;
use eddyline_stream::{Assignment, Batch, CheckpointId, KeyGroup, MaxParallelism, Watermark};

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

/// Freezes the state of an operator.
fn freeze(operator: &mut impl Operator, request: SnapshotRequest) -> Frozen {
    operator.snapshot(request).expect("state").expect("it has some")
}

/// All state of an operator that takes no other checkpoints, as rows.
pub(super) fn snapshot_of(operator: &mut impl Operator) -> Snapshot {
    freeze(operator, SnapshotRequest::all(CheckpointId::NONE)).gather().expect("rows")
}

/// Checks that frozen state has not changed after the barrier.
fn assert_unchanged(frozen: Vec<(Frozen, Snapshot)>) {
    for (frozen, snapshot) in frozen {
        let parts = |snapshot: Snapshot| -> Vec<_> {
            snapshot.keyed.into_iter().map(|part| (part.table, part.bucket, part.key_hashes, part.rows)).collect()
        };
        assert_eq!(parts(frozen.gather().expect("rows")), parts(snapshot));
    }
}

/// The number of rows of a piece of output, and the piece in the middle of a window at which a barrier passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    pub(super) rows: usize,
    /// A restart: the number of the piece before which it happens, the new number of subtasks, and the number of rows
    /// of a piece of restored state.
    pub(super) cut: Option<(usize, u16, usize)>,
}

impl Pieces {
    pub(super) const WHOLE: Pieces = Pieces { rows: usize::MAX, cut: None };
}

/// Parallel subtasks of one aggregation.
pub(super) struct Job {
    config: WindowAggregate,
    local: Option<LocalWindowAggregate>,
    subtasks: Vec<WindowAggregateOperator>,
    /// The restored event time of each subtask, until it has received that watermark.
    restored: Vec<Option<Watermark>>,
    pieces: Pieces,
    /// Before each event and each piece: whether a checkpoint is taken, and whether it completes. The list is repeated.
    checkpoints: Vec<Option<bool>>,
    /// Before each event and each piece: how many bytes each subtask has to move to the disk. The list is repeated.
    evictions: Vec<usize>,
    /// The number of evictions that are done or left out.
    evicted: usize,
    pub(super) disk: SpillDirectory,
    /// The folder of `disk`.
    _folder: tempfile::TempDir,
    /// The number of pieces after the first one of a watermark.
    said: usize,
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
        let folder = tempfile::tempdir().expect("a folder");
        let mut job = Self {
            config,
            local,
            subtasks: Vec::new(),
            restored: Vec::new(),
            pieces: Pieces::WHOLE,
            checkpoints: Vec::new(),
            evictions: Vec::new(),
            evicted: 0,
            disk: SpillDirectory::new(folder.path(), u64::MAX),
            _folder: folder,
            said: 0,
            assignment: Assignment::even(MaxParallelism::DEFAULT, subtasks),
            late: 0,
            checkpoint: CheckpointId::NONE,
            chains: Vec::new(),
            output: Vec::new(),
        };
        job.start((0..subtasks).map(|_| job.subtask()).collect());
        job
    }

    pub(super) fn in_pieces(self, pieces: Pieces) -> Self {
        Self { pieces, ..self }
    }

    pub(super) fn evicting(self, evictions: &[usize]) -> Self {
        Self { evictions: evictions.to_vec(), ..self }
    }

    /// The eviction that is due before an event or a piece.
    fn due_eviction(&mut self) {
        self.evicted += 1;
        if let Some(bytes) = self.evictions.get(self.evicted % self.evictions.len().max(1)).copied() {
            self.evict(bytes);
        }
    }

    /// Moves state of each subtask to the disk. Gives the bytes that were freed.
    pub(super) fn evict(&mut self, bytes: usize) -> usize {
        let mut freed = 0;
        for subtask in self.subtasks.iter_mut().filter(|_| bytes > 0) {
            let before = subtask.counters().state_rows;
            freed += subtask.evict(bytes, &self.disk).expect("there is room");
            // Merging runs makes fewer rows of more.
            assert_eq!(subtask.counters().state_rows == 0, before == 0, "state stays state");
        }
        freed
    }

    /// Whether a barrier may pass while subtasks have more to emit.
    fn may_be_cut(&self, has_more: &[bool]) -> bool {
        has_more.iter().zip(&self.subtasks).all(|(has_more, subtask)| !has_more || subtask.may_be_cut())
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

    /// The checkpoint that is due before an event or a piece, if one is.
    fn due_checkpoint(&mut self, position: usize) {
        match self.checkpoints.get(position % self.checkpoints.len().max(1)).copied().flatten() {
            Some(true) => self.checked_checkpoint(),
            Some(false) => self.checkpoint(false),
            None => {}
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

    /// The state of every subtask that a barrier may pass now: frozen, and the same state gathered at once.
    fn freeze(&mut self) -> Vec<(Frozen, Snapshot)> {
        let (first, second) = (self.all_rows(), self.all_rows());
        let frozen = self.subtasks.iter_mut().filter(|subtask| subtask.may_be_cut()).map(|subtask| {
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
        if self.local.is_none() {
            let mut out = Collector::default();
            let keys: Vec<&dyn Array> = self.config.keys.iter().map(|key| rows.column(*key).as_ref()).collect();
            let hashes = hash_columns(&keys, rows.num_rows()).expect("keys");
            out.emit(Batch::keyed(rows, hashes.into()));
            return self.exchange(out);
        }
        self.local_in_pieces(|local, out| {
            // Both modes are correct at any time. The rows alone determine which one is used.
            local.set_bypass(rows.num_rows().is_multiple_of(3), out).expect("flushes");
            local.process(InputIndex::FIRST, Batch::new(rows), out).expect("valid rows")
        });
    }

    /// Calls the local aggregation and resumes it until it has emitted everything.
    fn local_in_pieces(&mut self, act: impl FnOnce(&mut LocalWindowAggregate, &mut Collector) -> Progress) {
        let Some(mut local) = self.local.take() else { return };
        let mut out = Collector::with_room(self.pieces.rows);
        let mut progress = act(&mut local, &mut out);
        loop {
            self.exchange(std::mem::replace(&mut out, Collector::with_room(self.pieces.rows)));
            if progress == Progress::Done {
                break;
            }
            progress = local.resume(&mut out).expect("sends");
            assert!(out.rows() <= self.pieces.rows, "a piece of {} rows", out.rows());
        }
        self.local = Some(local);
    }

    fn exchange(&mut self, mut out: Collector) {
        let mut results = Collector::default();
        for batch in out.drain() {
            let hashes = batch.key_hashes().expect("a keyed edge");
            for (slot, subtask) in self.subtasks.iter_mut().enumerate() {
                let is_mine = |hash: &u64| self.assignment.owner_of_hash(*hash).index() == slot;
                let mask = BooleanArray::from_iter(hashes.iter().map(|hash| Some(is_mine(hash))));
                let mine = filter_record_batch(batch.rows(), &mask).expect("a filter");
                let hashes: Vec<u64> = hashes.iter().copied().filter(|hash| is_mine(hash)).collect();
                subtask
                    .process(InputIndex::FIRST, Batch::keyed(mine, hashes.into()), &mut results)
                    .expect("valid rows");
            }
        }
        self.output.extend(results.drain().map(|batch| batch.rows().clone()));
    }

    pub(super) fn watermark(&mut self, time: i64) {
        let watermark = Watermark::new(time);
        self.local_in_pieces(|local, out| local.on_watermark(watermark, out).expect("sends"));
        if self.pieces.cut.is_some() {
            // A barrier in the middle of a window follows everything that was sent before it.
            self.flush_local();
        }
        let begins = vec![Some(watermark); self.subtasks.len()];
        let mut has_more = self.begin(&begins);
        while has_more.contains(&true) {
            self.due_eviction();
            let may_be_cut = self.may_be_cut(&has_more);
            if may_be_cut {
                self.due_checkpoint(self.said);
            }
            match self.pieces.cut.take_if(|(at, ..)| may_be_cut && *at <= self.said) {
                Some((_, subtasks, chunk)) => {
                    self.rescale(subtasks, chunk);
                    let restored = std::mem::take(&mut self.restored);
                    assert!(restored.iter().all(|restored| *restored == Some(watermark)), "{restored:?}");
                    has_more = self.begin(&restored);
                }
                None => {
                    let slot = self.said % has_more.len();
                    if has_more[slot] {
                        has_more[slot] = self.piece(slot, |subtask, out| subtask.resume(out)) == Progress::More;
                    }
                }
            }
            self.said += 1;
        }
    }

    /// Gives the subtasks a watermark.
    fn begin(&mut self, watermarks: &[Option<Watermark>]) -> Vec<bool> {
        let received = watermarks.iter().enumerate();
        received
            .map(|(slot, watermark)| match watermark {
                Some(watermark) => {
                    self.piece(slot, |subtask, out| subtask.on_watermark(*watermark, out)) == Progress::More
                }
                None => false,
            })
            .collect()
    }

    /// Resumes a subtask for one piece. Checks that its frozen state has not changed.
    fn piece(
        &mut self,
        slot: usize,
        act: impl FnOnce(&mut WindowAggregateOperator, &mut Collector) -> Result<Progress>,
    ) -> Progress {
        let frozen = self.freeze();
        let mut out = Collector::with_room(self.pieces.rows);
        let progress = act(&mut self.subtasks[slot], &mut out).expect("fires");
        assert!(out.rows() <= self.pieces.rows, "{} rows in a piece", out.rows());
        assert!(progress == Progress::Done || out.rows() > 0, "a piece without rows");
        self.output.extend(out.drain().map(|batch| batch.rows().clone()));
        assert_unchanged(frozen);
        progress
    }

    fn flush_local(&mut self) {
        let mut out = Collector::default();
        if let Some(local) = &mut self.local {
            local.before_barrier(&mut out).expect("flushes");
            assert_eq!(local.counters().state_rows, 0, "nothing is left in front of the exchange");
        }
        self.exchange(out);
    }

    /// Stops with a snapshot and starts with another number of subtasks. They restore pieces of `chunk` rows.
    pub(super) fn rescale(&mut self, subtasks: u16, chunk: usize) {
        self.flush_local();
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
        self.restored.clear();
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
            let mut watermark = None;
            // Restored in two parts, each with all rows of some key groups.
            for number in 0..2 {
                let mut keyed = part.keyed.clone();
                keyed.iter_mut().for_each(|rows| *rows = of_part(rows, number));
                let part = Snapshot { keyed, buckets: Vec::new(), union: part.union.clone() };
                watermark = subtask.restore(part).expect("its own state");
                if let Some(bytes) = self.evictions.first() {
                    subtask.evict(*bytes, &self.disk).expect("there is room");
                }
            }
            self.restored.push(watermark);
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

    /// The only subtask.
    pub(super) fn subtask_mut(&mut self) -> &mut WindowAggregateOperator {
        &mut self.subtasks[0]
    }

    pub(super) fn spilled_bytes(&self) -> u64 {
        self.subtasks.iter().map(|subtask| subtask.counters().spilled_bytes).sum()
    }

    pub(super) fn state_bytes(&self) -> usize {
        self.subtasks.iter().map(|subtask| subtask.counters().state_bytes).sum()
    }

    pub(super) fn state_rows(&self) -> usize {
        self.subtasks.iter().map(|subtask| subtask.counters().state_rows).sum()
    }

    /// Handles events, then the end of the input; restarts before event `restart.0`.
    pub(super) fn run(
        mut self,
        events: &[Event],
        checkpoints: &[Option<bool>],
        restart: Option<(usize, u16, usize)>,
    ) -> (Vec<String>, u64) {
        self.checkpoints = checkpoints.to_vec();
        for (position, event) in events.iter().enumerate() {
            self.due_eviction();
            self.due_checkpoint(position);
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

/// The rows of every second key group.
fn of_part(rows: &TableRows, part: usize) -> TableRows {
    let group = |row: &u32| KeyGroup::of(rows.key_hashes[*row as usize], MaxParallelism::DEFAULT).index();
    let all = 0..rows.key_hashes.len() as u32;
    pick(rows, &all.filter(|row| group(row) % 2 == part).collect::<Vec<u32>>())
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

/// The rows of a batch as text. A bar follows each column.
pub(super) fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default();
    let texts: Vec<Vec<String>> = batch
        .columns()
        .iter()
        .map(|column| {
            // A time is printed as its number; Arrow cannot print one in a time zone.
            let printed: ArrayRef = match column.data_type() {
                DataType::Timestamp(..) => {
                    Arc::new(column.as_primitive::<TimestampMillisecondType>().reinterpret_cast::<Int64Type>())
                }
                _ => Arc::clone(column),
            };
            let formatter = ArrayFormatter::try_new(printed.as_ref(), &options).expect("printable");
            let text = |row: usize| match column.data_type() {
                _ if column.is_null(row) => String::new(),
                DataType::Float64 => format!("{:.6}", column.as_primitive::<Float64Type>().value(row)),
                _ => formatter.value(row).to_string(),
            };
            (0..batch.num_rows()).map(text).collect()
        })
        .collect();
    (0..batch.num_rows()).map(|row| texts.iter().map(|column| format!("{}|", column[row])).collect()).collect()
}
