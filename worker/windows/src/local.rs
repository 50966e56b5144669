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
use eddyline_operators::{Collector, Counters, Operator, Result};
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
        let (runs, order) = gather(runs(self.cut, &self.shape, &mut self.zone, batch.rows.columns())?);
        let columns = match &order {
            Some(order) => Cow::Owned(reorder(batch.rows.columns(), &self.shape.used, order)?),
            None => Cow::Borrowed(batch.rows.columns()),
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
        out.emit(Batch::keyed(batch.rows, hashes));
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

    /// Emits the slices that end up to here, in order.
    fn flush(&mut self, out: &mut Collector, is_due: impl Fn(&Zone, Slice) -> bool) -> Result<()> {
        while let Some(slice) = self.tables.first().filter(|slice| is_due(&self.zone, *slice)) {
            let Some(groups) = self.tables.slices.remove(&slice) else { break };
            for of in by_chunk(&groups.all()).flat_map(|groups| groups.chunks(BATCH_ROWS_MAX)) {
                let accumulators = self.layout.columns(groups.view(of), of)?;
                self.emit(groups.key_columns(of)?, slice, accumulators, groups.hashes(of).into(), out)?;
            }
            self.tables.recycle(groups);
        }
        Ok(())
    }

    fn flush_passed(&mut self, out: &mut Collector) -> Result<()> {
        let watermark = self.watermark;
        self.flush(out, |zone, slice| zone.is_fired(slice.end, watermark))
    }

    fn flush_all(&mut self, out: &mut Collector) -> Result<()> {
        self.flush(out, |_, _| true)
    }

    /// Counts rows and new groups, and decides how the next rows are handled.
    fn judge(&mut self, num_rows: usize, new_groups: usize, out: &mut Collector) -> Result<()> {
        self.phase = match self.phase {
            Phase::Aggregate { rows, groups } if rows + num_rows < SAMPLE_ROWS => {
                Phase::Aggregate { rows: rows + num_rows, groups: groups + new_groups }
            }
            Phase::Aggregate { rows, groups } => {
                if (groups + new_groups) * 100 > (rows + num_rows) * GROUPS_PERCENT_MAX {
                    self.flush_all(out)?;
                    Phase::Bypass { rows_left: BYPASS_ROWS }
                } else {
                    Phase::Aggregate { rows: 0, groups: 0 }
                }
            }
            Phase::Bypass { rows_left } if rows_left > num_rows => Phase::Bypass { rows_left: rows_left - num_rows },
            Phase::Bypass { .. } => Phase::Aggregate { rows: 0, groups: 0 },
        };
        Ok(())
    }
}

impl Operator for LocalWindowAggregate {
    fn process_batch(&mut self, batch: Batch, out: &mut Collector) -> Result<()> {
        let num_rows = batch.num_rows();
        let new_groups = match self.phase {
            Phase::Aggregate { .. } => self.aggregate(&batch)?,
            Phase::Bypass { .. } => {
                self.pass(batch, out)?;
                0
            }
        };
        self.flush_passed(out)?;
        if self.tables.size().1 > GROUPS_MAX {
            self.flush_all(out)?;
        }
        self.judge(num_rows, new_groups, out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Collector) -> Result<()> {
        self.watermark = watermark;
        self.flush_passed(out)
    }

    fn on_idle(&mut self, out: &mut Collector) -> Result<()> {
        self.flush_all(out)
    }

    fn before_barrier(&mut self, out: &mut Collector) -> Result<()> {
        self.flush_all(out)
    }

    fn counters(&self) -> Counters {
        let (state_bytes, state_rows) = self.tables.size();
        Counters { late_rows: 0, state_bytes, state_rows }
    }
}

#[cfg(test)]
mod tests;
