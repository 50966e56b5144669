//! Adds window columns to rows, without state.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use eddyline_job_graph::{WindowAssign, WindowAssigner};
use eddyline_operators::{Collector, InputIndex, Operator, Progress, Result};
use eddyline_state::fixed;
use eddyline_stream::Batch;

use crate::Error;
use crate::operator::check_sizes;
use crate::output::BATCH_ROWS_MAX;
use crate::shape::{LOCAL_TIME, check_time};
use crate::slice::{Grid, Run, Slice, runs_of_times, times};
use crate::zone::Zone;

/// Adds `window_start`, `window_end` and `window_time` to every row. Repeats rows that are in several windows. No row
/// is late here. The next operator decides that.
#[derive(Debug)]
pub struct WindowAssignOperator {
    // Fixed at start.
    assigner: WindowAssigner,
    grid: Grid,
    time: usize,
    time_name: String,
    time_type: DataType,
    schema: SchemaRef,
    // Changing.
    zone: Zone,
    rest: Option<Rest>,
}

/// Rows of a batch that have not been emitted yet.
#[derive(Debug)]
struct Rest {
    rows: RecordBatch,
    /// The runs that are not yet emitted.
    runs: VecDeque<Run>,
    /// The number of windows in which the first row has been emitted.
    window: usize,
}

impl WindowAssignOperator {
    /// Makes an operator for rows with the columns `input`.
    ///
    /// # Errors
    /// When sizes do not fit, the time attribute is not in milliseconds, the time zone is unknown, or windows cannot be
    /// assigned row by row. That is the case for sessions, and for windows that rows already have.
    pub fn new(config: WindowAssign, input: SchemaRef) -> std::result::Result<Self, Error> {
        check_sizes(&config.assigner)?;
        check_time(&config.time, &input)?;
        let (step_ms, offset_ms) = match config.assigner {
            WindowAssigner::Tumble { size_ms, offset_ms } => (size_ms, offset_ms),
            WindowAssigner::Hop { slide_ms, offset_ms, .. } => (slide_ms, offset_ms),
            WindowAssigner::Cumulate { step_ms, offset_ms, .. } => (step_ms, offset_ms),
            WindowAssigner::Session { .. } | WindowAssigner::Attached { .. } => {
                let message = "windows that depend on other rows cannot be assigned row by row";
                return Err(Error::InvalidWindow(message.to_owned()));
            }
        };
        let time = input.field(config.time.column);
        let (time_name, time_type) = (time.name().clone(), time.data_type().clone());
        let mut fields = input.fields().to_vec();
        fields.push(Arc::new(Field::new("window_start", LOCAL_TIME, false)));
        fields.push(Arc::new(Field::new("window_end", LOCAL_TIME, false)));
        fields.push(Arc::new(Field::new("window_time", time_type.clone(), false)));
        Ok(Self {
            assigner: config.assigner,
            grid: Grid { step_ms, offset_ms },
            time: config.time.column,
            time_name,
            time_type,
            schema: Arc::new(Schema::new(fields)),
            zone: Zone::new(config.time.time_zone.as_deref())?,
            rest: None,
        })
    }

    /// Emits batches with this schema. It must have the same types as [`Self::output_schema`]. Names and nullability
    /// may differ.
    pub fn with_output_schema(mut self, schema: SchemaRef) -> Self {
        self.schema = schema;
        self
    }

    /// The columns of emitted batches.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The windows that contain a slice, in the order in which their rows are emitted.
    fn windows_of(&self, slice: Slice) -> Vec<Slice> {
        match self.assigner {
            WindowAssigner::Hop { size_ms, slide_ms, .. } => (0..size_ms / slide_ms)
                .map(|step| slice.end.saturating_add(size_ms - slide_ms - step * slide_ms))
                .map(|end| Slice { end, start: end.saturating_sub(size_ms) })
                .collect(),
            WindowAssigner::Cumulate { size_ms, step_ms, offset_ms } => {
                let cycle = Grid { step_ms: size_ms, offset_ms }.slice_of(slice.start).unwrap_or(slice);
                (0..)
                    .map(|step| slice.end.saturating_add(step * step_ms))
                    .take_while(|end| *end <= cycle.end)
                    .map(|end| Slice { end, start: cycle.start })
                    .collect()
            }
            _ => vec![slice],
        }
    }

