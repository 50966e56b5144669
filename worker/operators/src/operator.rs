//! The contract between an operator and the task that drives it.
//!
//! What an operator says at once has a bound: it says it in pieces. While the [`Collector`] has room it may emit; when the
//! room is used up and there is more to say, it returns [`Progress::More`] and is called again by [`Operator::resume`]. In
//! between its task looks at barriers and at room downstream. The operator gets no rows and no watermark until it is
//! [`Progress::Done`]. What it has not said yet is state: see [`Operator::may_be_cut`].

use std::collections::VecDeque;
use std::collections::vec_deque::Drain;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use eddyline_state::{Frozen, Snapshot, SnapshotRequest, StateTable};
use eddyline_stream::{Batch, NotInsertOnly, Watermark};

/// What can go wrong inside an operator. Any of these ends the attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An expression could not be evaluated on the rows at hand, for example a CAST of text that is no number.
    #[error("failed to evaluate {expression}")]
    Evaluate {
        /// The expression as EXPLAIN shows it.
        expression: String,
        /// Why.
        source: eddyline_expression::Error,
    },
    /// Columns could not be built or combined.
    #[error("failed to build a batch")]
    BuildBatch(#[from] ArrowError),
    /// A value outside what its result type can hold.
    #[error("{0}")]
    Overflow(String),
    /// A time that no window can hold, NULL in a time attribute, and the like: the rows break the query's contract.
    #[error("{0}")]
    InvalidRow(String),
    /// A type or function that this operator has no meaning for: the plan asks for too much.
    #[error("{0}")]
    Unsupported(String),
    /// A row that is no insert, for an operator that takes inserts only; the planner should have refused it.
    #[error(transparent)]
    NotInsertOnly(#[from] NotInsertOnly),
    /// State that does not have the form this operator writes.
    #[error("cannot restore state table {table}: {reason}")]
    Restore {
        /// The table.
        table: String,
        /// What does not fit.
        reason: String,
    },
}

/// The result of an operator's work.
pub type Result<T> = std::result::Result<T, Error>;

/// Which of its inputs rows come to an operator from: the place of the edge in the job graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputIndex(u8);

impl InputIndex {
    /// The only input of most operators; the left one of a join.
    pub const FIRST: InputIndex = InputIndex(0);
    /// The right input of a join.
    pub const SECOND: InputIndex = InputIndex(1);

    /// The input at this place.
    pub const fn new(index: u8) -> Self {
        Self(index)
    }

    /// The place, from 0 on.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The rows of a piece, if nothing else is asked for.
pub const PIECE_ROWS: usize = 8192;

/// Whether an operator has said everything that followed from a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has.
    Done,
    /// There is more: call [`Operator::resume`].
    More,
}

/// Takes an operator's output in order, a piece at a time.
#[derive(Debug)]
pub struct Collector {
    batches: VecDeque<Batch>,
    rows: usize,
    piece_rows: usize,
}

impl Default for Collector {
    /// Has room for everything.
    fn default() -> Self {
        Self::with_room(usize::MAX)
    }
}

impl Collector {
    /// Has room for pieces of so many rows, of one at least.
    pub fn with_room(piece_rows: usize) -> Self {
        Self { batches: VecDeque::new(), rows: 0, piece_rows: piece_rows.max(1) }
    }

    /// How many more rows belong into this piece.
    pub fn room(&self) -> usize {
        self.piece_rows.saturating_sub(self.rows)
    }

    /// Sends rows on. Empty batches are dropped.
    pub fn emit(&mut self, batch: Batch) {
        if batch.num_rows() > 0 {
            self.rows += batch.num_rows();
            self.batches.push_back(batch);
        }
    }

    /// Sends rows on that are not keyed.
    pub fn emit_rows(&mut self, rows: RecordBatch) {
        self.emit(Batch::new(rows));
    }

    /// Takes the oldest batch that has been collected.
    pub fn take(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.rows -= batch.num_rows();
        Some(batch)
    }

    /// Takes what has been collected.
    pub fn drain(&mut self) -> Drain<'_, Batch> {
        self.rows = 0;
        self.batches.drain(..)
    }

    /// Whether nothing has been collected.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// How many rows have been collected.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// What an operator counts, for metrics and status. Totals since the task started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows dropped because every window they belong to had fired.
    pub late_rows: u64,
    /// Bytes of state held in memory, as an estimate.
    pub state_bytes: usize,
    /// Rows (groups, buffered rows) of state held.
    pub state_rows: usize,
}

