//! How long to wait after failures: longer each time, with jitter and an upper limit.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// The wait after a number of failures in a row. The key spreads objects that fail together.
pub fn after(failures: u32, key: &str) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST);
    let mut hasher = DefaultHasher::new();
    (key, failures).hash(&mut hasher);
    // From three quarters to five quarters of the wait.
    let spread = u32::try_from(hasher.finish() % 512).unwrap_or_default() + 768;
    (doubled * spread / 1024).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_differ_between_objects() {
        for failures in 1..40 {
            let wait = after(failures, "a");
            assert!(wait >= FIRST / 2 && wait <= LONGEST, "{failures}: {wait:?}");
        }
        assert!(after(4, "a") > after(1, "a") * 2);
        assert_ne!(after(3, "a"), after(3, "b"));
    }
}
