//! Decides which subtask of the receiver gets a row.
//!
//! On a keyed edge both rows of an update have the same key: an update that changes the key is sent as a delete and an
//! insert.

use std::sync::Arc;

use arrow::array::UInt32Array;
use eddyline_job_graph::Partitioning;
use eddyline_stream::{Assignment, Batch, key_hash};

use crate::exchange::gather::gather;

/// Splits batches over the subtasks of a receiver.
#[derive(Debug)]
pub struct Partitioner {
    partitioning: Partitioning,
    assignment: Arc<Assignment>,
    own_slot: usize,
    /// The number of subtasks of the receiver.
    subtasks: usize,
    /// Whether the key hashes in batches are those of this edge's key.
    is_hashed: bool,
}

/// What can go wrong when rows are partitioned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key column has a type that cannot be a key. The planner should have refused it.
    #[error(transparent)]
    Key(#[from] key_hash::UnsupportedKey),
    /// Rows could not be gathered.
    #[error("failed to gather the rows of a channel")]
    Gather(#[from] arrow::error::ArrowError),
}

impl Partitioner {
    /// A partitioner for the sender in slot `own_slot`. The receiver has `subtasks` subtasks, in the first slots. If
    /// rows are partitioned by key, it has one in every slot.
    pub fn new(partitioning: Partitioning, assignment: Arc<Assignment>, own_slot: usize, subtasks: usize) -> Self {
        Self { partitioning, assignment, own_slot, subtasks, is_hashed: false }
    }

    /// Sets whether the key hashes in the sender's batches are those of this edge's key. If not, they belong to another
    /// key and are ignored.
    pub fn of_hashed(self, is_hashed: bool) -> Self {
        Self { is_hashed, ..self }
    }

    /// The maximum number of senders to one receiver, of `senders` senders.
    pub fn senders_to_one(&self, senders: usize) -> usize {
        match self.partitioning {
            Partitioning::Forward => senders.div_ceil(self.subtasks),
            Partitioning::Hash(_) => senders,
        }
    }

    /// Whether this sender can send rows to the receiver's subtask in this slot.
    pub fn reaches(&self, slot: usize) -> bool {
        match self.partitioning {
            Partitioning::Forward => slot == self.forward_to(),
            Partitioning::Hash(_) => true,
        }
    }

    /// The one subtask that this sender sends to: a single one keeps its rows in order. Senders are spread over all
    /// subtasks.
    fn forward_to(&self) -> usize {
        self.own_slot % self.subtasks
    }

    /// Calls `send(slot, rows)` for the part of every slot that gets rows. Rows of one slot stay in order.
    ///
    /// # Errors
    /// When a key has an unsupported type, or the strings of a part have more than 2 GiB.
    pub fn partition(&self, mut batch: Batch, mut send: impl FnMut(usize, Batch)) -> Result<(), Error> {
        match &self.partitioning {
            Partitioning::Forward => send(self.forward_to(), batch),
            Partitioning::Hash(columns) => {
                if !self.is_hashed {
                    batch = batch.without_key_hashes();
                }
                let hashes = batch.key_hashes_by(columns)?;
                let batch = batch.with_key_hashes(hashes.clone());
                if self.assignment.slots() == 1 {
                    send(0, batch);
                } else {
                    scatter(&batch, &hashes, &self.assignment, send)?;
                }
            }
        }
        Ok(())
    }
}

/// Collects the row numbers of each owner, then copies the rows of each owner at once.
fn scatter(
    batch: &Batch,
    hashes: &[u64],
    assignment: &Assignment,
    mut send: impl FnMut(usize, Batch),
) -> Result<(), Error> {
    let slots = usize::from(assignment.slots());
    let mut rows_of_slot: Vec<Vec<u32>> =
        (0..slots).map(|_| Vec::with_capacity(hashes.len() / slots * 5 / 4)).collect();
    for (row, hash) in (0u32..).zip(hashes.iter()) {
        rows_of_slot[assignment.owner_of_hash(*hash).index()].push(row);
    }
    for (slot, numbers) in rows_of_slot.into_iter().enumerate() {
        if numbers.len() == batch.num_rows() {
            send(slot, batch.clone());
        } else if !numbers.is_empty() {
            send(slot, batch.take_with(&UInt32Array::from(numbers), gather)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use eddyline_stream::{KindsBuilder, MaxParallelism};
    use proptest::prelude::*;

    use super::*;

    fn batch() -> Batch {
        let keys = StringArray::from((0..1000).map(|row| format!("k{}", row % 37)).collect::<Vec<_>>());
        let values = Int64Array::from((0..1000).collect::<Vec<_>>());
        let schema = Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Int64, true)]);
        Batch::new(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(values)]).expect("fits"))
    }

    fn partition(partitioning: Partitioning, slots: u16) -> Vec<(usize, Batch)> {
        let assignment = Arc::new(Assignment::even(MaxParallelism::DEFAULT, slots));
        let mut sent = Vec::new();
        let partitioner = Partitioner::new(partitioning, assignment, 0, usize::from(slots));
        partitioner.partition(batch(), |slot, part| sent.push((slot, part))).expect("partitions");
        sent
    }

    #[test]
    fn every_row_goes_to_the_owner_of_its_key_once_and_in_order() {
        let assignment = Assignment::even(MaxParallelism::DEFAULT, 3);
        let mut seen = Vec::new();
        for (slot, part) in partition(Partitioning::Hash(vec![0]), 3) {
            let values = part.rows().column(1).as_any().downcast_ref::<Int64Array>().expect("numbers").values();
            assert!(values.is_sorted());
            seen.extend_from_slice(values);
            let hashes = part.key_hashes().expect("a keyed edge carries hashes");
            assert!(hashes.iter().all(|hash| assignment.owner_of_hash(*hash).index() == slot));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<i64>>());
    }

    /// An update of each key. Where `moved`, the update changes the key to the next one.
    fn updates(moved: &[bool]) -> Batch {
        let (mut keys, mut values, mut kinds) = (Vec::new(), Vec::new(), KindsBuilder::default());
        for (row, moved) in (0i64..).zip(moved) {
            keys.extend([row, row + i64::from(*moved)]);
            values.extend([2 * row, 2 * row + 1]);
            kinds.update();
        }
        let columns = [("k", Int64Array::from(keys)), ("v", Int64Array::from(values))];
        let columns = columns.map(|(name, column)| (name, Arc::new(column) as Arc<dyn Array>));
        Batch::with_kinds(RecordBatch::try_from_iter(columns).expect("columns of one length"), kinds.finish())
    }

    proptest! {
        #[test]
        fn an_update_stays_whole_unless_it_changes_the_key_at_any_number_of_slots(
            moved in prop::collection::vec(any::<bool>(), 1..60),
            slots in 1u16..4,
        ) {
            let assignment = Arc::new(Assignment::even(MaxParallelism::DEFAULT, slots));
            let partitioner =
                Partitioner::new(Partitioning::Hash(vec![0]), Arc::clone(&assignment), 0, usize::from(slots));
            // Indexed by the value of the row.
            let mut received = std::collections::BTreeMap::new();
            partitioner.partition(updates(&moved), |slot, part| {
                let numbers = part.rows().column(1).as_any().downcast_ref::<Int64Array>().expect("numbers");
                for (row, number) in numbers.values().iter().enumerate() {
                    let behind = (row + 1 < part.num_rows()).then(|| numbers.value(row + 1));
                    received.insert(*number, (part.kind(row).symbol(), slot, behind));
                }
            }).expect("partitions");
            prop_assert_eq!(received.len(), 2 * moved.len());
            for (update, moved) in (0i64..).zip(&moved) {
                let (before, after) = (received[&(2 * update)], received[&(2 * update + 1)]);
                if *moved {
                    prop_assert_eq!((before.0, after.0), ("-D", "+I"));
                } else {
                    prop_assert_eq!((before.0, after.0), ("-U", "+U"));
                    prop_assert_eq!((before.1, before.2), (after.1, Some(2 * update + 1)));
                }
            }
        }
    }

    #[test]
    fn forward_reaches_only_its_own_slot() {
        assert_eq!(partition(Partitioning::Forward, 3).iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn forward_to_fewer_subtasks_sends_all_rows_of_a_sender_to_the_same_one_and_uses_every_one() {
        let assignment = Arc::new(Assignment::even(MaxParallelism::DEFAULT, 5));
        let receiver_of = |own_slot| {
            let partitioner = Partitioner::new(Partitioning::Forward, Arc::clone(&assignment), own_slot, 2);
            let mut sent = Vec::new();
            for _ in 0..3 {
                partitioner.partition(batch(), |slot, part| sent.push((slot, part.num_rows()))).expect("partitions");
            }
            let (receiver, _) = sent[0];
            assert_eq!(sent, [(receiver, 1000); 3]);
            assert_eq!(partitioner.senders_to_one(5), 3);
            assert_eq!(
                (0..2).map(|slot| partitioner.reaches(slot)).collect::<Vec<_>>(),
                [receiver == 0, receiver == 1]
            );
            receiver
        };
        assert_eq!((0..5).map(receiver_of).collect::<Vec<_>>(), [0, 1, 0, 1, 0]);
    }
}
