//! Watermark alignment: splits that run far ahead of the slowest one of their source wait for it.

use std::sync::Mutex;
use std::time::Duration;

use eddyline_stream::Watermark;

/// What the readers of one source know of each other's watermarks.
#[derive(Debug)]
pub struct AlignmentGroup {
    drift_max: Duration,
    minima: Mutex<Vec<Option<Watermark>>>,
}

impl AlignmentGroup {
    /// A group of readers, none of which has said anything.
    pub fn new(drift_max: Duration, readers: usize) -> Self {
        Self { drift_max, minima: Mutex::new(vec![None; readers]) }
    }

    /// How far a split may be ahead of the slowest one, in event time.
    pub fn drift_max(&self) -> Duration {
        self.drift_max
    }

    /// Tells the smallest watermark of a reader's active splits, and learns that of all readers. `None` for a reader that
    /// holds nobody back.
    pub fn report(&self, reader: usize, minimum: Option<Watermark>) -> Watermark {
        let mut minima = self.minima.lock().expect("no holder of the minima panics");
        minima[reader] = minimum;
        minima.iter().flatten().min().copied().unwrap_or(Watermark::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_reader_that_has_splits_counts() {
        let group = AlignmentGroup::new(Duration::from_secs(1), 3);
        assert_eq!(group.report(0, Some(Watermark::new(9))), Watermark::new(9));
        assert_eq!(group.report(2, Some(Watermark::new(4))), Watermark::new(4));
        assert_eq!(group.report(2, None), Watermark::new(9));
    }
}
