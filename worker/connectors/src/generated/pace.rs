//! How many rows are due at a rate. The caller passes the time.

use std::time::Duration;

/// The rate of one of several readers that share it.
#[derive(Clone, Debug)]
pub struct Pace {
    // Fixed at start.
    rows_per_second: u128,
    readers: u128,
    // Changing.
    taken: u128,
}

impl Pace {
    /// The share of one of `readers` in `rows_per_second`.
    pub fn new(rows_per_second: u64, readers: usize) -> Self {
        Self { rows_per_second: u128::from(rows_per_second.max(1)), readers: readers.max(1) as u128, taken: 0 }
    }

    /// The number of rows that are due now, `elapsed` after the first call. Row `n` is due after `n` intervals, so the
    /// first row is due at once. Overdue rows stay due, but at most those of one second.
    pub fn due(&mut self, elapsed: Duration) -> usize {
        let due = elapsed.as_nanos() * self.rows_per_second / (1_000_000_000 * self.readers) + 1;
        let burst_max = self.rows_per_second / self.readers + 1;
        self.taken = self.taken.max(due.saturating_sub(burst_max));
        usize::try_from(due.saturating_sub(self.taken)).unwrap_or(usize::MAX)
    }

    /// Counts rows that were made.
    pub fn take(&mut self, rows: usize) {
        self.taken += rows as u128;
    }

    /// The time from the first call until the next row is due.
    pub fn next_due(&self) -> Duration {
        let nanos = (self.taken * 1_000_000_000 * self.readers).div_ceil(self.rows_per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_due_at_the_rate_and_the_first_at_once() {
        let mut pace = Pace::new(10, 1);
        assert_eq!(pace.due(Duration::ZERO), 1);
        pace.take(1);
        assert_eq!(pace.due(Duration::from_millis(99)), 0);
        assert_eq!(pace.next_due(), Duration::from_millis(100));
        assert_eq!(pace.due(Duration::from_millis(500)), 5);
        pace.take(5);
        assert_eq!(pace.due(Duration::from_millis(599)), 0);
    }

    #[test]
    fn readers_share_the_rate() {
        let mut pace = Pace::new(1000, 4);
        pace.take(1);
        assert_eq!(pace.due(Duration::from_secs(1)), 250);
    }

    #[test]
    fn a_long_stall_is_made_up_for_by_one_second_only() {
        let mut pace = Pace::new(100, 1);
        assert_eq!(pace.due(Duration::from_secs(60)), 101);
    }
}
