//! Aggregation in front of the exchange: fewer rows to send when keys repeat, no loss of time when they do not.
//!
//! A slice is sent before the watermark that passes it. Everything is sent before a barrier and before the subtask falls idle:
//! so there is no state to snapshot, and no row waits for a watermark that does not come. Rows of slices that the watermark
//! has passed already are sent at once, because the receiver may be about to fire them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use eddyline_job_graph::WindowAggregate;
use eddyline_operators::{Collector, Counters, InputIndex, Operator, Progress, Result};
use eddyline_state::{by_chunk, fixed};
use eddyline_stream::{Batch, KeyHashes, Watermark};

use crate::groups::{Input, Rows, key_error};
use crate::layout::Layout;
use crate::operator::{Cut, hashes, partial_layout, prepare, runs};
use crate::output::BATCH_ROWS_MAX;
use crate::shape::{LOCAL_TIME, Shape};
use crate::slice::{Slice, gather, reorder};
use crate::slice_tables::SliceTables;
use crate::zone::Zone;

/// The most groups that are held; when there are more, all are sent.
const GROUPS_MAX: usize = 65_536;
/// After so many rows it is judged whether aggregating pays.
const SAMPLE_ROWS: usize = 20_000;
/// It pays while there are less groups than this share of the rows, in percent.
const GROUPS_PERCENT_MAX: usize = 50;
/// For so many rows nothing is aggregated when it does not pay; then it is tried again.
const BYPASS_ROWS: usize = 5_000_000;

/// The columns between local and global aggregation: keys, `slice_end` (with `slice_start` before it for windows that rows
/// carry), accumulators. `None` when the aggregation cannot be computed in parts, or cannot run at all.
pub fn partial_schema(config: &WindowAggregate, input: &SchemaRef) -> Option<SchemaRef> {
    let (_, shape, cut, _) = prepare(config, input).ok()?;
    let layout = partial_layout(config, input).ok()?;
    can_be_local(&layout, cut).then(|| shape.partial(&layout))
}

fn can_be_local(layout: &Layout, cut: Cut) -> bool {
    layout.is_mergeable() && !matches!(cut, Cut::Session { .. })
}

/// Whether rows are aggregated at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// They are: so many rows have become so many groups since the last judgement.
    Aggregate { rows: usize, groups: usize },
    /// They are passed on as they are, for so many rows more.
    Bypass { rows_left: usize },
}

/// Which slices are being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// Those that the watermark has passed.
    Passed,
    All,
}

/// Aggregates rows of a subtask's own input and emits partial accumulators, keyed; or passes the rows on, keyed, while
/// aggregating them gains too little.
#[derive(Debug)]
pub struct LocalWindowAggregate {
    // Fixed at start.
    shape: Shape,
    layout: Arc<Layout>,
    cut: Cut,
    schema: SchemaRef,
    // Changing.
    zone: Zone,
    tables: SliceTables,
    watermark: Watermark,
    sending: Sending,
    /// How many groups of the first slice are sent.
    sent: usize,
    phase: Phase,
    scratch: Vec<u32>,
}

impl LocalWindowAggregate {
    /// The operator for a configuration, over rows with the columns `input`; `None` when the aggregation cannot be computed
    /// in parts (DISTINCT, LISTAGG, FIRST_VALUE, LAST_VALUE, sessions), or cannot run at all: then
    /// [`WindowAggregateOperator::new`](crate::WindowAggregateOperator::new) says why.
    pub fn new(config: &WindowAggregate, input: &SchemaRef) -> Option<Self> {
        let (_, shape, cut, zone) = prepare(config, input).ok()?;
        let layout = partial_layout(config, input).ok()?;
        if !can_be_local(&layout, cut) {
            return None;
        }
        let layout = Arc::new(layout);
        let tables = SliceTables::new(&shape.key_types, layout.clone()).ok()?;
        Some(Self {
            schema: shape.partial(&layout),
            shape,
            layout,
            cut,
            zone,
            tables,
            watermark: Watermark::MIN,
            sending: Sending::Passed,
            sent: 0,
            phase: Phase::Aggregate { rows: 0, groups: 0 },
            scratch: Vec::new(),
        })
    }

    /// The columns of partial accumulators, which are those of [`partial_schema`].
    pub fn output_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds rows to the tables; gives how many groups were new.
    fn aggregate(&mut self, batch: &Batch) -> Result<usize> {
        let columns = batch.inserts()?.columns();
        let (runs, order) = gather(runs(self.cut, &self.shape, &mut self.zone, columns)?);
        let columns = match &order {
            Some(order) => Cow::Owned(reorder(columns, &self.shape.used, order)?),
            None => Cow::Borrowed(columns),
        };
        // An edge into this operator is not keyed by its keys, except by chance: hash here, once for both sides.
        let known = hashes(batch, order.as_ref());
        let keys = self.shape.key_columns(&columns);
        let rows = Rows::new(&keys, known.as_deref(), batch.num_rows(), Input::raw(&self.layout, &columns))?;
        let mut new = 0;
        for run in runs {
            let groups = self.tables.open(run.slice);
            let before = groups.len();
            groups.add(&self.layout, &rows, run.rows, &mut self.scratch);
            new += groups.len() - before;
        }
        Ok(new)
    }

