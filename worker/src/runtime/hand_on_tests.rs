//! When a source task hands on what it has read, by a clock that shows what a test says.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eddyline_connectors::source::Placement;

use super::chain::Chain;
use super::idle_tests::{Source, barrier};
use super::source_task::Command;
use super::task::{Progress, Task};

const TIMEOUT: Duration = Duration::from_millis(5);

/// A clock that stands until it is moved.
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

/// A source over the splits `a` and `b`, of batches of 10 rows.
fn source(buffer_timeout: Option<Duration>, idle_timeout: Duration) -> (Source, Clock) {
    let clock = Clock::new();
    let shown = clock.clone();
    let source = Source::with(Placement::Spread, idle_timeout, Chain::default(), |parts| {
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
    source.mailbox.lock().expect("no panic").push_back(Command::Barrier(barrier(1)));
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
