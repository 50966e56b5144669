//! The waits between attempts at a request that an external system has refused.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(10);

/// The wait after a failure that had `failures_before` failures before it. It doubles with each of them, from `first`
/// up to `longest`.
pub fn doubled(first: Duration, longest: Duration, failures_before: u32) -> Duration {
    first.saturating_mul(1 << failures_before.min(16)).min(longest)
}

/// Waits that double, from a tenth of a second to ten seconds.
#[derive(Clone, Debug)]
pub struct Backoff {
    failures: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// Waits from the first one on.
    pub fn new() -> Self {
        Self { failures: 0 }
    }

    /// The wait before the next attempt.
    pub fn wait(&mut self) -> Duration {
        let wait = doubled(FIRST, LONGEST, self.failures);
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..9).map(|_| backoff.wait().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(doubled(FIRST, LONGEST, u32::MAX), LONGEST);
    }
}
