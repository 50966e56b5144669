//! The deletion of a job, with each policy and each kind of failure.

use eddyline_crds::stream_job::OnDelete;
use serde_json::json;

use super::*;
use crate::clock::since;
use crate::names;
use crate::testing::world::{BATCH, CONFIG_MAPS, PODS, SAVEPOINTS};

/// Deletes the job and waits until it is gone, for at most a minute.
async fn delete_in_time(scenario: &mut Scenario) {
    let before = scenario.world.state().now;
    delete_job(&scenario.world);
    scenario.until("gone", is_gone).await;
    let took = since(before, scenario.world.state().now);
    assert!(took <= Duration::from_secs(60), "{took:?}");
}

fn last_savepoint(world: &World) -> Option<Value> {
    let state = world.state();
    state.objects.get(SAVEPOINTS, "orders-final-11111111").cloned()
}

#[tokio::test]
async fn a_job_whose_state_is_retained_has_no_finalizer() {
    let scenario = Scenario::ready(|_| {}).await;
    assert_eq!(scenario.world.job("orders").expect("a job").metadata.finalizers, None);
    delete_job(&scenario.world);
    assert!(is_gone(&scenario.world));
}

#[tokio::test]
async fn a_last_savepoint_is_taken_and_outlives_the_job() {
    for requests in [None, Some(1), Some(4), Some(8)] {
        let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Final);
        scenario.until("ready", is_settled).await;
        delete_in_time(&mut scenario).await;
        scenario.passes(3).await;
        let savepoint = last_savepoint(&scenario.world).expect("a Savepoint");
        assert_eq!(savepoint["status"]["phase"], json!("Completed"));
        assert_eq!(savepoint["status"]["uri"], json!("s3://bucket/jobs/savepoints/shop.orders/final"));
    }
}

#[tokio::test]
async fn a_suspended_job_leaves_the_savepoint_it_has() {
    let mut scenario = Scenario::ready(|job| job.spec.savepoints.on_delete = OnDelete::Final).await;
    scenario.world.edit("orders", &json!({"state": "Suspended"}));
    scenario.until("no pods", |world| world.state().objects.get(PODS, "orders-worker-0").is_none()).await;
    scenario.passes(2).await;
    delete_in_time(&mut scenario).await;
    let savepoint = last_savepoint(&scenario.world).expect("a Savepoint");
    assert!(savepoint["status"]["uri"].as_str().is_some_and(|uri| uri.contains("/suspend-1-")), "{savepoint}");
}

/// A job with `Final` that was upgraded once, so that there is a savepoint of an old state.
async fn upgraded(requests: Option<usize>) -> Scenario {
    let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
    scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Final);
    scenario.until("ready", is_settled).await;
    let sql = testing::SQL.replace("SELECT n", "SELECT n + 1");
    scenario.world.edit("orders", &json!({"sql": sql}));
    let is_upgraded =
        |world: &World| world.job("orders").and_then(|job| job.status?.revision).is_some_and(|r| r.number == 2);
    scenario.until("upgraded", |world| is_settled(world) && is_upgraded(world)).await;
    assert!(scenario.status().last_savepoint.is_some_and(|last| last.uri.contains("/rev-2")));
    scenario
}

/// The URI of the copy of a job's latest checkpoint.
const COPY: &str = "s3://bucket/jobs/savepoints/shop.orders/orders-final-11111111";

