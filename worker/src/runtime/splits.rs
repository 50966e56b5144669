//! Assigns the splits of a source to its readers.
//!
//! Readers report the splits they hold. If no reader has reported a split, no reader held it at the barrier, and
//! nothing of it has been read since the attempt began. [`SplitPool::complete`] adds it to the checkpoint at its
//! restored position, which would be lost otherwise. A split that a reader has reported as finished is finished in each
//! later checkpoint, even if this one is abandoned: [`SplitPool::finish`] records it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use eddyline_connectors::Error;
use eddyline_connectors::source::{Discovery, Finished, FinishedSplits, Placement, Split};
use eddyline_stream::SplitId;

/// Whether a reader will get more splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Unknown, because nothing has been discovered.
    Unknown,
    /// Perhaps, if more splits are discovered.
    Later,
    /// No.
    Never,
}

/// The splits of one source that no reader has yet.
#[derive(Debug)]
pub struct SplitPool {
    placement: Placement,

    /// Splits from the checkpoint that are not assigned yet, at their restored positions.
    restored: BTreeMap<SplitId, Split>,
    /// Splits that were found and are not finished.
    known: BTreeSet<SplitId>,
    /// The splits that a checkpoint must hold and that no reader has reported yet. These are the splits of the
    /// checkpoint that the attempt began with and, where all splits are dealt at once, those found since. Splits that
    /// are dealt on demand may be very many and are not kept here: discovery finds those again that are not begun.
    unreported: BTreeMap<SplitId, Split>,
    /// Unread splits: one queue for all readers, or one for each.
    queues: Vec<VecDeque<Split>>,
    /// Splits read to their end, in this attempt or before.
    finished: Box<dyn Finished>,
    dealt: usize,
    discovered: bool,
    complete: bool,
}

impl SplitPool {
    /// Makes a pool for `readers` readers. `restored` has the splits of the checkpoint that are not at their end, and
    /// `finished` those that are.
    pub fn new(placement: Placement, readers: usize, restored: Vec<Split>, finished: Box<dyn Finished>) -> Self {
        let queues = match placement {
            Placement::OnDemand => 1,
            Placement::Spread => readers.max(1),
        };
        let restored: BTreeMap<SplitId, Split> = restored.into_iter().map(|split| (split.id.clone(), split)).collect();
        Self {
            placement,
            known: BTreeSet::new(),
            unreported: restored.clone(),
            restored,
            queues: vec![VecDeque::new(); queues],
            finished,
            dealt: 0,
            discovered: false,
            complete: false,
        }
    }

    /// Adds discovered splits. Returns the number of new ones.
    pub fn discovered(&mut self, discovery: Discovery) -> usize {
        self.complete = discovery.complete;
        self.discovered = true;
        let is_new = |split: &Split| !self.finished.contains(&split.id) && self.known.insert(split.id.clone());
        let mut found: Vec<Split> = discovery.splits.into_iter().filter(is_new).collect();
        for split in &mut found {
            if let Some(restored) = self.restored.remove(&split.id) {
                *split = restored;
            }
        }
        // A split that was being read and is no longer found stays: its reader reports what is wrong, or can still read
        // it.
        let vanished =
            std::mem::take(&mut self.restored).into_values().filter(|split| self.known.insert(split.id.clone()));
        let found: Vec<Split> = vanished.collect::<Vec<_>>().into_iter().chain(found).collect();
        let count = found.len();
        for split in found {
            if self.placement == Placement::Spread {
                self.unreported.insert(split.id.clone(), split.clone());
            }
            let queues = self.queues.len();
            self.queues[self.dealt % queues].push_back(split);
            self.dealt += 1;
        }
        count
    }

    /// Records a split that a reader has reported as finished.
    ///
    /// # Errors
    /// When its position is not one of its source.
    pub fn finish(&mut self, split: Split) -> Result<(), Error> {
        self.unreported.remove(&split.id);
        self.known.remove(&split.id);
        self.finished.add(split)
    }

    /// The finished splits, for a checkpoint.
    pub fn finished(&self) -> FinishedSplits {
        self.finished.snapshot()
    }

    /// Adds the splits that no reader had at a checkpoint's barrier to those that all readers have reported. A reader
    /// that has reported a split once does so at every barrier, so there is nothing to add after a few checkpoints.
    pub fn complete(&mut self, reported: &mut Vec<Split>) {
        for split in &*reported {
            self.unreported.remove(&split.id);
        }
        reported.extend(self.unreported.values().cloned());
    }

    /// The next split for a reader.
    pub fn next(&mut self, reader: usize) -> Option<Split> {
        let queue = self.queue_of(reader);
        self.queues.get_mut(queue)?.pop_front()
    }

    /// Whether a reader that has taken all of its waiting splits will get more.
    pub fn outlook(&self, reader: usize) -> Outlook {
        let is_waited_for = self.queues.get(self.queue_of(reader)).is_some_and(|queue| !queue.is_empty());
        match (self.discovered, self.complete && !is_waited_for) {
            (false, _) => Outlook::Unknown,
            (true, true) => Outlook::Never,
            (true, false) => Outlook::Later,
        }
    }

    fn queue_of(&self, reader: usize) -> usize {
        match self.placement {
            Placement::OnDemand => 0,
            Placement::Spread => reader,
        }
    }

    /// How splits are assigned to readers.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Whether there was a discovery.
    pub fn is_discovered(&self) -> bool {
        self.discovered
    }
}

