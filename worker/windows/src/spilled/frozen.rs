//! Runs as they were at a barrier, and the rows of a snapshot that they become.

use arrow::error::ArrowError;
use eddyline_state::{PARTS, SnapshotRequest};

use super::{Spilled, SpilledRun};
use crate::accumulator::View;
use crate::frozen_groups::Columns;
use crate::layout::Layout;
use crate::ranges::read_block;
use crate::slice::Slice;

/// A run at a barrier.
#[derive(Debug)]
pub(crate) struct FrozenRun {
    pub(crate) slice: Slice,
    pub(crate) run: SpilledRun,
    /// Rows with smaller hashes are emitted, and are not in the snapshot. `None`: all are.
    from: Option<u64>,
    /// Whether its rows are handed over. Otherwise an earlier checkpoint has them.
    pub(crate) is_handed_over: bool,
}

impl Spilled {
    /// What a checkpoint gets of the runs: those that the last completed checkpoint does not have, and one in [`PARTS`] of the
    /// others. Of slices that are being emitted it gets all that is left: `from` has the hash from which on nothing is emitted.
    pub(crate) fn freeze(&mut self, request: SnapshotRequest, from: impl Fn(Slice) -> Option<u64>) -> Vec<FrozenRun> {
        let frozen = self.runs_mut().map(|(slice, run)| {
            let from = from(slice);
            let first = *run.since.get_or_insert(request.checkpoint);
            let is_known = request.since.is_some_and(|since| first <= since);
            let is_due = run.number.rem_euclid(i64::from(PARTS)) == i64::from(request.part);
            FrozenRun { slice, run: run.clone(), from, is_handed_over: from != Some(0) || is_due || !is_known }
        });
        frozen.collect()
    }
}

impl FrozenRun {
    /// Reads the rows block by block: the accumulators of groups, and the values of each distinct set with its index.
    ///
    /// # Errors
    /// When the disk does not return what was written, or rows do not fit in columns.
    pub(crate) fn gather(
        &self,
        layout: &Layout,
        mut push: impl FnMut(Option<usize>, Columns) -> Result<(), ArrowError>,
    ) -> Result<(), ArrowError> {
        let (run, Some(from)) = (&self.run.run, self.from) else { return Ok(()) };
        for block in run.block_of(from)..run.blocks() {
            let (rows, sides) =
                read_block(run, block, layout).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
            let first = rows.hashes().partition_point(|hash| *hash < from) as u32;
            let columns = |which: &[u32], values| {
                let hashes = which.iter().map(|row| rows.hashes()[*row as usize]).collect();
                Ok::<_, ArrowError>(Columns { hashes, keys: rows.key_columns(which)?, values })
            };
            let which: Vec<u32> = (first..rows.len() as u32).collect();
            push(None, columns(&which, layout.columns(View::of(&rows, &sides), &which)?)?)?;
            for (index, set) in layout.distinct.iter().enumerate() {
                let (owners, values) = sides.distinct[index].all(&set.data_type)?;
                // Values are in the order of their groups.
                let skipped = owners.partition_point(|group| *group < first);
                let values = values.slice(skipped, owners.len() - skipped);
                push(Some(index), columns(&owners[skipped..], vec![values])?)?;
            }
        }
        Ok(())
    }
}
