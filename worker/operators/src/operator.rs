//! The contract between an operator and the task that drives it.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use eddyline_state::{Frozen, Snapshot, SnapshotRequest, StateTable};
use eddyline_stream::{Batch, Watermark};

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

/// Takes an operator's output in order.
#[derive(Debug, Default)]
pub struct Collector {
    batches: Vec<Batch>,
}

impl Collector {
    /// Sends rows on. Empty batches are dropped.
    pub fn emit(&mut self, batch: Batch) {
        if batch.num_rows() > 0 {
            self.batches.push(batch);
        }
    }

    /// Sends rows on that are not keyed.
    pub fn emit_rows(&mut self, rows: RecordBatch) {
        self.emit(Batch::new(rows));
    }

    /// Takes what has been collected.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Batch> {
        self.batches.drain(..)
    }

    /// Whether nothing has been collected.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
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
/// Order of calls: `restore` at most once and first; then, as elements arrive, `process_batch` and `on_watermark`;
/// at a barrier `before_barrier`, then `snapshot`; `on_idle` when the inputs fall silent.
pub trait Operator: Send {
    /// Handles rows. `batch.key_hashes` is set when the edge into this operator is keyed.
    fn process_batch(&mut self, batch: Batch, out: &mut Collector) -> Result<()>;

    /// Event time has come to `watermark`, which is greater than in any earlier call. What is emitted here goes out
    /// before the watermark; the task forwards the watermark itself. [`Watermark::MAX`] is the end of a bounded input.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Collector) -> Result<()> {
        Ok(())
    }

    /// All inputs are idle: emit whatever is buffered but not part of [`Operator::snapshot`]. It is sent before
    /// [`Element::Idle`](eddyline_stream::Element::Idle). Afterwards receivers continue without this subtask, so that
    /// rows which it still held would be late. The next call is `on_watermark` or `process_batch`.
    fn on_idle(&mut self, _out: &mut Collector) -> Result<()> {
        Ok(())
    }

    /// A barrier is about to be forwarded: emit whatever is buffered but not part of [`Operator::snapshot`].
    fn before_barrier(&mut self, _out: &mut Collector) -> Result<()> {
        Ok(())
    }

    /// The state at this barrier, or as much of it as `request` asks for; an operator may always hand over more. `None`
    /// for a stateless operator. Must not change what the operator does next.
    fn snapshot(&mut self, _request: SnapshotRequest) -> Result<Option<Frozen>> {
        Ok(None)
    }

    /// Restores state, for the key groups that this subtask owns now.
    fn restore(&mut self, _snapshot: Snapshot) -> Result<()> {
        Ok(())
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
