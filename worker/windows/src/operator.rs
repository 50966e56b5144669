//! The window aggregation operator: it splits batches into slices, drops late rows, and fires windows.

pub(crate) mod restore;
mod state;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMillisecondType};
use arrow::error::ArrowError;
use eddyline_job_graph::{WindowAggregate, WindowAssigner};
use eddyline_operators::{Collector, Counters, InputIndex, Operator, Progress, Result};
use eddyline_state::{Frozen, Snapshot, SnapshotRequest, SpillDirectory, StateTable, column_types};
use eddyline_stream::{Batch, Watermark};

use crate::Error;
use crate::cumulate::Cumulate;
use crate::groups::{Input, Rows};
use crate::hop::Hop;
use crate::layout::Layout;
use crate::output::{Firing, Output};
use crate::session::Sessions;
use crate::shape::{Shape, is_partial};
use crate::slice::{Grid, Run, gather, reorder, runs_of_times, runs_of_windows, times};
use crate::slice_tables::SliceTables;
use crate::tumble::Tumble;
use crate::zone::Zone;

/// With each batch so many bytes of runs on disk are merged, if some are being merged.
const MERGED_BYTES: usize = if cfg!(debug_assertions) { 300 } else { 1 << 20 };

#[derive(Debug)]
enum Windows {
    Tumble(Box<Tumble>),
    Hop(Box<Hop>),
    Cumulate(Box<Cumulate>),
    Session(Box<Sessions>),
}

/// How rows find their slice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Grid { grid: Grid, time: usize },
    Attached { start: usize, end: usize },
    Session { time: usize },
}

/// Aggregates per key and window. Emits a window when the watermark reaches its last millisecond.
///
/// The input may mix rows with partial accumulators of [`LocalWindowAggregate`](crate::LocalWindowAggregate).
#[derive(Debug)]
pub struct WindowAggregateOperator {
    // Fixed at start.
    shape: Arc<Shape>,
    layout: Arc<Layout>,
    cut: Cut,
    partial: SchemaRef,
    /// The index of the column in partial accumulators that has the number of rows in them.
    partial_rows: usize,
    // Changing.
    zone: Zone,
    windows: Windows,
    watermark: Watermark,
    output: Output,
    late_rows: u64,
    scratch: Vec<u32>,
}

/// Derives from a configuration the slots, the columns, how slices are cut, and the time zone.
pub(crate) fn prepare(
    config: &WindowAggregate,
    input: &SchemaRef,
) -> std::result::Result<(Layout, Shape, Cut, Zone), Error> {
    check_sizes(&config.assigner)?;
    let layout = Layout::new(&config.aggregates, input, false)?;
    // A hopping window with a running total must know which keys still have rows.
    let counts_rows = matches!(config.assigner, WindowAssigner::Hop { .. }) && layout.is_invertible();
    let layout = if counts_rows { Layout::new(&config.aggregates, input, true)? } else { layout };
    let shape = Shape::new(config, input, &layout)?;
    let zone = Zone::new(config.time.as_ref().and_then(|time| time.time_zone.as_deref()))?;
    let time = config.time.as_ref().map_or(0, |time| time.column);
    let grid = |step_ms, offset_ms| Cut::Grid { grid: Grid { step_ms, offset_ms }, time };
    let cut = match config.assigner {
        WindowAssigner::Tumble { size_ms, offset_ms } => grid(size_ms, offset_ms),
        WindowAssigner::Hop { slide_ms, offset_ms, .. } => grid(slide_ms, offset_ms),
        WindowAssigner::Cumulate { step_ms, offset_ms, .. } => grid(step_ms, offset_ms),
        WindowAssigner::Session { .. } => Cut::Session { time },
        WindowAssigner::Attached { start, end } => Cut::Attached { start, end },
    };
    Ok((layout, shape, cut, zone))
}

/// The layout of partial accumulators: the slots of the aggregation, then one that counts rows. The global aggregation
/// needs that count, because it counts late rows.
pub(crate) fn partial_layout(config: &WindowAggregate, input: &SchemaRef) -> std::result::Result<Layout, Error> {
    Layout::new(&config.aggregates, input, true)
}

