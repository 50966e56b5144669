//! A bounded channel between two subtasks.
//!
//! The lock protects the decision which end to wake: it depends on the state of the queue before and after a step. So a
//! sender that sleeps because the channel is full, and a receiver that sleeps because it is empty, are woken by the
//! step that changes that.
//!
//! The next barrier waits for everything in the channels of a subtask. So their rows are bounded together, whatever the
//! number of senders: the senders share [`ROWS_MAX`]. A sender with room may still send all output of one step.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use eddyline_stream::{Barrier, Element};

use crate::runtime::waker::SlotWaker;

/// The maximum number of rows that wait for a subtask on one of its input edges before the senders have to pause. Each
/// sender has an equal share.
pub const ROWS_MAX: usize = 32 * 1024;
/// The maximum number of elements in a channel before its sender has to pause. It bounds streams of tiny batches and
/// watermarks.
pub const ELEMENTS_MAX: usize = 64;

/// The elements in a channel.
#[derive(Debug)]
struct Queue {
    rows_max: usize,
    elements: VecDeque<Element>,
    rows: usize,
}

impl Queue {
    fn new(rows_max: usize) -> Self {
        Self { rows_max, elements: VecDeque::new(), rows: 0 }
    }

    fn has_room(&self) -> bool {
        self.rows < self.rows_max && self.elements.len() < ELEMENTS_MAX
    }

    /// Appends an element. Returns whether the queue was empty, so that the receiver may be asleep.
    fn push(&mut self, element: Element) -> bool {
        let was_empty = self.elements.is_empty();
        self.rows += rows_of(&element);
        self.elements.push_back(element);
        was_empty
    }

    /// Removes the next element. Also returns whether this has made room, so that the sender may be asleep.
    fn pop(&mut self) -> Option<(Element, bool)> {
        let had_room = self.has_room();
        let element = self.elements.pop_front()?;
        self.rows -= rows_of(&element);
        let makes_room = !had_room && self.has_room();
        Some((element, makes_room))
    }
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// The state of the queue, readable without the lock. It changes only under the lock.
    has_room: AtomicBool,
    is_empty: AtomicBool,
    receiver: SlotWaker,
    sender: SlotWaker,
}

/// The sending end.
#[derive(Debug)]
pub struct Sender(Arc<Shared>);

/// The receiving end.
#[derive(Debug)]
pub struct Receiver(Arc<Shared>);

/// A channel between two slots, which may be the same one. `senders` is the number of senders to the receiver on this
/// edge.
pub fn channel(sender: SlotWaker, receiver: SlotWaker, senders: usize) -> (Sender, Receiver) {
    let rows_max = (ROWS_MAX / senders.max(1)).max(1);
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue::new(rows_max)),
        has_room: AtomicBool::new(true),
        is_empty: AtomicBool::new(true),
        receiver,
        sender,
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

fn rows_of(element: &Element) -> usize {
    match element {
        Element::Data(batch) => batch.num_rows(),
        _ => 0,
    }
}

impl Shared {
    /// Runs `act` on the queue under the lock, and publishes the new state of the queue.
    fn with_queue<T>(&self, act: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.queue.lock().expect("no holder of the queue panics");
        let result = act(&mut queue);
        self.has_room.store(queue.has_room(), Ordering::Release);
        self.is_empty.store(queue.elements.is_empty(), Ordering::Release);
        result
    }
}

impl Sender {
    /// Whether the sender may start another step.
    pub fn has_room(&self) -> bool {
        self.0.has_room.load(Ordering::Acquire)
    }

    /// Sends an element, even if there is no room.
    pub fn send(&self, element: Element) {
        if self.0.with_queue(|queue| queue.push(element)) {
            self.0.receiver.wake();
        }
    }
}

impl Receiver {
    /// Receives the next element, if there is one.
    pub fn receive(&self) -> Option<Element> {
        if self.0.is_empty.load(Ordering::Acquire) {
            return None;
        }
        let (element, makes_room) = self.0.with_queue(Queue::pop)?;
        if makes_room {
            self.0.sender.wake();
        }
        Some(element)
    }

