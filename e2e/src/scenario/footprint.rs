//! Many jobs, small pods, and the chart.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::job::{Place, is_true};
use crate::kubectl::{Namespace, controllers, process_of, run as program, system, until};
use crate::readings::Load;

const JOBS: usize = 50;
const CONTROLLER_MIB_MAX: f64 = 40.0;
const WORKER_MIB_MAX: f64 = 30.0;

/// A job with almost nothing to do.
const IDLE: &str = "CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1');
CREATE TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT n FROM ticks;";

/// The resident memory of the main process of a pod, as its node sees it.
fn resident_mib(pod: &Value) -> Result<f64> {
    let (node, process) = process_of(pod)?;
    let status = program("docker", &["exec", &node, "cat", &format!("/proc/{process}/status")])?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Fifty jobs that idle.
pub fn run() -> Result<()> {
    let place = Place::new("footprint")?;
    let job = |name: &str| {
        json!({
            "apiVersion": "eddyline.io/v1alpha1",
            "kind": "StreamJob",
            "metadata": { "name": name },
            // Fifty must fit on a node of two cores.
            "spec": { "sql": IDLE, "workers": { "resources": { "requests": { "cpu": "5m", "memory": "32Mi" } } } },
        })
    };
    let began = Instant::now();
    let items: Vec<Value> = (0..JOBS).map(|number| job(&format!("small-{number}"))).collect();
    place.namespace.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())?;
    until("all are reconciled", Duration::from_secs(180), || {
        let jobs = place.namespace.list("streamjobs", "")?;
        let ready =
            jobs.iter().filter(|job| job["status"]["observedGeneration"] == 1 && is_true(&job["status"], "Accepted"));
        Ok((ready.count() == JOBS).then_some(()))
    })?;
    println!("   {JOBS} jobs reconciled within {:.0} s", began.elapsed().as_secs_f64());
    let running = until("all run", Duration::from_secs(600), || {
        let jobs = place.namespace.list("streamjobs", "")?;
        Ok((jobs.iter().filter(|job| is_true(&job["status"], "Ready")).count() == JOBS).then(|| began.elapsed()))
    })?;
    println!("   all {JOBS} run after {:.0} s", running.as_secs_f64());

    let resident = controllers()?.iter().map(resident_mib).collect::<Result<Vec<f64>>>()?;
    let controller = resident.iter().copied().fold(0.0, f64::max);
    println!("   controllers with {JOBS} jobs: {resident:.1?} MiB, wanted at most {CONTROLLER_MIB_MAX}");
    let pods = place.namespace.list("pods", "eddyline.io/job=small-0")?;
    let worker = resident_mib(pods.first().context("a worker")?)?;
    println!("   idle worker: {worker:.1} MiB, wanted below {WORKER_MIB_MAX}");
    ensure!(controller <= CONTROLLER_MIB_MAX, "the controller needs {controller:.1} MiB");
    ensure!(worker <= WORKER_MIB_MAX, "an idle worker needs {worker:.1} MiB");
    Ok(())
}

/// `helm upgrade` with a changed CRD, and `helm uninstall`, while a job runs.
pub fn chart() -> Result<()> {
    let place = Place::new("chart")?;
    let job = place.sensors("sensors", |_| ())?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 300)?;
    let pod = |namespace: &Namespace| -> Result<Value> {
        Ok(namespace.get("pod", &job.pod())?.context("the pod")?["metadata"]["uid"].take())
    };
    let before = pod(&place.namespace)?;
    let crd = "streamjobs.eddyline.io";
    program("kubectl", &["annotate", "crd", crd, "eddyline.io/e2e-old=true", "--overwrite"])?;
    program("kubectl", &["label", "crd", crd, "app.kubernetes.io/version=0.0.1", "--overwrite"])?;
    let chart = "charts/eddyline";
    let system = system().name;
    let upgrade = [
        "upgrade",
        "eddyline",
        chart,
        "-n",
        &system,
        "--reuse-values",
        "--set",
        "podAnnotations.e2e=upgraded",
        "--wait",
        "--timeout",
        "180s",
    ];
    program("helm", &upgrade)?;
    let label =
        program("kubectl", &["get", "crd", crd, "-o", "jsonpath={.metadata.labels.app\\.kubernetes\\.io/version}"])?;
    ensure!(label != "0.0.1", "helm upgrade has not updated the CRD");
    job.until("observed by the new controller", |status| is_true(status, "Ready"))?;
    ensure!(pod(&place.namespace)? == before, "helm upgrade has restarted the worker");

    let values = program("helm", &["get", "values", "eddyline", "-n", &system, "-o", "json"])?;
    program("helm", &["uninstall", "eddyline", "-n", &system, "--wait"])?;
    ensure!(place.namespace.get("streamjob", "sensors")?.is_some(), "helm uninstall has removed jobs");
    ensure!(pod(&place.namespace)? == before, "helm uninstall has removed the worker");
    let file = std::env::temp_dir().join(format!("eddyline-e2e-values-{}.json", std::process::id()));
    std::fs::write(&file, values)?;
    let values = file.display().to_string();
    program("helm", &["install", "eddyline", chart, "-n", &system, "-f", &values, "--wait", "--timeout", "180s"])?;
    std::fs::remove_file(&file)?;
    job.until("observed after another install", |status| is_true(status, "Ready"))?;
    println!("   helm upgrade and helm uninstall leave the job running");
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}