/// Checks that sizes are positive and match each other.
pub(crate) fn check_sizes(assigner: &WindowAssigner) -> std::result::Result<(), Error> {
    let (kind, size, part) = match *assigner {
        WindowAssigner::Tumble { size_ms, .. } => ("TUMBLE", size_ms, size_ms),
        WindowAssigner::Hop { size_ms, slide_ms, .. } => ("HOP", size_ms, slide_ms),
        WindowAssigner::Cumulate { size_ms, step_ms, .. } => ("CUMULATE", size_ms, step_ms),
        WindowAssigner::Session { gap_ms } => ("SESSION", gap_ms, gap_ms),
        WindowAssigner::Attached { .. } => return Ok(()),
    };
    if size <= 0 || part <= 0 || size % part != 0 {
        return Err(Error::InvalidWindow(format!(
            "{kind} needs a size greater than 0 that is a multiple of its slide or step, not {size} ms and {part} ms"
        )));
    }
    Ok(())
}

impl WindowAggregateOperator {
    /// Makes an operator without state. The configuration's column indices refer to `input`. Batches of partial
    /// accumulators have other columns.
    ///
    /// # Errors
    /// When the configuration cannot run: a function does not accept its argument's type, a key cannot be hashed, sizes
    /// do not match, or the time zone is unknown.
    pub fn new(config: WindowAggregate, input: SchemaRef) -> std::result::Result<Self, Error> {
        let (layout, shape, cut, zone) = prepare(&config, &input)?;
        let partial_layout = partial_layout(&config, &input)?;
        let partial = shape.partial(&partial_layout);
        let before = partial.fields().len() - partial_layout.fields().len();
        let partial_rows = before + partial_layout.rows_column().unwrap_or(0);
        let layout = Arc::new(layout);
        let (types, shared) = (&shape.key_types, layout.clone());
        let windows = match config.assigner {
            WindowAssigner::Hop { size_ms, slide_ms, offset_ms } if size_ms > slide_ms => {
                Windows::Hop(Box::new(Hop::new((size_ms, slide_ms, offset_ms), types, shared)?))
            }
            WindowAssigner::Cumulate { size_ms, step_ms, offset_ms } if size_ms > step_ms => {
                Windows::Cumulate(Box::new(Cumulate::new((size_ms, step_ms, offset_ms), types, shared)?))
            }
            WindowAssigner::Session { gap_ms } => Windows::Session(Box::new(Sessions::new(gap_ms, types, &layout)?)),
            _ => Windows::Tumble(Box::new(Tumble::new(types, shared)?)),
        };
        let output = Output::new(&shape, &config.window_columns);
        Ok(Self {
            partial,
            partial_rows,
            shape: Arc::new(shape),
            layout,
            cut,
            zone,
            windows,
            watermark: Watermark::MIN,
            output,
            late_rows: 0,
            scratch: Vec::new(),
        })
    }

    /// Emits batches with this schema. It must have the same types as [`Self::output_schema`]. Names and nullability
    /// may differ.
    pub fn with_output_schema(mut self, schema: SchemaRef) -> Self {
        self.output.set_schema(schema);
        self
    }

    /// The columns of emitted batches.
    pub fn output_schema(&self) -> &SchemaRef {
        self.output.schema()
    }

    fn process_raw(&mut self, batch: &Batch) -> Result<()> {
        let columns = batch.rows().columns();
        if let Cut::Session { time } = self.cut {
            return self.process_session(batch, time);
        }
        let (runs, order) = gather(runs(self.cut, &self.shape, &mut self.zone, columns)?);
        let columns = match &order {
            Some(order) => Cow::Owned(reorder(columns, &self.shape.used, order)?),
            None => Cow::Borrowed(columns),
        };
        let hashes = hashes(batch, order.as_ref());
        let keys = self.shape.key_columns(&columns);
        let input = Input::raw(&self.layout, &columns);
        let rows = Rows::new(&keys, hashes.as_deref(), batch.num_rows(), input)?;
        let late = self.windows.add_runs(&self.layout, (&rows, &runs), (&self.zone, self.watermark), &mut self.scratch);
        self.late_rows += late.iter().map(|rows| rows.len() as u64).sum::<u64>();
        Ok(())
    }

