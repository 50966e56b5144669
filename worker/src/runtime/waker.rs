//! Wakes a slot thread that has nothing to do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

/// A handle on a slot thread; clones wake the same one. Waking before the thread sleeps is not lost.
#[derive(Clone, Debug, Default)]
pub struct SlotWaker(Arc<State>);

#[derive(Debug, Default)]
struct State {
    thread: OnceLock<Thread>,
    awake: AtomicBool,
}

impl SlotWaker {
    /// Binds the handle to the current thread, which is the one that will [`SlotWaker::sleep`].
    pub fn bind(&self) {
        // A second binding would be a second thread for one slot; the first one stays.
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

    /// Sleeps until woken, or for `timeout` at most.
    pub fn sleep(&self, timeout: Duration) {
        if !self.0.awake.swap(false, Ordering::AcqRel) {
            std::thread::park_timeout(timeout);
            // A swap: what a second waker did before it found the flag set is seen from here on.
            self.0.awake.swap(false, Ordering::AcqRel);
        }
    }

    /// The waking as a function, for those who do not know slots.
    pub fn as_function(&self) -> Arc<dyn Fn() + Send + Sync> {
        let waker = self.clone();
        Arc::new(move || waker.wake())
    }
}
