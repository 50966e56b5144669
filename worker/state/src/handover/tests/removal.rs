//! A table out of which groups are removed, against a map: groups that share a key, places that are taken again, and
//! what is handed over meanwhile.

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Adds 1 to the first group of these keys, of which new ones are added.
    Add(Vec<u16>),
    /// Adds groups beside the first one of these keys.
    AddBeside(Vec<u16>),
    /// Removes some groups: those at these places in the list of groups.
    Remove(Vec<usize>),
    /// Removes all groups but a few.
    Shrink,
    Clear,
    /// Continues with a copy of the table.
    Copy,
    Barrier {
        completes: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = || prop::collection::vec(0u16..160, 1..40);
    let step = prop_oneof![
        8 => keys().prop_map(Step::Add),
        2 => (0u16..160, 1u16..120).prop_map(|(from, count)| Step::Add((from..from + count).collect())),
        4 => keys().prop_map(Step::AddBeside),
        6 => prop::collection::vec(any::<usize>(), 1..30).prop_map(Step::Remove),
        1 => Just(Step::Shrink),
        1 => Just(Step::Clear),
        1 => Just(Step::Copy),
        8 => any::<bool>().prop_map(|completes| Step::Barrier { completes }),
    ];
    prop::collection::vec(step, 1..80)
}

fn key(number: u16) -> Option<String> {
    match number % 3 {
        _ if number.is_multiple_of(40) => None,
        0 => Some(format!("{} key, in the arena {number}", "a long ".repeat(60))),
        _ => Some(format!("k{number}")),
    }
}

/// A group of the model. Each has a serial number that no other one ever has.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    key: Option<String>,
    count: u64,
}

type Rows = BTreeMap<u64, Group>;

fn rows(packed: &PackedRows, groups: &[u32]) -> Rows {
    let keys = packed.key_columns(groups).expect("keys");
    let keys = keys[0].as_string::<i32>();
    let (words, stride, first) = packed.rows();
    let row = |(group, key): (&u32, Option<&str>)| {
        let at = *group as usize * stride + first;
        (words[at], Group { key: key.map(str::to_owned), count: words[at + 1] })
    };
    let rows: Rows = groups.iter().zip(keys).map(row).collect();
    assert_eq!(rows.len(), groups.len(), "every group once");
    rows
}

fn rows_of(handover: &Handover) -> Rows {
    rows(&handover.packed, &handover.rows().collect::<Vec<_>>())
}

struct Case {
    table: GroupTable,
    model: Rows,
    /// The serial numbers of the groups of each key, the one that lookups find first.
    of_key: BTreeMap<Option<String>, Vec<u64>>,
    /// The number of each group in the table.
    places: BTreeMap<u64, u32>,
    serial: u64,
    files: Vec<Rows>,
    next: u64,
    completed: Option<u64>,
    part: u8,
    held: Vec<(Handover, Rows)>,
}

impl Case {
    fn new() -> Self {
        Self {
            table: GroupTable::new(&[DataType::Utf8], &[0, 0]).expect("a key type"),
            model: Rows::new(),
            of_key: BTreeMap::new(),
            places: BTreeMap::new(),
            serial: 0,
            files: Vec::new(),
            next: 1,
            completed: None,
            part: 0,
            held: Vec::new(),
        }
    }

    fn create(&mut self, key: Option<String>, place: u32) {
        self.serial += 1;
        assert!(self.places.values().all(|other| *other != place), "place {place} has one group");
        let (words, stride, first) = self.table.rows_mut(&[place]);
        let at = place as usize * stride + first;
        assert_eq!(words[at..at + 2], [0, 0], "a new group has the initial accumulators");
        words[at] = self.serial;
        self.of_key.entry(key.clone()).or_default().push(self.serial);
        self.places.insert(self.serial, place);
        self.model.insert(self.serial, Group { key, count: 0 });
    }

    fn add(&mut self, numbers: &[u16]) {
        let keys: ArrayRef = Arc::new(StringArray::from_iter(numbers.iter().map(|number| key(*number))));
        let columns: [&dyn Array; 1] = [keys.as_ref()];
        let hashes = hash_columns(&columns, numbers.len()).expect("a key type");
        let mut groups = Vec::new();
        let keys = encode_keys(&columns, numbers.len()).expect("a key type");
        self.table.find_or_insert(&keys, &hashes, 0..numbers.len(), &mut groups);
        for (number, place) in numbers.iter().zip(&groups) {
            if !self.of_key.contains_key(&key(*number)) {
                self.create(key(*number), *place);
            }
            let first = self.of_key[&key(*number)][0];
            assert_eq!(self.places[&first], *place, "lookups find the first group of {number}");
            self.model.get_mut(&first).expect("a group of a key").count += 1;
        }
        let (words, stride, first) = self.table.rows_mut(&groups);
        groups.iter().for_each(|group| words[*group as usize * stride + first + 1] += 1);
    }

