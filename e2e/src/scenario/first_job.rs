//! The first minutes of a user.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::job::Place;
use crate::readings::Load;

/// Applies the sample and reads its results.
pub fn run() -> Result<()> {
    let place = Place::new("first-job")?;
    let job = place.sensors("sensors", |_| ())?;
    place.broker.warm_up(&format!("{}-warm-up", job.readings))?;
    let load = Load::start(&place.broker, &job.readings, 1_000)?;
    let applied = Instant::now();
    job.apply()?;
    place.broker.read_committed(&job.results, Duration::from_secs(120), |records| !records.is_empty())?;
    // The reader waits a moment for more once it has one.
    let first = applied.elapsed().saturating_sub(Duration::from_millis(1_500));
    job.wait_ready()?;
    let status = job.status()?;
    ensure!(status["phase"] == "Running" && status["observedGeneration"] == 1, "{status}");
    ensure!(status["checkpoint"]["lastId"].as_u64().is_some_and(|id| id > 0), "{status}");
    let table = place.namespace.kubectl(&["get", "sj", "-o", "wide"])?;
    ensure!(table.contains("Running") && table.contains("True"), "{table}");
    job.event("Started")?;
    println!("   from apply to the first committed result: {:.1} s", first.as_secs_f64());
    let results = load.finish(&job.results)?;
    println!("   {results} results, each once and right");
    Ok(())
}