    /// Emits rows as they are. They are hashed here, for the exchange and for the receiver.
    fn pass(&self, batch: Batch, out: &mut Collector) -> Result<()> {
        let hashes = batch.key_hashes_by(&self.shape.keys).map_err(|error| key_error(&error))?;
        out.emit(batch.with_key_hashes(hashes));
        Ok(())
    }

    fn emit(
        &self,
        mut columns: Vec<ArrayRef>,
        slice: Slice,
        accumulators: Vec<ArrayRef>,
        hashes: KeyHashes,
        out: &mut Collector,
    ) -> Result<()> {
        let count = hashes.len();
        if self.shape.is_attached {
            columns.push(fixed::column(vec![slice.start; count], None, &LOCAL_TIME));
        }
        columns.push(fixed::column(vec![slice.end; count], None, &LOCAL_TIME));
        columns.extend(accumulators);
        out.emit(Batch::keyed(RecordBatch::try_new(self.schema.clone(), columns)?, hashes));
        Ok(())
    }

    /// Sends slices in order, as far as there is room.
    fn send(&mut self, what: Sending, out: &mut Collector) -> Result<Progress> {
        self.sending = what;
        self.resume(out)
    }

    /// Sends all slices, whether there is room or not: [`GROUPS_MAX`] groups and those of a batch at most.
    fn send_all(&mut self, out: &mut Collector) -> Result<()> {
        self.sending = Sending::All;
        while let Some(slice) = self.tables.first() {
            self.send_groups(slice, usize::MAX, out)?;
        }
        Ok(())
    }

    /// Sends up to so many groups of the first slice, with which it is gone if they were the last ones.
    fn send_groups(&mut self, slice: Slice, count: usize, out: &mut Collector) -> Result<()> {
        let Some(groups) = self.tables.slices.remove(&slice) else { return Ok(()) };
        let end = groups.len().min(self.sent.saturating_add(count));
        let all: Vec<u32> = (self.sent as u32..end as u32).collect();
        for of in by_chunk(&all).flat_map(|groups| groups.chunks(BATCH_ROWS_MAX)) {
            let accumulators = self.layout.columns(groups.view(of), of)?;
            self.emit(groups.key_columns(of)?, slice, accumulators, groups.hashes(of).into(), out)?;
        }
        if end == groups.len() {
            self.sent = 0;
            self.tables.recycle(groups);
        } else {
            self.sent = end;
            self.tables.slices.insert(slice, groups);
        }
        Ok(())
    }

    /// Counts rows and new groups, and decides how the next rows are handled. Says whether all groups have to be sent first.
    fn judge(&mut self, num_rows: usize, new_groups: usize) -> bool {
        let mut gives_up = false;
        self.phase = match self.phase {
            Phase::Aggregate { rows, groups } if rows + num_rows < SAMPLE_ROWS => {
                Phase::Aggregate { rows: rows + num_rows, groups: groups + new_groups }
            }
            Phase::Aggregate { rows, groups } => {
                gives_up = (groups + new_groups) * 100 > (rows + num_rows) * GROUPS_PERCENT_MAX;
                if gives_up {
                    Phase::Bypass { rows_left: BYPASS_ROWS }
                } else {
                    Phase::Aggregate { rows: 0, groups: 0 }
                }
            }
            Phase::Bypass { rows_left } if rows_left > num_rows => Phase::Bypass { rows_left: rows_left - num_rows },
            Phase::Bypass { .. } => Phase::Aggregate { rows: 0, groups: 0 },
        };
        gives_up
    }
}

impl Operator for LocalWindowAggregate {
    fn process(&mut self, _input: InputIndex, batch: Batch, out: &mut Collector) -> Result<Progress> {
        let num_rows = batch.num_rows();
        let new_groups = match self.phase {
            Phase::Aggregate { .. } => self.aggregate(&batch)?,
            Phase::Bypass { .. } => {
                self.pass(batch, out)?;
                0
            }
        };
        let is_full = self.tables.size().1 > GROUPS_MAX;
        let gives_up = self.judge(num_rows, new_groups);
        self.send(if is_full || gives_up { Sending::All } else { Sending::Passed }, out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Collector) -> Result<Progress> {
        self.watermark = watermark;
        self.send(Sending::Passed, out)
    }

    fn on_idle(&mut self, out: &mut Collector) -> Result<Progress> {
        self.send(Sending::All, out)
    }

    fn resume(&mut self, out: &mut Collector) -> Result<Progress> {
        while let Some(slice) = self.tables.first() {
            if self.sending == Sending::Passed && !self.zone.is_fired(slice.end, self.watermark) {
                break;
            }
            let room = out.room();
            if room == 0 {
                return Ok(Progress::More);
            }
            self.send_groups(slice, room, out)?;
        }
        Ok(Progress::Done)
    }

    fn before_barrier(&mut self, out: &mut Collector) -> Result<()> {
        self.send_all(out)
    }

    fn counters(&self) -> Counters {
        let (state_bytes, state_rows) = self.tables.size();
        Counters { late_rows: 0, state_bytes, state_rows }
    }
}

#[cfg(test)]
mod tests;