    fn process_session(&mut self, batch: &Batch, time: usize) -> Result<()> {
        let Windows::Session(sessions) = &mut self.windows else { return Ok(()) };
        let columns = batch.rows().columns();
        let times = times(columns[time].as_ref(), &self.shape.time_name)?;
        let times = match self.zone.is_utc() {
            true => Cow::Borrowed(times),
            false => times.iter().map(|time| self.zone.local(*time)).collect(),
        };
        let keys = self.shape.key_columns(columns);
        let input = Input::raw(&self.layout, columns);
        let rows = Rows::new(&keys, batch.key_hashes(), batch.num_rows(), input)?;
        self.late_rows += sessions.add(&self.layout, &rows, &times, (&self.zone, self.watermark))?;
        Ok(())
    }

    fn process_partial(&mut self, batch: &Batch) -> Result<()> {
        let columns = batch.rows().columns();
        if column_types(batch.rows().schema_ref()) != column_types(&self.partial) {
            let message =
                format!("expected partial accumulators {:?}, found {:?}", self.partial, batch.rows().schema());
            return Err(ArrowError::SchemaError(message).into());
        }
        let keys = self.shape.keys.len();
        let slice_columns = 1 + usize::from(self.shape.is_attached);
        let time = |column: usize| columns[column].as_primitive::<TimestampMillisecondType>().values();
        let ends = time(keys + slice_columns - 1);
        let runs = match self.cut {
            Cut::Attached { .. } => runs_of_windows(time(keys), ends),
            Cut::Grid { grid, .. } => {
                let starts: Vec<i64> = ends.iter().map(|end| end - grid.step_ms).collect();
                runs_of_windows(&starts, ends)
            }
            Cut::Session { .. } => return Ok(()),
        };
        let (runs, order) = gather(runs);
        let columns = match &order {
            Some(order) => Cow::Owned(reorder(columns, &vec![true; columns.len()], order)?),
            None => Cow::Borrowed(columns),
        };
        let hashes = hashes(batch, order.as_ref());
        let input = Input::Partial(&columns[keys + slice_columns..]);
        let rows = Rows::new(&columns[..keys], hashes.as_deref(), batch.num_rows(), input)?;
        let late = self.windows.add_runs(&self.layout, (&rows, &runs), (&self.zone, self.watermark), &mut self.scratch);
        let counts = columns[self.partial_rows].as_primitive::<Int64Type>().values();
        self.late_rows += late.into_iter().flat_map(|groups| &counts[groups]).map(|count| *count as u64).sum::<u64>();
        Ok(())
    }
}

/// Splits a batch of the input into runs of rows of one slice.
pub(crate) fn runs(cut: Cut, shape: &Shape, zone: &mut Zone, columns: &[ArrayRef]) -> Result<Vec<Run>> {
    match cut {
        Cut::Grid { grid, time } => runs_of_times(grid, zone, times(columns[time].as_ref(), &shape.time_name)?),
        Cut::Attached { start, end } => {
            let (starts, ends) =
                (times(columns[start].as_ref(), "window_start")?, times(columns[end].as_ref(), "window_end")?);
            Ok(runs_of_windows(starts, ends))
        }
        Cut::Session { .. } => Ok(Vec::new()),
    }
}

/// The key hashes of a batch whose rows may have been moved.
pub(crate) fn hashes<'a>(batch: &'a Batch, order: Option<&arrow::array::UInt32Array>) -> Option<Cow<'a, [u64]>> {
    let hashes = batch.key_hashes()?;
    Some(match order {
        Some(order) => order.values().iter().map(|row| hashes[*row as usize]).collect(),
        None => Cow::Borrowed(hashes),
    })
}

