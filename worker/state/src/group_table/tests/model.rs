//! A table against a map: whatever is added, changed, removed, cleared and handed over, in whatever order.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use eddyline_stream::CheckpointId;
use proptest::prelude::*;

use super::*;
use crate::rows::{Accumulators, RowsMut};
use crate::snapshot::{PARTS, SnapshotRequest};

/// Keys with their accumulator; keys of up to 12 bytes are kept in another way than longer ones.
type Model = BTreeMap<Option<String>, u64>;

#[derive(Clone, Debug)]
enum Step {
    /// Adds 1 to these keys, of which new ones are added.
    Add(Vec<u16>),
    Remove(Vec<u16>),
    Clear,
    /// A barrier. The checkpoint completes or not.
    Barrier {
        completes: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = || prop::collection::vec(0u16..160, 1..40);
    let step = prop_oneof![
        8 => keys().prop_map(Step::Add),
        // Many at once, so that there are chunks of which nothing changes.
        2 => (0u16..160, 1u16..120).prop_map(|(from, count)| Step::Add((from..from + count).collect())),
        4 => keys().prop_map(Step::Remove),
        1 => Just(Step::Clear),
        6 => any::<bool>().prop_map(|completes| Step::Barrier { completes }),
    ];
    prop::collection::vec(step, 1..60)
}

fn key(number: u16) -> Option<String> {
    match number % 3 {
        _ if number == 0 => None,
        0 => Some(format!("a long key, in the arena {number}")),
        _ => Some(format!("k{number}")),
    }
}

fn rows(packed: &PackedRows, groups: &[u32]) -> Model {
    let keys = packed.key_columns(groups).expect("keys");
    let keys = keys[0].as_string::<i32>();
    let rows: Model =
        groups.iter().zip(keys).map(|(group, key)| (key.map(str::to_owned), packed.accumulators(*group)[0])).collect();
    assert_eq!(rows.len(), groups.len(), "every key once");
    rows
}

/// What a reader of checkpoints knows: what was handed over with each of them, and what that is put together.
#[derive(Default)]
struct Reader {
    /// What the completed checkpoints handed over, oldest first, since the last that had all rows.
    files: Vec<(bool, Model, Vec<Option<String>>)>,
}

impl Reader {
    fn complete(&mut self, handover: &Handover) {
        let mut rows_of_all = rows(&handover.copies, &(0..handover.copied.len() as u32).collect::<Vec<_>>());
        for part in &handover.parts {
            for (key, value) in rows(&handover.shared, &handover.groups_of(part)) {
                assert_eq!(rows_of_all.insert(key, value), None, "no row is handed over twice");
            }
        }
        let removed = handover.removed.as_ref().map_or_else(Vec::new, |removed| {
            rows(removed, &(0..removed.len() as u32).collect::<Vec<_>>()).into_keys().collect()
        });
        if handover.is_whole {
            self.files.clear();
        }
        self.files.push((handover.is_whole, rows_of_all, removed));
        // Nothing older is needed.
        if self.files.len() > usize::from(PARTS) {
            self.files.remove(0);
        }
    }

    fn state(&self) -> Model {
        let mut state = Model::new();
        for (_, rows, removed) in &self.files {
            state.retain(|key, _| !removed.contains(key));
            state.extend(rows.clone());
        }
        state
    }
}

struct Case {
    table: GroupTable,
    model: Model,
    reader: Reader,
    next: u64,
    completed: Option<u64>,
    part: u8,
    /// What was handed over and is still held, with what it was.
    held: Vec<(Handover, Model)>,
}

impl Case {
    fn groups(&mut self, numbers: &[u16]) -> Vec<u32> {
        let keys: ArrayRef = Arc::new(StringArray::from_iter(numbers.iter().map(|number| key(*number))));
        groups_of(&mut self.table, &[keys])
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Add(numbers) => {
                let groups = self.groups(numbers);
                let change = |rows: &mut dyn FnMut(u32)| groups.iter().for_each(|group| rows(*group));
                match self.table.rows_mut(&groups) {
                    RowsMut::One(mut rows) => change(&mut |group| rows.cell::<1>(group, 0)[0] += 1),
                    RowsMut::Many(mut rows) => change(&mut |group| rows.cell::<1>(group, 0)[0] += 1),
                }
                numbers.iter().for_each(|number| *self.model.entry(key(*number)).or_default() += 1);
            }
            Step::Remove(numbers) => {
                for number in numbers {
                    if self.model.remove(&key(*number)).is_some() {
                        let group = self.groups(&[*number])[0];
                        self.table.remove(group);
                    }
                }
            }
            Step::Clear => {
                self.table.clear();
                self.model.clear();
            }
            Step::Barrier { completes } => self.barrier(*completes),
        }
        assert_eq!(rows(self.table.packed(), &self.table.groups()), self.model);
        assert_eq!((self.table.len(), self.table.is_empty()), (self.model.len(), self.model.is_empty()));
    }

    fn barrier(&mut self, completes: bool) {
        let request = SnapshotRequest {
            checkpoint: CheckpointId::new(self.next),
            since: self.completed.map(CheckpointId::new),
            part: self.part,
        };
        let handover = self.table.hand_over(request, 7);
        if completes {
            self.reader.complete(&handover);
            assert_eq!(self.reader.state(), self.model);
            self.completed = Some(self.next);
            self.part = (self.part + 1) % PARTS;
        }
        let groups: Vec<u32> = handover.parts.iter().flat_map(|part| handover.groups_of(part)).collect();
        let shared = rows(&handover.shared, &groups);
        self.held.push((handover, shared));
        self.next += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_checkpoints_hand_over_one_after_another_is_the_table(steps in steps()) {
        let mut case = Case {
            table: GroupTable::new(&[DataType::Utf8], &[0]).expect("a key type"),
            model: Model::new(),
            reader: Reader::default(),
            next: 1,
            completed: None,
            part: 0,
            held: Vec::new(),
        };
        for step in &steps {
            case.step(step);
        }
        for (handover, shared) in &case.held {
            let groups: Vec<u32> = handover.parts.iter().flat_map(|part| handover.groups_of(part)).collect();
            prop_assert_eq!(&rows(&handover.shared, &groups), shared, "what is handed over does not change");
        }
    }
}
