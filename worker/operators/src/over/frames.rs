//! The frame of each row.

use eddyline_job_graph::OverFrame;
use eddyline_state::row_log::{Appended, Moved};
use eddyline_state::{Chains, Link, RowRef};

use super::keys::KeyTable;
use super::lateness::Lateness;
use super::operand::KeptRows;
use super::pending::PendingRow;

/// The rows of each key that later frames can reach, in order of time and arrival.
pub struct Frames {
    frame: OverFrame,
    rows: Chains,
    /// The frame of the last row of each key.
    last: Vec<Span>,
}

/// A frame: the counts of its first row, and behind its last one.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
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
        Self { frame, rows: Chains::default(), last: Vec::new() }
    }

    /// Adds rows that were appended, in order of time and arrival, and returns the frame of each.
    pub fn advance(&mut self, chunk: &[PendingRow], appended: &Appended, lateness: &mut Lateness) -> Vec<Step> {
        if let Some(last) = chunk.iter().map(|row| row.key).max() {
            self.have_key(last);
        }
        let mut steps = Vec::with_capacity(chunk.len());
        let mut row = 0;
        for same_time in chunk.chunk_by(|a, b| a.time == b.time) {
            let time = same_time[0].time;
            lateness.pass(time);
            let shares_frame = matches!(self.frame, OverFrame::RangeUnbounded | OverFrame::Range(_));
            for pending in same_time {
                let end = self.rows.push(pending.key, Link { order: time, at: appended.at(row) });
                row += 1;
                if !shares_frame {
                    steps.push(self.step(pending.key, time, end));
                }
            }
            if shares_frame {
                steps.extend(same_time.iter().map(|pending| self.step(pending.key, time, self.rows.end(pending.key))));
            }
            same_time.iter().for_each(|pending| lateness.fired(pending.key, time));
        }
        steps
    }

    /// Makes room for keys up to this one.
    fn have_key(&mut self, key: u32) {
        if self.last.len() <= key as usize {
            self.last.resize(key as usize + 1, Span::default());
        }
    }

    #[inline]
    fn step(&mut self, key: u32, time: i64, end: u64) -> Step {
        let span = &mut self.last[key as usize];
        let Span { start: start_before, end: end_before } = *span;
        match self.frame {
            OverFrame::RowsUnbounded | OverFrame::RangeUnbounded => {}
            OverFrame::Rows(preceding) => {
                span.start = start_before.max(end.saturating_sub(preceding.saturating_add(1)));
            }
            OverFrame::Range(interval_ms) => {
                let earliest = time.saturating_sub(interval_ms);
                while self.rows.link(key, span.start).order < earliest {
                    span.start += 1;
                }
            }
        }
        span.end = end;
        Step { key, start_before, end_before, start: span.start, end }
    }

    /// A row of a key, by its count.
    #[inline]
    pub fn row(&self, key: u32, count: u64) -> RowRef {
        self.rows.link(key, count).at
    }

    /// Releases the rows that no frame behind these steps can reach.
    pub fn trim(&mut self, steps: &[Step], kept: &mut KeptRows, keys: &KeyTable) {
        let is_unbounded = matches!(self.frame, OverFrame::RowsUnbounded | OverFrame::RangeUnbounded);
        for Step { key, .. } in steps {
            let span = &mut self.last[*key as usize];
            if is_unbounded {
                span.start = span.end;
            }
            while let Some(at) = self.rows.pop_before(*key, span.start) {
                kept.release(at, || keys.hash(*key));
            }
        }
    }

    /// Removes the rows of a key.
    pub fn clear(&mut self, key: u32, kept: &mut KeptRows, keys: &KeyTable) {
        if let Some(span) = self.last.get_mut(key as usize) {
            *span = Span::default();
        }
        self.rows.forget(key).for_each(|at| kept.release(at, || keys.hash(key)));
    }

    /// Restores a row of a key, in order of time and arrival.
    pub fn restore(&mut self, key: u32, time: i64, at: RowRef) {
        self.rows.push(key, Link { order: time, at });
    }

    /// The step from an empty frame to the frame of a key's last row, when all its rows are restored.
    pub fn restored(&mut self, key: u32) -> Step {
        let end = self.rows.end(key);
        self.have_key(key);
        self.last[key as usize] = Span { start: 0, end };
        Step { key, start_before: 0, end_before: 0, start: 0, end }
    }

    /// Finds rows where blocks were put together.
    pub fn follow(&mut self, moved: &Moved) {
        self.rows.follow(moved);
    }

    /// Keeps these keys, in order, which get the numbers from 0 on.
    pub fn renumber(&mut self, kept: &[u32]) {
        self.rows.renumber(kept);
        self.last = kept.iter().map(|key| self.last.get(*key as usize).copied().unwrap_or_default()).collect();
    }
}
