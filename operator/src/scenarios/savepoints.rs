//! Savepoints by object and by schedule.

use eddyline_crds::Savepoint;
use eddyline_crds::savepoint::{DeletionPolicy, SavepointPhase};
use eddyline_crds::stream_job::{NameRef, OnDelete};
use serde_json::json;

use super::*;
use crate::testing::world::{BATCH, SAVEPOINTS};

fn ask(scenario: &Scenario, name: &str, policy: DeletionPolicy) {
    let mut savepoint = testing::savepoint(name, "orders");
    savepoint.spec.deletion_policy = policy;
    let mut state = scenario.world.state();
    let now = state.now;
    state.objects.create(SAVEPOINTS, json!(savepoint), now);
}

fn found(world: &World, name: &str) -> Option<Savepoint> {
    let state = world.state();
    state.objects.get(SAVEPOINTS, name).map(|object| serde_json::from_value(object.clone()).expect("a Savepoint"))
}

fn is_complete(name: &'static str) -> impl Fn(&World) -> bool {
    move |world| {
        found(world, name)
            .and_then(|savepoint| savepoint.status)
            .is_some_and(|status| status.phase == SavepointPhase::Completed && status.uri.is_some())
    }
}

#[tokio::test]
async fn a_savepoint_is_taken_when_an_object_asks_for_it() {
    for requests in [None, Some(1), Some(4), Some(9)] {
        let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        scenario.create(|_| {});
        ask(&scenario, "before-release", DeletionPolicy::Retain);
        scenario.until("complete", is_complete("before-release")).await;
        let status = found(&scenario.world, "before-release").expect("a Savepoint").status.expect("a status");
        assert_eq!(status.uri.as_deref(), Some("s3://bucket/jobs/savepoints/shop.orders/uid-of-before-release"));
        assert_eq!(status.checkpoint, Some(7));
        assert!(scenario.world.events().contains(&"SavepointCompleted".to_owned()) || requests.is_some());
    }
}

#[tokio::test]
async fn a_savepoint_of_a_job_that_does_not_run_waits_and_says_why() {
    let mut scenario = Scenario::new();
    ask(&scenario, "early", DeletionPolicy::Retain);
    scenario.passes(2).await;
    let status = found(&scenario.world, "early").expect("a Savepoint").status.expect("a status");
    assert_eq!(status.phase, SavepointPhase::Pending);
    assert_eq!(status.message.as_deref(), Some("there is no StreamJob orders"));
    scenario.create(|_| {});
    scenario.until("complete", is_complete("early")).await;
}

#[tokio::test]
async fn savepoints_that_are_to_be_retained_stay_when_the_state_of_the_job_is_deleted() {
    let mut scenario = Scenario::new();
    scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Delete);
    for (name, policy) in [("kept", DeletionPolicy::Retain), ("not-kept", DeletionPolicy::Delete)] {
        ask(&scenario, name, policy);
        scenario.until("complete", is_complete(name)).await;
    }
    delete_job(&scenario.world);
    let batch = |world: &World| world.state().objects.get(BATCH, "orders-cleanup-11111111").cloned();
    scenario.until("the batch job", |world| batch(world).is_some()).await;
    let arguments =
        batch(&scenario.world).expect("a batch job")["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    let kept: Vec<&str> = arguments
        .as_array()
        .expect("arguments")
        .iter()
        .filter_map(|argument| argument.as_str()?.strip_prefix("--keep="))
        .collect();
    assert_eq!(kept, ["s3://bucket/jobs/savepoints/shop.orders/uid-of-kept"]);
}

#[tokio::test]
async fn the_data_of_a_savepoint_goes_with_its_object_also_without_the_job() {
    let mut scenario = Scenario::new();
    scenario.create(|_| {});
    ask(&scenario, "temporary", DeletionPolicy::Delete);
    scenario.until("complete", is_complete("temporary")).await;
    delete_job(&scenario.world);
    {
        let mut state = scenario.world.state();
        let now = state.now;
        state.objects.delete(SAVEPOINTS, "temporary", &Value::Null, now);
    }
    scenario.until("the batch job", |world| world.state().objects.get(BATCH, "svp-temporary-uid-of-t").is_some()).await;
    let job = scenario.world.state().objects.get(BATCH, "svp-temporary-uid-of-t").cloned().expect("a batch job");
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let uri = "s3://bucket/jobs/savepoints/shop.orders/uid-of-temporary";
    assert_eq!(container["args"], json!(["cleanup", "--uri", uri, "--endpoint", "http://s3:7070"]));
    scenario.until("gone", |world| found(world, "temporary").is_none()).await;
}

/// A user who may annotate a Savepoint cannot choose the image and the Secrets of its pods.
#[tokio::test]
async fn an_annotation_does_not_decide_how_data_is_deleted() {
    let forged = json!({"metadata": {"annotations": {"eddyline.io/storage": json!({
        "image": "evil:1", "storage": {"url": "s3://evil", "secretRef": {"name": "precious"}},
    }).to_string()}}});
    for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
        let mut scenario = Scenario::new();
        scenario.create(|_| {});
        ask(&scenario, "temporary", policy);
        scenario.until("complete", is_complete("temporary")).await;
        {
            let mut state = scenario.world.state();
            let now = state.now;
            state.objects.patch(SAVEPOINTS, "temporary", None, &forged, false, now);
            state.objects.delete(SAVEPOINTS, "temporary", &Value::Null, now);
        }
        scenario.until("gone", |world| found(world, "temporary").is_none()).await;
        let jobs: Vec<Value> = scenario.world.state().objects.of(BATCH).cloned().collect();
        assert_eq!(jobs.len(), usize::from(policy == DeletionPolicy::Delete), "{policy:?}");
        for job in jobs {
            let pod = &job["spec"]["template"]["spec"];
            assert_eq!(pod["containers"][0]["image"], json!("eddyline-worker:1.0"));
            let text = job.to_string();
            assert!(!text.contains("evil") && !text.contains("precious"), "{text}");
        }
    }
}

