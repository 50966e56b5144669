//! A suspended job.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::job::{Place, condition};
use crate::kubectl::until;
use crate::readings::Load;

/// Suspends a job with a savepoint, and resumes it.
pub fn run() -> Result<()> {
    let place = Place::new("suspension")?;
    let mut job = place.sensors("sensors", |_| ())?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 1_000)?;
    job.change(|manifest| manifest["spec"]["state"] = json!("Suspended"))?;
    let status = job
        .until("suspended, with no pods", |status| status["phase"] == "Suspended" && status["workers"]["ready"] == 0)?;
    ensure!(status["lastSavepoint"]["uri"].as_str().is_some(), "{status}");
    for (kind, wanted) in [("Ready", "True"), ("Running", "False"), ("Reconciling", "False"), ("Stalled", "False")] {
        let found = condition(&status, kind);
        ensure!(found.as_ref().is_some_and(|(status, ..)| status == wanted), "{kind}: {found:?}");
    }
    until("its pods are gone", Duration::from_secs(60), || {
        Ok(place.namespace.list("pods", "eddyline.io/job=sensors")?.is_empty().then_some(()))
    })?;
    let sent = load.sent();
    job.change(|manifest| manifest["spec"]["state"] = json!("Running"))?;
    job.wait_ready()?;
    ensure!(load.sent() > sent, "the input continued meanwhile");
    job.event("Suspended")?;
    job.event("Resumed")?;
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}
