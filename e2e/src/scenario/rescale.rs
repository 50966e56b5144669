//! More and fewer slots.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::job::Place;
use crate::kubectl::{run as program, until};
use crate::readings::Load;

/// `kubectl scale` to 4, then edits to 1, 4 and 2, under load.
pub fn run() -> Result<()> {
    let place = Place::new("rescale")?;
    let mut job = place.sensors("sensors", |manifest| manifest["spec"]["parallelism"] = json!(1))?;
    job.apply()?;
    job.until_running_on(1)?;
    let load = Load::start(&place.broker, &job.readings, 2_000)?;
    place.namespace.kubectl(&["scale", "sj/sensors", "--replicas=4"])?;
    report(&job.until_running_on(4)?, 1, 4)?;
    for (from, to) in [(4, 1), (1, 4), (4, 2)] {
        job.change(|manifest| manifest["spec"]["parallelism"] = json!(to))?;
        report(&job.until_running_on(to)?, from, to)?;
    }
    job.event("RescaleCompleted")?;
    ensure!(job.status()?["restarts"] == 0, "a rescale is no restart: {}", job.status()?);
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}

fn report(status: &serde_json::Value, from: u64, to: u64) -> Result<()> {
    let last = &status["lastRescale"];
    ensure!(last["from"] == from && last["to"] == to, "{last}");
    ensure!(last["movedKeyGroups"].as_u64().is_some_and(|moved| moved > 0), "{last}");
    println!(
        "   {from} to {to} slots: {} key groups moved, pause {}, in all {}",
        last["movedKeyGroups"], last["pause"], last["duration"]
    );
    Ok(())
}

/// A HorizontalPodAutoscaler on the job raises its parallelism.
pub fn autoscaler() -> Result<()> {
    let place = Place::new("autoscaler")?;
    until("the cluster has a metrics API", Duration::from_secs(60), || {
        Ok(Some(program("kubectl", &["get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"])?))
    })?;
    // The worker asks for so little CPU that any work is far above the target.
    let job = place.sensors("sensors", |manifest| {
        manifest["spec"]["parallelism"] = json!(1);
        manifest["spec"]["workers"] = json!({ "resources": { "requests": { "cpu": "5m", "memory": "64Mi" } } });
    })?;
    job.apply()?;
    job.until_running_on(1)?;
    let load = Load::start(&place.broker, &job.readings, 5_000)?;
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "sensors" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "eddyline.io/v1alpha1", "kind": "StreamJob", "name": "sensors" },
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [{
                "type": "Resource",
                "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } },
            }],
        },
    });
    place.namespace.apply(&autoscaler.to_string())?;
    let raised = until("the autoscaler raises the parallelism", Duration::from_secs(240), || {
        let status = job.status()?;
        Ok(status["parallelism"].as_u64().filter(|now| *now > 1))
    })?;
    println!("   raised from 1 to {raised}");
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}