impl Windows {
    /// Adds runs of rows. Returns the number of late rows.
    fn add_runs(
        &mut self,
        layout: &Layout,
        (rows, runs): (&Rows<'_>, &[Run]),
        (zone, watermark): (&Zone, Watermark),
        scratch: &mut Vec<u32>,
    ) -> Vec<Range<usize>> {
        let mut late = Vec::new();
        for run in runs {
            let is_late = match self {
                Windows::Hop(hop) => !hop.add(layout, (rows, run), (zone, watermark), scratch),
                Windows::Tumble(tumble) => match tumble.admit(run.slice, zone, watermark) {
                    Some(groups) => {
                        groups.add(layout, rows, run.rows.clone(), scratch);
                        false
                    }
                    None => true,
                },
                Windows::Cumulate(cumulate) => match cumulate.admit(run.slice, zone, watermark) {
                    Some(groups) => {
                        groups.add(layout, rows, run.rows.clone(), scratch);
                        false
                    }
                    None => true,
                },
                Windows::Session(_) => false,
            };
            if is_late {
                late.push(run.rows.clone());
            }
        }
        late
    }

    fn fire(&mut self, firing: &mut Firing<'_>) -> Result<Progress> {
        match self {
            Windows::Tumble(tumble) => tumble.fire(firing),
            Windows::Hop(hop) => hop.fire(firing),
            Windows::Cumulate(cumulate) => cumulate.fire(firing),
            Windows::Session(sessions) => sessions.fire(firing),
        }
    }

    /// Whether a window that shares slices is being emitted while groups are on disk.
    fn is_in_shared_ranges(&self) -> bool {
        match self {
            Windows::Tumble(_) | Windows::Session(_) => false,
            Windows::Hop(hop) => hop.is_in_ranges(),
            Windows::Cumulate(cumulate) => cumulate.is_in_ranges(),
        }
    }

    /// Continues to merge runs on disk.
    fn merge_runs(&mut self, layout: &Layout) -> Result<()> {
        let merge = |tables: &mut SliceTables| tables.spilled.merge(layout, MERGED_BYTES);
        match self {
            Windows::Tumble(tumble) => merge(&mut tumble.tables),
            Windows::Hop(hop) => merge(&mut hop.tables),
            Windows::Cumulate(cumulate) => {
                merge(&mut cumulate.tables)?;
                merge(&mut cumulate.cycles)
            }
            Windows::Session(_) => Ok(()),
        }
    }

    fn evict(&mut self, bytes: usize, disk: &SpillDirectory) -> Result<usize> {
        match self {
            Windows::Tumble(tumble) => tumble.evict(bytes, disk),
            Windows::Hop(hop) => hop.evict(bytes, disk),
            Windows::Cumulate(cumulate) => cumulate.evict(bytes, disk),
            Windows::Session(_) => Ok(0),
        }
    }

    /// The bytes in memory, those on disk, and the number of rows of state.
    fn size(&self) -> (usize, u64, usize) {
        match self {
            Windows::Tumble(tumble) => tumble.size(),
            Windows::Hop(hop) => hop.size(),
            Windows::Cumulate(cumulate) => cumulate.size(),
            Windows::Session(sessions) => {
                let (bytes, rows) = sessions.size();
                (bytes, 0, rows)
            }
        }
    }
}

impl Operator for WindowAggregateOperator {
    fn process(&mut self, _input: InputIndex, batch: Batch, _out: &mut Collector) -> Result<Progress> {
        if batch.num_rows() == 0 {
            return Ok(Progress::Done);
        }
        self.windows.merge_runs(&self.layout)?;
        if is_partial(batch.inserts()?.schema_ref()) {
            self.process_partial(&batch)?
        } else {
            self.process_raw(&batch)?
        }
        Ok(Progress::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Collector) -> Result<Progress> {
        // After a restore the first watermarks can be smaller than the restored one.
        self.watermark = self.watermark.max(watermark);
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Collector) -> Result<Progress> {
        let mut firing = Firing {
            layout: &self.layout,
            zone: &mut self.zone,
            watermark: self.watermark,
            output: &mut self.output,
            out,
        };
        let progress = self.windows.fire(&mut firing)?;
        self.output.flush(out)?;
        Ok(progress)
    }

    fn may_be_cut(&self) -> bool {
        // What is emitted of such a window would have to be stored for each key.
        !self.windows.is_in_shared_ranges()
    }

    fn snapshot(&mut self, request: SnapshotRequest) -> Result<Option<Frozen>> {
        Ok(Some(self.freeze(request)?))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<Option<Watermark>> {
        self.restore_snapshot(&snapshot)?;
        Ok(Some(self.watermark))
    }

    fn state_tables(&self, inputs: &[String]) -> Vec<StateTable> {
        self.tables_of_state(inputs)
    }

    fn evict(&mut self, bytes: usize, disk: &SpillDirectory) -> Result<usize> {
        self.windows.evict(bytes, disk)
    }

    fn counters(&self) -> Counters {
        let (state_bytes, spilled_bytes, state_rows) = self.windows.size();
        Counters { late_rows: self.late_rows, state_bytes, spilled_bytes, state_rows }
    }
}
