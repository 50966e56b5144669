//! Failures in a cluster: pods, nodes, memory, images, storage.

use eddyline_crds::status::Phase;
use serde_json::json;

use super::*;
use crate::testing::world::{EVENTS, NODES, PODS, SETS};

/// All conditions of a job whose pod does not run, for a reason.
fn down(reason: &str) -> [String; 10] {
    [
        format!("Ready False {reason}"),
        format!("Stalled True {reason}"),
        "Reconciling True Starting".to_owned(),
        "Accepted True Accepted".to_owned(),
        format!("Running False {reason}"),
        format!("WorkersReady False {reason}"),
        "CheckpointHealthy Unknown NotRunning".to_owned(),
        "WatermarkAdvancing Unknown NotRunning".to_owned(),
        "Backpressured Unknown NotRunning".to_owned(),
        "Warning False NothingToReport".to_owned(),
    ]
}

fn pod_uid(world: &World) -> Option<String> {
    let state = world.state();
    state.objects.get(PODS, "orders-worker-0")?["metadata"]["uid"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_pod_that_is_gone_is_replaced_and_the_job_resumes() {
    let mut scenario = Scenario::ready(|_| {}).await;
    let before = pod_uid(&scenario.world);
    {
        let mut state = scenario.world.state();
        let now = state.now;
        state.objects.delete(PODS, "orders-worker-0", &Value::Null, now);
    }
    scenario
        .until("ready again", |world| is_settled(world) && pod_uid(world).is_some_and(|uid| Some(uid) != before))
        .await;
    assert_eq!(scenario.status().attempt, 2);
    assert_eq!(scenario.status().restarts, 1);
    scenario.passes(5).await;
    assert_eq!(scenario.world.events(), ["Started", "Restarting"]);
}

#[tokio::test]
async fn a_stateful_set_that_was_deleted_comes_back() {
    let mut scenario = Scenario::ready(|_| {}).await;
    {
        let mut state = scenario.world.state();
        let now = state.now;
        state.objects.delete(SETS, "orders-worker", &Value::Null, now);
    }
    scenario.passes(1).await;
    scenario.until("ready again", is_settled).await;
    assert!(scenario.world.state().objects.get(SETS, "orders-worker").is_some());
}

fn set_ready(world: &World, node: &str, status: &str) {
    let mut state = world.state();
    let now = state.now;
    let ready = json!({"status": {"conditions": [
        {"type": "Ready", "status": status, "lastTransitionTime": now.to_string()}]}});
    state.objects.patch(NODES, node, Some("status"), &ready, false, now);
}

/// The node of the job's pod no longer answers.
fn lose_node(world: &World) {
    set_ready(world, "node-1", "Unknown");
    let mut state = world.state();
    state.has_network = false;
    let mut pod = state.objects.get(PODS, "orders-worker-0").cloned().expect("a pod");
    pod["lost"] = json!(true);
    pod["status"]["conditions"][0]["status"] = json!("False");
    state.objects.store(PODS, "orders-worker-0", pod);
}

#[tokio::test]
async fn a_job_without_a_fence_is_not_doubled_on_a_node_that_may_still_run_it() {
    type Say = fn(&World);
    let is_gone: Say = |world| {
        let mut state = world.state();
        let now = state.now;
        state.objects.delete(NODES, "node-1", &Value::Null, now);
    };
    let is_out: Say = |world| {
        let mut state = world.state();
        let now = state.now;
        let taints = json!({"spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}});
        state.objects.patch(NODES, "node-1", None, &taints, false, now);
    };
    for (what, say) in [("the Node is gone", is_gone), ("it is out of service", is_out)] {
        let mut scenario = Scenario::ready(|job| job.spec.checkpoint.storage = None).await;
        let before = pod_uid(&scenario.world);
        lose_node(&scenario.world);
        scenario.passes(120).await;
        assert_eq!(pod_uid(&scenario.world), before, "{what}: nobody has said that it has ended");
        let status = scenario.status();
        let workers = conditions::find(&status.conditions, Type::WorkersReady).expect("a condition");
        assert_eq!(workers.reason, "NodeLost", "{}", workers.message);
        say(&scenario.world);
        scenario.until("replaced", |world| pod_uid(world).is_some_and(|uid| Some(uid) != before)).await;
    }
}

#[tokio::test]
async fn no_pod_is_forced_to_go_while_most_nodes_are_silent() {
    let mut scenario = Scenario::ready(|_| {}).await;
    let before = pod_uid(&scenario.world);
    set_ready(&scenario.world, "node-2", "Unknown");
    lose_node(&scenario.world);
    scenario.passes(120).await;
    assert_eq!(pod_uid(&scenario.world), before, "two of three: it is they who have lost the API server");
    set_ready(&scenario.world, "node-2", "True");
    scenario.until("replaced", |world| pod_uid(world).is_some_and(|uid| Some(uid) != before)).await;
}

#[tokio::test]
async fn the_pod_of_a_lost_node_is_forced_to_go() {
    let mut scenario = Scenario::ready(|_| {}).await;
    let before = pod_uid(&scenario.world);
    lose_node(&scenario.world);
    scenario.passes(25).await;
    assert_eq!(pod_uid(&scenario.world), before, "it may come back");
    let status = scenario.status();
    let workers = conditions::find(&status.conditions, Type::WorkersReady).expect("a condition");
    assert_eq!(workers.reason, "NodeLost", "{}", workers.message);
    scenario.until("replaced", |world| pod_uid(world).is_some_and(|uid| Some(uid) != before)).await;
    scenario.world.state().has_network = true;
    scenario.until("ready again", is_settled).await;
    assert_eq!(scenario.status().last_failure.expect("a failure").reason, "NodeLost");
}

#[tokio::test]
async fn a_worker_that_was_fenced_off_is_replaced() {
    let mut scenario = Scenario::ready(|_| {}).await;
    let before = pod_uid(&scenario.world);
    for worker in scenario.world.state().workers.values_mut() {
        worker.status.phase = eddyline_api::Phase::Fenced;
    }
    scenario
        .until("replaced", |world| is_settled(world) && pod_uid(world).is_some_and(|uid| Some(uid) != before))
        .await;
}

#[tokio::test]
async fn a_crash_loop_and_a_lack_of_memory_are_reported_by_name() {
    for (reason, code, name, failure) in
        [("Error", 3, "CrashLoopBackOff", "Crashed"), ("OOMKilled", 137, "OutOfMemory", "OutOfMemory")]
    {
        let mut scenario = Scenario::ready(|_| {}).await;
        {
            let mut state = scenario.world.state();
            state.workers.clear();
            let now = state.now;
            let mut pod = state.objects.get(PODS, "orders-worker-0").cloned().expect("a pod");
            pod["status"]["conditions"][0]["status"] = json!("False");
            pod["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
            pod["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {
                "reason": reason, "exitCode": code, "finishedAt": now.to_string(), "message": "out of luck"}});
            state.objects.store(PODS, "orders-worker-0", pod);
        }
        scenario.passes(2).await;
        let status = scenario.status();
        let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
        assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", name));
        assert_eq!(said(&scenario), down(name));
        assert_eq!(status.last_failure.expect("a failure").reason, failure);
        scenario.passes(20).await;
        assert_eq!(said(&scenario), down(name));
        assert_eq!(scenario.world.events(), ["Started", "WorkerFailed", "Restarting"], "each reported once");
    }
}

#[tokio::test]
async fn an_upgrade_of_a_job_that_cannot_be_asked_resumes_from_its_latest_checkpoint() {
    let mut scenario = Scenario::ready(|_| {}).await;
    for worker in scenario.world.state().workers.values_mut() {
        worker.status.phase = eddyline_api::Phase::Failed;
        worker.status.message = Some("no such topic".to_owned());
    }
    scenario.until("failed", is_in(Phase::Failed)).await;
    let status = scenario.status();
    let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
    assert_eq!((stalled.reason.as_str(), stalled.message.as_str()), ("JobFailed", "no such topic"));
    let sql = testing::SQL.replace("SELECT n", "SELECT n + 1");
    scenario.world.edit("orders", &json!({"sql": sql}));
    scenario.until("upgraded", is_settled).await;
    let revision = scenario.status().revision.expect("a revision");
    assert_eq!((revision.number, revision.from.as_str()), (2, "latest"));
}

#[tokio::test]
async fn a_first_image_that_cannot_be_pulled_is_reported_and_replaced_when_it_is_corrected() {
    let mut scenario = Scenario::new();
    scenario.world.state().missing_tags.push("broken".to_owned());
    scenario.create(|job| job.spec.workers.version = "broken".to_owned());
    scenario
        .until("stalled", |world| {
            world.job("orders").and_then(|job| job.status).is_some_and(|status| {
                conditions::find(&status.conditions, Type::Stalled)
                    .is_some_and(|stalled| stalled.reason == "ImagePullFailed")
            })
        })
        .await;
    scenario.world.edit("orders", &json!({"workers": {"version": "1.0"}}));
    scenario.until("ready", is_settled).await;
    let revision = scenario.status().revision.expect("a revision");
    assert_eq!((revision.number, revision.from.as_str()), (2, "empty"), "nothing was there to resume from");
}

#[tokio::test]
async fn storage_that_is_away_holds_an_upgrade_up_and_does_not_lose_state() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.state().has_storage = false;
    let sql = testing::SQL.replace("SELECT n", "SELECT n + 1");
    scenario.world.edit("orders", &json!({"sql": sql}));
    scenario.passes(120).await;
    assert_eq!(scenario.status().revision.expect("a revision").number, 1);
    assert_eq!(scenario.status().phase, Phase::Savepointing);
    scenario.world.state().has_storage = true;
    scenario.until("upgraded", is_settled).await;
    let revision = scenario.status().revision.expect("a revision");
    assert!(revision.from.contains("/rev-2"), "{}", revision.from);
}

#[tokio::test]
async fn a_secret_that_is_missing_is_reported_by_name() {
    let mut scenario = Scenario::ready(|_| {}).await;
    {
        let mut state = scenario.world.state();
        state.workers.clear();
        let mut pod = state.objects.get(PODS, "orders-worker-0").cloned().expect("a pod");
        pod["status"]["conditions"][0]["status"] = json!("False");
        pod["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "ContainerCreating"}});
        state.objects.store(PODS, "orders-worker-0", pod);
    }
    scenario.passes(2).await;
    let status = scenario.status();
    let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "ContainerConfigInvalid"));
    assert!(stalled.message.contains("the Secret s3"), "{}", stalled.message);
    scenario.passes(20).await;
    assert_eq!(said(&scenario), down("ContainerConfigInvalid"));
    assert_eq!(scenario.world.events(), ["Started", "Restarting"]);
}

#[tokio::test]
async fn a_pod_that_is_refused_is_a_reason_and_none_once_it_is_created() {
    const WHY: &str = "pods \"orders-worker-0\" is forbidden: exceeded quota: all, requested: limits.memory=512Mi";
    let mut scenario = Scenario::new();
    scenario.world.state().refuses_pods = Some(format!("{WHY} {}", "x".repeat(5_000)));
    scenario.create(|_| {});
    let is_stalled = |world: &World| {
        let status = world.job("orders").and_then(|job| job.status).unwrap_or_default();
        conditions::is_true(&status.conditions, Type::Stalled)
    };
    scenario.passes(5).await;
    assert!(!is_stalled(&scenario.world), "a pod may be refused once while another one still ends");
    scenario.until("stalled", is_stalled).await;
    assert_eq!(said(&scenario), down("FailedCreate"));
    let status = scenario.status();
    let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
    assert!(
        stalled.message.starts_with(&format!("no pod of the StatefulSet orders-worker can be created: {WHY}")),
        "{}",
        stalled.message
    );
    assert!(stalled.message.len() <= 1024, "{}", stalled.message.len());
    scenario.world.state().refuses_pods = None;
    scenario.until("ready", is_settled).await;
    scenario.passes(20).await;
    assert!(!is_stalled(&scenario.world));
    assert_eq!(scenario.world.events(), ["Started"]);
}

#[tokio::test]
async fn a_volume_that_cannot_be_mounted_is_a_reason() {
    let mut scenario = Scenario::ready(|_| {}).await;
    let set_waiting = |world: &World| {
        let mut state = world.state();
        state.workers.clear();
        let secret = json!({"metadata": {"name": "s3", "namespace": "shop"}});
        let now = state.now;
        state.objects.create(crate::testing::world::SECRETS, secret, now);
        let mut pod = state.objects.get(PODS, "orders-worker-0").cloned().expect("a pod");
        pod["status"]["conditions"][0]["status"] = json!("False");
        pod["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "ContainerCreating"}});
        let uid = pod["metadata"]["uid"].clone();
        state.objects.store(PODS, "orders-worker-0", pod);
        let event = json!({
            "metadata": {"name": "mount"}, "regarding": {"uid": uid}, "reason": "FailedMount", "note": "no such share",
            "deprecatedFirstTimestamp": now.to_string(), "deprecatedLastTimestamp": now.to_string(),
        });
        state.objects.create(EVENTS, event, now);
    };
    set_waiting(&scenario.world);
    scenario.passes(15).await;
    assert_eq!(said(&scenario), down("FailedMount"));
    let status = scenario.status();
    let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
    assert_eq!(stalled.message, "orders-worker-0 waits for a volume: no such share");
    assert_eq!(scenario.world.events(), ["Started", "Restarting"]);
}

#[tokio::test]
async fn of_a_job_that_runs_no_events_are_read() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.state().requests.clear();
    scenario.passes(30).await;
    let requests = scenario.world.state().requests.clone();
    assert!(!requests.contains(&("list".to_owned(), "events.k8s.io:events".to_owned())), "{requests:?}");
}
