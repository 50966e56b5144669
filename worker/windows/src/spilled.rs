//! Runs of groups on disk, by slice.
//!
//! When memory is short, the table of a slice is written to disk as a run and starts empty again. A later row of a key that is
//! in a run makes a new group. So a key has several groups, and what they stand for is all of them merged, in the order of
//! age: the runs of the slice, the oldest first, then its table. Nothing is ever looked up on disk.
//!
//! Runs of a slice that have been merged equally often are merged when there are many, a piece with each batch of rows. So a
//! row is rewritten a logarithmic number of times, and a slice has few runs.

pub(crate) mod frozen;
mod merging;

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_operators::Result;
use eddyline_state::SpillDirectory;
use eddyline_state::spill::{self, Run, RunWriter};
use eddyline_stream::CheckpointId;

use crate::groups::Groups;
use crate::layout::Layout;
use crate::ranges::Source;
use crate::slice::Slice;
use merging::Merging;

/// The size of a block of a run.
const BLOCK_BYTES: usize = if cfg!(debug_assertions) { 256 } else { 64 << 10 };

/// The most runs of a slice. Before another one is added, a merge in progress is finished.
const RUNS_MAX: usize = if cfg!(debug_assertions) { 5 } else { 256 };

/// A run of a slice.
#[derive(Clone, Debug)]
pub(crate) struct SpilledRun {
    // Fixed at start.
    pub(crate) run: Arc<Run>,
    /// Its bucket in snapshots. No other run of the subtask has had it.
    pub(crate) number: i64,
    /// Of the runs of a slice, those with a smaller age have older rows.
    pub(crate) age: i64,
    /// How often its rows have been merged.
    level: u32,
    /// The number of values of each distinct set.
    pub(crate) values: Vec<u64>,
    // Changing.
    /// The first checkpoint that has got it.
    pub(crate) since: Option<CheckpointId>,
}

/// A run without its place among others.
#[derive(Debug)]
struct Written {
    run: Run,
    values: Vec<u64>,
}

/// Runs by slice.
#[derive(Debug)]
pub(crate) struct Spilled {
    // Fixed at start.
    /// So many runs that have been merged equally often are merged.
    merged_at_once: usize,
    // Changing.
    slices: BTreeMap<Slice, Vec<SpilledRun>>,
    next_number: i64,
    /// Where runs are written, once there are some.
    directory: Option<SpillDirectory>,
    merging: Option<Merging>,
}

