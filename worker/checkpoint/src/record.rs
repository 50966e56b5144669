//! Control records.

use bytes::Bytes;
use eddyline_stream::{Attempt, CheckpointId, MaxParallelism};

use crate::control::{self, RecordId};
use crate::envelope;
use crate::error::{Error, Result};

/// A control record as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RecordProto {
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// 16 bytes, little-endian.
    #[prost(bytes = "vec", tag = "2")]
    pub nonce: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub leader_epoch: u64,
    #[prost(uint64, tag = "4")]
    pub attempt: u64,
    #[prost(uint32, tag = "5")]
    pub max_parallelism: u32,
    #[prost(uint32, tag = "6")]
    pub key_hash_version: u32,
    /// The completed checkpoints that are kept, oldest first; the last one is the latest.
    #[prost(message, repeated, tag = "7")]
    pub retained: Vec<CheckpointRefProto>,
    /// The commits of all checkpoints up to this one are done.
    #[prost(uint64, tag = "8")]
    pub commits_done_upto: u64,
    /// Records below this one may be deleted.
    #[prost(uint64, tag = "9")]
    pub boundary: u64,
    /// The plan of the attempt, for display only.
    #[prost(string, tag = "10")]
    pub plan_fingerprint: String,
    /// The decision that the attempt carries out.
    #[prost(string, tag = "11")]
    pub start: String,
    /// The latest checkpoint when that decision was first carried out.
    #[prost(uint64, tag = "12")]
    pub start_after: u64,
    /// A number that each process draws at random.
    #[prost(fixed64, tag = "13")]
    pub process: u64,
}

/// A completed checkpoint in a control record.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CheckpointRefProto {
    #[prost(uint64, tag = "1")]
    pub checkpoint: u64,
    #[prost(uint64, tag = "2")]
    pub attempt: u64,
    /// The checksum in the manifest's envelope.
    #[prost(fixed32, tag = "3")]
    pub manifest_crc32c: u32,
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
    /// The history that it belongs to; 0 is the one that the job's folder names.
    #[prost(fixed32, tag = "5")]
    pub history: u32,
    /// A later history has begun before its commits were done.
    #[prost(bool, tag = "6")]
    pub is_skipped: bool,
}

/// A completed checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointRef {
    pub checkpoint: CheckpointId,
    pub attempt: Attempt,
    pub manifest_crc: u32,
    pub bytes: u64,
    /// See [`crate::history`]; 0 is the first one of the folder.
    pub history: u32,
    /// A later history has begun before its commits were done.
    pub is_skipped: bool,
}

/// A control record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub id: RecordId,
    pub max_parallelism: MaxParallelism,
    pub key_hash_version: u32,
    pub retained: Vec<CheckpointRef>,
    pub commits_done_upto: CheckpointId,
    pub boundary: u64,
    pub plan_fingerprint: String,
    pub start: String,
    pub start_after: CheckpointId,
    pub process: u64,
}

/// What a new attempt records about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leader<'a> {
    pub max_parallelism: MaxParallelism,
    pub key_hash_version: u32,
    pub plan_fingerprint: &'a str,
    pub start: &'a str,
    pub process: u64,
}

impl Record {
    /// The record with which a new attempt takes over. `before` is `None` for the first record of the job.
    pub(crate) fn take_over(before: Option<&Record>, nonce: u128, leader: Leader<'_>) -> Self {
        let (sequence, leader_epoch, attempt) =
            before.map_or((0, 0, 0), |record| (record.id.sequence, record.id.leader_epoch, record.id.attempt));
        let sequence = sequence + 1;
        let start_after = match before {
            Some(before) if before.start == leader.start => before.start_after,
            Some(before) => before.latest().map_or(before.start_after, |latest| latest.checkpoint),
            None => CheckpointId::NONE,
        };
        Self {
            id: RecordId { sequence, nonce, leader_epoch: leader_epoch + 1, attempt: attempt + 1 },
            max_parallelism: leader.max_parallelism,
            key_hash_version: leader.key_hash_version,
            retained: before.map(|record| record.retained.clone()).unwrap_or_default(),
            commits_done_upto: before.map_or(CheckpointId::NONE, |record| record.commits_done_upto),
            boundary: control::boundary(sequence, before.map_or(0, |record| record.boundary)),
            plan_fingerprint: leader.plan_fingerprint.to_owned(),
            start: leader.start.to_owned(),
            start_after,
            process: leader.process,
        }
    }

