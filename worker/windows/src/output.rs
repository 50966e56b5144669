//! Results of windows as batches.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use eddyline_job_graph::WindowColumn;
use eddyline_operators::{Collector, Progress, Result};
use eddyline_state::{by_chunk, fixed};
use eddyline_stream::{Batch, Watermark};

use crate::groups::Groups;
use crate::layout::Layout;
use crate::shape::Shape;
use crate::slice::Slice;
use crate::zone::Zone;

/// The most rows of a batch that is emitted.
pub(crate) const BATCH_ROWS_MAX: usize = 8192;

/// Collects results of windows in order; small windows share a batch.
#[derive(Debug)]
pub(crate) struct Output {
    // Fixed at start.
    schema: SchemaRef,
    columns: Vec<(WindowColumn, DataType)>,
    // Changing.
    pending: Vec<RecordBatch>,
    /// The key hashes of the rows in `pending`.
    hashes: Vec<u64>,
    pending_rows: usize,
}

impl Output {
    pub(crate) fn new(shape: &Shape, columns: &[WindowColumn]) -> Self {
        let columns = columns.iter().map(|column| (*column, shape.window_type(*column).clone())).collect();
        Self { schema: shape.output.clone(), columns, pending: Vec::new(), hashes: Vec::new(), pending_rows: 0 }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn set_schema(&mut self, schema: SchemaRef) {
        self.schema = schema;
    }

    /// Adds up to [`BATCH_ROWS_MAX`] rows: key columns and results, then what is asked for about the window of each row. Key
    /// hashes go along.
    fn push(
        &mut self,
        mut columns: Vec<ArrayRef>,
        (windows, hashes): (&[Slice], impl Iterator<Item = u64>),
        zone: &Zone,
        out: &mut Collector,
    ) -> Result<()> {
        for (column, data_type) in &self.columns {
            let times = match column {
                WindowColumn::Start => windows.iter().map(|window| window.start).collect(),
                WindowColumn::End => windows.iter().map(|window| window.end).collect(),
                WindowColumn::Time => last_instants(windows, zone),
            };
            columns.push(fixed::column(times, None, data_type));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(windows.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        if self.pending_rows + batch.num_rows() > BATCH_ROWS_MAX {
            self.flush(out)?;
        }
        self.pending_rows += batch.num_rows();
        self.pending.push(batch);
        self.hashes.extend(hashes);
        Ok(())
    }

    /// How many rows are collected.
    pub(crate) fn rows(&self) -> usize {
        self.pending_rows
    }

    /// Emits what is collected.
    pub(crate) fn flush(&mut self, out: &mut Collector) -> Result<()> {
        match self.pending.as_slice() {
            [] => {}
            [batch] => out.emit(Batch::keyed(batch.clone(), std::mem::take(&mut self.hashes).into())),
            batches => {
                let rows = concat_batches(&self.schema, batches)?;
                out.emit(Batch::keyed(rows, std::mem::take(&mut self.hashes).into()));
            }
        }
        self.pending.clear();
        self.pending_rows = 0;
        Ok(())
    }
}

/// The last millisecond of each window, as an instant. Most rows have the window of the row before.
fn last_instants(windows: &[Slice], zone: &Zone) -> Vec<i64> {
    let mut known = (i64::MIN, i64::MIN);
    let instant = |window: &Slice| {
        if known.0 != window.end {
            known = (window.end, zone.instant(window.end.saturating_sub(1)));
        }
        known.1
    };
    windows.iter().map(instant).collect()
}

/// What it takes to fire windows.
pub(crate) struct Firing<'a> {
    pub(crate) layout: &'a Arc<Layout>,
    pub(crate) zone: &'a mut Zone,
    pub(crate) watermark: Watermark,
    pub(crate) output: &'a mut Output,
    pub(crate) out: &'a mut Collector,
}

impl Firing<'_> {
    /// Whether the watermark has come to the last millisecond of a window that ends here.
    pub(crate) fn is_due(&self, window_end: i64) -> bool {
        self.zone.is_fired(window_end, self.watermark)
    }

    /// How many more rows belong into this piece, up to a batch.
    pub(crate) fn room(&self) -> usize {
        self.out.room().saturating_sub(self.output.rows()).min(BATCH_ROWS_MAX)
    }

    /// Emits the groups of a window that are not out yet, of those that are to be shown, as many as there is room for. The
    /// first `given` groups are out; it is counted on.
    pub(crate) fn emit(
        &mut self,
        window: Slice,
        groups: &Groups,
        given: &mut u32,
        mut is_shown: impl FnMut(u32) -> bool,
    ) -> Result<Progress> {
        let all = groups.len() as u32;
        while *given < all {
            let room = self.room();
            if room == 0 {
                return Ok(Progress::More);
            }
            let mut which = Vec::with_capacity(room.min((all - *given) as usize));
            while *given < all && which.len() < room {
                if is_shown(*given) {
                    which.push(*given);
                }
                *given += 1;
            }
            if which.is_empty() {
                break;
            }
            for which in by_chunk(&which) {
                let mut columns = groups.key_columns(which)?;
                columns.extend(self.layout.results(groups.view(which), which)?);
                let (windows, hashes) = (vec![window; which.len()], groups.hashes(which));
                self.output.push(columns, (&windows[..], hashes.into_iter()), self.zone, self.out)?;
            }
        }
        Ok(Progress::Done)
    }

    /// Emits rows that have each their own window, with their key hashes.
    pub(crate) fn emit_rows(
        &mut self,
        columns: Vec<ArrayRef>,
        windows: &[Slice],
        hashes: impl Iterator<Item = u64>,
    ) -> Result<()> {
        self.output.push(columns, (windows, hashes), self.zone, self.out)
    }
}
