//! A log against a map: whatever is appended, removed, set aside, put together and handed over, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use eddyline_stream::CheckpointId;
use proptest::prelude::*;

use super::*;
use crate::snapshot::{Bucket, Inventory, PARTS, Snapshot, SnapshotRequest, TableRows};

/// Texts by number.
type Model = BTreeMap<i64, String>;

#[derive(Clone, Debug)]
enum Step {
    /// Appends so many rows.
    Append(usize),
    /// Removes rows: of so many, every so manieth, from this one on.
    Remove { from: usize, count: usize, every: usize },
    /// Sets one row aside.
    SetAside(usize),
    /// Adds an owner to a row; it is removed when both have released it.
    Retain(usize),
    /// A barrier. The checkpoint asks for everything or not, and completes or not.
    Barrier { is_whole: bool, completes: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..50).prop_map(Step::Append),
        6 => (0usize..200, 0usize..60, 1usize..5).prop_map(|(from, count, every)| Step::Remove { from, count, every }),
        1 => (0usize..200).prop_map(Step::SetAside),
        1 => (0usize..200).prop_map(Step::Retain),
        6 => (prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(is_whole, completes)| Step::Barrier { is_whole, completes }),
    ];
    prop::collection::vec(step, 1..80)
}

fn schema() -> SchemaRef {
    let fields = vec![Field::new("text", DataType::Utf8, true), Field::new("number", DataType::Int64, false)];
    Arc::new(Schema::new(fields))
}

fn batch(numbers: &[i64]) -> RecordBatch {
    let texts: ArrayRef = Arc::new(StringArray::from_iter(numbers.iter().map(|number| Some(format!("row {number}")))));
    RecordBatch::try_new(schema(), vec![texts, Arc::new(Int64Array::from(numbers.to_vec()))]).expect("columns fit")
}

fn hash_of(number: i64) -> u64 {
    number as u64 % 7
}

fn hashes(rows: &RecordBatch) -> Result<Vec<u64>, ArrowError> {
    Ok(numbers(rows).values().iter().map(|number| hash_of(*number)).collect())
}

fn rows_of(rows: &RecordBatch) -> Model {
    let texts = rows.column(0).as_string::<i32>();
    let model: Model =
        numbers(rows).values().iter().copied().zip(texts.iter().map(|text| text.expect("set").into())).collect();
    assert_eq!(model.len(), rows.num_rows(), "every row once");
    model
}

/// What a reader of checkpoints knows: what was handed over of each bucket, and in which round.
#[derive(Default)]
struct Reader {
    round: u64,
    completed: Option<CheckpointId>,
    buckets: BTreeMap<(String, i64), (u64, Vec<TableRows>)>,
}

impl Reader {
    fn request(&self, checkpoint: u64, is_whole: bool) -> SnapshotRequest {
        SnapshotRequest {
            checkpoint: CheckpointId::new(checkpoint),
            since: self.completed.filter(|_| !is_whole),
            part: u8::try_from(self.round % u64::from(PARTS)).expect("small"),
        }
    }

    fn complete(&mut self, request: SnapshotRequest, keyed: Vec<TableRows>, inventory: Inventory) {
        let mut before = std::mem::take(&mut self.buckets);
        for Bucket { table, bucket, rows } in inventory.buckets {
            let name = (table, bucket);
            let given: Vec<TableRows> =
                keyed.iter().filter(|part| part.table == name.0 && part.bucket == bucket).cloned().collect();
            let stored = if given.is_empty() {
                before.remove(&name).expect("a bucket that is not handed over was handed over before")
            } else {
                (self.round, given)
            };
            assert!(self.round < stored.0 + u64::from(PARTS), "{name:?} is handed over again in time");
            assert_eq!(stored.1.iter().map(|part| part.rows.num_rows() as u64).sum::<u64>(), rows, "{name:?}");
            self.buckets.insert(name, stored);
        }
        assert!(keyed.iter().all(|part| self.buckets.contains_key(&(part.table.clone(), part.bucket))));
        (self.round, self.completed) = (self.round + 1, Some(request.checkpoint));
    }

