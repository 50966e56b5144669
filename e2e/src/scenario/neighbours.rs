//! Other owners in the same namespace: their objects, limits and releases.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::savepoint;
use crate::job::{Place, condition, is_true};
use crate::kubectl::{run as program, system, until};

const PATIENCE: Duration = Duration::from_secs(120);

/// Objects of other owners with the names of a job's children, and pods with the job's label.
pub fn foreign_objects() -> Result<()> {
    let place = Place::new("foreign-objects")?;
    let namespace = &place.namespace;
    let objects = [
        ("serviceaccount", "v1", "ServiceAccount", "sensors-worker"),
        ("secret", "v1", "Secret", "sensors-identity"),
        ("configmap", "v1", "ConfigMap", "sensors-rev-1"),
    ];
    for (_, version, kind, name) in objects {
        let object =
            json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name, "labels": { "mine": "yes" } } });
        namespace.apply(&object.to_string())?;
    }
    let uid_of = |kind: &str, name: &str| -> Result<Value> {
        let mut object = namespace.get(kind, name)?.with_context(|| format!("{kind} {name} is gone"))?;
        ensure!(object["metadata"]["ownerReferences"].is_null(), "{object}");
        Ok(object["metadata"]["uid"].take())
    };
    let job = place.sensors("sensors", |_| ())?;
    job.apply()?;
    let mut left = objects.to_vec();
    while let Some((kind, _, _, name)) = left.first().copied() {
        let uid = uid_of(kind, name)?;
        let status = job.until("refused by name", |status| {
            condition(status, "Stalled")
                .is_some_and(|(_, reason, message)| reason == "ChildRefused" && message.contains(" is not the job's"))
        })?;
        println!("   {}", condition(&status, "Stalled").context("Stalled")?.2);
        ensure!(uid_of(kind, name)? == uid, "{kind} {name} was replaced");
        left.remove(0);
        if left.is_empty() {
            job.delete_within(PATIENCE)?;
            for (kind, _, _, name) in objects.iter().skip(2) {
                uid_of(kind, name)?;
            }
        } else {
            namespace.kubectl(&["delete", kind, name])?;
        }
    }
    Ok(())
}

/// A namespace in which a pod without limits is refused, with savepoints and state that are deleted by batch jobs.
pub fn quota() -> Result<()> {
    let place = Place::new("quota")?;
    let hard = json!({ "requests.cpu": "2", "requests.memory": "2Gi", "limits.cpu": "4", "limits.memory": "4Gi", "pods": "6" });
    let range = json!([{ "type": "Container", "max": { "cpu": "2", "memory": "2Gi" }, "min": { "cpu": "10m", "memory": "16Mi" } }]);
    let quota =
        json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "all" }, "spec": { "hard": hard } });
    let limits =
        json!({ "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "all" }, "spec": { "limits": range } });
    place.namespace.apply(&quota.to_string())?;
    place.namespace.apply(&limits.to_string())?;
    let resources = |cpu: &str| {
        json!({ "resources": {
            "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "cpu": cpu, "memory": "512Mi" },
        } })
    };
    let mut job = place.sensors("sensors", |manifest| {
        manifest["spec"]["savepoints"] = json!({ "onDelete": "Delete" });
        manifest["spec"]["workers"] = resources("3");
    })?;
    job.apply()?;
    let status = job.until("reported that its pod is refused", |status| {
        ["Ready", "Running", "Stalled"]
            .iter()
            .all(|kind| condition(status, kind).is_some_and(|(_, reason, _)| reason == "FailedCreate"))
    })?;
    let (_, _, why) = condition(&status, "Stalled").context("Stalled")?;
    ensure!(why.contains("maximum cpu usage per Container is 2"), "{why}");
    println!("   {why}");
    job.change(|manifest| manifest["spec"]["workers"] = resources("1"))?;
    job.wait_ready()?;
    let status = job.until("not Stalled", |status| !is_true(status, "Stalled"))?;
    ensure!(condition(&status, "Ready").is_some_and(|(ready, ..)| ready == "True"), "{status}");
    savepoint::take(&job, "taken", "Delete")?;
    place.namespace.kubectl(&["delete", "savepoint", "taken", "--timeout=60s"])?;
    job.delete_within(PATIENCE)?;
    let completed = until("both batch jobs are complete", PATIENCE, || {
        let jobs = place.namespace.list("jobs", "app.kubernetes.io/name=eddyline-cleanup")?;
        let complete = jobs.iter().filter(|job| is_true(&job["status"], "Complete")).count();
        Ok((complete == 2).then_some(complete))
    })?;
    println!("   {completed} batch jobs have deleted state under a quota and a LimitRange");
    Ok(())
}

/// A second release in the namespace of the first one: both lead, and the jobs that both serve are left to the first
/// one. That does not change when the leader of the first one ends.
pub fn releases() -> Result<()> {
    let place = Place::new("releases")?;
    let system = system();
    let values = program("helm", &["get", "values", "eddyline", "-n", &system.name, "-o", "json"])?;
    let file = std::env::temp_dir().join(format!("eddyline-e2e-second-{}.json", std::process::id()));
    std::fs::write(&file, values)?;
    let path = file.display().to_string();
    let shared = Place::new("releases-second")?;
    let watched = format!("watchNamespaces={{{}}}", shared.namespace.name);
    let install = [
        "install",
        "second",
        "charts/eddyline",
        "-n",
        &system.name,
        "-f",
        &path,
        "--set",
        "crds.install=false",
        "--set",
        "replicas=1",
        "--set",
        &watched,
        "--wait",
        "--timeout",
        "180s",
    ];
    let result = program("helm", &install).and_then(|_| both_lead(&place, &shared));
    program("helm", &["uninstall", "second", "-n", &system.name, "--wait"])?;
    std::fs::remove_file(&file)?;
    result
}

fn both_lead(place: &Place, shared: &Place) -> Result<()> {
    let system = system();
    let holders = || -> Result<Option<Vec<String>>> {
        let leases = system.list("leases", "")?;
        let of_releases =
            leases.iter().filter(|lease| lease["metadata"]["annotations"]["eddyline.io/namespaces"].is_string());
        let held: Vec<String> = of_releases
            .filter_map(|lease| lease["spec"]["holderIdentity"].as_str())
            .filter(|holder| !holder.is_empty())
            .map(str::to_owned)
            .collect();
        Ok((held.len() == 2).then_some(held))
    };
    let held = until("both releases lead", PATIENCE, holders)?;
    println!("   leading: {}", held.join(", "));
    // The first release serves all namespaces, that of the second one among them, and is older.
    let claimed = shared.sensors("claimed", |_| ())?;
    claimed.apply()?;
    println!("   {}", claimed.event("ReleasesOverlap")?);
    claimed.wait_ready()?;
    let first = held.iter().find(|holder| !holder.starts_with("second-")).context("the first release leads")?;
    system.kubectl(&["delete", "pod", first])?;
    let job = place.sensors("sensors", |_| ())?;
    job.apply()?;
    let took = job.wait_ready()?;
    println!("   a job of the first release is Ready {:.1} s after its leader went", took.as_secs_f64());
    Ok(())
}
