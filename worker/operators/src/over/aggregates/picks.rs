//! `MIN`, `MAX`, `FIRST_VALUE`, `LAST_VALUE`: aggregates whose result is the value of one row.

use std::collections::VecDeque;

use arrow::array::ArrayRef;
use eddyline_job_graph::{AggregateCall, AggregateFunction};
use eddyline_state::RowRef;
use eddyline_state::row_log::Moved;

use super::{kept_of, of_key};
use crate::over::frames::Frames;
use crate::over::operand::KeptRows;
use crate::{Error, Result};

/// The key hash of rows that checkpoints do not have: they have the picked values.
pub(in crate::over) const NOT_STORED: u64 = 0;

/// The picked row for every key, and the results of the current rows.
pub struct Picks {
    // Fixed at start.
    rule: Rule,
    index: usize,
    /// The position of the argument among the kept columns.
    argument: usize,

    // Changing.
    state: State,
    results: Vec<Option<RowRef>>,
}

#[derive(Clone, Copy)]
enum Rule {
    Min,
    Max,
    First,
    Last,
}

enum State {
    /// For frames without a lower bound: the best row so far. Its references are counted when results are finished.
    Best { best: Vec<Option<RowRef>>, taken: Vec<RowRef>, dropped: Vec<RowRef> },
    /// For frames with a lower bound: the numbers of the rows that can still become the result, the best one first.
    Candidates(Vec<VecDeque<u64>>),
}

impl Rule {
    /// Whether an earlier row can no longer become the result because of a later one.
    fn displaces(self, earlier: RowRef, later: RowRef, index: usize, kept: &KeptRows) -> bool {
        let value = |at: RowRef| kept.beside(at.block)[index].ordered(at.row);
        match self {
            Rule::Min => value(later) < value(earlier),
            Rule::Max => value(later) > value(earlier),
            Rule::First => false,
            Rule::Last => true,
        }
    }
}

impl Picks {
    /// The state of a call.
    pub fn new(call: &AggregateCall, index: usize, position: impl Fn(usize) -> usize, bounded: bool) -> Result<Self> {
        let rule = match call.function {
            AggregateFunction::Min => Rule::Min,
            AggregateFunction::Max => Rule::Max,
            AggregateFunction::FirstValue => Rule::First,
            _ => Rule::Last,
        };
        let argument = call.argument.map(position);
        let argument = argument.ok_or_else(|| Error::Unsupported(format!("{} has no argument", call.name)))?;
        let state = if bounded {
            State::Candidates(Vec::new())
        } else {
            State::Best { best: Vec::new(), taken: Vec::new(), dropped: Vec::new() }
        };
        Ok(Self { rule, index, argument, state, results: Vec::new() })
    }

    /// Adds a row.
    pub fn add(&mut self, key: u32, count: u64, at: RowRef, frames: &Frames, kept: &KeptRows) {
        match &mut self.state {
            State::Best { best, taken, dropped } => {
                let best = of_key(best, key);
                if best.is_none_or(|best| self.rule.displaces(best, at, self.index, kept)) {
                    dropped.extend(best.replace(at));
                    taken.push(at);
                }
            }
            State::Candidates(candidates) => {
                let candidates = of_key(candidates, key);
                while let Some(last) = candidates.back()
                    && self.rule.displaces(frames.row(key, *last), at, self.index, kept)
                {
                    candidates.pop_back();
                }
                candidates.push_back(count);
            }
        }
    }

    /// Removes the first row of the frame.
    pub fn remove(&mut self, key: u32, count: u64) {
        if let State::Candidates(candidates) = &mut self.state {
            let candidates = of_key(candidates, key);
            if candidates.front() == Some(&count) {
                candidates.pop_front();
            }
        }
    }

    /// Resets a key to no rows.
    pub fn reset(&mut self, key: u32, kept: &mut KeptRows) {
        match &mut self.state {
            State::Best { best, .. } => {
                if let Some(best) = of_key(best, key).take() {
                    kept.release(best, || NOT_STORED);
                }
            }
            State::Candidates(candidates) => of_key(candidates, key).clear(),
        }
    }

    /// Adds the result of a row.
    pub fn push_result(&mut self, key: u32, frames: &Frames) {
        let result = match &mut self.state {
            State::Best { best, .. } => *of_key(best, key),
            State::Candidates(candidates) => of_key(candidates, key).front().map(|count| frames.row(key, *count)),
        };
        self.results.push(result);
    }

    /// The results as a column.
    pub fn finish_results(&mut self, kept: &mut KeptRows) -> Result<ArrayRef> {
        let column = kept.gather_column(self.argument, &self.results)?;
        self.results.clear();
        if let State::Best { taken, dropped, .. } = &mut self.state {
            taken.drain(..).for_each(|at| kept.retain(at));
            dropped.drain(..).for_each(|at| kept.release(at, || NOT_STORED));
        }
        Ok(column)
    }

    /// The picked values of keys, for frames without a lower bound.
    pub fn values(&self, keys: &[u32], kept: &KeptRows) -> Result<ArrayRef> {
        let State::Best { best, .. } = &self.state else { return Ok(kept.gather_column(self.argument, &[])?) };
        let rows: Vec<Option<RowRef>> = keys.iter().map(|key| best.get(*key as usize).copied().flatten()).collect();
        Ok(kept.gather_column(self.argument, &rows)?)
    }

    /// The position of the argument among the kept columns.
    pub fn argument(&self) -> usize {
        self.argument
    }

    /// Restores the picked row of a key, for frames without a lower bound.
    pub fn restore(&mut self, key: u32, at: RowRef, kept: &mut KeptRows) {
        if let State::Best { best, .. } = &mut self.state {
            kept.retain(at);
            *of_key(best, key) = Some(at);
        }
    }

    /// Finds kept rows where blocks were put together.
    pub fn follow(&mut self, moved: &Moved) {
        if let State::Best { best, .. } = &mut self.state {
            best.iter_mut().flatten().for_each(|at| *at = moved.now(*at));
        }
    }

    /// Keeps these keys, in order, which get the numbers from 0 on.
    pub fn renumber(&mut self, kept: &[u32]) {
        match &mut self.state {
            State::Best { best, .. } => *best = kept_of(best, kept),
            State::Candidates(candidates) => *candidates = kept_of(candidates, kept),
        }
    }
}