    fn restored(&self) -> Model {
        let keyed = self.buckets.values().flat_map(|(_, parts)| parts).cloned().collect();
        let snapshot = Snapshot { keyed, ..Snapshot::default() };
        let removed = RemovedRows::of(&snapshot, "removed").expect("its table");
        let mut restored = Model::new();
        for part in snapshot.keyed.iter().filter(|part| part.table == "rows") {
            let (rows, hashes) = removed.leave_out(part.rows.clone(), part.key_hashes.clone()).expect("rows");
            assert_eq!(hashes, super::tests::hashes(&rows).expect("hashes"));
            let rows = rows_of(&rows);
            assert!(rows.keys().all(|number| !restored.contains_key(number)), "every row once");
            restored.extend(rows);
        }
        restored
    }
}

struct Case {
    log: RowLog,
    rows: BTreeMap<i64, RowRef>,
    retained: BTreeSet<i64>,
    aside: BTreeSet<i64>,
    next: i64,
    checkpoints: u64,
    reader: Reader,
    /// Frozen rows that are still held, with what they were.
    held: Vec<(FrozenRows, Model)>,
}

impl Case {
    fn new() -> Self {
        Self {
            log: RowLog::new(schema(), Nothing),
            rows: BTreeMap::new(),
            retained: BTreeSet::new(),
            aside: BTreeSet::new(),
            next: 0,
            checkpoints: 0,
            reader: Reader::default(),
            held: Vec::new(),
        }
    }

    fn nth(&self, index: usize) -> Option<(i64, RowRef)> {
        let index = index.checked_rem(self.rows.len())?;
        self.rows.iter().nth(index).map(|(number, at)| (*number, *at))
    }

