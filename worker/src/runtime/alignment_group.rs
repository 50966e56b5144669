//! Watermark alignment: splits that are far ahead of the slowest split of their group wait for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use eddyline_job_graph::Alignment;
use eddyline_stream::Watermark;

/// The watermarks of the readers of an alignment group. The group is one source or several.
#[derive(Debug, Default)]
pub struct AlignmentGroup {
    minima: Mutex<Vec<Option<Watermark>>>,
}

impl AlignmentGroup {
    /// Adds a reader without a watermark. Returns its index.
    fn join(&self) -> usize {
        let mut minima = self.minima.lock().expect("no holder of the minima panics");
        minima.push(None);
        minima.len() - 1
    }

    /// Reports the smallest watermark of a reader's active splits, and returns the smallest one of all readers. `None`
    /// if the reader does not hold back others.
    fn report(&self, reader: usize, minimum: Option<Watermark>) -> Watermark {
        let mut minima = self.minima.lock().expect("no holder of the minima panics");
        minima[reader] = minimum;
        minima.iter().flatten().min().copied().unwrap_or(Watermark::MIN)
    }
}

/// A reader of a group.
#[derive(Debug)]
pub struct Member {
    group: Arc<AlignmentGroup>,
    reader: usize,
    /// The maximum drift of a split from the slowest one, in event time.
    pub drift_max: Duration,
    update_interval_ms: i64,

    reported_at_ms: Option<i64>,
    /// The smallest known watermark of the group. It does not decrease, so a split that was just opened and has no
    /// watermark does not stop the others.
    pub minimum: Watermark,
}

impl Member {
    /// Adds a reader to a group.
    pub fn new(group: Arc<AlignmentGroup>, alignment: &Alignment) -> Self {
        let reader = group.join();
        let update_interval_ms = i64::try_from(alignment.update_interval.as_millis()).unwrap_or(i64::MAX);
        let drift_max = alignment.drift_max;
        Self { group, reader, drift_max, update_interval_ms, reported_at_ms: None, minimum: Watermark::MIN }
    }

    /// Compares with the other readers if that is due. Returns whether it was.
    pub fn update(&mut self, minimum: Option<Watermark>, now_ms: i64) -> bool {
        let is_due = self.reported_at_ms.is_none_or(|at| now_ms >= at.saturating_add(self.update_interval_ms));
        if is_due {
            self.reported_at_ms = Some(now_ms);
            self.minimum = self.minimum.max(self.group.report(self.reader, minimum));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_reader_that_has_splits_counts() {
        let group = AlignmentGroup::default();
        let readers = [group.join(), group.join(), group.join()];
        assert_eq!(group.report(readers[0], Some(Watermark::new(9))), Watermark::new(9));
        assert_eq!(group.report(readers[2], Some(Watermark::new(4))), Watermark::new(4));
        assert_eq!(group.report(readers[2], None), Watermark::new(9));
    }

    #[test]
    fn a_reader_compares_at_once_and_then_at_the_interval() {
        let group = Arc::new(AlignmentGroup::default());
        let alignment =
            Alignment { group: None, drift_max: Duration::from_secs(1), update_interval: Duration::from_millis(50) };
        let mut one = Member::new(Arc::clone(&group), &alignment);
        let mut other = Member::new(group, &alignment);
        assert!(one.update(Some(Watermark::new(3)), 0));
        assert!(other.update(Some(Watermark::new(7)), 0));
        assert_eq!((one.minimum, other.minimum), (Watermark::new(3), Watermark::new(3)));
        assert!(!one.update(Some(Watermark::new(9)), 49));
        assert!(one.update(Some(Watermark::new(9)), 50));
        assert_eq!(one.minimum, Watermark::new(7));
    }
}
