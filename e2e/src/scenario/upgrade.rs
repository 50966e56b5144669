//! Changes of SQL and image.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::job::{Job, Place, condition, is_true};
use crate::readings::Load;

fn change_sql(manifest: &mut Value, from: &str, to: &str) {
    let sql = manifest["spec"]["sql"].as_str().unwrap_or_default().replace(from, to);
    manifest["spec"]["sql"] = sql.into();
}

fn until_revision(job: &Job<'_>, number: u64) -> Result<Value> {
    job.until(&format!("revision {number} is Ready"), |status| {
        status["revision"]["number"] == number && status["operation"].is_null() && is_true(status, "Ready")
    })
}

/// A change that keeps state, one that is broken, and an image that is.
pub fn run() -> Result<()> {
    let place = Place::new("upgrade")?;
    let mut job = place.sensors("sensors", |manifest| {
        manifest["spec"]["upgrade"] = json!({ "rollback": { "enabled": true, "deadline": "30s" } });
    })?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 1_000)?;
    job.until("some windows are open", |status| {
        status["progress"]["recordsInPerSecond"].as_u64().is_some_and(|rate| rate > 0)
    })?;

    // Another filter, which lets everything pass: the state of the windows is kept, or their sums would be wrong.
    job.change(|manifest| change_sql(manifest, "TABLE readings,", "TABLE readings ,"))?;
    let status = until_revision(&job, 2)?;
    let from = status["revision"]["from"].as_str().context("what revision 2 was started from")?;
    ensure!(from.contains("/savepoints/"), "revision 2 was started from {from}");
    job.event("Upgraded")?;
    println!("   SQL changed through {from}");

    let attempt = job.attempt()?;
    job.change(|manifest| change_sql(manifest, "SUM(`value`)", "SUM(`valeu`)"))?;
    let status = job.until("the broken SQL is refused", |status| {
        condition(status, "Accepted").is_some_and(|(status, ..)| status == "False")
    })?;
    let (_, reason, message) = condition(&status, "Accepted").context("Accepted")?;
    ensure!(message.contains("valeu") && message.contains(':'), "{reason}: {message}");
    job.event("SqlInvalid")?;
    ensure!(is_true(&job.status()?, "Ready") && job.attempt()? == attempt, "what runs was disturbed: {status}");
    println!("   broken SQL refused: {}", message.lines().next().unwrap_or_default());
    job.change(|manifest| change_sql(manifest, "SUM(`valeu`)", "SUM(`value`)"))?;
    job.until("accepted again", |status| is_true(status, "Accepted"))?;

    job.change(|manifest| manifest["spec"]["workers"] = json!({ "version": "0.0.0-broken" }))?;
    let status = job.until("rolled back", |status| {
        !status["rolledBack"].is_null() && status["operation"].is_null() && is_true(status, "Ready")
    })?;
    job.event("RolledBack")?;
    let message = status["rolledBack"]["message"].as_str().unwrap_or_default();
    println!("   broken image rolled back: {message}");
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}