    /// Receives the next element, if it is a barrier for which `may_take` is true.
    pub fn receive_barrier(&self, may_take: impl FnOnce(&Barrier) -> bool) -> Option<Barrier> {
        if self.0.is_empty.load(Ordering::Acquire) {
            return None;
        }
        let (element, makes_room) = self.0.with_queue(|queue| match queue.elements.front() {
            Some(Element::Barrier(barrier)) if may_take(barrier) => queue.pop(),
            _ => None,
        })?;
        if makes_room {
            self.0.sender.wake();
        }
        match element {
            Element::Barrier(barrier) => Some(barrier),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use eddyline_stream::Watermark;

    use super::*;

    fn element(number: usize) -> Element {
        Element::Watermark(Watermark::new(i64::try_from(number).expect("small")))
    }

    #[test]
    fn the_end_that_may_sleep_is_woken_by_the_step_that_ends_its_reason() {
        let mut queue = Queue::new(ROWS_MAX);
        assert!(queue.push(element(0)), "the receiver saw an empty queue");
        for number in 1..ELEMENTS_MAX + 2 {
            assert!(!queue.push(element(number)));
        }
        assert!(!queue.has_room());
        let woken: Vec<bool> = std::iter::from_fn(|| queue.pop()).map(|(_, makes_room)| makes_room).collect();
        // There are two elements too many, and one more must leave to make room.
        assert_eq!(woken.iter().position(|woken| *woken), Some(2));
        assert_eq!(woken.iter().filter(|woken| **woken).count(), 1);
        assert!(queue.push(element(0)), "the receiver saw an empty queue again");
    }

    #[test]
    fn what_waits_for_a_receiver_has_a_bound_however_many_senders_it_has() {
        const STEP: usize = 100;
        let column = std::sync::Arc::new(arrow::array::Int64Array::from(vec![0; STEP]));
        let rows = arrow::array::RecordBatch::try_from_iter([("n", column as _)]).expect("one column");
        let batch = eddyline_stream::Batch::new(rows);
        for senders in [1, 2, 3, 7, 64] {
            let mut waiting = 0;
            for _ in 0..senders {
                let (sender, _receiver) = channel(SlotWaker::default(), SlotWaker::default(), senders);
                while sender.has_room() && waiting < 10 * ROWS_MAX {
                    sender.send(Element::Data(batch.clone()));
                    waiting += STEP;
                }
            }
            assert!(waiting <= ROWS_MAX + senders * STEP, "{waiting} rows of {senders} senders");
        }
    }

    /// Both ends sleep for an hour unless they are woken.
    #[test]
    fn no_end_misses_what_the_other_does_while_it_goes_to_sleep() {
        const ELEMENTS: usize = 300_000;
        const FOR_EVER: Duration = Duration::from_secs(3_600);
        let (to_sender, to_receiver) = (SlotWaker::default(), SlotWaker::default());
        let (sender, receiver) = channel(to_sender.clone(), to_receiver.clone(), 1);
        let (done, ended) = std::sync::mpsc::channel();
        let sent = done.clone();
        std::thread::spawn(move || {
            to_sender.bind();
            for number in 0..ELEMENTS {
                while !sender.has_room() {
                    to_sender.sleep(FOR_EVER);
                }
                sender.send(element(number));
            }
            let _test_has_failed = sent.send(());
        });
        std::thread::spawn(move || {
            to_receiver.bind();
            let mut received = 0;
            while received < ELEMENTS {
                match receiver.receive() {
                    Some(_) => received += 1,
                    None => to_receiver.sleep(FOR_EVER),
                }
            }
            let _test_has_failed = done.send(());
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        for _ in 0..2 {
            let left = deadline.saturating_duration_since(Instant::now());
            ended.recv_timeout(left).expect("both ends finish");
        }
    }
}
