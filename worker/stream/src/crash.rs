//! Crash points: named places between two durable steps where a test can end the process.
//!
//! Exactly-once is a claim about every such place. Each is named in the code and costs one load of a static when no
//! test asks for it; the kill tests walk through them all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Plan {
    point: String,
    countdown: AtomicU64,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

/// Ends the process here, without any clean-up, if the environment variable `EDDYLINE_CRASH_AT` says so: its form is
/// `point:n`, and it is the n-th pass (counted from 1) through that point that dies.
pub fn crash_point(point: &str) {
    let plan = PLAN.get_or_init(|| {
        let text = std::env::var("EDDYLINE_CRASH_AT").ok()?;
        let (point, nth) = text.rsplit_once(':')?;
        Some(Plan { point: point.to_owned(), countdown: AtomicU64::new(nth.parse().ok()?) })
    });
    let Some(plan) = plan else { return };
    if plan.point == point && plan.countdown.fetch_sub(1, Ordering::SeqCst) == 1 {
        eprintln!("crash point {point} reached");
        std::process::abort();
    }
}