impl Spilled {
    /// No runs. Of those that come, `merged_at_once` are merged at a time.
    pub(crate) fn new(merged_at_once: usize) -> Self {
        Self { merged_at_once, slices: BTreeMap::new(), next_number: 0, directory: None, merging: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Where runs are written, if there are some.
    pub(crate) fn directory(&self) -> Option<SpillDirectory> {
        self.directory.clone().filter(|_| !self.is_empty())
    }

    /// The slice that ends first.
    pub(crate) fn first(&self) -> Option<Slice> {
        self.slices.keys().next().copied()
    }

    pub(crate) fn has(&self, slice: Slice) -> bool {
        self.slices.contains_key(&slice)
    }

    /// The slices that have runs.
    pub(crate) fn slices(&self) -> impl Iterator<Item = Slice> {
        self.slices.keys().copied()
    }

    /// All runs, to hand them over.
    pub(crate) fn runs_mut(&mut self) -> impl Iterator<Item = (Slice, &mut SpilledRun)> {
        self.slices.iter_mut().flat_map(|(slice, runs)| runs.iter_mut().map(|run| (*slice, run)))
    }

    /// The runs of a slice as sources from a hash on.
    pub(crate) fn sources(&self, slice: Slice, layout: &Layout, from: u64) -> spill::Result<Vec<Source>> {
        let runs = self.slices.get(&slice).into_iter().flatten();
        runs.map(|run| Source::of_run(&run.run, layout, from)).collect()
    }

    /// Writes groups of a slice, which are newer than its runs, in order of their hashes.
    ///
    /// # Errors
    /// When the disk does not take them. Then nothing has changed.
    pub(crate) fn write(
        &mut self,
        slice: Slice,
        (groups, order): (&Groups, &[u32]),
        layout: &Layout,
        directory: &SpillDirectory,
    ) -> Result<()> {
        if self.slices.get(&slice).is_some_and(|runs| runs.len() >= RUNS_MAX) {
            self.merge(layout, usize::MAX)?;
        }
        let written = write(groups, order, layout, directory)?;
        self.directory = Some(directory.clone());
        self.add(slice, written, 0);
        self.begin_merging(layout)
    }

    /// Adds a run that is newer than the others of its slice.
    fn add(&mut self, slice: Slice, Written { run, values }: Written, level: u32) {
        let number = self.next_number;
        self.next_number += 1;
        let run = SpilledRun { run: Arc::new(run), number, age: number, level, values, since: None };
        self.slices.entry(slice).or_default().push(run);
    }

    /// Adds the runs of another collection, which are newer than those of the slice.
    pub(crate) fn adopt(
        &mut self,
        slice: Slice,
        runs: Vec<SpilledRun>,
        layout: &Layout,
        directory: SpillDirectory,
    ) -> Result<()> {
        self.directory = Some(directory);
        for run in runs {
            let number = self.next_number;
            self.next_number += 1;
            let run = SpilledRun { number, age: number, since: None, ..run };
            self.slices.entry(slice).or_default().push(run);
        }
        self.begin_merging(layout)
    }

    /// Removes the runs of a slice.
    pub(crate) fn remove(&mut self, slice: Slice) -> Vec<SpilledRun> {
        self.merging.take_if(|merging| merging.slice() == slice);
        self.slices.remove(&slice).unwrap_or_default()
    }

    /// Begins to merge the oldest runs of a slice that there are too many of.
    fn begin_merging(&mut self, layout: &Layout) -> Result<()> {
        let Some(directory) = self.directory.as_ref().filter(|_| self.merging.is_none()) else { return Ok(()) };
        for (slice, runs) in &self.slices {
            let mut alike = runs.chunk_by(|one, next| one.level == next.level);
            if let Some(alike) = alike.find(|alike| alike.len() >= self.merged_at_once) {
                self.merging = Some(Merging::new(*slice, alike, layout, directory)?);
                break;
            }
        }
        Ok(())
    }

    /// Continues to merge runs, by about so many bytes.
    pub(crate) fn merge(&mut self, layout: &Layout, bytes: usize) -> Result<()> {
        let Some(merging) = &mut self.merging else { return Ok(()) };
        if !merging.advance(layout, bytes)? {
            return Ok(());
        }
        let Some(merging) = self.merging.take() else { return Ok(()) };
        let (slice, inputs) = (merging.slice(), merging.inputs());
        let written = merging.finish()?;
        if let Some(runs) = self.slices.get_mut(&slice)
            && let Some(first) = runs.iter().position(|run| run.number == inputs[0])
        {
            let (number, oldest) = (self.next_number, &runs[first]);
            self.next_number += 1;
            let (age, level) = (oldest.age, oldest.level + 1);
            let Written { run, values } = written;
            let run = SpilledRun { run: Arc::new(run), number, age, level, values, since: None };
            runs.splice(first..first + inputs.len(), [run]);
        }
        self.begin_merging(layout)
    }

    /// The bytes in memory, those on disk, and the number of rows.
    pub(crate) fn size(&self) -> (usize, u64, usize) {
        let runs = self.slices.values().flatten();
        let (mut memory, mut disk, mut rows) = (0, 0, 0);
        for run in runs {
            memory += run.run.index_bytes();
            disk += run.run.bytes();
            rows += run.run.rows() as usize;
        }
        let merging = self.merging.as_ref().map_or((0, 0), Merging::size);
        (memory + merging.0, disk + merging.1, rows)
    }
}

/// Writes groups of a table, which are in order of their hashes, as a run.
fn write(groups: &Groups, order: &[u32], layout: &Layout, directory: &SpillDirectory) -> Result<Written> {
    let mut writer = RunWriter::new(directory, groups.packed())?;
    let mut values = vec![0; layout.distinct.len()];
    append(groups, order, &mut values, &mut writer)?;
    Ok(Written { run: writer.finish()?, values })
}

/// Appends groups, whose hashes are greater than those before. Counts the values of distinct sets.
fn append(groups: &Groups, order: &[u32], values: &mut [u64], writer: &mut RunWriter) -> Result<()> {
    let mean_bytes = groups.content_bytes() / groups.len().max(1);
    let rows_max = BLOCK_BYTES / mean_bytes.max(1);
    let sides = groups.view().sides;
    writer.append(groups.packed(), order, rows_max, |which, into| sides.encode(which, values, into))?;
    Ok(())
}