    /// The next `count` of the repeated rows, with the window of each.
    fn repeat(&self, rest: &mut Rest, count: usize) -> Vec<(u32, Slice)> {
        let mut order: Vec<(u32, Slice)> = Vec::new();
        while let Some(run) = rest.runs.front_mut().filter(|_| order.len() < count) {
            let windows = self.windows_of(run.slice);
            while run.rows.start < run.rows.end && order.len() < count {
                let end = windows.len().min(rest.window + count - order.len());
                let row = run.rows.start as u32;
                order.extend(windows[rest.window..end].iter().map(|window| (row, *window)));
                rest.window = end;
                if end == windows.len() {
                    rest.window = 0;
                    run.rows.start += 1;
                }
            }
            if run.rows.is_empty() {
                rest.runs.pop_front();
            }
        }
        order
    }

    fn emit(&self, rows: &RecordBatch, order: &[(u32, Slice)], out: &mut Collector) -> Result<()> {
        let indices: UInt32Array = order.iter().map(|(row, _)| *row).collect();
        let columns = rows.columns().iter().map(|column| take(column, &indices, None));
        let mut columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        self.push_windows(order.iter().map(|(_, window)| *window), &mut columns);
        out.emit_rows(RecordBatch::try_new(self.schema.clone(), columns)?);
        Ok(())
    }

    fn push_windows(&self, windows: impl Iterator<Item = Slice> + Clone, columns: &mut Vec<arrow::array::ArrayRef>) {
        let mut known = (i64::MIN, i64::MIN);
        let last = windows.clone().map(|window| {
            if known.0 != window.end {
                known = (window.end, self.zone.instant(window.end.saturating_sub(1)));
            }
            known.1
        });
        columns.push(fixed::column(windows.clone().map(|window| window.start).collect(), None, &LOCAL_TIME));
        columns.push(fixed::column(windows.clone().map(|window| window.end).collect(), None, &LOCAL_TIME));
        columns.push(fixed::column(last.collect(), None, &self.time_type));
    }
}

impl Operator for WindowAssignOperator {
    fn process(&mut self, _input: InputIndex, batch: Batch, out: &mut Collector) -> Result<Progress> {
        let times = times(batch.inserts()?.column(self.time).as_ref(), &self.time_name)?;
        let runs = runs_of_times(self.grid, &mut self.zone, times)?;
        if let WindowAssigner::Tumble { .. } = self.assigner {
            let mut columns = batch.rows().columns().to_vec();
            let windows = runs.iter().flat_map(|run| std::iter::repeat_n(run.slice, run.rows.len()));
            self.push_windows(windows, &mut columns);
            out.emit_rows(RecordBatch::try_new(self.schema.clone(), columns)?);
            return Ok(Progress::Done);
        }
        self.rest = Some(Rest { rows: batch.rows().clone(), runs: runs.into(), window: 0 });
        self.resume(out)
    }

    /// Emits repeated rows piece by piece, because a row is in as many windows as the size has slides or steps.
    fn resume(&mut self, out: &mut Collector) -> Result<Progress> {
        let Some(mut rest) = self.rest.take() else { return Ok(Progress::Done) };
        while !rest.runs.is_empty() {
            let room = out.room().min(BATCH_ROWS_MAX);
            if room == 0 {
                self.rest = Some(rest);
                return Ok(Progress::More);
            }
            let order = self.repeat(&mut rest, room);
            self.emit(&rest.rows, &order, out)?;
        }
        Ok(Progress::Done)
    }
}