#[cfg(test)]
mod tests {
    use eddyline_connectors::source::FewFinished;
    use serde_json::json;

    use super::*;

    fn split(id: &str, offset: u64, finished: bool) -> Split {
        Split { id: SplitId::new(id), position: json!(offset), finished }
    }

    fn pool(placement: Placement, readers: usize, restored: &[Split]) -> SplitPool {
        let (finished, restored): (Vec<_>, Vec<_>) = restored.iter().cloned().partition(|split| split.finished);
        let mut kept = Box::new(FewFinished::default());
        finished.into_iter().for_each(|split| kept.add(split).expect("it is kept"));
        SplitPool::new(placement, readers, restored, kept)
    }

    fn discovery(ids: &[&str], complete: bool) -> Discovery {
        Discovery { splits: ids.iter().map(|id| split(id, 0, false)).collect(), complete }
    }

    #[test]
    fn a_restored_split_resumes_where_it_was_and_a_finished_one_is_not_read_again() {
        let mut pool = pool(Placement::OnDemand, 2, &[split("a", 9, true), split("b", 5, false)]);
        assert_eq!(pool.discovered(discovery(&["a", "b", "c"], true)), 2);
        assert_eq!(pool.next(1), Some(split("b", 5, false)));
        assert_eq!(pool.outlook(0), Outlook::Later);
        assert_eq!(pool.next(0), Some(split("c", 0, false)));
        assert_eq!(pool.outlook(0), Outlook::Never);
        assert_eq!(pool.finished().splits, [split("a", 9, true)]);
    }

    #[test]
    fn spread_splits_are_dealt_evenly_and_new_ones_when_they_appear() {
        let mut pool = pool(Placement::Spread, 2, &[]);
        pool.discovered(discovery(&["a", "b", "c"], false));
        let mut first = Vec::new();
        while let Some(split) = pool.next(0) {
            first.push(split.id.to_string());
        }
        assert_eq!(first, ["a", "c"]);
        assert_eq!(pool.discovered(discovery(&["a", "b", "c", "d"], false)), 1);
        assert_eq!(pool.next(0), None);
        assert_eq!(pool.next(1), Some(split("b", 0, false)));
        assert_eq!(pool.next(1), Some(split("d", 0, false)));
    }

    /// The splits of a checkpoint for which readers have reported these splits.
    fn completed(pool: &mut SplitPool, reported: &[Split]) -> Vec<Split> {
        let (finished, mut splits): (Vec<_>, Vec<_>) = reported.iter().cloned().partition(|split| split.finished);
        finished.into_iter().for_each(|split| pool.finish(split).expect("it is kept"));
        pool.complete(&mut splits);
        splits.extend(pool.finished().splits);
        splits.sort_by(|one, other| one.id.cmp(&other.id));
        splits
    }

    #[test]
    fn a_restored_split_stays_in_checkpoints_as_it_was_until_a_reader_reports_it() {
        let restored = [split("a", 9, true), split("b", 5, false), split("c", 7, false)];
        let mut pool = pool(Placement::OnDemand, 1, &restored);
        assert_eq!(completed(&mut pool, &[]), restored, "nothing is discovered yet");
        pool.discovered(discovery(&["a", "b", "c", "d"], true));
        assert_eq!(completed(&mut pool, &[]), restored, "nothing is taken yet");
        let mut reader: Vec<Split> = pool.next(0).into_iter().collect();
        reader[0].position = json!(6);
        let expected = [split("a", 9, true), split("b", 6, false), split("c", 7, false)];
        assert_eq!(completed(&mut pool, &reader), expected);
        reader.extend(pool.next(0));
        reader[1].position = json!(8);
        let expected = [split("a", 9, true), split("b", 6, false), split("c", 8, false)];
        assert_eq!(completed(&mut pool, &reader), expected);
        assert_eq!(completed(&mut pool, &reader), expected);
    }

    #[test]
    fn a_split_that_was_reported_as_finished_once_stays_so_and_is_not_dealt_again() {
        let mut pool = pool(Placement::OnDemand, 1, &[split("b", 5, false)]);
        pool.discovered(discovery(&["a", "b"], false));
        let first = pool.next(0).map(|split| Split { finished: true, ..split });
        assert_eq!(
            completed(&mut pool, &first.into_iter().collect::<Vec<_>>()),
            [split("a", 0, true), split("b", 5, false)]
        );
        let second = [split("b", 9, true)];
        let expected = [split("a", 0, true), split("b", 9, true)];
        assert_eq!(completed(&mut pool, &second), expected);
        assert_eq!(completed(&mut pool, &[]), expected);
        assert_eq!(pool.discovered(discovery(&["a", "b", "c"], true)), 1);
        assert_eq!(completed(&mut pool, &[]), expected);
    }

    #[test]
    fn where_a_split_begins_is_in_the_first_checkpoint_if_all_are_dealt_at_once() {
        let mut pool = pool(Placement::Spread, 2, &[]);
        pool.discovered(discovery(&["a", "b"], false));
        let one: Vec<Split> = pool.next(0).into_iter().collect();
        assert_eq!(completed(&mut pool, &one), [split("a", 0, false), split("b", 0, false)]);
    }

    #[test]
    fn a_restored_split_that_is_not_found_any_more_is_still_read() {
        let mut pool = pool(Placement::OnDemand, 1, &[split("gone", 5, false)]);
        pool.discovered(discovery(&["a"], true));
        assert_eq!(pool.next(0), Some(split("gone", 5, false)));
    }
}
