//! Wakes a slot thread that has nothing to do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

/// A handle of a slot thread. Clones wake the same thread. A wake-up before the sleep is not lost.
#[derive(Clone, Debug, Default)]
pub struct SlotWaker(Arc<State>);

#[derive(Debug, Default)]
struct State {
    thread: OnceLock<Thread>,
    awake: AtomicBool,
}

impl SlotWaker {
    /// Binds the handle to the current thread, which will call [`SlotWaker::sleep`].
    pub fn bind(&self) {
        // A second binding would mean a second thread for the slot. The first one stays.
        let _already_bound = self.0.thread.set(std::thread::current());
    }

    /// Ends the current or the next sleep.
    pub fn wake(&self) {
        if !self.0.awake.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.0.thread.get()
        {
            thread.unpark();
        }
    }

    /// Sleeps until it is woken, at most for `timeout`.
    pub fn sleep(&self, timeout: Duration) {
        if !self.0.awake.swap(false, Ordering::AcqRel) {
            std::thread::park_timeout(timeout);
            // This is a swap, so that everything is visible that a second waker did before it found the flag set.
            self.0.awake.swap(false, Ordering::AcqRel);
        }
    }

    /// The wake-up as a function, for code that does not know slots.
    pub fn as_function(&self) -> Arc<dyn Fn() + Send + Sync> {
        let waker = self.clone();
        Arc::new(move || waker.wake())
    }
}
