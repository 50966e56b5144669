//! Crash points: named places between two durable steps where a test can end the process.
//!
//! Exactly-once must hold at every such place. Each has a name in the code, and costs one atomic load unless a test
//! uses it. The kill tests cover all of them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Plan {
    point: String,
    countdown: AtomicU64,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

/// Aborts the process here, without cleanup, if the environment variable `EDDYLINE_CRASH_AT` asks for it. Its form is
/// `point:n`: the process ends when it reaches that point for the n-th time, counted from 1.
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
