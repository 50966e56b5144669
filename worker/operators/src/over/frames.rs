//! The frame of each row.

use std::collections::VecDeque;

use eddyline_job_graph::OverFrame;

use super::lateness::Lateness;
use super::pending::PendingRow;
use super::rows::{RowRef, RowStore};

/// The rows of each key that later frames can reach, in order of time and arrival. Rows of a key are numbered from its
/// first row on. The numbers of removed rows are not reused.
pub struct Frames {
    frame: OverFrame,
    keys: Vec<KeyLog>,
}

/// The rows of one key.
#[derive(Clone, Debug, Default)]
struct KeyLog {
    rows: VecDeque<(i64, RowRef)>,
    /// The number of the first of `rows`.
    first: u64,
    /// The frame of the last row.
    start: u64,
    end: u64,
}

/// The step from the frame of a key's previous row to that of this row.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The key.
    pub key: u32,
    /// The start of the previous frame.
    pub start_before: u64,
    /// The end of the previous frame.
    pub end_before: u64,
    /// The start of this frame.
    pub start: u64,
    /// The end of this frame, exclusive. The row itself is before it.
    pub end: u64,
}

impl Frames {
    /// No rows.
    pub fn new(frame: OverFrame) -> Self {
        Self { frame, keys: Vec::new() }
    }

    /// Adds the rows of `block`, in order of time and arrival, and returns the frame of each.
    pub fn advance(&mut self, chunk: &[PendingRow], block: u32, lateness: &mut Lateness) -> Vec<Step> {
        if let Some(last) = chunk.iter().map(|row| row.key as usize).max()
            && self.keys.len() <= last
        {
            self.keys.resize_with(last + 1, KeyLog::default);
        }
        let mut steps = Vec::with_capacity(chunk.len());
        let mut row = 0;
        for same_time in chunk.chunk_by(|a, b| a.time == b.time) {
            let time = same_time[0].time;
            lateness.pass(time);
            let shares_frame = matches!(self.frame, OverFrame::RangeUnbounded | OverFrame::Range(_));
            if shares_frame {
                for pending in same_time {
                    self.keys[pending.key as usize].rows.push_back((time, RowRef { block, row }));
                    row += 1;
                }
                steps.extend(same_time.iter().map(|pending| self.step(pending.key, time)));
            } else {
                for pending in same_time {
                    self.keys[pending.key as usize].rows.push_back((time, RowRef { block, row }));
                    row += 1;
                    steps.push(self.step(pending.key, time));
                }
            }
            same_time.iter().for_each(|pending| lateness.fired(pending.key, time));
        }
        steps
    }

    fn step(&mut self, key: u32, time: i64) -> Step {
        let log = &mut self.keys[key as usize];
        let (start_before, end_before) = (log.start, log.end);
        log.end = log.first + log.rows.len() as u64;
        match self.frame {
            OverFrame::RowsUnbounded | OverFrame::RangeUnbounded => {}
            OverFrame::Rows(preceding) => {
                log.start = log.start.max(log.end.saturating_sub(preceding.saturating_add(1)));
            }
            OverFrame::Range(interval_ms) => {
                let earliest = time.saturating_sub(interval_ms);
                while log.rows[(log.start - log.first) as usize].0 < earliest {
                    log.start += 1;
                }
            }
        }
        Step { key, start_before, end_before, start: log.start, end: log.end }
    }

    /// A row of a key, by its number.
    #[inline]
    pub fn row(&self, key: u32, count: u64) -> RowRef {
        let log = &self.keys[key as usize];
        log.rows[(count - log.first) as usize].1
    }

    /// Counts references to the rows that the steps added, then releases the rows that no later frame can reach.
    pub fn trim(&mut self, steps: &[Step], kept: &mut RowStore) {
        let unbounded = matches!(self.frame, OverFrame::RowsUnbounded | OverFrame::RangeUnbounded);
        for step in steps {
            let log = &mut self.keys[step.key as usize];
            if unbounded {
                log.first = log.end;
                log.start = log.end;
                log.rows.clear();
                continue;
            }
            // First all references are counted, then rows are released below, so that no count falls to zero too early.
            for count in step.end_before..step.end {
                kept.retain(log.rows[(count - log.first) as usize].1);
            }
        }
        if unbounded {
            return;
        }
        for step in steps {
            let log = &mut self.keys[step.key as usize];
            while log.first < log.start
                && let Some((_, at)) = log.rows.pop_front()
            {
                kept.release(at);
                log.first += 1;
            }
        }
    }

    /// Removes the rows of a key.
    pub fn clear(&mut self, key: u32, kept: &mut RowStore) {
        if let Some(log) = self.keys.get_mut(key as usize) {
            std::mem::take(log).rows.into_iter().for_each(|(_, at)| kept.release(at));
        }
    }

    /// Restores the rows of a key, in order of time and arrival.
    pub fn restore(&mut self, key: u32, time: i64, at: RowRef, kept: &mut RowStore) {
        let index = key as usize;
        if self.keys.len() <= index {
            self.keys.resize_with(index + 1, KeyLog::default);
        }
        kept.retain(at);
        self.keys[index].rows.push_back((time, at));
    }

    /// The steps from an empty frame to the frame of each key's last row. Call it after all rows are restored.
    pub fn restored(&mut self) -> Vec<Step> {
        let whole = self.keys.iter_mut().zip(0..).filter(|(log, _)| !log.rows.is_empty());
        let steps = whole.map(|(log, key)| {
            log.end = log.rows.len() as u64;
            Step { key, start_before: 0, end_before: 0, start: 0, end: log.end }
        });
        steps.collect()
    }

    /// All kept rows, with their keys.
    pub fn all(&self) -> impl Iterator<Item = (u32, RowRef)> {
        self.keys.iter().zip(0..).flat_map(|(log, key)| log.rows.iter().map(move |(_, at)| (key, *at)))
    }

    /// All references to rows.
    pub fn refs_mut(&mut self) -> impl Iterator<Item = &mut RowRef> {
        self.keys.iter_mut().flat_map(|log| log.rows.iter_mut().map(|(_, at)| at))
    }
}
