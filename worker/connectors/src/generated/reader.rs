//! Reads generated rows at a pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eddyline_stream::{Batch, SplitId};

use super::pace::Pace;
use super::{Generator, Position};
use crate::Error;
use crate::source::{Poll, ReaderContext, ReaderCounters, SourceReader, Split};

/// Rows that are due are made so often at most: a high rate comes in batches instead of row by row.
const TICK: Duration = Duration::from_millis(5);

pub(super) struct Reader {
    // Fixed at start.
    generator: Box<dyn Generator>,
    context: ReaderContext,
    // Changing.
    pace: Option<Pace>,
    started: Option<Instant>,
    /// Rows that were due at the last tick and are still to be made, and when that was.
    granted: usize,
    granted_at: Option<Duration>,
    timer_is_set: Arc<AtomicBool>,
    splits: Vec<Running>,
    bytes: u64,
}

struct Running {
    id: SplitId,
    position: Position,
    finished: bool,
    paused: bool,
}

impl Running {
    fn remaining(&self) -> u64 {
        let Some(end) = self.position.end else { return u64::MAX };
        end.saturating_sub(self.position.next).div_ceil(self.position.step)
    }
}

impl Reader {
    pub(super) fn new(generator: Box<dyn Generator>, rows_per_second: Option<u64>, context: ReaderContext) -> Self {
        let pace = rows_per_second.map(|rate| Pace::new(rate, context.subtask.1));
        Self {
            generator,
            context,
            pace,
            started: None,
            granted: 0,
            granted_at: None,
            timer_is_set: Arc::default(),
            splits: Vec::new(),
            bytes: 0,
        }
    }

    fn elapsed(&mut self) -> Duration {
        self.started.get_or_insert_with(Instant::now).elapsed()
    }

    /// The rows that may be made now. If there are none, the waker is called when some are.
    fn due(&mut self) -> usize {
        let elapsed = self.elapsed();
        let Some(pace) = &mut self.pace else { return usize::MAX };
        if self.granted > 0 {
            return self.granted;
        }
        let next_tick = self.granted_at.map_or(Duration::ZERO, |last| last + TICK);
        if elapsed >= next_tick {
            self.granted = pace.due(elapsed);
            if self.granted > 0 {
                self.granted_at = Some(elapsed);
                return self.granted;
            }
        }
        if !self.timer_is_set.swap(true, Ordering::AcqRel) {
            let wait = pace.next_due().max(next_tick).saturating_sub(elapsed);
            let (timer_is_set, waker) = (Arc::clone(&self.timer_is_set), Arc::clone(&self.context.waker));
            self.context.io.spawn(async move {
                tokio::time::sleep(wait).await;
                timer_is_set.store(false, Ordering::Release);
                waker();
            });
        }
        0
    }

    /// Which of the splits that may be read is furthest behind, and how many of `due` rows bring it level with the others:
    /// the lanes of an unbounded source stay side by side, and with them the event time of each.
    fn next(&self, due: usize) -> Option<(usize, u64)> {
        let open = || self.splits.iter().enumerate().filter(|(_, split)| !split.finished && !split.paused);
        let (index, split) = open().min_by_key(|(_, split)| split.position.next)?;
        let (next, step) = (u128::from(split.position.next), u128::from(split.position.step));
        let (lanes, sum) =
            open().fold((0, 0), |(lanes, sum), (_, split)| (lanes + 1, sum + u128::from(split.position.next)));
        // All rows below this number: of each lane that is half a step more than its last row, on average.
        let level = (due as u128 * step + sum).saturating_sub(lanes * (step - 1) / 2) / lanes;
        let share = level.saturating_sub(next).div_ceil(step).max(1);
        Some((index, u64::try_from(share).unwrap_or(u64::MAX)))
    }
}

impl SourceReader for Reader {
    fn add_split(&mut self, split: Split) -> Result<(), Error> {
        let position: Position = serde_json::from_value(split.position).map_err(|error| Error::Restore {
            split: split.id.to_string(),
            reason: format!("its position is not one of generated rows: {error}"),
        })?;
        if position.step == 0 {
            return Err(Error::Restore { split: split.id.to_string(), reason: "its step is 0".to_owned() });
        }
        self.splits.push(Running { id: split.id, position, finished: split.finished, paused: false });
        Ok(())
    }

