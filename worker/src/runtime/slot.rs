//! The run loop of a slot thread.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_stream::SlotIndex;

use super::task::{Error, Event, EventSender, Progress, Task};
use super::waker::SlotWaker;

/// The longest sleep of a slot whose tasks have no work. It bounds the delay of events that do not wake the slot, such
/// as idle timeouts.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// A running slot thread.
#[derive(Debug)]
pub struct Slot {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    waker: SlotWaker,
}

impl Slot {
    /// Starts the thread. `tasks` are in the order in which rows pass them.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        slot: SlotIndex,
        tasks: Vec<Box<dyn Task>>,
        waker: SlotWaker,
        events: EventSender,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (stop, waker) = (Arc::clone(&stop), waker.clone());
            std::thread::Builder::new().name(format!("slot-{slot}")).spawn(move || {
                waker.bind();
                let run = std::panic::catch_unwind(AssertUnwindSafe(|| run(tasks, &waker, &stop)));
                let error = match run {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => error,
                    Err(panic) => Error::Panicked { slot, message: panic_message(&*panic) },
                };
                let _gone = events.send(Event::Failed(error));
            })?
        };
        Ok(Self { thread: Some(thread), stop, waker })
    }

    /// Wakes the thread after a command was added to a mailbox.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Asks the thread to end after its current turn, whatever its tasks have left to do.
    pub fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.request_stop();
        if let Some(thread) = self.thread.take() {
            // A panic was reported as an event.
            let _reported = thread.join();
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

fn run(mut tasks: Vec<Box<dyn Task>>, waker: &SlotWaker, stop: &AtomicBool) -> Result<(), Error> {
    let mut progress = vec![Progress::Idle; tasks.len()];
    let mut turn_began = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let mut worked = false;
        // Tasks closest to the sinks are stepped first, so that rows leave before others come in.
        for (task, progress) in tasks.iter_mut().zip(&mut progress).rev() {
            *progress = task.step()?;
            worked |= *progress == Progress::Worked;
        }
        if !worked {
            waker.sleep(sleep_until_due(&tasks, &progress, Instant::now()));
        }
        // A task without work is idle while the other tasks work.
        let turn_ended = Instant::now();
        let turn = turn_ended.duration_since(turn_began);
        tasks.iter().zip(&progress).for_each(|(task, progress)| task.account(*progress, turn));
        turn_began = turn_ended;
    }
    Ok(())
}

/// The longest sleep without a wake-up: until the first of the idle tasks is due, but at most [`SLEEP_MAX`]. Tasks that
/// are not idle wait for room.
fn sleep_until_due(tasks: &[Box<dyn Task>], progress: &[Progress], now: Instant) -> Duration {
    let idle = tasks.iter().zip(progress).filter(|(_, progress)| **progress == Progress::Idle);
    let due_at = idle.filter_map(|(task, _)| task.due_at()).min();
    due_at.map_or(SLEEP_MAX, |due_at| due_at.saturating_duration_since(now).min(SLEEP_MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A task with the same progress at every step. It records the times that are reported to it.
    struct Steady {
        progress: Progress,
        steps_left: u32,
        due_at: Option<Instant>,
        stop: Arc<AtomicBool>,
        reported: Arc<Mutex<Vec<(Progress, Duration)>>>,
    }

    impl Task for Steady {
        fn step(&mut self) -> Result<Progress, Error> {
            self.steps_left -= 1;
            if self.steps_left == 0 {
                self.stop.store(true, Ordering::Release);
            }
            Ok(self.progress)
        }

        fn due_at(&self) -> Option<Instant> {
            self.due_at
        }

        fn account(&self, progress: Progress, time: Duration) {
            self.reported.lock().expect("no panic").push((progress, time));
        }
    }

    #[test]
    fn a_task_without_work_is_idle_while_its_neighbour_works() {
        let stop = Arc::new(AtomicBool::new(false));
        let reported = Arc::new(Mutex::new(Vec::new()));
        let task = |progress| -> Box<dyn Task> {
            let (stop, reported) = (Arc::clone(&stop), Arc::clone(&reported));
            Box::new(Steady { progress, steps_left: 5, due_at: None, stop, reported })
        };
        let waker = SlotWaker::default();
        waker.bind();
        run(vec![task(Progress::Worked), task(Progress::Idle)], &waker, &stop).expect("nothing fails");
        let reported = reported.lock().expect("no panic");
        let idle: Vec<_> = reported.iter().filter(|(progress, _)| *progress == Progress::Idle).collect();
        assert_eq!(idle.len(), 5, "once a turn, though the slot never slept");
        assert!(idle.iter().map(|(_, time)| *time).sum::<Duration>() > Duration::ZERO);
    }
    #[test]
    fn a_slot_sleeps_until_the_first_of_its_idle_tasks_is_due() {
        let now = Instant::now();
        let task = |due_at: Option<u64>| -> Box<dyn Task> {
            let due_at = due_at.map(|ms| now + Duration::from_millis(ms));
            let (stop, reported) = (Arc::default(), Arc::default());
            Box::new(Steady { progress: Progress::Idle, steps_left: 5, due_at, stop, reported })
        };
        let sleep_ms = |due_at: [Option<u64>; 2], progress, now| {
            sleep_until_due(&due_at.map(task), &[progress, Progress::Idle], now).as_millis()
        };
        assert_eq!(sleep_ms([None, None], Progress::Idle, now), SLEEP_MAX.as_millis());
        assert_eq!(sleep_ms([Some(3), Some(5)], Progress::Idle, now), 3);
        assert_eq!(sleep_ms([Some(3), Some(5)], Progress::Backpressured, now), 5, "room comes with a wake-up");
        assert_eq!(sleep_ms([None, Some(3_600_000)], Progress::Idle, now), SLEEP_MAX.as_millis());
        assert_eq!(sleep_ms([Some(3), None], Progress::Idle, now + Duration::from_millis(4)), 0);
    }
}
