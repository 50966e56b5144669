//! Merges runs of a slice into one, a piece at a time.

use eddyline_operators::Result;
use eddyline_state::SpillDirectory;
use eddyline_state::spill::{self, RunWriter};

use super::{SpilledRun, Written, append};
use crate::groups::Groups;
use crate::layout::Layout;
use crate::ranges::{Ranges, Source};
use crate::slice::Slice;

/// A merge in progress. The runs stay as they are until it is finished.
#[derive(Debug)]
pub(super) struct Merging {
    slice: Slice,
    /// The numbers of the runs, the oldest first. They are neighbours.
    inputs: Vec<i64>,
    ranges: Ranges,
    merged: Groups,
    writer: RunWriter,
    values: Vec<u64>,
}

impl Merging {
    pub(super) fn new(slice: Slice, runs: &[SpilledRun], layout: &Layout, directory: &SpillDirectory) -> Result<Self> {
        let sources = runs.iter().map(|run| Source::of_run(&run.run, layout, 0)).collect::<spill::Result<Vec<_>>>()?;
        let form = runs[0].run.form();
        Ok(Self {
            slice,
            inputs: runs.iter().map(|run| run.number).collect(),
            ranges: Ranges::new(sources),
            merged: Groups::of_form(form, layout),
            writer: RunWriter::new(directory, form)?,
            values: vec![0; layout.distinct.len()],
        })
    }

    pub(super) fn slice(&self) -> Slice {
        self.slice
    }

    pub(super) fn inputs(&self) -> Vec<i64> {
        self.inputs.clone()
    }

    /// Writes about so many bytes more. Gives whether everything is written.
    pub(super) fn advance(&mut self, layout: &Layout, bytes: usize) -> Result<bool> {
        let until = self.writer.bytes().saturating_add(bytes as u64);
        while self.writer.bytes() < until {
            let next = self.ranges.next(layout, &mut self.merged)?;
            append(&self.merged, &self.merged.packed().order_by_hash(), &mut self.values, &mut self.writer)?;
            self.merged.clear(layout);
            if next.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn finish(self) -> Result<Written> {
        Ok(Written { run: self.writer.finish()?, values: self.values })
    }

    /// The bytes in memory, and those on disk.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.merged.bytes(), self.writer.bytes())
    }
}
