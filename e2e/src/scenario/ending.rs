//! Last savepoints of jobs without a worker that can take one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::job::{Job, Place};
use crate::kubectl::until;
use crate::readings::Load;

const PATIENCE: Duration = Duration::from_secs(120);

fn keeps_its_last_state(manifest: &mut Value) {
    manifest["spec"]["savepoints"] = json!({ "onDelete": "Final" });
    manifest["spec"]["parallelism"] = json!(1);
}

/// The last savepoint of a job that is gone, once it is complete.
fn last_savepoint(job: &Job<'_>) -> Result<Value> {
    until(&format!("the last savepoint of {}", job.name), PATIENCE, || {
        let savepoints = job.place.namespace.list("savepoints", &format!("eddyline.io/job={}", job.name))?;
        ensure!(savepoints.len() <= 1, "more than one: {savepoints:?}");
        Ok(savepoints.into_iter().find(|savepoint| savepoint["status"]["phase"] == "Completed"))
    })
}

/// A job is upgraded, resumes, and is deleted in the foreground, as Argo CD does.
pub fn foreground() -> Result<()> {
    let place = Place::new("foreground")?;
    let mut job = place.sensors("sensors", keeps_its_last_state)?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 300)?;
    job.change(|manifest| manifest["spec"]["config"] = json!({ "table.exec.source.idle-timeout": "7 s" }))?;
    let status = job.until("upgraded", |status| {
        status["revision"]["number"] == 2 && status["phase"] == "Running" && status["operation"].is_null()
    })?;
    let upgrade = status["lastSavepoint"]["uri"].as_str().context("the upgrade's savepoint")?.to_owned();
    let before = status["checkpoint"]["lastId"].as_u64().unwrap_or(0);
    job.until("further", |status| status["checkpoint"]["lastId"].as_u64().is_some_and(|id| id > before + 2))?;
    place.namespace.kubectl(&["delete", "streamjob", &job.name, "--cascade=foreground", "--timeout=120s"])?;
    let savepoint = last_savepoint(&job)?;
    let uri = savepoint["status"]["uri"].as_str().context("a uri")?.to_owned();
    ensure!(uri != upgrade, "the savepoint of the upgrade is left as the last one: {savepoint}");
    println!("   {}", savepoint["status"]["message"]);

    let mut again = Job {
        place: &place,
        name: "again".to_owned(),
        readings: job.readings.clone(),
        results: job.results.clone(),
        manifest: job.manifest.clone(),
    };
    again.change(|manifest| {
        manifest["metadata"]["name"] = json!("again");
        manifest["spec"]["restoreFrom"] = json!({ "uri": uri });
    })?;
    again.wait_ready()?;
    println!("   {} results over both jobs, each once and right", load.finish(&job.results)?);
    Ok(())
}

/// Reads for some seconds, and finishes.
const BOUNDED: &str = "CREATE TABLE few (n BIGINT) WITH (
  'connector' = 'datagen', 'number-of-rows' = '100', 'rows-per-second' = '10'
);
CREATE TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT n FROM few;";

/// Divides by zero after some seconds.
const FAILING: &str = "CREATE TABLE numbers (n BIGINT) WITH (
  'connector' = 'datagen', 'rows-per-second' = '10',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000'
);
CREATE TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT 100 / (100 - n) FROM numbers;";

/// A job that has finished, and one that has failed.
pub fn without_worker() -> Result<()> {
    let place = Place::new("ending")?;
    for (name, sql, phase) in [("finished", BOUNDED, "Finished"), ("failed", FAILING, "Failed")] {
        let job = place.sensors(name, |manifest| {
            keeps_its_last_state(manifest);
            manifest["spec"]["sql"] = sql.into();
            manifest["spec"]["checkpoint"]["interval"] = json!("1s");
            manifest["spec"]["restart"] = json!({ "maxPerWindow": 1, "backoff": { "initial": "1s" } });
        })?;
        job.apply()?;
        let status = job.until(phase, |status| status["phase"] == phase)?;
        ensure!(!status["checkpoint"].is_null(), "it has completed no checkpoint: {status}");
        let took = job.delete_within(Duration::from_secs(60))?;
        let savepoint = last_savepoint(&job)?;
        ensure!(savepoint["status"]["copiedBy"].is_string(), "{savepoint}");
        println!("   {name}: gone after {:.1} s, {}", took.as_secs_f64(), savepoint["status"]["uri"]);
    }
    Ok(())
}