    fn remove(&mut self, serial: u64) {
        let key = self.model.remove(&serial).expect("a group").key;
        let place = self.places.remove(&serial).expect("a group");
        let of_key = self.of_key.get_mut(&key).expect("a group of a key");
        if of_key[0] == serial && of_key.len() > 1 {
            self.table.find_instead(place, self.places[&of_key[1]]);
        }
        of_key.retain(|other| *other != serial);
        if of_key.is_empty() {
            self.of_key.remove(&key);
        }
        self.table.remove(place);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Add(numbers) => self.add(numbers),
            Step::AddBeside(numbers) => {
                for number in numbers {
                    let Some(first) = self.of_key.get(&key(*number)).map(|groups| self.places[&groups[0]]) else {
                        continue;
                    };
                    let place = self.table.add_beside(first);
                    self.create(key(*number), place);
                }
            }
            Step::Remove(which) => {
                for which in which {
                    let serial = self.model.keys().nth(which % self.model.len().max(1)).copied();
                    serial.into_iter().for_each(|serial| self.remove(serial));
                }
            }
            Step::Shrink => {
                let all: Vec<u64> = self.model.keys().copied().collect();
                all.into_iter().filter(|serial| serial % 16 != 0).for_each(|serial| self.remove(serial));
            }
            Step::Clear => {
                self.table.clear();
                self.model.clear();
                self.of_key.clear();
                self.places.clear();
            }
            Step::Copy => self.table = self.table.clone(),
            Step::Barrier { completes } => self.barrier(*completes),
        }
        let groups: Vec<u32> = self.table.groups().collect();
        assert_eq!(rows(self.table.packed(), &groups), self.model);
        assert_eq!((self.table.len(), self.table.is_empty()), (self.model.len(), self.model.is_empty()));
        let mut other = GroupTable::new(&[DataType::Utf8], &[]).expect("a key type");
        other.adopt(self.table.packed(), &groups, &mut Vec::new());
        assert_eq!(other.len(), self.of_key.len(), "another table takes each key once");
    }

    fn barrier(&mut self, completes: bool) {
        let request = SnapshotRequest {
            checkpoint: CheckpointId::new(self.next),
            since: self.completed.map(CheckpointId::new),
            part: self.part,
        };
        let handover = self.table.hand_over(request, 7);
        assert_eq!(handover.len, self.model.len());
        let held = rows_of(&handover);
        assert!(held.iter().all(|(serial, group)| self.model[serial] == *group), "only groups that exist, as they are");
        if completes {
            if handover.is_whole {
                assert_eq!(held, self.model);
                self.files.clear();
            }
            self.files.push(held.clone());
            if self.files.len() > usize::from(PARTS) {
                self.files.remove(0);
            }
            let read: BTreeMap<u64, &Group> =
                self.files.iter().flatten().map(|(serial, group)| (*serial, group)).collect();
            for (serial, group) in &self.model {
                assert_eq!(read.get(serial), Some(&group), "the latest version of each group");
            }
            self.completed = Some(self.next);
            self.part = (self.part + 1) % PARTS;
        }
        self.held.push((handover, held));
        self.next += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_table_with_vacant_places_has_and_hands_over_the_groups_of_the_model(steps in steps()) {
        let mut case = Case::new();
        for step in &steps {
            case.step(step);
        }
        for (handover, held) in &case.held {
            prop_assert_eq!(&rows_of(handover), held, "what is handed over does not change");
        }
    }
}

#[test]
fn removed_groups_give_back_their_places_and_the_bytes_of_their_keys() {
    let mut case = Case::new();
    case.step(&Step::Add((0..160).collect()));
    let (places, bytes) = (case.table.places(), case.table.bytes());
    for round in 1..20 {
        let all: Vec<u64> = case.model.keys().copied().filter(|serial| serial % 2 == round % 2).collect();
        all.into_iter().for_each(|serial| case.remove(serial));
        case.step(&Step::Add((0..160).collect()));
        assert_eq!(case.table.places(), places);
    }
    assert!(case.table.bytes() < 4 * bytes, "{} bytes, {bytes} at first", case.table.bytes());
}