    /// The next record of the same leader.
    pub(crate) fn next(&self, nonce: u128, commits_done_upto: CheckpointId) -> Self {
        let sequence = self.id.sequence + 1;
        Self {
            id: RecordId { sequence, nonce, ..self.id },
            commits_done_upto,
            boundary: control::boundary(sequence, self.boundary),
            ..self.clone()
        }
    }

    /// Adds a completed checkpoint. The newest `retain` are kept, and those whose commits are not done.
    pub(crate) fn with_checkpoint(mut self, completed: CheckpointRef, retain: usize) -> Self {
        if self.latest().is_some_and(|latest| latest.history != completed.history) {
            // From now on `commits_done_upto` does not cover these.
            let is_open: Vec<bool> = self.retained.iter().map(|kept| self.is_open(kept)).collect();
            self.retained.iter_mut().zip(is_open).for_each(|(kept, is_open)| kept.is_skipped = is_open);
        }
        self.retained.push(completed);
        let surplus = self.retained.len().saturating_sub(retain.max(1));
        let committed = self.retained.iter().take_while(|kept| kept.checkpoint <= self.commits_done_upto).count();
        self.retained.drain(..surplus.min(committed));
        self
    }

    /// Whether the commits of a checkpoint are not known to be done.
    pub(crate) fn is_open(&self, kept: &CheckpointRef) -> bool {
        match self.latest() {
            Some(latest) if latest.history != kept.history => kept.is_skipped,
            _ => kept.checkpoint > self.commits_done_upto,
        }
    }

    /// The latest completed checkpoint.
    pub(crate) fn latest(&self) -> Option<&CheckpointRef> {
        self.retained.last()
    }

    pub(crate) fn seal(&self) -> Bytes {
        let proto = RecordProto {
            sequence: self.id.sequence,
            nonce: self.id.nonce.to_le_bytes().to_vec(),
            leader_epoch: self.id.leader_epoch,
            attempt: self.id.attempt,
            max_parallelism: u32::from(self.max_parallelism.get()),
            key_hash_version: self.key_hash_version,
            retained: self
                .retained
                .iter()
                .map(|kept| CheckpointRefProto {
                    checkpoint: kept.checkpoint.number(),
                    attempt: kept.attempt.number(),
                    manifest_crc32c: kept.manifest_crc,
                    bytes: kept.bytes,
                    history: kept.history,
                    is_skipped: kept.is_skipped,
                })
                .collect(),
            commits_done_upto: self.commits_done_upto.number(),
            boundary: self.boundary,
            plan_fingerprint: self.plan_fingerprint.clone(),
            start: self.start.clone(),
            start_after: self.start_after.number(),
            process: self.process,
        };
        envelope::seal(envelope::CONTROL_RECORD, 1, &proto)
    }

