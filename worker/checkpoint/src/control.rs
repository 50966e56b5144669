//! The decisions of the control log: no I/O, no clock, no randomness.
//!
//! The log is a sequence of records numbered from 1. Each is an object that can be created but never changed. The
//! process that creates record `n` decides what follows record `n - 1`. A checkpoint is complete when a record names
//! it.
//!
//! The answer of the store can mislead in two ways. First, an answer can be lost, and then the repeated create is
//! refused because of the writer's own record. The nonce of a record shows whose it is. Second, old records are
//! deleted, so a writer that has stalled can create a number that the log has passed. After every success the writer
//! therefore looks for records beyond its own, and if there are any, its record does not count. The newest [`KEEP`]
//! records are never deleted, so such a writer finds some.

/// The number of newest records that are never deleted.
pub const KEEP: u64 = 64;

/// The number of tries to create a record. After the last one the outcome counts as unknown.
pub const TRIES: u32 = 6;

/// The identity of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// The position in the log, counted from 1.
    pub sequence: u64,
    /// Chosen at random for this record.
    pub nonce: u128,
    /// Grows with every leader.
    pub leader_epoch: u64,
    /// The attempt that the record speaks for.
    pub attempt: u64,
}

/// What the store answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The record was created.
    Created,
    /// The store says that the record exists, or that it is being written.
    Refused,
    /// No answer, or an unclear one: the record may exist, or may still be created.
    Unanswered,
    /// The record with this number; `None` if there is none.
    Read(Option<RecordId>),
    /// The read failed.
    ReadUnanswered,
    /// The newest record with a higher number; `None` if there is none.
    Beyond(Option<RecordId>),
    /// The look-up of newer records failed.
    BeyondUnanswered,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Try to create the record.
    Create,
    /// Read the record with this number.
    ReadBack,
    /// Look for records with a higher number.
    LookBeyond,
    /// The record is part of the log: what it says is in force.
    Done,
    /// Another leader has written a record. This one must stop.
    Fenced(RecordId),
    /// It is unknown whether the record is part of the log.
    Unresolved,
}

/// The state of appending one record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Append {
    mine: RecordId,
    tries: u32,
}

impl Append {
    /// Begins to append a record; the first action is [`Action::Create`].
    pub fn new(mine: RecordId) -> Self {
        Self { mine, tries: 1 }
    }

    /// What an answer means.
    pub fn step(&mut self, event: Event) -> Action {
        match event {
            Event::Created => Action::LookBeyond,
            Event::Refused | Event::Unanswered => Action::ReadBack,
            Event::Read(None) => self.again(Action::Create),
            Event::Read(Some(found)) if found.nonce == self.mine.nonce => Action::LookBeyond,
            Event::Read(Some(found)) | Event::Beyond(Some(found)) => Action::Fenced(found),
            Event::ReadUnanswered => self.again(Action::ReadBack),
            Event::Beyond(None) => Action::Done,
            Event::BeyondUnanswered => self.again(Action::LookBeyond),
        }
    }

    fn again(&mut self, action: Action) -> Action {
        if self.tries >= TRIES {
            return Action::Unresolved;
        }
        self.tries += 1;
        action
    }

    /// The number of tries to create the record.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

/// Records below this number may be deleted once a record states it.
pub fn boundary(sequence: u64, before: u64) -> u64 {
    before.max(sequence.saturating_sub(KEEP))
}

/// Which of the listed records may be deleted: those below the boundary of a record that is part of the log.
pub fn deletable(listed: &[u64], boundary: u64) -> Vec<u64> {
    let newest = listed.iter().copied().max().unwrap_or(0);
    // The boundary already ensures this. It is checked again because a mistake here would lose the log.
    let bound = boundary.min((newest + 1).saturating_sub(KEEP));
    let mut doomed: Vec<u64> = listed.iter().copied().filter(|sequence| *sequence < bound).collect();
    doomed.sort_unstable();
    doomed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64, nonce: u128, leader_epoch: u64) -> RecordId {
        RecordId { sequence, nonce, leader_epoch, attempt: leader_epoch }
    }

    #[test]
    fn a_lost_answer_is_resolved_by_the_nonce() {
        let mut append = Append::new(record(5, 77, 2));
        assert_eq!(append.step(Event::Unanswered), Action::ReadBack);
        assert_eq!(append.step(Event::Read(Some(record(5, 77, 2)))), Action::LookBeyond);
        assert_eq!(append.step(Event::Beyond(None)), Action::Done);
    }

    #[test]
    fn a_conflict_without_an_object_is_tried_again() {
        let mut append = Append::new(record(5, 77, 2));
        assert_eq!(append.step(Event::Refused), Action::ReadBack);
        assert_eq!(append.step(Event::Read(None)), Action::Create);
        assert_eq!(append.step(Event::Created), Action::LookBeyond);
    }

    #[test]
    fn a_success_behind_the_log_means_fenced() {
        let newer = record(200, 9, 3);
        let mut append = Append::new(record(5, 77, 2));
        assert_eq!(append.step(Event::Created), Action::LookBeyond);
        assert_eq!(append.step(Event::Beyond(Some(newer))), Action::Fenced(newer));
    }

    #[test]
    fn silence_ends_as_unresolved_and_never_as_done() {
        let mut append = Append::new(record(5, 77, 2));
        let mut action = append.step(Event::Unanswered);
        for _ in 0..TRIES {
            action = append.step(match action {
                Action::ReadBack => Event::ReadUnanswered,
                Action::Create => Event::Unanswered,
                other => panic!("{other:?} after silence"),
            });
            if action == Action::Unresolved {
                return;
            }
        }
        panic!("still trying after {TRIES} tries");
    }

    #[test]
    fn the_newest_records_are_never_deleted() {
        let listed: Vec<u64> = (1..=100).collect();
        assert_eq!(deletable(&listed, 1000), (1..=36).collect::<Vec<_>>());
        assert_eq!(deletable(&listed, 10), (1..=9).collect::<Vec<_>>());
        assert_eq!(boundary(30, 0), 0);
        assert_eq!(boundary(100, 0), 36);
        assert_eq!(boundary(100, 50), 50);
    }
}
