//! Tasks whose first operator has two inputs.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use eddyline_operators::{Collector, InputIndex, Operator, Progress, Result};
use eddyline_state::{Frozen, Snapshot, SnapshotRequest};
use eddyline_stream::{BarrierKind, Batch, Element, OperatorUid, SlotIndex, Watermark};

use super::chain::Chain;
use super::driven_task::{Driven, at, barrier, numbers};
use super::metrics::{OperatorMetrics, Role};

const LEFT: InputIndex = InputIndex::FIRST;
const RIGHT: InputIndex = InputIndex::SECOND;

/// Joins the numbers of both inputs. A number is also its time. A pair is emitted when the watermark reaches it.
#[derive(Default)]
struct Joining {
    waiting: [Vec<i64>; 2],
}

impl Operator for Joining {
    fn process(&mut self, input: InputIndex, batch: Batch, _: &mut Collector) -> Result<Progress> {
        self.waiting[input.index()].extend(numbers_of(&batch));
        Ok(Progress::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Collector) -> Result<Progress> {
        let [left, right] = &mut self.waiting;
        let is_due = |number: &i64| *number <= watermark.time_ms();
        let mut pairs: Vec<i64> =
            left.iter().copied().filter(|number| is_due(number) && right.contains(number)).collect();
        pairs.sort_unstable();
        left.retain(|number| !is_due(number));
        right.retain(|number| !is_due(number));
        if !pairs.is_empty() {
            out.emit(of(&pairs));
        }
        Ok(Progress::Done)
    }

    fn snapshot(&mut self, _: SnapshotRequest) -> Result<Option<Frozen>> {
        let side = |input: InputIndex| {
            self.waiting[input.index()]
                .iter()
                .map(move |number| (format!("{}", input.index()), number.to_le_bytes().to_vec()))
        };
        Ok(Some(Snapshot::of_all_rows(Vec::new(), side(LEFT).chain(side(RIGHT)).collect()).into()))
    }
}

/// Passes rows on at once and adds the number of their input: 1003 is 3 from the second input.
struct Naming;

impl Operator for Naming {
    fn process(&mut self, input: InputIndex, batch: Batch, out: &mut Collector) -> Result<Progress> {
        let named: Vec<i64> = numbers_of(&batch).map(|number| input.index() as i64 * 1000 + number).collect();
        out.emit(of(&named));
        Ok(Progress::Done)
    }
}

fn numbers_of(batch: &Batch) -> impl Iterator<Item = i64> {
    batch.rows().column(0).as_primitive::<Int64Type>().values().iter().copied()
}

fn of(numbers: &[i64]) -> Batch {
    let column = Arc::new(Int64Array::from(numbers.to_vec()));
    Batch::new(RecordBatch::try_from_iter([("n", column as _)]).expect("one column"))
}

fn chain(operators: Vec<Box<dyn Operator>>) -> Chain {
    let mut chain = Chain::default();
    for operator in operators {
        let (uid, slot) = (OperatorUid::new("join"), SlotIndex::new(0));
        chain.push(operator, OperatorMetrics::new(uid, "join".to_owned(), Role::Operator, slot), None, true);
    }
    chain
}

fn rows(range: std::ops::Range<i64>) -> Element {
    Element::Data(numbers(range))
}

/// A join with two channels of the left input and one of the right input, and an operator after it.
fn joined() -> Driven {
    Driven::new(chain(vec![Box::<Joining>::default(), Box::new(Naming)]), &[LEFT, LEFT, RIGHT])
}

#[test]
fn the_watermark_is_the_smallest_of_all_channels_of_both_inputs() {
    let mut driven = joined();
    driven.send(0, [rows(0..3), at(9)]);
    driven.send(1, [rows(3..6), at(4)]);
    driven.send(2, [rows(1..5)]);
    assert!(driven.said().is_empty(), "the right input has said nothing of its event time");
    driven.send(2, [at(2)]);
    assert_eq!(driven.said(), ["1 2", "at 2"]);
    driven.send(2, [at(9)]);
    assert_eq!(driven.said(), ["3 4", "at 4"]);
}

#[test]
fn an_idle_input_holds_nothing_back_and_both_make_the_task_idle() {
    let mut driven = joined();
    driven.send(0, [rows(0..3), at(5)]);
    driven.send(1, [at(5)]);
    driven.send(2, [rows(1..2), Element::Idle]);
    assert_eq!(driven.said(), ["1", "at 5"]);
    driven.send(0, [Element::Idle]);
    assert!(driven.said().is_empty(), "a channel of the left input is active");
    driven.send(1, [Element::Idle]);
    assert_eq!(driven.said(), ["idle"]);
    driven.send(2, [at(7), rows(8..9)]);
    assert_eq!(driven.said(), ["at 7"], "the input that wakes is the only one that counts");
}

#[test]
fn an_input_that_has_ended_holds_nothing_back_and_the_end_comes_with_the_last() {
    let mut driven = joined();
    driven.send(2, [rows(0..9), Element::EndOfInput]);
    driven.send(0, [rows(1..3), at(5)]);
    driven.send(1, [at(5)]);
    assert_eq!(driven.said(), ["1 2", "at 5"]);
    driven.send(0, [rows(7..8), Element::EndOfInput]);
    driven.send(1, [Element::EndOfInput]);
    assert_eq!(driven.said(), ["7", "end"]);
}

#[test]
fn a_barrier_is_aligned_over_the_channels_of_both_inputs() {
    let mut driven = joined();
    let cut = || barrier(1, BarrierKind::Checkpoint);
    driven.send(0, [rows(0..2), cut(), rows(5..6)]);
    driven.send(1, [cut()]);
    driven.send(2, [rows(0..1)]);
    assert!(driven.said().is_empty(), "the right input has not brought it");
    driven.send(2, [rows(7..8), cut(), rows(9..10)]);
    assert_eq!(driven.said(), ["barrier"]);
    let (_, state) = driven.snapshot().operators.pop().expect("the join has state");
    let state = state.gather().expect("numbers");
    let side = |input: InputIndex| -> Vec<i64> {
        let name = input.index().to_string();
        let values = state.union_values(&name).map(|bytes| i64::from_le_bytes(bytes.try_into().expect("eight")));
        values.collect()
    };
    assert_eq!(
        (side(LEFT), side(RIGHT)),
        (vec![0, 1], vec![0, 7]),
        "what is in front of the barrier, and nothing else"
    );
}

#[test]
fn inputs_take_turns_however_many_channels_they_have() {
    let mut driven = Driven::new(chain(vec![Box::new(Naming)]), &[LEFT, LEFT, LEFT, RIGHT]);
    for channel in 0..3 {
        driven.send(channel, (0..2).map(|row| rows(channel as i64 * 10 + row..channel as i64 * 10 + row + 1)));
    }
    driven.send(3, (0..4).map(|row| rows(row..row + 1)));
    let said = driven.said();
    assert_eq!(said, ["0", "1000", "10", "1001", "20", "1002", "1", "1003", "11", "21"]);
}
