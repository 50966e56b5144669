//! The clock of idle timeouts.

use std::time::{Duration, Instant};

/// Measures the time in which a reader was able to read. It stops while there is no room downstream and while the job
/// is being stopped, because a split is not idle if its reader may not read.
#[derive(Debug)]
pub struct ListeningClock {
    started: Instant,

    /// The total time for which it was stopped, without the current stop.
    held_up: Duration,
    held_up_since: Option<Instant>,
}

impl ListeningClock {
    /// Makes a clock that runs.
    pub fn new(now: Instant) -> Self {
        Self { started: now, held_up: Duration::ZERO, held_up_since: None }
    }

    /// Starts or stops the clock.
    pub fn set_running(&mut self, runs: bool, now: Instant) {
        if !runs {
            self.held_up_since.get_or_insert(now);
        } else if let Some(since) = self.held_up_since.take() {
            self.held_up += now.duration_since(since);
        }
    }

    /// The time for which it has run, in milliseconds.
    pub fn now_ms(&self, now: Instant) -> i64 {
        let until = self.held_up_since.unwrap_or(now);
        let ran = until.duration_since(self.started).saturating_sub(self.held_up);
        i64::try_from(ran.as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_while_there_is_no_room() {
        let started = Instant::now();
        let at = |ms| started + Duration::from_millis(ms);
        let mut clock = ListeningClock::new(started);
        assert_eq!(clock.now_ms(at(100)), 100);
        clock.set_running(false, at(150));
        assert_eq!(clock.now_ms(at(1_000)), 150);
        clock.set_running(false, at(1_000));
        clock.set_running(true, at(2_150));
        assert_eq!(clock.now_ms(at(2_200)), 200);
        clock.set_running(true, at(2_300));
        assert_eq!(clock.now_ms(at(2_400)), 400);
    }
}