/// Checks that the last savepoint is a copy of the job's latest checkpoint.
fn assert_copied(world: &World, case: &str) {
    let savepoint = last_savepoint(world).unwrap_or_else(|| panic!("{case}: no Savepoint; {:?}", world.events()));
    let status = &savepoint["status"];
    assert_eq!((&status["phase"], &status["uri"]), (&json!("Completed"), &json!(COPY)), "{case}");
    assert_eq!(status["checkpoint"], json!(9), "{case}: the copy has said so");
    let job = world.state().objects.get(BATCH, "orders-final-11111111").cloned().expect("the batch job");
    assert!(job["metadata"]["ownerReferences"].is_null(), "{case}: it outlives the job");
    let arguments = job["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    assert!(
        arguments.starts_with(r#"["savepoint","copy","--config","/etc/eddyline/job/worker.json","--to","#),
        "{arguments}"
    );
}

#[tokio::test]
async fn no_savepoint_from_before_the_end_is_left_as_the_last_one() {
    for requests in [None, Some(1), Some(4), Some(8)] {
        let mut scenario = upgraded(requests).await;
        delete_job_in_foreground(&scenario.world);
        scenario.world.state().tick(Duration::from_secs(1));
        scenario.until("gone", is_gone).await;
        assert!(scenario.world.state().objects.get(CONFIG_MAPS, "orders-rev-2").is_none(), "it went with the pods");
        assert_copied(&scenario.world, "deleted in the foreground");

        let mut scenario = upgraded(requests).await;
        for worker in scenario.world.state().workers.values_mut() {
            worker.status.phase = eddyline_api::Phase::Finished;
        }
        scenario.until("no pods", |world| world.state().objects.get(PODS, "orders-worker-0").is_none()).await;
        delete_in_time(&mut scenario).await;
        assert_copied(&scenario.world, "finished");

        let mut scenario = upgraded(requests).await;
        for worker in scenario.world.state().workers.values_mut() {
            worker.status.phase = eddyline_api::Phase::Failed;
        }
        scenario.world.edit("orders", &json!({"state": "Suspended"}));
        scenario.until("no pods", |world| world.state().objects.get(PODS, "orders-worker-0").is_none()).await;
        scenario.passes(2).await;
        let status = scenario.status();
        assert_eq!(status.summary, "suspended without a savepoint, resumes from its latest checkpoint");
        delete_in_time(&mut scenario).await;
        assert_copied(&scenario.world, "suspended without a savepoint");
    }
}

#[tokio::test]
async fn a_job_that_has_resumed_does_not_leave_the_savepoint_of_its_suspension() {
    let mut scenario = Scenario::ready(|job| job.spec.savepoints.on_delete = OnDelete::Final).await;
    scenario.world.edit("orders", &json!({"state": "Suspended"}));
    scenario.until("no pods", |world| world.state().objects.get(PODS, "orders-worker-0").is_none()).await;
    scenario.passes(2).await;
    assert!(scenario.status().summary.starts_with("suspended, resumes from s3://"), "{}", scenario.status().summary);
    scenario.world.edit("orders", &json!({"state": "Running"}));
    scenario.until("ready again", is_settled).await;
    delete_job_in_foreground(&scenario.world);
    scenario.world.state().tick(Duration::from_secs(1));
    scenario.until("gone", is_gone).await;
    assert_copied(&scenario.world, "resumed");
}

#[tokio::test]
async fn the_state_of_a_job_is_deleted_after_its_pods() {
    for requests in [None, Some(1), Some(4), Some(8)] {
        let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Delete);
        scenario.until("ready", is_settled).await;
        let before = scenario.world.state().now;
        delete_job(&scenario.world);
        scenario
            .until("the batch job", |world| world.state().objects.get(BATCH, "orders-cleanup-11111111").is_some())
            .await;
        assert!(scenario.world.state().objects.get(PODS, "orders-worker-0").is_none(), "nothing writes");
        scenario.until("gone", is_gone).await;
        assert!(since(before, scenario.world.state().now) <= Duration::from_secs(60));
        assert!(!scenario.world.events().contains(&"StateLeft".to_owned()));
    }
}

#[tokio::test]
async fn a_deletion_ends_in_time_although_storage_is_away() {
    for policy in [OnDelete::Final, OnDelete::Delete] {
        let mut scenario = Scenario::ready(|job| job.spec.savepoints.on_delete = policy).await;
        scenario.world.state().has_storage = false;
        delete_in_time(&mut scenario).await;
        let events = scenario.world.events();
        if policy == OnDelete::Delete {
            assert_eq!(events.last().map(String::as_str), Some("StateLeft"), "{events:?}");
            continue;
        }
        let savepoint = last_savepoint(&scenario.world).expect("a Savepoint");
        assert_eq!(savepoint["status"]["phase"], json!("InProgress"), "{savepoint}");
        scenario.world.state().has_storage = true;
        scenario.passes(10).await;
        assert_copied(&scenario.world, "once storage is back");
    }
}