    fn model(&self) -> Model {
        self.rows.keys().map(|number| (*number, format!("row {number}"))).collect()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(count) => {
                let numbers: Vec<i64> = (self.next..).take(*count).collect();
                self.next += *count as i64;
                let appended = self.log.append(&batch(&numbers)).expect("rows fit");
                self.rows.extend(numbers.into_iter().enumerate().map(|(row, number)| (number, appended.at(row))));
            }
            Step::Remove { from, count, every } => {
                let chosen: Vec<(i64, RowRef)> =
                    self.rows.iter().skip(*from).take(*count).step_by(*every).map(|(n, at)| (*n, *at)).collect();
                for (number, at) in chosen {
                    self.log.release(at, || hash_of(number));
                    if !self.retained.remove(&number) {
                        self.rows.remove(&number);
                        self.aside.remove(&number);
                    }
                }
                if let Some(moved) = self.log.compact().expect("rows fit") {
                    self.rows.values_mut().for_each(|at| *at = moved.now(*at));
                    assert!(self.log.rows_held <= self.log.rows + REMOVED_ROWS_MAX, "nothing is left of removed rows");
                }
            }
            Step::SetAside(index) => {
                if let Some((number, at)) = self.nth(*index) {
                    self.log.set_aside(at, || hash_of(number));
                    self.aside.insert(number);
                }
            }
            Step::Retain(index) => {
                if let Some((number, at)) = self.nth(*index).filter(|(number, _)| !self.retained.contains(number)) {
                    self.log.retain(at);
                    self.retained.insert(number);
                }
            }
            Step::Barrier { is_whole, completes } => self.barrier(*is_whole, *completes),
        }
        let refs: Vec<RowRef> = self.rows.values().copied().collect();
        assert_eq!(rows_of(&self.log.gather(&refs).expect("rows fit")), self.model());
        assert_eq!((self.log.len(), self.log.is_empty()), (self.rows.len(), self.rows.is_empty()));
        if self.held.len() < 5 {
            self.held.push((self.log.freeze(refs.into_iter()), self.model()));
        }
    }

    fn barrier(&mut self, is_whole: bool, completes: bool) {
        self.checkpoints += 1;
        let request = self.reader.request(self.checkpoints, is_whole);
        let handover = self.log.hand_over(request);
        if !completes {
            return;
        }
        let (mut keyed, mut inventory) = (Vec::new(), Inventory::default());
        let mut into = |rows| {
            keyed.push(rows);
            Ok(())
        };
        handover.gather_into("rows", "removed", hashes, &mut into, &mut inventory).expect("rows fit");
        self.reader.complete(request, keyed, inventory);
        let mut expected = self.model();
        expected.retain(|number, _| !self.aside.contains(number));
        assert_eq!(self.reader.restored(), expected);
        if is_whole {
            assert!(self.reader.buckets.keys().all(|(table, _)| table == "rows"), "nothing is listed as removed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_checkpoints_hand_over_one_after_another_is_the_log(steps in steps()) {
        let mut case = Case::new();
        for step in &steps {
            case.step(step);
        }
        for (frozen, held) in &case.held {
            prop_assert_eq!(&rows_of(&frozen.gather().expect("rows fit")), held, "what is frozen does not change");
        }
        // Everything goes with its last row.
        for (number, at) in std::mem::take(&mut case.rows) {
            case.log.release(at, || hash_of(number));
            if case.retained.contains(&number) {
                case.log.release(at, || hash_of(number));
            }
        }
        prop_assert_eq!((case.log.bytes, case.log.rows_held), (0, 0));
    }
}

#[test]
fn a_checkpoint_gets_what_is_new_and_an_eighth() {
    let mut case = Case::new();
    case.step(&Step::Append(8_000));
    case.barrier(false, true);
    let mut handed = 0;
    for _ in 0..PARTS {
        case.step(&Step::Append(40));
        // Older rows are removed here and there, of all parts.
        case.step(&Step::Remove { from: 0, count: 8_000, every: 400 });
        case.barrier(false, false);
        case.step(&Step::Append(40));
        case.barrier(false, true);
        let round = case.reader.round - 1;
        let new = case.reader.buckets.iter().filter(|(_, (handed, _))| *handed == round);
        let of = |table: &str| -> usize {
            let parts = new.clone().filter(|((name, _), _)| name == table).flat_map(|(_, (_, parts))| parts);
            parts.map(|part| part.rows.num_rows()).sum()
        };
        assert!((900..=1_100).contains(&of("rows")), "{} rows", of("rows"));
        assert_eq!(of("removed"), 20);
        handed += of("rows");
    }
    assert!((7_500..=8_800).contains(&handed), "{handed} rows in a round");
    assert!(case.reader.buckets.len() <= 2 * usize::from(PARTS));
}

#[test]
fn a_chain_has_rows_in_order_and_counts_on_when_the_first_are_removed() {
    let mut chains = Chains::default();
    let at = |row| RowRef { block: 0, row };
    for (order, row) in [(10, 0), (10, 1), (20, 2), (30, 3)] {
        chains.push(5, Link { order, at: at(row) });
    }
    assert_eq!((chains.first(5), chains.end(5), chains.end(4), chains.end(9)), (0, 4, 0, 0));
    assert_eq!(
        [chains.pop_before(5, 2), chains.pop_before(5, 2), chains.pop_before(5, 2)],
        [Some(at(0)), Some(at(1)), None]
    );
    assert_eq!(chains.push(5, Link { order: 30, at: at(4) }), 5);
    assert_eq!((chains.first(5), chains.link(5, 2).order, chains.link(5, 4).at), (2, 20, at(4)));
    let rows = |links: Vec<Link>| links.iter().map(|link| link.at.row).collect::<Vec<_>>();
    assert_eq!(rows(chains.links(5).collect()), [2, 3, 4]);
    assert_eq!(rows(chains.links(5).rev().collect()), [4, 3, 2]);
    chains.push(7, Link { order: 1, at: at(9) });
    chains.renumber(&[2, 7]);
    assert_eq!((chains.end(0), rows(chains.links(1).collect())), (0, vec![9]));
    assert_eq!((chains.forget(1).count(), chains.end(1)), (1, 0));
}
