//! Aggregates that slide over frames.
//!
//! How an aggregate moves from one frame to the next depends on its function. [`exact`] counts and sums add and
//! subtract rows. [`moments`] (floats) and [`texts`] cannot be subtracted exactly: when a row leaves the frame, they
//! aggregate the whole frame again. [`picks`] (minimum, maximum, first, last) keep the rows that can still become the
//! result. Frames without a lower bound only add rows.

pub mod exact;
pub mod moments;
pub mod picks;
pub mod texts;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use eddyline_job_graph::{AggregateCall, AggregateFunction};
use eddyline_state::row_log::Moved;

use self::exact::Exact;
use self::moments::Moments;
use self::picks::Picks;
use self::texts::Texts;
use super::frames::{Frames, Step};
use super::operand::{KeptRows, is_variance};
use crate::{Error, Result};

/// One aggregate of an OVER, with its state for every key.
pub struct Aggregate {
    // Fixed at start.
    /// The index of the aggregate and of its operand.
    index: usize,
    bounded: bool,
    /// Whether subtracting a row exactly undoes adding it.
    is_retractable: bool,

    // Changing.
    pub(super) totals: Totals,
}

/// The accumulators of every key.
pub(super) enum Totals {
    Exact(Exact),
    Moments(Moments),
    Texts(Texts),
    Picks(Picks),
}

impl Aggregate {
    /// The aggregate of a call. `position` maps an input column to its index among the kept columns.
    ///
    /// # Errors
    /// When the call has DISTINCT, which frames cannot subtract.
    pub fn new(call: &AggregateCall, index: usize, position: impl Fn(usize) -> usize, bounded: bool) -> Result<Self> {
        use AggregateFunction::{Avg, FirstValue, LastValue, ListAgg, Max, Min, Sum};
        if call.distinct {
            return Err(Error::Unsupported(format!("{} has DISTINCT in an OVER", call.name)));
        }
        let is_float = call.argument_type.as_ref().is_some_and(DataType::is_floating);
        let totals = match &call.function {
            Sum | Avg if is_float => Totals::Moments(Moments::new(call)),
            function if is_variance(function) => Totals::Moments(Moments::new(call)),
            ListAgg { separator } => Totals::Texts(Texts::new(separator)),
            Min | Max | FirstValue | LastValue => Totals::Picks(Picks::new(call, index, position, bounded)?),
            // Counts, and sums of whole numbers and decimals.
            _ => Totals::Exact(Exact::new(call)),
        };
        let is_retractable = matches!(totals, Totals::Exact(_) | Totals::Picks(_));
        Ok(Self { index, bounded, is_retractable, totals })
    }

    /// The results of the rows whose frames are `steps`.
    pub fn run(&mut self, steps: &[Step], frames: &Frames, kept: &mut KeptRows) -> Result<ArrayRef> {
        for step in steps {
            self.slide(step, frames, kept);
            match &mut self.totals {
                Totals::Exact(exact) => exact.push_result(step.key),
                Totals::Moments(moments) => moments.push_result(step.key),
                Totals::Texts(texts) => texts.push_result(step.key),
                Totals::Picks(picks) => picks.push_result(step.key, frames),
            }
        }
        match &mut self.totals {
            Totals::Exact(exact) => exact.finish_results(),
            Totals::Moments(moments) => moments.finish_results(),
            Totals::Texts(texts) => Ok(texts.finish_results()),
            Totals::Picks(picks) => picks.finish_results(kept),
        }
    }

    /// Restores the frames of keys, without results.
    pub fn restore(&mut self, steps: &[Step], frames: &Frames, kept: &mut KeptRows) {
        steps.iter().for_each(|step| self.slide(step, frames, kept));
    }

    /// Moves from the frame of a key's previous row to that of its next row.
    fn slide(&mut self, step: &Step, frames: &Frames, kept: &mut KeptRows) {
        let mut from = step.end_before;
        if self.bounded && step.start > step.start_before {
            let nothing_stays = step.start >= step.end_before;
            if nothing_stays || !self.is_retractable {
                self.reset(step.key, kept);
                from = step.start;
            } else {
                for count in step.start_before..step.start {
                    self.remove(step.key, count, frames, kept);
                }
            }
        }
        for count in from..step.end {
            self.add(step.key, count, frames, kept);
        }
    }

    fn add(&mut self, key: u32, count: u64, frames: &Frames, kept: &KeptRows) {
        let at = frames.row(key, count);
        let operand = &kept.beside(at.block)[self.index];
        if !operand.takes(at.row) {
            return;
        }
        match &mut self.totals {
            Totals::Exact(exact) => exact.add(key, operand.exact(at.row)),
            Totals::Moments(moments) => moments.add(key, operand.float(at.row)),
            Totals::Texts(texts) => texts.add(key, operand.text(at.row)),
            Totals::Picks(picks) => picks.add(key, count, at, frames, kept),
        }
    }

    fn remove(&mut self, key: u32, count: u64, frames: &Frames, kept: &KeptRows) {
        let at = frames.row(key, count);
        let operand = &kept.beside(at.block)[self.index];
        match &mut self.totals {
            Totals::Exact(exact) if operand.takes(at.row) => exact.remove(key, operand.exact(at.row)),
            Totals::Picks(picks) => picks.remove(key, count),
            Totals::Exact(_) | Totals::Moments(_) | Totals::Texts(_) => {}
        }
    }

    /// Resets a key to no rows.
    pub fn reset(&mut self, key: u32, kept: &mut KeptRows) {
        match &mut self.totals {
            Totals::Exact(exact) => exact.reset(key),
            Totals::Moments(moments) => moments.reset(key),
            Totals::Texts(texts) => texts.reset(key),
            Totals::Picks(picks) => picks.reset(key, kept),
        }
    }

    /// Finds kept rows where blocks were put together.
    pub fn follow(&mut self, moved: &Moved) {
        if let Totals::Picks(picks) = &mut self.totals {
            picks.follow(moved);
        }
    }

    /// Keeps these keys, in order, which get the numbers from 0 on.
    pub fn renumber(&mut self, kept: &[u32]) {
        match &mut self.totals {
            Totals::Exact(exact) => exact.renumber(kept),
            Totals::Moments(moments) => moments.renumber(kept),
            Totals::Texts(texts) => texts.renumber(kept),
            Totals::Picks(picks) => picks.renumber(kept),
        }
    }
}

/// The states of these keys, in order.
pub(super) fn kept_of<T: Default>(states: &mut [T], kept: &[u32]) -> Vec<T> {
    kept.iter().map(|key| states.get_mut(*key as usize).map(std::mem::take).unwrap_or_default()).collect()
}

/// The state of a key in a list by key. The list grows to hold the key.
pub(super) fn of_key<T: Default + Clone>(states: &mut Vec<T>, key: u32) -> &mut T {
    let index = key as usize;
    if states.len() <= index {
        states.resize(index + 1, T::default());
    }
    &mut states[index]
}
