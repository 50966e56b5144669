//! Jobs that go.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::job::Place;
use crate::kubectl::{run as program, until};
use crate::readings::Load;

/// Every job is gone within this time, whatever is out of order.
const PATIENCE: Duration = Duration::from_secs(60);

/// Each policy; storage out of reach; a namespace with jobs in several states.
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

    for (name, policy) in [("last-final", "Final"), ("last-delete", "Delete")] {
        let job = place.sensors(name, |manifest| {
            manifest["spec"]["savepoints"] = json!({ "onDelete": policy });
        })?;
        job.apply()?;
    }
    program("kubectl", &["delete", "namespace", &place.namespace.name, "--timeout=120s"])?;
    println!("   the namespace with jobs that were starting is gone");
    Ok(())
}
