//! The output of tasks, and its order, when their splits or channels become idle and active again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use eddyline_connectors::source::Placement;
use eddyline_operators::{Collector, InputIndex, Operator, Progress};
use eddyline_stream::{Barrier, BarrierKind, Batch, CheckpointId, Element, SlotIndex, Watermark};

use super::chain::Chain;
use super::driven_source::{PATIENCE, Source, barrier, events, metrics, output, received, times};
use super::metrics::Role;
use super::operator_task::{Input, OperatorTask};
use super::pipeline::Pipeline;
use super::source_task::Command;
use super::task::Task;
use crate::exchange::channel::{Receiver, Sender, channel};
use crate::runtime::waker::SlotWaker;

/// Holds rows back as long as it may, as local aggregation does.
#[derive(Default)]
struct Holding {
    held: Vec<Batch>,
}

impl Holding {
    fn flush(&mut self, out: &mut Collector) {
        self.held.drain(..).for_each(|batch| out.emit(batch));
    }
}

impl Operator for Holding {
    fn process(&mut self, _input: InputIndex, batch: Batch, _: &mut Collector) -> eddyline_operators::Result<Progress> {
        self.held.push(batch);
        Ok(Progress::Done)
    }

    fn on_idle(&mut self, out: &mut Collector) -> eddyline_operators::Result<Progress> {
        self.flush(out);
        Ok(Progress::Done)
    }

    fn before_barrier(&mut self, out: &mut Collector) -> eddyline_operators::Result<()> {
        self.flush(out);
        Ok(())
    }
}

/// Two operators. The first one holds rows back.
fn chain() -> Chain {
    let mut chain = Chain::default();
    for name in ["first", "second"] {
        chain.push(Box::new(Holding::default()), metrics(name, Role::Operator), None, true);
    }
    chain
}

const MIN: &str = "at -9223372036854775808";

#[test]
fn a_source_sends_what_it_holds_before_it_is_idle_and_its_watermark_before_its_next_rows() {
    let mut source = Source::new(Placement::Spread, Duration::from_millis(1), chain());
    source.discovered(&["a"]);
    assert_eq!(source.until("idle"), ["idle"]);
    for time in [3, 5] {
        source.script("a", &[&[time - 1, time]], false);
        let woken = if time == 3 { MIN } else { "at 3" };
        let at = format!("at {time}");
        assert_eq!(source.until(&at), [woken, &at]);
        // Both operators of the chain have held the rows back, one after the other.
        assert_eq!(source.until("idle"), ["2 rows", "idle"]);
        source.command(Command::Barrier(barrier(time.unsigned_abs())));
        assert_eq!(source.until("barrier"), ["barrier"]);
    }
}

#[test]
fn a_split_falls_idle_while_another_one_of_its_reader_always_has_rows() {
    let mut source = Source::new(Placement::Spread, Duration::from_millis(1), Chain::default());
    source.discovered(&["a", "b"]);
    let deadline = Instant::now() + PATIENCE;
    let mut time = 0;
    while !source.said.iter().any(|said| said.starts_with("at ")) {
        assert!(Instant::now() < deadline, "{:?}", source.said);
        time += 10;
        source.script("a", &[&[time], &[time + 1], &[time + 2], &[time + 3], &[time + 4]], false);
        source.task.step().expect("nothing fails");
        source.said.extend(received(&source.sent));
    }
    assert!(!source.said.iter().any(|said| said == "idle"), "{:?}", source.said);
}

#[test]
fn a_source_that_may_not_read_because_the_job_is_being_stopped_takes_that_for_no_silence() {
    let mut source = Source::new(Placement::Spread, PATIENCE, Chain::default());
    source.script("a", &[&[1]], false);
    source.discovered(&["a"]);
    source.until("at 1");
    let stop = Barrier::of_all_state(CheckpointId::new(1), BarrierKind::Savepoint { stop: true });
    source.command(Command::Barrier(stop));
    source.until("barrier");
    let (stopped, heard) = (Instant::now(), source.task.listening_ms());
    while stopped.elapsed() < Duration::from_millis(5) {
        source.task.step().expect("nothing fails");
    }
    assert_eq!(source.task.listening_ms(), heard);
    source.command(Command::Resume);
    source.script("a", &[&[2]], false);
    source.until("at 2");
    let resumed = source.task.listening_ms();
    let deadline = Instant::now() + PATIENCE;
    while source.task.listening_ms() == resumed {
        assert!(Instant::now() < deadline, "the clock still stands");
    }
}

