//! The end of a job, with each policy and in every kind of trouble.

use eddyline_crds::stream_job::OnDelete;
use serde_json::json;

use super::*;
use crate::clock::since;
use crate::testing::world::{BATCH, PODS, SAVEPOINTS};

/// Deletes the job and waits until it is gone, which must not take longer than a minute.
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
    let mut scenario = Scenario::new();
    scenario.create(|_| {});
    scenario.until("ready", is_settled).await;
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
    let mut scenario = Scenario::new();
    scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Final);
    scenario.until("ready", is_settled).await;
    scenario.world.edit("orders", &json!({"state": "Suspended"}));
    scenario.until("no pods", |world| world.state().objects.get(PODS, "orders-worker-0").is_none()).await;
    scenario.passes(2).await;
    delete_in_time(&mut scenario).await;
    let savepoint = last_savepoint(&scenario.world).expect("a Savepoint");
    assert!(savepoint["status"]["uri"].as_str().is_some_and(|uri| uri.contains("/suspend-1-")), "{savepoint}");
}

/// A job with `Final` that was upgraded once, so that there is a savepoint of a state that it has left behind.
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

/// The savepoint that the job's end has left, if any, is not one from before its end.
fn assert_not_stale(world: &World, case: &str) {
    let uri = last_savepoint(world).map(|savepoint| savepoint["status"]["uri"].clone());
    let is_stale = uri.as_ref().and_then(Value::as_str).is_some_and(|uri| !uri.contains("/final"));
    assert!(!is_stale, "{case}: {uri:?}");
}

#[tokio::test]
async fn no_savepoint_from_before_the_end_is_left_as_the_last_one() {
    for requests in [None, Some(1), Some(4), Some(8)] {
        let mut scenario = upgraded(requests).await;
        delete_job_in_foreground(&scenario.world);
        scenario.world.state().tick(Duration::from_secs(1));
        scenario.until("gone", is_gone).await;
        assert_not_stale(&scenario.world, "deleted in the foreground");

        let mut scenario = upgraded(requests).await;
        for worker in scenario.world.state().workers.values_mut() {
            worker.status.phase = eddyline_api::Phase::Finished;
        }
        scenario.until("no pods", |world| world.state().objects.get(PODS, "orders-worker-0").is_none()).await;
        delete_in_time(&mut scenario).await;
        assert_not_stale(&scenario.world, "finished");

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
        assert_not_stale(&scenario.world, "suspended without a savepoint");
    }
}

#[tokio::test]
async fn a_job_that_has_resumed_does_not_leave_the_savepoint_of_its_suspension() {
    let mut scenario = Scenario::new();
    scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Final);
    scenario.until("ready", is_settled).await;
    scenario.world.edit("orders", &json!({"state": "Suspended"}));
    scenario.until("no pods", |world| world.state().objects.get(PODS, "orders-worker-0").is_none()).await;
    scenario.passes(2).await;
    assert!(scenario.status().summary.starts_with("suspended, resumes from s3://"), "{}", scenario.status().summary);
    scenario.world.edit("orders", &json!({"state": "Running"}));
    scenario.until("ready again", is_settled).await;
    delete_job_in_foreground(&scenario.world);
    scenario.world.state().tick(Duration::from_secs(1));
    scenario.until("gone", is_gone).await;
    assert_not_stale(&scenario.world, "resumed");
}

#[tokio::test]
async fn the_state_of_a_job_is_deleted_after_its_pods() {
    for requests in [None, Some(1), Some(4), Some(8)] {
        let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Delete);
        scenario.until("ready", is_settled).await;
        let before = scenario.world.state().now;
        delete_job(&scenario.world);
        scenario.until("the batch job", |world| world.state().objects.get(BATCH, "orders-cleanup").is_some()).await;
        assert!(scenario.world.state().objects.get(PODS, "orders-worker-0").is_none(), "nobody writes any more");
        scenario.until("gone", is_gone).await;
        assert!(since(before, scenario.world.state().now) <= Duration::from_secs(60));
        assert!(!scenario.world.events().contains(&"StorageUnreachable".to_owned()));
    }
}

#[tokio::test]
async fn a_deletion_ends_in_time_although_storage_is_away() {
    for policy in [OnDelete::Final, OnDelete::Delete] {
        let mut scenario = Scenario::new();
        scenario.create(|job| job.spec.savepoints.on_delete = policy);
        scenario.until("ready", is_settled).await;
        scenario.world.state().has_storage = false;
        delete_in_time(&mut scenario).await;
        let events = scenario.world.events();
        assert_eq!(events.last().map(String::as_str), Some("StorageUnreachable"), "{policy:?}: {events:?}");
    }
}

#[tokio::test]
async fn a_deletion_ends_in_time_although_no_worker_answers() {
    let mut scenario = Scenario::new();
    scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Final);
    scenario.until("ready", is_settled).await;
    scenario.world.state().has_network = false;
    delete_in_time(&mut scenario).await;
    assert!(last_savepoint(&scenario.world).is_none());
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
        let mut scenario = Scenario::new();
        scenario.create(|job| job.spec.savepoints.on_delete = policy);
        scenario.until("ready", is_settled).await;
        scenario.world.state().objects.is_namespace_going = true;
        let before = scenario.world.state().now;
        delete_job(&scenario.world);
        scenario.until("gone", is_gone).await;
        let took = since(before, scenario.world.state().now);
        assert!(took <= Duration::from_secs(10), "{policy:?}: {took:?}");
    }
}
