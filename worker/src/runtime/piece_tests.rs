//! Tasks between two pieces of an operator's output.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use eddyline_operators::{Collector, InputIndex, Operator, Progress};
use eddyline_state::{Frozen, Snapshot, SnapshotRequest};
use eddyline_stream::{BarrierKind, Batch, Element, OperatorUid, SlotIndex, Watermark};

use super::chain::Chain;
use super::driven_task::{Driven, at, barrier, numbers};
use super::metrics::{OperatorMetrics, Role};
use super::task::{Progress as Step, Task};
use crate::exchange::channel::ROWS_MAX;

/// Counts rows. At a watermark it emits the same number of rows, numbered from 0.
struct Counting {
    waiting: i64,
    /// The rows that a watermark has released and that are not emitted.
    due: std::ops::Range<i64>,
    watermark: Watermark,
    keeps_rest: bool,
}

impl Counting {
    fn new(keeps_rest: bool) -> Self {
        Self { waiting: 0, due: 0..0, watermark: Watermark::MIN, keeps_rest }
    }
}

impl Operator for Counting {
    fn process(&mut self, _input: InputIndex, batch: Batch, _: &mut Collector) -> eddyline_operators::Result<Progress> {
        assert!(self.due.is_empty(), "it has more to say");
        self.waiting += i64::try_from(batch.num_rows()).expect("few");
        Ok(Progress::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Collector) -> eddyline_operators::Result<Progress> {
        self.watermark = self.watermark.max(watermark);
        if self.due.is_empty() {
            self.due = 0..std::mem::take(&mut self.waiting);
        }
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Collector) -> eddyline_operators::Result<Progress> {
        while !self.due.is_empty() {
            let room = i64::try_from(out.room()).expect("small");
            if room == 0 {
                return Ok(Progress::More);
            }
            let end = self.due.end.min(self.due.start + room);
            out.emit(numbers(self.due.start..end));
            self.due.start = end;
        }
        Ok(Progress::Done)
    }

    fn may_be_cut(&self) -> bool {
        self.keeps_rest
    }

    fn snapshot(&mut self, _: SnapshotRequest) -> eddyline_operators::Result<Option<Frozen>> {
        let values = [self.waiting, self.due.start, self.due.end, self.watermark.time_ms()];
        let union = values.iter().map(|value| ("value".to_owned(), value.to_le_bytes().to_vec())).collect();
        Ok(Some(Snapshot::of_all_rows(Vec::new(), union).into()))
    }

    fn restore(&mut self, snapshot: Snapshot) -> eddyline_operators::Result<Option<Watermark>> {
        let values = snapshot.union_values("value");
        let values: Vec<i64> = values.map(|bytes| i64::from_le_bytes(bytes.try_into().expect("eight"))).collect();
        self.waiting = values[0];
        self.due = values[1]..values[2];
        self.watermark = Watermark::new(values[3]);
        Ok(Some(self.watermark))
    }
}

/// Repeats each row a number of times, in pieces.
struct Repeating {
    times: usize,
    rest: Vec<i64>,
}

impl Operator for Repeating {
    fn process(
        &mut self,
        _input: InputIndex,
        batch: Batch,
        out: &mut Collector,
    ) -> eddyline_operators::Result<Progress> {
        assert!(self.rest.is_empty(), "it has more to say");
        let numbers = batch.rows().column(0).as_primitive::<Int64Type>().values().iter().copied();
        self.rest = numbers.flat_map(|number| std::iter::repeat_n(number, self.times)).collect();
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Collector) -> eddyline_operators::Result<Progress> {
        let taken: Vec<i64> = self.rest.drain(..out.room().min(self.rest.len())).collect();
        let column = Arc::new(Int64Array::from(taken));
        out.emit_rows(RecordBatch::try_from_iter([("n", column as _)]).expect("one column"));
        Ok(if self.rest.is_empty() { Progress::Done } else { Progress::More })
    }
}

fn chain(operators: Vec<Box<dyn Operator>>, piece_rows: usize, restored: Option<Watermark>) -> Chain {
    let mut chain = Chain::new(piece_rows, true);
    for operator in operators {
        let slot = SlotIndex::new(0);
        let metrics = OperatorMetrics::new(OperatorUid::new("counting"), "counting".to_owned(), Role::Operator, slot);
        chain.push(operator, metrics, restored, true);
    }
    chain
}

#[test]
fn a_barrier_passes_in_the_middle_of_a_watermark_and_a_restored_task_says_the_rest() {
    let mut driven = Driven::of_two_channels(chain(vec![Box::new(Counting::new(true))], 2, None));
    driven.send(0, [Element::Data(numbers(0..7)), at(5), barrier(1, BarrierKind::Checkpoint)]);
    driven.send(1, [at(5), barrier(1, BarrierKind::Checkpoint)]);
    assert_eq!(driven.said(), ["0 1", "barrier", "2 3", "4 5", "6", "at 5"]);

    let (_, state) = driven.snapshot().operators.pop().expect("one operator");
    let mut restored = Counting::new(true);
    let time = restored.restore(state.gather().expect("values")).expect("its own");
    let mut driven = Driven::of_two_channels(chain(vec![Box::new(restored)], 2, time));
    driven.send(0, [Element::Data(numbers(0..2)), at(6)]);
    driven.send(1, [at(6)]);
    assert_eq!(driven.said(), ["2 3", "4 5", "6", "at 5", "0 1", "at 6"], "the rest comes before what is read");
}

#[test]
fn a_barrier_waits_for_the_rows_in_front_of_it() {
    let mut driven = Driven::of_two_channels(chain(vec![Box::new(Counting::new(true))], 2, None));
    driven.send(0, [Element::Data(numbers(0..5)), at(5), Element::Data(numbers(0..1))]);
    driven.send(0, [barrier(1, BarrierKind::Checkpoint)]);
    driven.send(1, [at(5), barrier(1, BarrierKind::Checkpoint)]);
    assert_eq!(driven.said(), ["0 1", "2 3", "4", "at 5", "barrier"]);
}

#[test]
fn a_barrier_that_stops_the_job_waits_until_everything_is_said() {
    let mut driven = Driven::of_two_channels(chain(vec![Box::new(Counting::new(true))], 2, None));
    let stop = || barrier(1, BarrierKind::Savepoint { stop: true });
    driven.send(0, [Element::Data(numbers(0..5)), at(5), stop()]);
    driven.send(1, [at(5), stop()]);
    assert_eq!(driven.said(), ["0 1", "2 3", "4", "at 5", "barrier"]);
}

#[test]
fn a_barrier_waits_for_an_operator_that_does_not_keep_the_rest() {
    let mut driven = Driven::of_two_channels(chain(vec![Box::new(Counting::new(false))], 2, None));
    driven.send(0, [Element::Data(numbers(0..5)), at(5), barrier(1, BarrierKind::Checkpoint)]);
    driven.send(1, [at(5), barrier(1, BarrierKind::Checkpoint)]);
    assert_eq!(driven.said(), ["0 1", "2 3", "4", "at 5", "barrier"]);
}

#[test]
fn a_barrier_waits_until_a_piece_has_passed_the_operators_behind() {
    let operators: Vec<Box<dyn Operator>> =
        vec![Box::new(Counting::new(true)), Box::new(Repeating { times: 3, rest: Vec::new() })];
    let mut driven = Driven::of_two_channels(chain(operators, 2, None));
    driven.send(0, [Element::Data(numbers(0..3)), at(5), barrier(1, BarrierKind::Checkpoint)]);
    driven.send(1, [at(5), barrier(1, BarrierKind::Checkpoint)]);
    assert_eq!(driven.said(), ["0 0", "0 1", "1 1", "barrier", "2 2", "2", "at 5"]);
}

#[test]
fn a_restored_chain_tells_the_time_of_its_state_to_the_operators_behind() {
    let restored = || {
        let mut counting = Counting::new(true);
        counting.waiting = 1;
        counting
    };
    let operators: Vec<Box<dyn Operator>> = vec![Box::new(restored()), Box::new(restored())];
    let mut chain = Chain::new(2, true);
    for (operator, time) in operators.into_iter().zip([Some(Watermark::new(7)), Some(Watermark::new(3))]) {
        let slot = SlotIndex::new(0);
        let metrics = OperatorMetrics::new(OperatorUid::new("counting"), "counting".to_owned(), Role::Operator, slot);
        chain.push(operator, metrics, time, true);
    }
    let mut driven = Driven::of_two_channels(chain);
    // The second operator counts the row of the first one before it receives the watermark.
    assert_eq!(driven.said(), ["0 1", "at 7"]);
}

#[test]
fn nothing_more_is_said_while_there_is_no_room() {
    let rows = i64::try_from(ROWS_MAX).expect("small") * 3;
    let mut driven = Driven::of_two_channels(chain(vec![Box::new(Counting::new(true))], 8192, None));
    driven.send(0, [Element::Data(numbers(0..rows)), at(5)]);
    driven.send(1, [at(5)]);
    for _ in 0..100 {
        driven.task.step().expect("nothing fails");
    }
    assert_eq!(driven.task.step().expect("nothing fails"), Step::Backpressured);
    let mut waiting = 0;
    let mut said = 0;
    while let Some(element) = driven.sent.receive() {
        if let Element::Data(batch) = element {
            waiting += batch.num_rows();
        }
    }
    assert!(waiting < ROWS_MAX + 8192, "{waiting} rows wait in the channel");
    said += waiting;
    loop {
        driven.task.step().expect("nothing fails");
        let Some(element) = driven.sent.receive() else { break };
        if let Element::Data(batch) = element {
            said += batch.num_rows();
        }
    }
    assert_eq!(said, ROWS_MAX * 3);
}