/// Asks for a savepoint, and deletes the object while the worker still writes.
async fn deleted_while_it_is_taken() -> Scenario {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.state().has_storage = false;
    ask(&scenario, "temporary", DeletionPolicy::Delete);
    let is_asked_for = |world: &World| world.state().requests.iter().any(|(verb, _)| verb == "savepoint");
    scenario.until("asked for", is_asked_for).await;
    {
        let mut state = scenario.world.state();
        let now = state.now;
        state.objects.delete(SAVEPOINTS, "temporary", &Value::Null, now);
    }
    scenario.passes(3).await;
    assert!(found(&scenario.world, "temporary").is_some(), "its data will need it");
    scenario
}

#[tokio::test]
async fn a_savepoint_deleted_while_it_is_taken_is_completed_and_its_data_deleted() {
    let mut scenario = deleted_while_it_is_taken().await;
    scenario.world.state().has_storage = true;
    scenario.until("the batch job", |world| world.state().objects.get(BATCH, "svp-temporary-uid-of-t").is_some()).await;
    let job = scenario.world.state().objects.get(BATCH, "svp-temporary-uid-of-t").cloned().expect("a batch job");
    let uri = "s3://bucket/jobs/savepoints/shop.orders/uid-of-temporary";
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["args"][2], uri);
    scenario.until("gone", |world| found(world, "temporary").is_none()).await;
}

#[tokio::test]
async fn a_savepoint_that_does_not_end_does_not_hold_its_object() {
    let mut scenario = deleted_while_it_is_taken().await;
    scenario.until("gone", |world| found(world, "temporary").is_none()).await;
    assert!(scenario.world.events().contains(&"StateLeft".to_owned()), "it is said that something may stay");
}

#[tokio::test]
async fn a_new_job_starts_from_a_savepoint_object_once_that_is_complete() {
    let mut scenario = Scenario::new();
    scenario.create(|job| job.spec.restore_from.savepoint_ref = Some(NameRef { name: "seed".to_owned() }));
    scenario.passes(3).await;
    let status = scenario.status();
    let reconciling = conditions::find(&status.conditions, Type::Reconciling).expect("a condition");
    assert_eq!(reconciling.reason, "WaitingForSavepoint", "{}", reconciling.message);
    {
        let mut savepoint = testing::savepoint("seed", "another");
        savepoint.spec.deletion_policy = DeletionPolicy::Retain;
        let mut state = scenario.world.state();
        let now = state.now;
        state.objects.create(SAVEPOINTS, json!(savepoint), now);
        let done = json!({"status": {"phase": "Completed", "uri": "s3://bucket/seed"}});
        state.objects.patch(SAVEPOINTS, "seed", Some("status"), &done, false, now);
    }
    scenario.until("ready", is_settled).await;
    assert_eq!(scenario.status().revision.expect("a revision").from, "s3://bucket/seed");
}

#[tokio::test]
async fn savepoints_are_taken_by_schedule_and_old_ones_go() {
    let mut scenario = Scenario::ready(|job| {
        job.spec.savepoints.schedule = Some("* * * * *".to_owned());
        job.spec.savepoints.keep = Some(2);
    })
    .await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..330 {
        scenario.pass().await;
        let state = scenario.world.state();
        seen.extend(state.objects.of(SAVEPOINTS).filter_map(|o| o["metadata"]["name"].as_str().map(str::to_owned)));
    }
    assert!((5..=6).contains(&seen.len()), "one a minute: {seen:?}");
    let state = scenario.world.state();
    let kept: Vec<_> = state.objects.of(SAVEPOINTS).map(|object| object["status"]["phase"].clone()).collect();
    assert_eq!(kept, [json!("Completed"), json!("Completed")]);
    let cleanups = state.objects.of(BATCH).count();
    assert!(cleanups >= 3 || state.objects.of(BATCH).count() == 0, "their data goes too: {cleanups}");
}

#[tokio::test]
async fn what_a_schedule_has_taken_is_kept_by_its_rules_when_the_schedule_is_gone() {
    let mut scenario = Scenario::ready(|job| {
        job.spec.savepoints.schedule = Some("* * * * *".to_owned());
        job.spec.savepoints.keep = Some(2);
    })
    .await;
    scenario.passes(200).await;
    let count = |world: &World| world.state().objects.of(SAVEPOINTS).count();
    assert_eq!(count(&scenario.world), 2);
    scenario.world.edit("orders", &json!({"savepoints": {"schedule": null, "keep": 1}}));
    scenario.until("one is left", |world| count(world) == 1).await;
    scenario.passes(100).await;
    assert_eq!(count(&scenario.world), 1, "no new ones, and the last one stays");
}

#[tokio::test]
async fn a_controller_that_has_asked_no_worker_yet_leaves_savepoints_as_they_are() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.state().has_storage = false;
    ask(&scenario, "one", DeletionPolicy::Retain);
    scenario.passes(3).await;
    let before = found(&scenario.world, "one").and_then(|savepoint| savepoint.status).expect("a status");
    assert_eq!(before.phase, SavepointPhase::InProgress);
    scenario.context = context(&scenario.world, &scenario.settings);
    let again = savepoint::reconcile(&scenario.context, "shop", "one").await.expect("done");
    assert!(again.is_some());
    let after = found(&scenario.world, "one").and_then(|savepoint| savepoint.status);
    assert_eq!(after, Some(before));
    scenario.world.state().has_storage = true;
    scenario.until("complete", is_complete("one")).await;
}
