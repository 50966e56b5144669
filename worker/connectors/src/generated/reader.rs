//! Reads generated rows at a pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eddyline_stream::{Batch, SplitId};

use super::pace::Pace;
use super::{Generator, Position};
use crate::Error;
use crate::source::{Poll, ReaderContext, ReaderCounters, SourceReader, Split};

/// The shortest wait for rows, so that a high rate gives batches instead of single rows.
const WAIT_MIN: Duration = Duration::from_millis(10);

pub(super) struct Reader {
    // Fixed at start.
    generator: Box<dyn Generator>,
    context: ReaderContext,
    // Changing.
    pace: Option<Pace>,
    started: Option<Instant>,
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
        Self { generator, context, pace, started: None, timer_is_set: Arc::default(), splits: Vec::new(), bytes: 0 }
    }

    /// The rows that are due now. If there are none, the waker is called when some are.
    fn due(&mut self) -> usize {
        let Some(pace) = &mut self.pace else { return usize::MAX };
        let started = *self.started.get_or_insert_with(Instant::now);
        let elapsed = started.elapsed();
        let due = pace.due(elapsed);
        if due == 0 && !self.timer_is_set.swap(true, Ordering::AcqRel) {
            let wait = pace.next_due().saturating_sub(elapsed).max(WAIT_MIN);
            let (timer_is_set, waker) = (Arc::clone(&self.timer_is_set), Arc::clone(&self.context.waker));
            self.context.io.spawn(async move {
                tokio::time::sleep(wait).await;
                timer_is_set.store(false, Ordering::Release);
                waker();
            });
        }
        due
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
        // The split that is furthest behind: the lanes of an unbounded source stay side by side.
        let next = self.splits.iter().enumerate().filter(|(_, split)| !split.finished && !split.paused);
        let Some((index, _)) = next.min_by_key(|(_, split)| split.position.next) else { return Ok(Poll::Pending) };
        let remaining = self.splits[index].remaining();
        if remaining == 0 {
            self.splits[index].finished = true;
            return Ok(Poll::Finished(self.splits[index].id.clone()));
        }
        let count = self.due().min(rows_max).min(usize::try_from(remaining).unwrap_or(usize::MAX));
        if count == 0 {
            return Ok(Poll::Pending);
        }
        let split = &mut self.splits[index];
        let rows = self.generator.rows(split.position.next, split.position.step, count)?;
        split.position.next = split.position.next.saturating_add(split.position.step.saturating_mul(count as u64));
        if let Some(pace) = &mut self.pace {
            pace.take(count);
        }
        self.bytes += rows.get_array_memory_size() as u64;
        Ok(Poll::Rows { split: split.id.clone(), rows: Batch::new(rows) })
    }

    /// Splits share the pace: if no row is due, no split has one.
    fn is_empty(&mut self, _split: &SplitId) -> bool {
        self.due() == 0
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