#[test]
fn a_reader_is_idle_between_two_pieces_only_if_none_waits_for_it() {
    let mut source = Source::new(Placement::OnDemand, Duration::ZERO, Chain::default());
    source.script("a", &[&[1]], true);
    source.discovered(&["a"]);
    assert_eq!(source.until("idle"), ["1 rows", "at 1", "idle"]);
    for piece in ["b", "c", "d"] {
        source.script(piece, &[&[2]], true);
    }
    source.script("d", &[&[7]], true);
    source.discovered(&["a", "b", "c", "d"]);
    assert_eq!(source.until("idle"), ["at 1", "1 rows", "at 2", "1 rows", "1 rows", "at 7", "idle"]);
}

/// A task with two inputs, each from its own source reader.
fn two_inputs() -> (OperatorTask, [Sender; 2], Receiver) {
    let ends = [0, 1].map(|_| channel(SlotWaker::default(), SlotWaker::default(), 1));
    let (mut senders, mut inputs) = (Vec::new(), Vec::new());
    for (number, (sender, receiver)) in ends.into_iter().enumerate() {
        senders.push(sender);
        inputs.push(Input { index: InputIndex::FIRST, channel: receiver, woken_by: BTreeSet::from([number]) });
    }
    let (output, sent) = output();
    let task = OperatorTask::new(inputs, Pipeline::new(SlotIndex::new(0), chain(), output, events()));
    (task, senders.try_into().expect("two"), sent)
}

fn step(task: &mut OperatorTask, sent: &Receiver) -> Vec<String> {
    task.step().expect("nothing fails");
    received(sent)
}

fn at(time: i64) -> Element {
    Element::Watermark(Watermark::new(time))
}

#[test]
fn a_task_whose_channels_are_all_idle_sends_what_it_holds_first() {
    let (mut task, [left, right], sent) = two_inputs();
    for element in [Element::Data(Batch::new(times(&[1, 2]))), at(9), Element::Idle] {
        left.send(element);
    }
    right.send(at(4));
    assert_eq!(step(&mut task, &sent), ["at 4"]);
    right.send(Element::Idle);
    assert_eq!(step(&mut task, &sent), ["at 9", "2 rows", "idle"]);
    right.send(at(4));
    assert_eq!(step(&mut task, &sent), ["at 9"], "it is awake");
}

#[test]
fn rows_that_a_barrier_flushes_do_not_wake_an_idle_channel() {
    let (mut task, [left, right], sent) = two_inputs();
    left.send(Element::Idle);
    left.send(Element::Data(Batch::new(times(&[1]))));
    left.send(Element::Barrier(barrier(1)));
    right.send(at(5));
    right.send(Element::Barrier(barrier(1)));
    assert_eq!(step(&mut task, &sent), ["at 5", "1 rows", "barrier"]);
    right.send(at(8));
    assert_eq!(step(&mut task, &sent), ["at 8"], "the left one still does not count");
}

#[test]
fn the_end_of_one_input_beside_an_idle_one_is_not_the_end_of_event_time() {
    let (mut task, [left, right], sent) = two_inputs();
    left.send(at(5));
    right.send(Element::Idle);
    assert_eq!(step(&mut task, &sent), ["at 5"]);
    left.send(Element::EndOfInput);
    assert_eq!(step(&mut task, &sent), ["idle"]);
    right.send(at(7));
    assert_eq!(step(&mut task, &sent), ["at 7"]);
    right.send(Element::Data(Batch::new(times(&[8]))));
    right.send(Element::EndOfInput);
    assert_eq!(step(&mut task, &sent), ["end"], "rows that are held back for ever are this test's own");
}
