//! Outages of services for a minute.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::job::{Job, Place, is_true};
use crate::kubectl::{Namespace, run as program, until};
use crate::readings::Load;

const AWAY: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(300);

/// Stops the pod of a service for a minute.
fn without(service: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    let services = Namespace { name: "services".to_owned() };
    let object = format!("statefulset/{service}");
    services.kubectl(&["scale", &object, "--replicas=0"])?;
    let began = Instant::now();
    let result = meanwhile();
    std::thread::park_timeout(AWAY.saturating_sub(began.elapsed()));
    services.kubectl(&["scale", &object, "--replicas=1"])?;
    services.kubectl(&["rollout", "status", &object, "--timeout=180s"])?;
    result
}

fn runs_again(job: &Job<'_>) -> Result<()> {
    let began = Instant::now();
    let checkpoint = |status: &serde_json::Value| status["checkpoint"]["lastId"].as_u64().unwrap_or(0);
    let before = checkpoint(&job.status()?);
    job.until_within("Running with a new checkpoint", PATIENCE, |status| {
        status["phase"] == "Running" && is_true(status, "Ready") && checkpoint(status) > before
    })?;
    println!("   Ready with a new checkpoint {:.0} s after the service came back", began.elapsed().as_secs_f64());
    Ok(())
}

/// The broker.
pub fn broker() -> Result<()> {
    let place = Place::new("broker-away")?;
    let job = place.sensors("sensors", |_| ())?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 300)?;
    job.until("records are read", |status| {
        status["progress"]["recordsInPerSecond"].as_u64().is_some_and(|rate| rate > 0)
    })?;
    without("kafka", || {
        let status = job.until("reported by the status", |status| is_true(status, "Warning"))?;
        let conditions = status["conditions"].as_array().context("conditions")?;
        let warning = conditions.iter().find(|condition| condition["type"] == "Warning").context("the condition")?;
        ensure!(warning["reason"] == "SourceUnreachable", "{warning}");
        println!("   meanwhile: {}", warning["message"]);
        job.event("SourceUnreachable")?;
        Ok(())
    })?;
    job.until("no warning", |status| !is_true(status, "Warning"))?;
    runs_again(&job)?;
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}

/// The S3 server.
pub fn storage() -> Result<()> {
    let place = Place::new("storage-away")?;
    let job = place.sensors("sensors", |manifest| manifest["spec"]["checkpoint"]["timeout"] = json!("10s"))?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 300)?;
    without("s3", || {
        job.until("reported by CheckpointHealthy or the phase", |status| {
            !is_true(status, "CheckpointHealthy") || status["phase"] != "Running"
        })?;
        println!("   meanwhile: {}", job.status()?["summary"]);
        Ok(())
    })?;
    runs_again(&job)?;
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}

/// The API server, by moving its manifest to another folder on the node.
pub fn api_server() -> Result<()> {
    let place = Place::new("api-server-away")?;
    let job = place.sensors("sensors", |_| ())?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 300)?;
    let before = job.attempt()?;
    let nodes = program("kubectl", &["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
    let node = nodes.split(' ').find(|node| node.ends_with("control-plane")).unwrap_or_default().to_owned();
    let (manifests, aside) = ("/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/kube-apiserver.yaml");
    program("docker", &["exec", &node, "mv", manifests, aside])?;
    std::thread::park_timeout(AWAY);
    program("docker", &["exec", &node, "mv", aside, manifests])?;
    until("the API server answers", PATIENCE, || Ok(program("kubectl", &["get", "nodes"]).ok()))?;
    runs_again(&job)?;
    ensure!(job.attempt()? == before, "the job was disturbed: attempt {} after {before}", job.attempt()?);
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}
