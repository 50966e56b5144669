//! Savepoints by object and by schedule.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::job::{Job, Place};
use crate::kubectl::until;
use crate::readings::Load;

/// Creates a Savepoint and waits until it is complete.
pub fn take(job: &Job<'_>, name: &str, policy: &str) -> Result<Value> {
    let object = json!({
        "apiVersion": "eddyline.io/v1alpha1",
        "kind": "Savepoint",
        "metadata": { "name": name },
        "spec": { "jobRef": { "name": job.name }, "deletionPolicy": policy },
    });
    let namespace = &job.place.namespace;
    namespace.apply(&object.to_string())?;
    until(&format!("savepoint {name} is complete"), Duration::from_secs(60), || {
        let found = namespace.get("savepoint", name)?.context("the savepoint")?;
        ensure!(found["status"]["phase"] != "Failed", "{}", found["status"]);
        Ok(if found["status"]["phase"] == "Completed" { Some(found) } else { None })
    })
}

/// A savepoint by object; a new job that starts from it.
pub fn run() -> Result<()> {
    let place = Place::new("savepoint")?;
    let job = place.sensors("sensors", |_| ())?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 1_000)?;
    job.until("records are read", |status| {
        status["progress"]["recordsInPerSecond"].as_u64().is_some_and(|rate| rate > 0)
    })?;
    let taken = take(&job, "by-hand", "Delete")?;
    let uri = taken["status"]["uri"].as_str().context("where it is")?;
    println!("   {uri}");

    // The new job resumes where the savepoint was taken, so it repeats the results since then and no others.
    let mut copy = place.sensors("copy", |manifest| {
        manifest["spec"]["restoreFrom"] = json!({ "savepointRef": { "name": "by-hand" } });
    })?;
    let sql = copy.manifest["spec"]["sql"].as_str().unwrap_or_default().replace(&copy.readings, &job.readings);
    copy.manifest["spec"]["sql"] = sql.into();
    copy.apply()?;
    copy.wait_ready()?;
    let status = copy.status()?;
    ensure!(status["revision"]["from"] == uri, "{}", status["revision"]);
    copy.event("CheckpointRestored")?;

    let results = load.finish(&job.results)?;
    println!("   {results} results of the job, each once and right");
    let copied = place.broker.read_committed(&copy.results, Duration::from_secs(120), |records| !records.is_empty())?;
    ensure!(copied.len() < results, "the copy started without the savepoint: {} of {results} results", copied.len());
    println!("   the copy resumed from the savepoint: {} results so far", copied.len());

    place.namespace.kubectl(&["delete", "savepoint", "by-hand", "--timeout=60s"])?;
    Ok(())
}

/// Savepoints every minute, of which the last one is kept.
pub fn schedule() -> Result<()> {
    let place = Place::new("schedule")?;
    let job = place.sensors("sensors", |manifest| {
        manifest["spec"]["savepoints"] = json!({ "schedule": "* * * * *", "keep": 1 });
    })?;
    job.apply()?;
    job.wait_ready()?;
    let completed = || -> Result<Vec<String>> {
        let listed = place.namespace.list("savepoints", "eddyline.io/scheduled-for=sensors")?;
        let completed = listed.iter().filter(|savepoint| savepoint["status"]["phase"] == "Completed");
        Ok(completed.filter_map(|savepoint| Some(savepoint["metadata"]["name"].as_str()?.to_owned())).collect())
    };
    let first = until("a scheduled savepoint", Duration::from_secs(130), || Ok(completed()?.first().cloned()))?;
    let second = until("the next one in its place", Duration::from_secs(150), || {
        Ok(completed()?.into_iter().find(|name| *name != first))
    })?;
    until("only one is kept", Duration::from_secs(60), || Ok((completed()? == [second.clone()]).then_some(())))?;
    println!("   {first}, then {second}; one is kept");
    Ok(())
}
