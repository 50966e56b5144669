//! When a source task hands on what it has read. The test sets the clock.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eddyline_connectors::source::Placement;
use eddyline_operators::{Collector, InputIndex, Operator, Progress as Said};
use eddyline_stream::{Batch, Element};
use proptest::prelude::*;

use super::chain::Chain;
use super::driven_source::{Source, barrier, metrics};
use super::metrics::Role;
use super::source_task::Command;
use super::task::{Progress, Task};
use crate::exchange::channel::ROWS_MAX;

const TIMEOUT: Duration = Duration::from_millis(5);

/// A clock that only the test advances.
#[derive(Clone)]
struct Clock(Arc<Mutex<Instant>>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn now(&self) -> Instant {
        *self.0.lock().expect("no panic")
    }

    fn pass(&self, time: Duration) {
        *self.0.lock().expect("no panic") += time;
    }
}

/// A source with the splits `a` and `b` and batches of 10 rows.
fn source(buffer_timeout: Option<Duration>, idle_timeout: Duration) -> (Source, Clock) {
    with_chain(buffer_timeout, idle_timeout, Chain::default())
}

fn with_chain(buffer_timeout: Option<Duration>, idle_timeout: Duration, chain: Chain) -> (Source, Clock) {
    let clock = Clock::new();
    let shown = clock.clone();
    let source = Source::with(Placement::Spread, idle_timeout, chain, |parts| {
        parts.buffer_timeout = buffer_timeout;
        parts.clock = Arc::new(move || shown.now());
    });
    source.discovered(&["a", "b"]);
    (source, clock)
}

#[test]
fn a_batch_that_is_not_full_is_handed_on_once_the_buffer_timeout_has_passed_since_its_first_row() {
    let (mut source, clock) = source(Some(TIMEOUT), Duration::ZERO);
    source.script("a", &[&[1]], false);
    assert_eq!(source.step(), [""; 0]);
    assert_eq!(source.task.due_at(), Some(clock.now() + TIMEOUT), "the slot sleeps until then");
    clock.pass(TIMEOUT - Duration::from_nanos(1));
    source.script("b", &[&[4], &[5]], false);
    assert_eq!(source.step(), [""; 0]);
    clock.pass(Duration::from_nanos(1));
    assert_eq!(source.step(), ["3 rows", "at 1"], "one batch, and the watermark of both splits behind it");
    assert_eq!(source.task.due_at(), None);
}

#[test]
fn a_busy_source_hands_on_whole_batches_at_once() {
    let (mut source, _) = source(Some(TIMEOUT), Duration::ZERO);
    let reads: Vec<Vec<i64>> = (0..8).map(|read| (read * 4..read * 4 + 4).collect()).collect();
    source.script("a", &reads.iter().map(Vec::as_slice).collect::<Vec<_>>(), false);
    assert_eq!(source.step(), ["12 rows", "12 rows"], "three reads make a whole batch of ten or more");
    assert_eq!(source.task.step().expect("nothing fails"), Progress::Idle);
    source.script("b", &[&[1, 2, 3, 4, 5]], false);
    assert_eq!(source.step(), ["8 rows", "5 rows", "at 5"], "a read that is half of one is not copied");
}

#[test]
fn what_was_read_goes_before_a_barrier_and_before_the_end_of_its_split() {
    let (mut source, _) = source(None, Duration::ZERO);
    source.script("a", &[&[1]], false);
    source.script("b", &[&[2]], false);
    assert_eq!(source.step(), [""; 0]);
    source.command(Command::Barrier(barrier(1)));
    assert_eq!(source.step(), ["2 rows", "at 1", "barrier"]);
    source.script("a", &[&[3]], true);
    assert_eq!(source.step(), ["1 rows", "at 2"], "only `b` is left");
}

#[test]
fn a_split_is_not_idle_before_its_rows_are_handed_on() {
    let idle_timeout = Duration::from_secs(1);
    let (mut source, clock) = source(None, idle_timeout);
    source.script("a", &[&[1]], false);
    source.script("b", &[&[2]], false);
    assert_eq!(source.step(), [""; 0]);
    clock.pass(idle_timeout);
    assert_eq!(source.step(), ["2 rows", "at 1"]);
    clock.pass(idle_timeout);
    assert_eq!(source.step(), ["at 2", "idle"]);
}

#[test]
fn a_barrier_waits_for_what_was_read_and_for_nothing_that_can_still_be_read() {
    let (mut source, _) = source(None, Duration::ZERO);
    // These are more rows than the source reads in all steps of this test.
    let reads: Vec<[i64; 3]> = (0..10_000).map(|time| [time; 3]).collect();
    source.script("a", &reads.iter().map(<[i64; 3]>::as_slice).collect::<Vec<_>>(), false);
    source.task.step().expect("nothing fails");
    let before = rows_received(&source);
    source.command(Command::Barrier(barrier(1)));
    source.task.step().expect("nothing fails");
    let read = source.acknowledged().expect("the first step takes it");
    assert!(read >= before && read < before + 10, "{read} rows were read, {before} of them handed on before");
}

