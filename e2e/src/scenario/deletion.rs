//! Jobs that are deleted.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::savepoint;
use crate::job::{Place, condition, is_true};
use crate::kubectl::{run as program, until};
use crate::readings::Load;

/// Every job is gone within this time, whatever does not work.
const PATIENCE: Duration = Duration::from_secs(60);

/// Each policy, with a worker and without; storage out of reach.
pub fn run() -> Result<()> {
    let place = Place::new("deletion")?;
    let mut jobs = Vec::new();
    for policy in ["Retain", "Final", "Delete"] {
        let job = place.sensors(&policy.to_lowercase(), |manifest| {
            manifest["spec"]["savepoints"] = json!({ "onDelete": policy });
            manifest["spec"]["parallelism"] = json!(1);
        })?;
        job.apply()?;
        jobs.push((policy, job));
    }
    let unreachable = place.sensors("unreachable", |manifest| {
        manifest["spec"]["savepoints"] = json!({ "onDelete": "Delete" });
        manifest["spec"]["checkpoint"]["storage"]["endpoint"] = json!("http://192.0.2.1:9");
    })?;
    unreachable.apply()?;
    for (policy, job) in &jobs {
        job.wait_ready()?;
        let load = Load::start(&place.broker, &job.readings, 200)?;
        job.until("a checkpoint", |status| status["checkpoint"]["lastId"].as_u64().is_some_and(|id| id > 1))?;
        drop(load);
        let uri = job.status()?["checkpoint"]["uri"].as_str().context("a checkpoint")?.to_owned();
        let took = job.delete_within(PATIENCE)?;
        println!("   onDelete {policy}: gone after {:.1} s (its last checkpoint was {uri})", took.as_secs_f64());
        let savepoints = place.namespace.list("savepoints", "")?;
        let kept = savepoints.iter().filter(|savepoint| {
            savepoint["spec"]["jobRef"]["name"] == job.name.as_str() && savepoint["status"]["phase"] == "Completed"
        });
        ensure!(kept.count() == usize::from(*policy == "Final"), "{policy}: {savepoints:?}");
        until("its pods and secrets are gone", PATIENCE, || {
            let selector = format!("eddyline.io/job={}", job.name);
            let left = place.namespace.list("pods,secrets,configmaps,statefulsets,services", &selector)?;
            Ok(left.is_empty().then_some(()))
        })?;
    }
    let took = unreachable.delete_within(PATIENCE)?;
    println!("   onDelete Delete with storage out of reach: gone after {:.1} s", took.as_secs_f64());

    let suspended = |policy: &str| {
        let mut job = place.sensors(&format!("suspended-{}", policy.to_lowercase()), |manifest| {
            manifest["spec"]["savepoints"] = json!({ "onDelete": policy });
        })?;
        job.apply()?;
        job.wait_ready()?;
        job.change(|manifest| manifest["spec"]["state"] = json!("Suspended"))?;
        job.until("suspended", |status| status["phase"] == "Suspended")?;
        Ok::<_, anyhow::Error>(job)
    };
    for policy in ["Retain", "Final", "Delete"] {
        let took = suspended(policy)?.delete_within(PATIENCE)?;
        println!("   onDelete {policy} without pods: gone after {:.1} s", took.as_secs_f64());
    }
    Ok(())
}

/// Reads a few rows and finishes.
const SHORT: &str = "CREATE TABLE few (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT n FROM few;";

/// Reads a folder that does not exist.
const HOPELESS: &str = "CREATE TABLE none (n BIGINT) WITH (
  'connector' = 'filesystem', 'path' = '/nowhere', 'format' = 'json'
);
CREATE TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT n FROM none;";

/// `kubectl delete namespace` with a job in every stable state.
pub fn namespace() -> Result<()> {
    let place = Place::new("namespace")?;
    let job = |name: &str, on_delete: &str, change: &dyn Fn(&mut Value)| {
        let job = place.sensors(name, |manifest| {
            manifest["spec"]["savepoints"] = json!({ "onDelete": on_delete });
            change(manifest);
        })?;
        job.apply()?;
        Ok::<_, anyhow::Error>(job)
    };
    let running = job("running", "Final", &|_| ())?;
    let mut suspended = job("suspended", "Final", &|_| ())?;
    let finished = job("finished", "Delete", &|manifest| manifest["spec"]["sql"] = SHORT.into())?;
    let failed = job("failed", "Delete", &|manifest| manifest["spec"]["sql"] = HOPELESS.into())?;
    let refused = job("refused", "Final", &|manifest| manifest["spec"]["sql"] = "SELEC".into())?;
    let without_image =
        job("without-image", "Final", &|manifest| manifest["spec"]["workers"] = json!({ "version": "0.0.0-missing" }))?;
    let without_node = job("without-node", "Delete", &|manifest| {
        manifest["spec"]["workers"] = json!({ "resources": { "requests": { "cpu": "1000" } } });
    })?;
    running.wait_ready()?;
    suspended.wait_ready()?;
    suspended.change(|manifest| manifest["spec"]["state"] = json!("Suspended"))?;
    suspended.until("suspended", |status| status["phase"] == "Suspended")?;
    finished.until("finished", |status| status["phase"] == "Finished")?;
    failed.until("failed", |status| status["phase"] == "Failed")?;
    refused.until("refused", |status| !is_true(status, "Accepted"))?;
    for (waiting, reason) in [(&without_image, "ImagePullFailed"), (&without_node, "Unschedulable")] {
        waiting.until(reason, |status| condition(status, "Stalled").is_some_and(|(_, found, _)| found == reason))?;
    }
    savepoint::take(&running, "taken", "Delete")?;
    job("starting", "Final", &|_| ())?;
    let began = Instant::now();
    program("kubectl", &["delete", "namespace", &place.namespace.name, "--timeout=120s"])?;
    println!(
        "   the namespace with eight jobs, each in another state, is gone after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}