    fn poll(&mut self, rows_max: usize) -> Result<Poll, Error> {
        let due = self.due();
        let Some((index, share)) = self.next(due) else { return Ok(Poll::Pending) };
        let remaining = self.splits[index].remaining();
        if remaining == 0 {
            self.splits[index].finished = true;
            return Ok(Poll::Finished(self.splits[index].id.clone()));
        }
        let count = usize::try_from(share.min(remaining)).unwrap_or(usize::MAX).min(due).min(rows_max);
        if count == 0 {
            return Ok(Poll::Pending);
        }
        let split = &mut self.splits[index];
        let rows = self.generator.rows(split.position.next, split.position.step, count)?;
        split.position.next = split.position.next.saturating_add(split.position.step.saturating_mul(count as u64));
        if let Some(pace) = &mut self.pace {
            pace.take(count);
            self.granted -= count;
        }
        self.bytes += rows.get_array_memory_size() as u64;
        Ok(Poll::Rows { split: split.id.clone(), rows: Batch::new(rows) })
    }

    /// Splits share the pace: if no row is due, no split has one.
    fn is_empty(&mut self, _split: &SplitId) -> bool {
        let elapsed = self.elapsed();
        self.granted == 0 && self.pace.as_mut().is_some_and(|pace| pace.due(elapsed) == 0)
    }

    fn pause(&mut self, split: &SplitId, paused: bool) {
        if let Some(split) = self.splits.iter_mut().find(|running| running.id == *split) {
            split.paused = paused;
        }
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Error> {
        Ok(self
            .splits
            .iter()
            .map(|split| Split {
                id: split.id.clone(),
                position: serde_json::json!(split.position),
                finished: split.finished,
            })
            .collect())
    }

    fn counters(&self) -> ReaderCounters {
        ReaderCounters { bytes: self.bytes, ..ReaderCounters::default() }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;

    use super::*;
    use crate::generated::LANES;
    use crate::harness::Harness;

    struct Nothing;

    impl Generator for Nothing {
        fn rows(&mut self, _first: u64, _step: u64, _count: usize) -> Result<RecordBatch, Error> {
            unreachable!("no row is asked for")
        }
    }

    fn reader(lanes: &[u64]) -> Reader {
        let harness = Harness::new();
        let context = ReaderContext { io: harness.io(), waker: Arc::new(|| ()), subtask: (0, 1) };
        let mut reader = Reader::new(Box::new(Nothing), None, context);
        for next in lanes {
            let split = Position { next: *next, end: None, step: LANES }.split();
            reader.add_split(split).expect("a lane");
        }
        reader
    }

    /// Makes `due` rows, and gives how many reads that took.
    fn make(reader: &mut Reader, mut due: usize) -> usize {
        let mut reads = 0;
        while due > 0 {
            let (index, share) = reader.next(due).expect("a lane");
            let count = due.min(usize::try_from(share).expect("small"));
            reader.splits[index].position.next += LANES * count as u64;
            due -= count;
            reads += 1;
        }
        reads
    }

    #[test]
    fn rows_that_are_due_are_spread_over_all_lanes_in_one_read_of_each() {
        let mut reader = reader(&(0..LANES).collect::<Vec<_>>());
        for due in [250, 1, 8_000, 33, 31, 250] {
            let reads = make(&mut reader, due);
            assert!(reads <= LANES as usize, "{reads} reads for {due} rows");
            let next = || reader.splits.iter().map(|split| split.position.next);
            let spread = next().max().expect("lanes") - next().min().expect("lanes");
            assert!(spread <= 2 * LANES, "{spread} behind {due} rows");
        }
    }

    #[test]
    fn lanes_that_are_behind_are_brought_level_first() {
        let mut reader = reader(&[0, 1, 3_202]);
        make(&mut reader, 200);
        let next: Vec<u64> = reader.splits.iter().map(|split| split.position.next).collect();
        assert_eq!(next, [3_200, 3_201, 3_202]);
        // Without a pace a lane gets as much as is read at a time.
        assert!(reader.next(usize::MAX).expect("a lane").1 > 1 << 32);
    }
}
