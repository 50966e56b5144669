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

/// A job that keeps what it has read, in a window that does not end.
const COLLECTOR: &str =
    "CREATE TABLE visits (visitor BIGINT, ts AS TO_TIMESTAMP_LTZ(visitor, 3), WATERMARK FOR ts AS ts) WITH (
  'connector' = 'datagen', 'rows-per-second' = '5000',
  'fields.visitor.kind' = 'sequence', 'fields.visitor.start' = '1', 'fields.visitor.end' = '80000000'
);
CREATE TABLE nothing (visitor BIGINT, visits BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing
SELECT visitor, COUNT(*)
FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '1' DAY))
GROUP BY visitor, window_start, window_end;";

/// A metric of the worker, which has no labels.
fn metric(job: &Job<'_>, name: &str) -> Result<Option<f64>> {
    let (namespace, pod) = (&job.place.namespace.name, job.pod());
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:8080/proxy/metrics");
    let text = program("kubectl", &["get", "--raw", &path])?;
    Ok(text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()))
}

/// What the last restore of the worker has read: bytes from copies, and from storage.
fn restored(job: &Job<'_>) -> Result<(f64, f64)> {
    let of = |name| metric(job, name)?.with_context(|| format!("the worker has no metric {name}"));
    Ok((of("eddyline_restore_local_bytes")?, of("eddyline_restore_storage_bytes")?))
}

/// A killed process of a job with `workers.storage`, and a deleted pod.
pub fn local_copies() -> Result<()> {
    let place = Place::new("local-copies")?;
    let job = place.sensors("collector", |manifest| {
        manifest["spec"]["sql"] = COLLECTOR.into();
        manifest["spec"]["checkpoint"]["interval"] = "1s".into();
        manifest["spec"]["workers"] = json!({ "storage": { "size": "1Gi" } });
    })?;
    job.apply()?;
    job.wait_ready()?;
    let claim = format!("{}-data", job.pod());
    let claim = place.namespace.get("persistentvolumeclaim", &claim)?.context("the claim of the pod's volume")?;
    ensure!(claim["status"]["phase"] == "Bound", "{claim}");
    ensure!(claim["metadata"]["ownerReferences"][0]["kind"] == "Pod", "it is deleted with its pod: {claim}");
    until("a copy of a checkpoint that is not part of its manifest", Duration::from_secs(60), || {
        Ok(metric(&job, "eddyline_local_copy_bytes")?.filter(|bytes| *bytes > 200_000.0))
    })?;

    let (before, began) = (job.attempt()?, Instant::now());
    kill_process(&job)?;
    job.until_recovered(before)?;
    let (copies, storage) = restored(&job)?;
    println!("   process killed: Ready again after {:.1} s, {copies} bytes from copies", began.elapsed().as_secs_f64());
    ensure!(copies > 0.0 && storage == 0.0, "{copies} bytes from copies, {storage} from storage");

    let before = job.attempt()?;
    place.namespace.kubectl(&["delete", "pod", &job.pod()])?;
    job.until_recovered(before)?;
    let (copies, storage) = restored(&job)?;
    ensure!(copies == 0.0 && storage > 0.0, "a new pod has a new volume: {copies} bytes from copies");
    ensure!(metric(&job, "eddyline_local_copy_failures")? == Some(0.0), "copies could not be written");
    println!("   pod deleted: {storage} bytes from storage");
    Ok(())
}

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
