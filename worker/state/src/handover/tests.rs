//! A table against a map: whatever is added, changed, cleared and handed over, in whatever order.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use eddyline_stream::CheckpointId;
use eddyline_stream::key_hash::hash_columns;
use proptest::prelude::*;

use super::*;
use crate::encode_keys;

/// Keys with their accumulator; keys of up to 12 bytes are kept in another way than longer ones.
type Model = BTreeMap<Option<String>, u64>;

#[derive(Clone, Debug)]
enum Step {
    /// Adds 1 to these keys, of which new ones are added.
    Add(Vec<u16>),
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
        // Many at once, so that there are blocks of which nothing changes.
        2 => (0u16..160, 1u16..120).prop_map(|(from, count)| Step::Add((from..from + count).collect())),
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

fn count(packed: &PackedRows, group: u32) -> u64 {
    let (words, stride, first) = packed.rows();
    words[group as usize * stride + first]
}

fn rows(packed: &PackedRows, groups: &[u32]) -> Model {
    let keys = packed.key_columns(groups).expect("keys");
    let keys = keys[0].as_string::<i32>();
    let rows: Model =
        groups.iter().zip(keys).map(|(group, key)| (key.map(str::to_owned), count(packed, *group))).collect();
    assert_eq!(rows.len(), groups.len(), "every key once");
    rows
}

/// What a reader of checkpoints knows: what was handed over with each of them, and what that is put together.
#[derive(Default)]
struct Reader {
    /// What the completed checkpoints handed over, oldest first, since the last that had all rows.
    files: Vec<Model>,
}

impl Reader {
    fn complete(&mut self, handover: &Handover) {
        if handover.is_whole {
            self.files.clear();
        }
        self.files.push(rows(&handover.packed, &handover.rows().collect::<Vec<_>>()));
        // Nothing older is needed.
        if self.files.len() > usize::from(PARTS) {
            self.files.remove(0);
        }
    }

    fn state(&self) -> Model {
        self.files.iter().flatten().map(|(key, count)| (key.clone(), *count)).collect()
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
    fn new() -> Self {
        Self {
            table: GroupTable::new(&[DataType::Utf8], &[0]).expect("a key type"),
            model: Model::new(),
            reader: Reader::default(),
            next: 1,
            completed: None,
            part: 0,
            held: Vec::new(),
        }
    }

    fn groups(&mut self, numbers: &[u16]) -> Vec<u32> {
        let keys: ArrayRef = Arc::new(StringArray::from_iter(numbers.iter().map(|number| key(*number))));
        let columns: [&dyn Array; 1] = [keys.as_ref()];
        let hashes = hash_columns(&columns, numbers.len()).expect("a key type");
        let mut groups = Vec::new();
        let keys = encode_keys(&columns, numbers.len()).expect("a key type");
        self.table.find_or_insert(&keys, &hashes, 0..numbers.len(), &mut groups);
        groups
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Add(numbers) => {
                let groups = self.groups(numbers);
                let (words, stride, first) = self.table.rows_mut(&groups);
                groups.iter().for_each(|group| words[*group as usize * stride + first] += 1);
                numbers.iter().for_each(|number| *self.model.entry(key(*number)).or_default() += 1);
            }
            Step::Clear => {
                self.table.clear();
                self.model.clear();
            }
            Step::Barrier { completes } => self.barrier(*completes),
        }
        let groups: Vec<u32> = (0..self.table.len() as u32).collect();
        assert_eq!(rows(self.table.packed(), &groups), self.model);
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
        assert_eq!(handover.len, self.model.len());
        let held = rows(&handover.packed, &handover.rows().collect::<Vec<_>>());
        self.held.push((handover, held));
        self.next += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_checkpoints_hand_over_one_after_another_is_the_table(steps in steps()) {
        let mut case = Case::new();
        for step in &steps {
            case.step(step);
        }
        for (handover, held) in &case.held {
            prop_assert_eq!(&rows(&handover.packed, &handover.rows().collect::<Vec<_>>()), held, "what is handed over does not change");
        }
    }
}

#[test]
fn a_checkpoint_gets_what_has_changed_since_the_last_one_that_completed_and_an_eighth() {
    let mut case = Case::new();
    case.step(&Step::Add((0..800).collect()));
    case.barrier(true);
    let mut due = 0;
    for round in 0..u16::from(PARTS) {
        case.step(&Step::Add(vec![round, 400 + round]));
        case.barrier(false);
        case.step(&Step::Add(vec![200 + round, 800 + round]));
        case.barrier(true);
        let (handover, rows) = case.held.last().expect("it has just been pushed");
        assert!(!handover.is_whole);
        let is_there = |number: u16| rows.contains_key(&key(number));
        assert!([round, 400 + round, 200 + round, 800 + round].into_iter().all(is_there), "round {round}");
        due += rows.len();
    }
    assert!((800..=800 + 5 * usize::from(PARTS)).contains(&due), "{due} rows in one round");
}

#[test]
fn groups_whose_turn_is_next_are_copied_before_the_barrier_and_again_if_they_change() {
    let mut case = Case::new();
    case.step(&Step::Add((0..800).collect()));
    case.barrier(true);
    case.step(&Step::Add(vec![1]));
    case.barrier(true);
    // Each change copies a block: after so many, all of them that are full.
    for number in 0..100 {
        case.step(&Step::Add(vec![number]));
    }
    let ahead = case.table.ahead.groups.clone();
    assert!((95..=105).contains(&ahead.len()), "{} groups of 800", ahead.len());
    case.step(&Step::Add(vec![ahead[0] as u16, ahead[50] as u16]));
    case.barrier(true);
    let (handover, _) = case.held.last().expect("it has just been pushed");
    assert_eq!(handover.groups[..ahead.len()], ahead);
    for (row, group) in (0..).zip(&ahead) {
        assert_eq!(count(&handover.packed, row), count(case.table.packed(), *group), "group {group}");
    }
    // The next one asks for another part than expected, because its checkpoint was not the last to complete.
    for number in 0..100 {
        case.step(&Step::Add(vec![number]));
    }
    case.barrier(false);
    case.barrier(true);
}

mod removal;
