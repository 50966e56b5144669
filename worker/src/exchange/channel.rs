//! A bounded channel between two subtasks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use eddyline_stream::Element;

use crate::runtime::waker::SlotWaker;

/// Rows that may wait in a channel before its sender has to pause.
pub const ROWS_MAX: usize = 32 * 1024;
/// Elements that may wait in a channel, for streams of tiny batches and watermarks.
pub const ELEMENTS_MAX: usize = 64;

#[derive(Debug)]
struct Shared {
    queue: Mutex<VecDeque<Element>>,
    rows: AtomicUsize,
    elements: AtomicUsize,
    receiver: SlotWaker,
    sender: SlotWaker,
}

/// The sending end.
#[derive(Debug)]
pub struct Sender(Arc<Shared>);

/// The receiving end.
#[derive(Debug)]
pub struct Receiver(Arc<Shared>);

/// Makes a channel between two slots, which may be the same one.
pub fn channel(sender: SlotWaker, receiver: SlotWaker) -> (Sender, Receiver) {
    let shared = Arc::new(Shared {
        queue: Mutex::new(VecDeque::new()),
        rows: AtomicUsize::new(0),
        elements: AtomicUsize::new(0),
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
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Element>> {
        self.queue.lock().expect("no holder of the queue panics")
    }

    fn has_room(&self) -> bool {
        self.rows.load(Ordering::Acquire) < ROWS_MAX && self.elements.load(Ordering::Acquire) < ELEMENTS_MAX
    }
}

impl Sender {
    /// Whether the sender may start another step.
    pub fn has_room(&self) -> bool {
        self.0.has_room()
    }

    /// Sends an element, whether there is room or not.
    pub fn send(&self, element: Element) {
        let mut queue = self.0.queue();
        self.0.rows.fetch_add(rows_of(&element), Ordering::AcqRel);
        let before = self.0.elements.fetch_add(1, Ordering::AcqRel);
        queue.push_back(element);
        drop(queue);
        if before == 0 {
            self.0.receiver.wake();
        }
    }
}

impl Receiver {
    /// Takes the next element, if there is one.
    pub fn receive(&self) -> Option<Element> {
        if self.0.elements.load(Ordering::Acquire) == 0 {
            return None;
        }
        let had_room = self.0.has_room();
        let mut queue = self.0.queue();
        let element = queue.pop_front()?;
        self.0.rows.fetch_sub(rows_of(&element), Ordering::AcqRel);
        self.0.elements.fetch_sub(1, Ordering::AcqRel);
        drop(queue);
        if !had_room && self.0.has_room() {
            self.0.sender.wake();
        }
        Some(element)
    }
}