#[test]
fn what_was_read_does_not_keep_a_barrier_from_a_channel_without_room() {
    let (mut source, _) = source(None, Duration::ZERO);
    let reads = vec![vec![1; 10]; ROWS_MAX / 10 + 1];
    source.script("a", &reads.iter().map(Vec::as_slice).collect::<Vec<_>>(), false);
    source.script("b", &[&[1]], false);
    while source.task.step().expect("nothing fails") != Progress::Backpressured {}
    source.script("b", &[&[2]], false);
    source.command(Command::Barrier(barrier(1)));
    assert_eq!(source.task.step().expect("nothing fails"), Progress::Backpressured);
    let read = source.acknowledged().expect("it is in the channel");
    assert_eq!(rows_received(&source), read);
}

/// The rows in the channel.
fn rows_received(source: &Source) -> u64 {
    let rows = std::iter::from_fn(|| source.sent.receive()).map(|element| match element {
        Element::Data(batch) => batch.num_rows() as u64,
        _ => 0,
    });
    rows.sum()
}

/// Passes rows on in pieces.
#[derive(Default)]
struct InPieces {
    rest: Option<Batch>,
}

impl Operator for InPieces {
    fn process(&mut self, _: InputIndex, batch: Batch, out: &mut Collector) -> eddyline_operators::Result<Said> {
        assert!(self.rest.is_none(), "it has more to say");
        self.rest = Some(batch);
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Collector) -> eddyline_operators::Result<Said> {
        let Some(mut rest) = self.rest.take() else { return Ok(Said::Done) };
        out.emit(rest.split_to(out.room()));
        self.rest = Some(rest).filter(|rest| rest.num_rows() > 0);
        Ok(if self.rest.is_some() { Said::More } else { Said::Done })
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// Adds reads with these numbers of rows to a split.
    Give(usize, Vec<usize>),
    Barrier,
    Pass(u64),
    Step,
    /// The receiver reads this number of elements.
    Receive(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0usize..2, prop::collection::vec(1usize..14, 1..6)).prop_map(|(split, reads)| Act::Give(split, reads)),
        Just(Act::Barrier),
        (0u64..7).prop_map(Act::Pass),
        Just(Act::Step),
        (0usize..80).prop_map(Act::Receive),
    ]
}

proptest! {
    /// Rows may wait in the buffer, between two pieces, or for room.
    #[test]
    fn a_barrier_is_behind_the_rows_that_its_positions_say_and_in_front_of_all_others(
        acts in prop::collection::vec(act(), 1..120),
        piece_rows in 1usize..12,
        timeout in prop::option::of(0u64..6),
    ) {
        let mut chain = Chain::new(piece_rows, true);
        chain.push(Box::<InPieces>::default(), metrics("pieces", Role::Operator), None, true);
        let (mut source, clock) = with_chain(timeout.map(Duration::from_millis), Duration::ZERO, chain);
        let (mut checkpoints, mut given, mut rows) = (0, 0, 0);
        let mut cuts = Vec::new();
        let mut receive = |source: &Source, elements: usize| {
            for element in std::iter::from_fn(|| source.sent.receive()).take(elements) {
                match element {
                    Element::Data(batch) => rows += batch.num_rows() as u64,
                    Element::Barrier(_) => cuts.push(rows),
                    _ => {}
                }
            }
            rows
        };
        let mut acts: std::collections::VecDeque<Act> = acts.into();
        // In the end everything is read and received.
        acts.push_back(Act::Barrier);
        acts.extend((0..2_000).flat_map(|_| [Act::Step, Act::Receive(100), Act::Pass(7)]));
        for act in acts {
            match act {
                Act::Give(split, reads) => {
                    given += reads.iter().sum::<usize>() as u64;
                    source.add_to_script(["a", "b"][split], reads.into_iter().map(|rows| vec![7; rows]));
                }
                Act::Barrier => {
                    checkpoints += 1;
                    source.command(Command::Barrier(barrier(checkpoints)));
                }
                Act::Pass(ms) => clock.pass(Duration::from_millis(ms)),
                Act::Step => {
                    source.task.step().expect("nothing fails");
                }
                Act::Receive(elements) => {
                    receive(&source, elements);
                }
            }
        }
        let received = receive(&source, usize::MAX);
        let positions: Vec<u64> = std::iter::from_fn(|| source.acknowledged()).collect();
        prop_assert_eq!(positions.len() as u64, checkpoints);
        prop_assert_eq!(&positions, &cuts);
        if timeout.is_some() {
            prop_assert_eq!(received, given);
        }
    }
}