    pub(crate) fn open(object: &str, bytes: &[u8]) -> Result<Self> {
        let proto: RecordProto = envelope::open(envelope::CONTROL_RECORD, object, bytes)?;
        let corrupt = |reason: String| Error::corrupt(object, "control record", reason);
        let nonce = proto.nonce.as_slice().try_into().map_err(|_| corrupt("its nonce is not 16 bytes".to_owned()))?;
        Ok(Self {
            id: RecordId {
                sequence: proto.sequence,
                nonce: u128::from_le_bytes(nonce),
                leader_epoch: proto.leader_epoch,
                attempt: proto.attempt,
            },
            max_parallelism: MaxParallelism::try_from(proto.max_parallelism)
                .map_err(|error| corrupt(error.to_string()))?,
            key_hash_version: proto.key_hash_version,
            retained: proto
                .retained
                .iter()
                .map(|kept| CheckpointRef {
                    checkpoint: CheckpointId::new(kept.checkpoint),
                    attempt: Attempt::new(kept.attempt),
                    manifest_crc: kept.manifest_crc32c,
                    bytes: kept.bytes,
                    history: kept.history,
                    is_skipped: kept.is_skipped,
                })
                .collect(),
            commits_done_upto: CheckpointId::new(proto.commits_done_upto),
            boundary: proto.boundary,
            plan_fingerprint: proto.plan_fingerprint,
            start: proto.start,
            start_after: CheckpointId::new(proto.start_after),
            process: proto.process,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(start: &str) -> Leader<'_> {
        Leader {
            max_parallelism: MaxParallelism::DEFAULT,
            key_hash_version: 1,
            plan_fingerprint: "plan",
            start,
            process: 17,
        }
    }

    #[test]
    fn a_decision_to_start_counts_from_where_it_was_first_carried_out() {
        let first = Record::take_over(None, 1, leader("a"));
        assert_eq!(first.start_after, CheckpointId::NONE);
        let ran = first.next(2, CheckpointId::NONE).with_checkpoint(completed(5), 3);
        assert_eq!(Record::take_over(Some(&ran), 3, leader("a")).start_after, CheckpointId::NONE, "the same decision");
        let other = Record::take_over(Some(&ran), 3, leader("b"));
        assert_eq!(other.start_after, CheckpointId::new(5));
        let ran = other.next(4, CheckpointId::NONE).with_checkpoint(completed(6), 3);
        assert_eq!(Record::take_over(Some(&ran), 5, leader("b")).start_after, CheckpointId::new(5));
    }

    fn completed(number: u64) -> CheckpointRef {
        in_history(number, 0)
    }

    fn in_history(number: u64, history: u32) -> CheckpointRef {
        let (checkpoint, attempt) = (CheckpointId::new(number), Attempt::new(1));
        CheckpointRef { checkpoint, attempt, manifest_crc: 7, bytes: 9, history, is_skipped: false }
    }

    #[test]
    fn a_later_history_says_nothing_about_the_commits_of_an_earlier_one() {
        let first = Record::take_over(None, 1, leader("a"));
        let record = first.next(2, CheckpointId::NONE).with_checkpoint(completed(1), 9);
        let record = record.next(3, CheckpointId::new(1)).with_checkpoint(completed(2), 9);
        let record = record.next(4, CheckpointId::new(1)).with_checkpoint(in_history(3, 77), 9);
        let record = record.next(5, CheckpointId::new(3)).with_checkpoint(in_history(4, 77), 9);
        let record = record.next(6, CheckpointId::new(3)).with_checkpoint(in_history(5, 78), 9);
        let record = Record::open("x", &record.next(7, CheckpointId::new(5)).seal()).expect("as written");
        let open: Vec<_> =
            record.retained.iter().filter(|kept| record.is_open(kept)).map(|kept| kept.checkpoint.number()).collect();
        assert_eq!(open, [2, 4]);
        let record = record.next(8, CheckpointId::new(5)).with_checkpoint(in_history(6, 78), 2);
        assert_eq!(record.retained.len(), 2, "those that were skipped are kept no longer than others");
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let first = Record::take_over(None, 3, leader("a"));
        let record = first.next(u128::MAX, CheckpointId::new(4)).with_checkpoint(completed(5), 3);
        assert_eq!(Record::open("x", &record.seal()).expect("as written"), record);
        assert_eq!((first.id.sequence, record.id.sequence), (1, 2));
        let second = Record::take_over(Some(&record), 4, leader("a"));
        assert_eq!((second.id.sequence, second.id.leader_epoch, second.id.attempt), (3, 2, 2));
        assert_eq!(second.latest(), Some(&completed(5)));
    }

    #[test]
    fn a_checkpoint_with_open_commits_is_kept_beyond_its_number() {
        let mut record = Record::take_over(None, 1, leader("a"));
        for number in 1..=4 {
            record = record.next(u128::from(number), CheckpointId::NONE).with_checkpoint(completed(number), 2);
        }
        assert_eq!(record.retained.len(), 4, "no commits are done");
        let record = record.next(9, CheckpointId::new(3)).with_checkpoint(completed(5), 2);
        assert_eq!(record.retained, [completed(4), completed(5)]);
    }
}
