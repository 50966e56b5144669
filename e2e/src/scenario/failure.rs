//! Lost pods, processes and nodes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::job::{Job, Place};
use crate::kubectl::{process_of, run as program, until};
use crate::readings::Load;

/// The process of a worker as its node sees it: found by the pod's container, and ended from the node.
fn kill_process(job: &Job<'_>) -> Result<()> {
    let pod = job.place.namespace.get("pod", &job.pod())?.context("the worker's pod")?;
    let (node, process) = process_of(&pod)?;
    program("docker", &["exec", &node, "kill", "-9", &process])?;
    Ok(())
}

/// `kubectl delete pod --force`, and `kill -9` of the process in its container.
pub fn run() -> Result<()> {
    let place = Place::new("failure")?;
    let job = place.sensors("sensors", |_| ())?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 1_000)?;

    let before = job.attempt()?;
    let began = Instant::now();
    place.namespace.kubectl(&["delete", "pod", &job.pod(), "--force", "--grace-period=0"])?;
    job.until_recovered(before)?;
    println!("   pod deleted by force: Ready again after {:.1} s", began.elapsed().as_secs_f64());

    let before = job.attempt()?;
    let began = Instant::now();
    kill_process(&job)?;
    let status = job.until_recovered(before)?;
    println!("   process killed: Ready again after {:.1} s", began.elapsed().as_secs_f64());
    ensure!(status["restarts"].as_u64().is_some_and(|restarts| restarts >= 1), "{status}");
    ensure!(status["lastFailure"]["reason"] == "Killed", "{}", status["lastFailure"]);
    job.event("WorkerFailed")?;
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}

/// A job whose state does not fit into the memory of its worker, until the limit is raised.
const HOARDER: &str = "CREATE TABLE visits (visitor BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH (
  'connector' = 'datagen', 'number-of-rows' = '2000000', 'rows-per-second' = '500000'
);
CREATE TABLE nothing (visitor BIGINT, visits BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing
SELECT visitor, COUNT(*)
FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '1' HOUR))
GROUP BY visitor, window_start, window_end;";

/// A worker that needs more memory than it may have.
pub fn out_of_memory() -> Result<()> {
    let place = Place::new("out-of-memory")?;
    let mut job = place.sensors("hoarder", |manifest| {
        manifest["spec"]["sql"] = HOARDER.into();
        manifest["spec"]["workers"] = json!({ "resources": { "limits": { "memory": "64Mi" } } });
        manifest["spec"]["upgrade"] = json!({ "rollback": { "enabled": false } });
    })?;
    job.apply()?;
    let status = job.until("reported as out of memory", |status| status["lastFailure"]["reason"] == "OutOfMemory")?;
    println!("   {}", status["lastFailure"]["message"]);
    job.change(|manifest| {
        manifest["spec"]["workers"] = json!({ "resources": { "limits": { "memory": "1Gi" } } });
    })?;
    job.until("finished with more memory", |status| status["phase"] == "Finished")?;
    println!("   all its input is read with more memory");
    Ok(())
}

fn node_of(job: &Job<'_>) -> Result<String> {
    let pod = job.place.namespace.get("pod", &job.pod())?.context("the worker's pod")?;
    Ok(pod["spec"]["nodeName"].as_str().context("the pod has a node")?.to_owned())
}

/// Whether a node runs the broker, the S3 server or the API server, and so must stay.
fn is_needed(node: &str) -> bool {
    node.ends_with("control-plane")
}

/// Puts the job on a worker node of the cluster, by its pod template.
fn off_the_control_plane(manifest: &mut Value) {
    manifest["spec"]["workers"] = json!({ "template": { "spec": { "affinity": { "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchExpressions": [
            { "key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist" },
        ] }] },
    } } } } });
}

/// A drained, a paused and a stopped node.
pub fn node_loss() -> Result<()> {
    let nodes = program("kubectl", &["get", "nodes", "-o", "name"])?;
    if nodes.lines().filter(|node| !is_needed(node)).count() < 2 {
        bail!("this needs two worker nodes besides the control plane: make cluster WORKERS=2");
    }
    let place = Place::new("node-loss")?;
    let job = place.sensors("sensors", off_the_control_plane)?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 500)?;

    let (node, before, began) = (node_of(&job)?, job.attempt()?, Instant::now());
    let drain = ["drain", &node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s"];
    let drained = program("kubectl", &drain).and_then(|_| job.until_recovered(before));
    program("kubectl", &["uncordon", &node])?;
    drained?;
    println!("   {node} drained: Ready again after {:.1} s", began.elapsed().as_secs_f64());

    for (stop, start) in [("pause", "unpause"), ("stop", "start")] {
        let (node, before, began) = (node_of(&job)?, job.attempt()?, Instant::now());
        ensure!(!is_needed(&node), "the job runs on {node}, which must stay");
        program("docker", &[stop, &node])?;
        let recovered = job.until_within("running elsewhere", Duration::from_secs(300), |status| {
            status["attempt"].as_u64().is_some_and(|attempt| attempt > before) && status["phase"] == "Running"
        });
        program("docker", &[start, &node])?;
        let status = recovered?;
        println!("   {node}: docker {stop}: runs elsewhere after {:.0} s", began.elapsed().as_secs_f64());
        ensure!(status["lastFailure"]["reason"] == "NodeLost", "{}", status["lastFailure"]);
        until(&format!("{node} is Ready again"), Duration::from_secs(180), || {
            let wait = ["wait", "--for=condition=Ready", &format!("node/{node}"), "--timeout=5s"];
            Ok(program("kubectl", &wait).ok())
        })?;
    }
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}
