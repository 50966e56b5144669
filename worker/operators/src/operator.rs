//! The contract between an operator and the task that drives it.
//!
//! The output of an operator is bounded: it emits one piece at a time. It may emit while the [`Collector`] has room.
//! When the room is used up and there is more output, it returns [`Progress::More`], and the task calls
//! [`Operator::resume`]. Between two pieces the task checks for barriers and for room downstream. The operator gets no
//! rows and no watermark until it returns [`Progress::Done`]. Output that is not emitted yet is state: see
//! [`Operator::may_be_cut`].

use std::collections::VecDeque;
use std::collections::vec_deque::Drain;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use eddyline_state::{Frozen, Snapshot, SnapshotRequest, SpillDirectory, StateTable, spill};
use eddyline_stream::{Batch, NotInsertOnly, Watermark};

/// An error of an operator. Each ends the attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An expression could not be evaluated, for example a CAST of text that is not a number.
    #[error("failed to evaluate {expression}")]
    Evaluate {
        /// The expression as EXPLAIN shows it.
        expression: String,
        /// The cause.
        source: eddyline_expression::Error,
    },
    /// Columns could not be built or combined.
    #[error("failed to build a batch")]
    BuildBatch(#[from] ArrowError),
    /// A value outside of the range of its result type.
    #[error("{0}")]
    Overflow(String),
    /// A row that violates the query's contract, for example NULL in a time attribute, or a time that is too far away
    /// for a window.
    #[error("{0}")]
    InvalidRow(String),
    /// A type or function that this operator does not support. The planner should have refused it.
    #[error("{0}")]
    Unsupported(String),
    /// A row that is not an insert, for an operator that accepts only inserts. The planner should have refused it.
    #[error(transparent)]
    NotInsertOnly(#[from] NotInsertOnly),
    /// State that does not fit in memory could not be written to the local disk, or not be read from it.
    #[error(transparent)]
    Spill(#[from] spill::Error),
    /// State in a form that this operator does not write.
    #[error("cannot restore state table {table}: {reason}")]
    Restore {
        /// The table.
        table: String,
        /// The mismatch.
        reason: String,
    },
}

/// The result of an operator's work.
pub type Result<T> = std::result::Result<T, Error>;

/// The input of an operator that rows come from: the position of the edge in the job graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputIndex(u8);

impl InputIndex {
    /// The only input of most operators; the left one of a join.
    pub const FIRST: InputIndex = InputIndex(0);
    /// The right input of a join.
    pub const SECOND: InputIndex = InputIndex(1);

    /// The input at this position.
    pub const fn new(index: u8) -> Self {
        Self(index)
    }

    /// The position, counted from 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The default number of rows in a piece.
pub const PIECE_ROWS: usize = 8192;

/// Whether an operator has emitted all output of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All output is emitted.
    Done,
    /// There is more output: call [`Operator::resume`].
    More,
}

/// Collects an operator's output in order, a piece at a time.
#[derive(Debug)]
pub struct Collector {
    batches: VecDeque<Batch>,
    rows: usize,
    piece_rows: usize,
}

impl Default for Collector {
    /// A collector with unlimited room.
    fn default() -> Self {
        Self::with_room(usize::MAX)
    }
}

impl Collector {
    /// A collector with room for pieces of this many rows, at least one.
    pub fn with_room(piece_rows: usize) -> Self {
        Self { batches: VecDeque::new(), rows: 0, piece_rows: piece_rows.max(1) }
    }

    /// The number of rows that this piece still has room for.
    pub fn room(&self) -> usize {
        self.piece_rows.saturating_sub(self.rows)
    }

    /// Emits rows. Empty batches are dropped.
    pub fn emit(&mut self, batch: Batch) {
        if batch.num_rows() > 0 {
            self.rows += batch.num_rows();
            self.batches.push_back(batch);
        }
    }

    /// Emits inserts without key hashes.
    pub fn emit_rows(&mut self, rows: RecordBatch) {
        self.emit(Batch::new(rows));
    }

    /// Removes the oldest collected batch.
    pub fn take(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.rows -= batch.num_rows();
        Some(batch)
    }

    /// Removes all collected batches.
    pub fn drain(&mut self) -> Drain<'_, Batch> {
        self.rows = 0;
        self.batches.drain(..)
    }

    /// Whether nothing has been collected.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The number of collected rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// Counters and gauges of an operator, for metrics and status. Counters begin with the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows that were dropped as late.
    pub late_rows: u64,
    /// The estimated size of the state in memory, in bytes.
    pub state_bytes: usize,
    /// The size of the state on the local disk, in bytes.
    pub spilled_bytes: u64,
    /// The number of rows of state, such as groups and buffered rows.
    pub state_rows: usize,
}

/// One parallel instance of an operator. A single thread drives it.
///
/// Order of calls:
///
/// 1. `restore` first if there is state, once for each part of it, then `on_watermark` with the watermark that the last
///    call returned.
/// 2. As elements arrive: `process`, `on_watermark` and `on_timer`. When all inputs become idle: `on_idle`.
/// 3. At a barrier: `before_barrier`, then `snapshot`.
///
/// After `process`, `on_watermark`, `on_timer`, `on_idle` or `resume` has returned [`Progress::More`], the next call is
/// `resume`. Before it, a barrier can come if [`Operator::may_be_cut`] allows it.
pub trait Operator: Send {
    /// Processes rows of an input. `batch.key_hashes()` is set if the edge into this operator is keyed. Rows of one
    /// input keep their order. The order between two inputs is arbitrary, so the output as a whole must not depend on
    /// it.
    fn process(&mut self, input: InputIndex, batch: Batch, out: &mut Collector) -> Result<Progress>;

    /// Event time has reached `watermark` on all inputs that are not idle. The watermark is greater than in any earlier
    /// call. The task sends what is emitted here, and then forwards the watermark. [`Watermark::MAX`] is the end of a
    /// bounded input.
    ///
    /// After a restore the first calls can have an earlier watermark than the state has seen, or the same one. The
    /// operator continues from the greater of both, and emits what it had not emitted when the snapshot was taken.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Collector) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// All inputs are idle. The operator emits what is buffered and not part of [`Operator::snapshot`]. The task sends
    /// it before [`Element::Idle`](eddyline_stream::Element::Idle). After that, receivers advance without this subtask,
    /// and rows that it still held would be late. The next call is `on_watermark` or `process`.
    fn on_idle(&mut self, _out: &mut Collector) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// The time of the operator's first processing-time timer, in milliseconds since the Unix epoch. Event-time timers
    /// are due in [`Operator::on_watermark`].
    fn next_timer(&self) -> Option<i64> {
        None
    }

    /// The clock has reached [`Operator::next_timer`]. `now_ms` is its time, which can be earlier than in the last
    /// call. This is the only way in which an operator sees a clock. There are no calls after the end of the input.
    fn on_timer(&mut self, _now_ms: i64, _out: &mut Collector) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// Emits the next piece of the remaining output.
    fn resume(&mut self, _out: &mut Collector) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// Whether a barrier may pass while this operator has unfinished output of a watermark. Then [`Operator::snapshot`]
    /// contains the output that is not emitted yet and none that is. It also contains the watermark, which
    /// [`Operator::restore`] returns.
    fn may_be_cut(&self) -> bool {
        false
    }

    /// A barrier is about to be forwarded. The operator emits what is buffered and not part of [`Operator::snapshot`].
    /// The barrier waits for it, so the buffer must have a named bound.
    fn before_barrier(&mut self, _out: &mut Collector) -> Result<()> {
        Ok(())
    }

    /// The state at this barrier, or the part of it that `request` asks for. An operator may always return more. `None`
    /// for a stateless operator. Must not change what the operator does next.
    fn snapshot(&mut self, _request: SnapshotRequest) -> Result<Option<Frozen>> {
        Ok(None)
    }

    /// Restores the state of the key groups that this subtask owns now. Large state comes in several parts, one call for
    /// each. A part has all rows of some key groups, and no other part has rows of these. Every part has all
    /// [union values](Snapshot::union). Returns the event time that the state had reached, if the operator keeps it. The
    /// result of the last call counts.
    fn restore(&mut self, _snapshot: Snapshot) -> Result<Option<Watermark>> {
        Ok(None)
    }

    /// The tables of keyed state that this operator writes; empty for a stateless one. `inputs` are the canonical
    /// spellings of its input columns, which describe what the tables hold.
    fn state_tables(&self, _inputs: &[String]) -> Vec<StateTable> {
        Vec::new()
    }

    /// Moves about so many bytes of state out of memory, to the local disk. Returns how many are freed: 0 if the operator has
    /// nothing that it can move. Later calls work as before and give the same results. It can come between any two calls.
    fn evict(&mut self, _bytes: usize, _disk: &SpillDirectory) -> Result<usize> {
        Ok(0)
    }

    /// Counters for metrics.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}