/// One parallel instance of an operator. Driven by a single thread.
///
/// Order of calls: `restore` at most once and first, then `on_watermark` with what it returned; as elements arrive,
/// `process`, `on_watermark` and `on_timer`; at a barrier `before_barrier`, then `snapshot`; `on_idle` when the inputs fall silent.
/// After each of `process`, `on_watermark`, `on_timer`, `on_idle` and `resume` that returns [`Progress::More`], only `resume`, or
/// a barrier if [`Operator::may_be_cut`] allows it.
pub trait Operator: Send {
    /// Handles rows of an input. `batch.key_hashes()` is set when the edge into this operator is keyed. Rows of one input keep
    /// their order; which of two inputs is read next depends on chance, so that what comes out as a whole must not depend on it.
    fn process(&mut self, input: InputIndex, batch: Batch, out: &mut Collector) -> Result<Progress>;

    /// Event time has come to `watermark` on all inputs that are not idle. It is greater than in any earlier call. What is emitted here goes out before
    /// the watermark; the task forwards the watermark itself. [`Watermark::MAX`] is the end of a bounded input.
    ///
    /// After a restore the first calls can have an earlier watermark than the state has seen, or the same one. The operator
    /// continues from the greater of both, and says what it had not said when the state was taken.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Collector) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// All inputs are idle: emit whatever is buffered but not part of [`Operator::snapshot`]. It is sent before
    /// [`Element::Idle`](eddyline_stream::Element::Idle). Afterwards receivers continue without this subtask, so that rows
    /// which it still held would be late. The next call is `on_watermark` or `process`.
    fn on_idle(&mut self, _out: &mut Collector) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// When the operator wants to know the time: at its first timer that goes by the clock, in milliseconds since the
    /// epoch. Timers that go by event time are due in [`Operator::on_watermark`].
    fn next_timer(&self) -> Option<i64> {
        None
    }

    /// The clock says `now_ms`, which has come to [`Operator::next_timer`]. It can have gone back since the last call. This is the
    /// only time of a clock that an operator ever sees. There are no calls after the end of the input.
    fn on_timer(&mut self, _now_ms: i64, _out: &mut Collector) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// Says the next piece of what the last call has left.
    fn resume(&mut self, _out: &mut Collector) -> Result<Progress> {
        Ok(Progress::Done)
    }

    /// Whether a barrier may pass while this operator is in the middle of a watermark. Then [`Operator::snapshot`] has what
    /// is not said yet and nothing of what has been said, and remembers the watermark, which [`Operator::restore`] returns.
    fn may_be_cut(&self) -> bool {
        false
    }

    /// A barrier is about to be forwarded: emit whatever is buffered but not part of [`Operator::snapshot`]. The barrier
    /// waits for it, so that it has to have a bound with a name.
    fn before_barrier(&mut self, _out: &mut Collector) -> Result<()> {
        Ok(())
    }

    /// The state at this barrier, or as much of it as `request` asks for; an operator may always hand over more. `None`
    /// for a stateless operator. Must not change what the operator does next.
    fn snapshot(&mut self, _request: SnapshotRequest) -> Result<Option<Frozen>> {
        Ok(None)
    }

    /// Restores state, for the key groups that this subtask owns now. Returns the event time that the state has come to, if
    /// the operator keeps it.
    fn restore(&mut self, _snapshot: Snapshot) -> Result<Option<Watermark>> {
        Ok(None)
    }

    /// The tables of keyed state that this operator writes; empty for a stateless one. `inputs` spell the columns of
    /// its input, to say what the tables hold.
    fn state_tables(&self, _inputs: &[String]) -> Vec<StateTable> {
        Vec::new()
    }

    /// Totals for metrics.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}
