//! Aggregation before the exchange. It reduces the rows to send if keys repeat, and is switched off if they do not.
//!
//! A slice is sent before the watermark that passes it. Everything is sent before a barrier and before the subtask
//! becomes idle. So there is no state to snapshot, and no row waits for a watermark that does not come. Rows of slices
//! that the watermark has already passed are sent at once, because the receiver may be about to fire them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use eddyline_job_graph::WindowAggregate;
use eddyline_operators::{Collector, Counters, InputIndex, Operator, Progress, Result};
use eddyline_state::fixed;
use eddyline_stream::{Batch, KeyHashes, Watermark};

use crate::error::Error;
use crate::groups::{Input, Rows, key_error};
use crate::layout::Layout;
use crate::operator::{Cut, hashes, partial_layout, prepare, runs};
use crate::output::BATCH_ROWS_MAX;
use crate::shape::{LOCAL_TIME, Shape};
use crate::slice::{Slice, gather, reorder};
use crate::slice_tables::SliceTables;
use crate::zone::Zone;

/// The most groups in memory. If there are more, all are sent.
const GROUPS_MAX: usize = 65_536;
/// The number of rows after which the operator decides whether aggregation is worthwhile.
const SAMPLE_ROWS: usize = 20_000;
/// Aggregation is worthwhile if the number of groups is at most this percentage of the number of rows.
const GROUPS_PERCENT_MAX: usize = 50;
/// The number of rows that are passed on without aggregation when it is not worthwhile. After that it is tried again.
const BYPASS_ROWS: usize = 5_000_000;

/// Whether rows are currently aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Rows are aggregated. The fields count the rows and the groups made of them since the last decision.
    Aggregate { rows: usize, groups: usize },
    /// This number of further rows is passed on without aggregation.
    Bypass { rows_left: usize },
}

/// The slices that are being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// The slices that the watermark has passed.
    Passed,
    All,
}

/// Aggregates the rows of a subtask and emits partial accumulators with their key hashes. If aggregation is not
/// worthwhile, it passes the rows on with their key hashes.
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
    /// The number of groups of the first slice that are sent.
    sent: usize,
    phase: Phase,
    scratch: Vec<u32>,
}

impl LocalWindowAggregate {
    /// Makes the operator for a configuration, over rows with the columns `input`.
    ///
    /// # Errors
    /// The errors of [`WindowAggregateOperator::new`](crate::WindowAggregateOperator::new). Also if the aggregation
    /// cannot be computed in parts, see [`WindowAggregate::has_two_phases`].
    pub fn new(config: &WindowAggregate, input: &SchemaRef) -> std::result::Result<Self, Error> {
        let (_, shape, cut, zone) = prepare(config, input)?;
        let layout = partial_layout(config, input)?;
        if matches!(cut, Cut::Session { .. }) || !layout.is_mergeable() {
            return Err(Error::NotInParts);
        }
        let layout = Arc::new(layout);
        let tables = SliceTables::new(&shape.key_types, layout.clone(), usize::MAX)?;
        Ok(Self {
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

    /// The columns of partial accumulators: keys, `slice_end`, accumulators. If rows already have a window,
    /// `slice_start` is before `slice_end`.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds rows to the tables. Returns the number of new groups.
    fn aggregate(&mut self, batch: &Batch) -> Result<usize> {
        let columns = batch.inserts()?.columns();
        let (runs, order) = gather(runs(self.cut, &self.shape, &mut self.zone, columns)?);
        let columns = match &order {
            Some(order) => Cow::Owned(reorder(columns, &self.shape.used, order)?),
            None => Cow::Borrowed(columns),
        };
        // The input is usually not distributed by these keys, so the keys are hashed here, once for this operator and
        // the receiver.
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

    /// Emits rows without aggregation. Their keys are hashed here, for the exchange and for the receiver.
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

    /// Sends all slices, even if there is no room. These are at most [`GROUPS_MAX`] groups and those of one batch.
    fn send_all(&mut self, out: &mut Collector) -> Result<()> {
        self.sending = Sending::All;
        while let Some(slice) = self.tables.first() {
            self.send_groups(slice, usize::MAX, out)?;
        }
        Ok(())
    }

    /// Sends up to `count` groups of a slice, the first one. Removes the slice after its last group.
    fn send_groups(&mut self, slice: Slice, count: usize, out: &mut Collector) -> Result<()> {
        let Some(groups) = self.tables.slices.remove(&slice) else { return Ok(()) };
        let end = groups.len().min(self.sent.saturating_add(count));
        let all: Vec<u32> = (self.sent as u32..end as u32).collect();
        for of in all.chunks(BATCH_ROWS_MAX) {
            let hashes = of.iter().map(|group| groups.hashes()[*group as usize]).collect();
            let accumulators = self.layout.columns(groups.view(), of)?;
            self.emit(groups.key_columns(of)?, slice, accumulators, hashes, out)?;
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

    /// Counts rows and new groups, and decides how the next rows are handled. Returns whether all groups must be sent
    /// first.
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
        let is_full = self.tables.size().2 > GROUPS_MAX;
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
        let (state_bytes, _, state_rows) = self.tables.size();
        Counters { state_bytes, state_rows, ..Counters::default() }
    }
}

#[cfg(test)]
mod tests;