/// Kubernetes deletes a batch job some time after its end, and a controller may be down for longer than that.
#[tokio::test]
async fn a_copy_whose_end_nobody_has_seen_is_looked_for_in_storage() {
    let mut scenario = Scenario::ready(|job| job.spec.savepoints.on_delete = OnDelete::Final).await;
    scenario.world.state().has_storage = false;
    delete_in_time(&mut scenario).await;
    let uid = last_savepoint(&scenario.world).expect("a Savepoint")["metadata"]["uid"].clone();
    let uid = uid.as_str().expect("a uid");
    let check = names::savepoint_check("orders-final-11111111", uid);
    let remove = |world: &World, name: &str| {
        let mut state = world.state();
        let now = state.now;
        assert_eq!(state.objects.delete(BATCH, name, &Value::Null, now).0, 200, "{name}");
    };
    remove(&scenario.world, "orders-final-11111111");
    scenario.passes(2).await;
    let failed = json!({"status": {"conditions": [{"type": "Failed", "status": "True", "message": "no answer"}]}});
    {
        let mut state = scenario.world.state();
        let now = state.now;
        assert_eq!(state.objects.patch(BATCH, &check, Some("status"), &failed, false, now).0, 200);
    }
    scenario.passes(2).await;
    let status = last_savepoint(&scenario.world).expect("a Savepoint")["status"].clone();
    assert_eq!(status["phase"], json!("InProgress"), "storage that does not answer says nothing about it");
    assert!(status["message"].as_str().is_some_and(|why| why.contains("no answer")), "{status}");

    remove(&scenario.world, &check);
    scenario.world.state().has_storage = true;
    scenario.passes(4).await;
    let status = last_savepoint(&scenario.world).expect("a Savepoint")["status"].clone();
    assert_eq!((&status["phase"], &status["checkpoint"]), (&json!("Completed"), &json!(9)), "{status}");
    let job = scenario.world.state().objects.get(BATCH, &check).cloned().expect("the batch job");
    let arguments = job["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    let expected =
        format!(r#"["savepoint","copy","--from","{COPY}","--to","{COPY}","--report","/dev/termination-log""#);
    assert!(arguments.starts_with(&expected), "{arguments}");
}

#[tokio::test]
async fn a_copy_that_fails_is_reported_with_its_own_words() {
    let mut scenario = Scenario::ready(|job| job.spec.savepoints.on_delete = OnDelete::Final).await;
    scenario.world.state().has_network = false;
    scenario.world.state().has_storage = false;
    delete_job(&scenario.world);
    let batch = |world: &World| world.state().objects.get(BATCH, "orders-final-11111111").is_some();
    scenario.until("the batch job", batch).await;
    {
        let mut state = scenario.world.state();
        let now = state.now;
        let failed = json!({"status": {"conditions": [{"type": "Failed", "status": "True", "message": "too often"}]}});
        state.objects.patch(BATCH, "orders-final-11111111", Some("status"), &failed, false, now);
        let ended = json!({"terminated": {"exitCode": 1, "finishedAt": now.to_string(),
            "message": "{\"message\": \"there is no such bucket\"}"}});
        let statuses = json!([{
            "name": "cleanup", "image": "", "imageID": "", "ready": false, "restartCount": 3, "state": ended}]);
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "labels": {"batch.kubernetes.io/job-name": "orders-final-11111111"}},
            "spec": {"containers": []}, "status": {"containerStatuses": statuses}});
        state.objects.create(PODS, pod, now);
    }
    scenario.until("gone", is_gone).await;
    assert!(last_savepoint(&scenario.world).is_none());
    let notes = scenario.world.notes();
    assert!(notes.last().is_some_and(|note| note.contains("there is no such bucket")), "{notes:?}");
}

#[tokio::test]
async fn a_new_job_waits_for_what_is_still_done_to_its_predecessors_data() {
    let mut scenario = Scenario::new();
    {
        let mut state = scenario.world.state();
        state.has_storage = false;
        let now = state.now;
        let labels = json!({"app.kubernetes.io/name": "eddyline-cleanup", "app.kubernetes.io/instance": "orders"});
        let cleanup = json!({"metadata": {"name": "orders-cleanup-99999999", "labels": labels}});
        state.objects.create(BATCH, cleanup, now);
        let of_a_savepoint = json!({"metadata": {"name": "svp-nightly-88888888", "labels": labels}});
        state.objects.create(BATCH, of_a_savepoint, now);
    }
    scenario.create(|_| {});
    scenario.passes(5).await;
    assert_eq!(scenario.status().phase, Phase::Pending);
    assert!(scenario.status().summary.contains("orders-cleanup-99999999"), "{}", scenario.status().summary);
    let status = scenario.status();
    let reconciling = conditions::find(&status.conditions, Type::Reconciling).expect("a condition");
    assert_eq!(reconciling.reason, "WaitingForCleanup");
    let done = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
    {
        let mut state = scenario.world.state();
        let now = state.now;
        state.objects.patch(BATCH, "orders-cleanup-99999999", Some("status"), &done, false, now);
        state.has_storage = true;
    }
    scenario.until("ready", is_settled).await;
}

#[tokio::test]
async fn a_deletion_ends_in_time_although_no_worker_answers() {
    let mut scenario = Scenario::ready(|job| job.spec.savepoints.on_delete = OnDelete::Final).await;
    scenario.world.state().has_network = false;
    delete_in_time(&mut scenario).await;
    assert_copied(&scenario.world, "silent");
}

#[tokio::test]
async fn a_job_that_never_started_goes_at_once() {
    let mut scenario = Scenario::new();
    scenario.create(|job| {
        job.spec.savepoints.on_delete = OnDelete::Final;
        job.spec.sql = Some("SELEC".to_owned());
    });
    scenario.passes(3).await;
    delete_job(&scenario.world);
    scenario.passes(2).await;
    assert!(is_gone(&scenario.world));
}

#[tokio::test]
async fn a_namespace_that_goes_is_not_held_up() {
    for policy in [OnDelete::Final, OnDelete::Delete] {
        let mut scenario = Scenario::ready(|job| job.spec.savepoints.on_delete = policy).await;
        scenario.world.state().objects.is_namespace_going = true;
        let before = scenario.world.state().now;
        delete_job(&scenario.world);
        scenario.until("gone", is_gone).await;
        let took = since(before, scenario.world.state().now);
        assert!(took <= Duration::from_secs(10), "{policy:?}: {took:?}");
    }
}
