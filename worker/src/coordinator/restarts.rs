//! Whether another attempt follows a failed one, and when: no I/O, no clock.

use std::time::{Duration, Instant};

use eddyline_connectors::backoff;

use super::verdict::Verdict;

/// The longest wait during an outage, so that the job restarts soon after the outage.
const OUTAGE_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often a failing job may restart, and after which waits.
#[derive(Clone, Copy, Debug)]
pub struct RestartStrategy {
    /// The maximum number of restarts within the window. After one failure more the job has failed for good.
    pub max_per_window: usize,
    /// The period over which restarts are counted.
    pub window: Duration,
    /// The first wait. Each further one is twice as long.
    pub backoff_initial: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// Whether a job also waits out an outage before its first run. On a terminal it should not, so that a mistyped
    /// address ends it.
    pub waits_at_first_start: bool,
}

impl Default for RestartStrategy {
    fn default() -> Self {
        Self {
            max_per_window: 10,
            window: Duration::from_secs(600),
            backoff_initial: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            waits_at_first_start: false,
        }
    }
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt, after this wait.
    Attempt(Duration),
    /// Another attempt, after this wait, without a limit: an external system has an outage.
    AttemptWhenBack(Duration),
    /// No attempt: the job has failed.
    Fail,
}

/// The failures of a job.
#[derive(Debug)]
pub(super) struct Restarts {
    strategy: RestartStrategy,

    failures: Vec<Instant>,
    /// The number of attempts in a row that an outage has ended.
    outages: u32,
    has_run: bool,
}

impl Restarts {
    pub(super) fn new(strategy: RestartStrategy) -> Self {
        Self { strategy, failures: Vec::new(), outages: 0, has_run: false }
    }

    /// Records a failed attempt. `ran` says whether its tasks had begun to work.
    pub(super) fn failed(&mut self, verdict: Verdict, ran: bool, now: Instant) -> Next {
        if ran {
            self.outages = 0;
        }
        self.has_run |= ran;
        match verdict {
            Verdict::Mistake => return Next::Fail,
            Verdict::Outage if self.has_run || self.strategy.waits_at_first_start => {
                let wait = self.backoff(self.outages, OUTAGE_WAIT_MAX);
                self.outages += 1;
                return Next::AttemptWhenBack(wait);
            }
            Verdict::Outage | Verdict::Failure => {}
        }
        self.failures.retain(|at| now.duration_since(*at) < self.strategy.window);
        self.failures.push(now);
        if self.failures.len() > self.strategy.max_per_window {
            return Next::Fail;
        }
        let before = u32::try_from(self.failures.len() - 1).unwrap_or(u32::MAX);
        Next::Attempt(self.backoff(before, self.strategy.backoff_max))
    }

    fn backoff(&self, failures_before: u32, longest: Duration) -> Duration {
        backoff::doubled(self.strategy.backoff_initial, self.strategy.backoff_max.min(longest), failures_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn restarts(waits_at_first_start: bool) -> Restarts {
        Restarts::new(RestartStrategy { max_per_window: 2, waits_at_first_start, ..RestartStrategy::default() })
    }

    #[test]
    fn an_outage_of_any_length_is_waited_out_and_costs_no_restart() {
        let (mut restarts, start) = (restarts(true), Instant::now());
        let waits: Vec<u64> = (0..100)
            .map(|hour| match restarts.failed(Verdict::Outage, false, start + SECOND * 3600 * hour) {
                Next::AttemptWhenBack(wait) => wait.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits[..6], [1, 2, 4, 8, 10, 10]);
        assert_eq!(restarts.failed(Verdict::Failure, true, start), Next::Attempt(SECOND), "the first that counts");
        assert_eq!(restarts.failed(Verdict::Outage, true, start), Next::AttemptWhenBack(SECOND), "it had come back");
    }

    #[test]
    fn failures_are_counted_and_mistakes_end_the_job_at_once() {
        let (mut restarts, start) = (restarts(true), Instant::now());
        assert_eq!(restarts.failed(Verdict::Failure, true, start), Next::Attempt(SECOND));
        assert_eq!(restarts.failed(Verdict::Failure, true, start), Next::Attempt(2 * SECOND));
        assert_eq!(restarts.failed(Verdict::Failure, true, start), Next::Fail);
        assert_eq!(restarts.failed(Verdict::Failure, true, start + 601 * SECOND), Next::Attempt(SECOND));
        assert_eq!(restarts.failed(Verdict::Mistake, true, start + 602 * SECOND), Next::Fail);
    }

    #[test]
    fn where_somebody_looks_on_a_first_start_ends_when_nothing_answers_and_a_later_one_waits() {
        let (mut restarts, start) = (restarts(false), Instant::now());
        assert_eq!(restarts.failed(Verdict::Outage, false, start), Next::Attempt(SECOND));
        assert_eq!(restarts.failed(Verdict::Outage, false, start), Next::Attempt(2 * SECOND));
        assert_eq!(restarts.failed(Verdict::Outage, false, start), Next::Fail);
        let mut restarts = self::restarts(false);
        assert_eq!(restarts.failed(Verdict::Outage, true, start), Next::AttemptWhenBack(SECOND));
        assert_eq!(restarts.failed(Verdict::Outage, false, start), Next::AttemptWhenBack(2 * SECOND));
    }
}
