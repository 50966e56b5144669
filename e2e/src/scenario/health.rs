//! How GitOps tools and alerts interpret a job's status.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::job::{Job, Place, condition, is_true};
use crate::kubectl::{process_of, run as program, until};

const PATIENCE: Duration = Duration::from_secs(120);

/// The health of an object according to kstatus, which Flux, kpt and Argo CD's own checks for operators use.
fn health(object: &Value) -> &'static str {
    let status = &object["status"];
    if object["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating";
    }
    if status["observedGeneration"] != object["metadata"]["generation"] {
        return "InProgress";
    }
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    for condition in conditions {
        match (condition["type"].as_str(), condition["status"].as_str()) {
            (Some("Reconciling"), Some("True")) => return "InProgress",
            (Some("Stalled"), Some("True")) => return "Failed",
            _ => {}
        }
    }
    match condition(status, "Ready") {
        Some((ready, ..)) if ready == "True" => "Current",
        _ => "InProgress",
    }
}

fn until_health(job: &Job<'_>, wanted: &str) -> Result<()> {
    until(&format!("{} is {wanted}", job.name), PATIENCE, || Ok((health(&job.object()?) == wanted).then_some(())))
        .with_context(|| format!("{}", job.object().unwrap_or_default()["status"]))
}

const BOUNDED: &str = "CREATE TABLE few (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT n FROM few;";

/// Every stable state settles.
pub fn gitops() -> Result<()> {
    let place = Place::new("gitops")?;
    let mut running = place.sensors("running", |_| ())?;
    let finished = place.sensors("finished", |manifest| manifest["spec"]["sql"] = BOUNDED.into())?;
    let refused = place.sensors("refused", |manifest| manifest["spec"]["sql"] = "SELEC".into())?;
    let without_image = place.sensors("without-image", |manifest| {
        manifest["spec"]["workers"] = json!({ "version": "0.0.0-missing" });
    })?;
    for job in [&running, &finished, &refused, &without_image] {
        job.apply()?;
    }
    for (job, wanted) in
        [(&running, "Current"), (&finished, "Current"), (&refused, "Failed"), (&without_image, "Failed")]
    {
        until_health(job, wanted)?;
    }
    running.change(|manifest| manifest["spec"]["state"] = json!("Suspended"))?;
    running.until("suspended", |status| status["phase"] == "Suspended")?;
    until_health(&running, "Current")?;
    println!("   running, finished and suspended are Current; refused SQL and a missing image are Failed");
    Ok(())
}

/// A worker that does not answer for three seconds, five times.
pub fn lost_poll() -> Result<()> {
    let place = Place::new("lost-poll")?;
    let job = place.sensors("sensors", |_| ())?;
    job.apply()?;
    job.wait_ready()?;
    let since = |status: &Value| -> Vec<Value> {
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let kinds = ["Ready", "Reconciling", "WorkersReady", "CheckpointHealthy", "Stalled"];
        let of_interest = conditions.into_iter().filter(|one| kinds.iter().any(|kind| one["type"] == *kind));
        of_interest.map(|one| json!([one["type"], one["status"], one["lastTransitionTime"]])).collect()
    };
    let before = since(&job.status()?);
    let pod = place.namespace.get("pod", &job.pod())?.context("the worker's pod")?;
    let (node, process) = process_of(&pod)?;
    for _ in 0..5 {
        program("docker", &["exec", &node, "kill", "-STOP", &process])?;
        std::thread::park_timeout(Duration::from_secs(3));
        program("docker", &["exec", &node, "kill", "-CONT", &process])?;
        let id = |status: &Value| status["checkpoint"]["lastId"].as_u64().unwrap_or(0);
        let last = id(&job.status()?);
        let status = job.until("another checkpoint", |status| id(status) > last)?;
        ensure!(since(&status) == before, "conditions have changed: {status}");
    }
    let events = place.namespace.events(&job.name)?;
    ensure!(events.iter().all(|(reason, _)| reason != "Restarting"), "{events:?}");
    println!("   five pauses of 3 s: no condition has changed, no event was sent");
    Ok(())
}

/// The keys of the storage are wrong for a while, and then right again.
pub fn rotated_keys() -> Result<()> {
    let place = Place::new("rotated-keys")?;
    let job = place.sensors("sensors", |manifest| manifest["spec"]["checkpoint"]["timeout"] = json!("10s"))?;
    job.apply()?;
    job.wait_ready()?;
    let uid = || -> Result<Value> {
        Ok(place.namespace.get("pod", &job.pod())?.context("the pod")?["metadata"]["uid"].take())
    };
    let before = uid()?;
    let set_key = |key: &str| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(key);
        let patch = json!({ "data": { "AWS_SECRET_ACCESS_KEY": encoded } }).to_string();
        place.namespace.kubectl(&["patch", "secret", "s3", "--type=merge", "-p", &patch])
    };
    set_key("not-the-key")?;
    // Mounted files follow the Secret within a minute or two. An attempt that begins after that has the new key.
    let failing = job.until_within("its checkpoints fail", Duration::from_secs(240), |status| {
        !is_true(status, "CheckpointHealthy") || status["phase"] != "Running"
    });
    set_key("eddyline")?;
    match failing {
        Ok(status) => println!("   meanwhile: {}", status["summary"]),
        Err(_) => println!("   the old key was good for as long as its connections were"),
    }
    let id = |status: &Value| status["checkpoint"]["lastId"].as_u64().unwrap_or(0);
    let last = id(&job.status()?);
    job.until_within("checkpoints complete again", Duration::from_secs(300), |status| {
        is_true(status, "Ready") && id(status) > last
    })?;
    ensure!(uid()? == before, "nobody has to delete a pod");
    Ok(())
}
