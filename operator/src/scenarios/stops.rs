//! Stops that do not end, stops that are canceled, and starts that are corrected.

use eddyline_crds::Duration as Shown;
use serde_json::json;

use super::*;
use crate::testing::world::PODS;

fn pod_uid(world: &World) -> Option<String> {
    let state = world.state();
    state.objects.get(PODS, "orders-worker-0")?["metadata"]["uid"].as_str().map(str::to_owned)
}

fn other_sql() -> Value {
    json!({"sql": testing::SQL.replace("SELECT n", "SELECT n + 1")})
}

fn worker_phase(world: &World) -> Option<eddyline_api::Phase> {
    world.state().workers.values().next().map(|worker| worker.status.phase)
}

#[tokio::test]
async fn a_stop_that_cannot_end_is_abandoned_after_its_deadline() {
    for change in [other_sql(), json!({"state": "Suspended"})] {
        let mut scenario = Scenario::ready(|job| job.spec.upgrade.stop_deadline = Shown::from_secs(30)).await;
        let begun = scenario.world.state().now;
        scenario.world.state().has_storage = false;
        scenario.world.edit("orders", &change);
        let is_over = |world: &World| {
            let status = world.job("orders").and_then(|job| job.status).expect("a status");
            status.phase == Phase::Suspended || status.revision.is_some_and(|revision| revision.number == 2)
        };
        scenario.until("abandoned", is_over).await;
        let took = crate::clock::since(begun, scenario.world.state().now);
        assert!((30..40).contains(&took.as_secs()), "{took:?}");
        let notes = scenario.world.notes();
        assert!(notes.iter().any(|note| note.contains("it has not stopped within 30 s")), "{notes:?}");
        scenario.world.state().has_storage = true;
        scenario.world.edit("orders", &json!({"state": "Running"}));
        scenario.until("ready again", is_settled).await;
        if change["sql"].is_string() {
            assert_eq!(scenario.status().revision.expect("a revision").from, "latest");
        }
    }
}

#[tokio::test]
async fn a_change_that_is_reverted_before_the_job_has_stopped_leaves_it_running() {
    for (change, back) in
        [(other_sql(), json!({"sql": testing::SQL})), (json!({"state": "Suspended"}), json!({"state": "Running"}))]
    {
        for requests in [None, Some(1), Some(4), Some(8)] {
            let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
            scenario.create(|_| {});
            scenario.until("ready", is_settled).await;
            let before = pod_uid(&scenario.world);
            scenario.world.state().has_storage = false;
            scenario.world.edit("orders", &change);
            let is_stopping = |world: &World| worker_phase(world) == Some(eddyline_api::Phase::Stopping);
            scenario.until("stopping", is_stopping).await;
            scenario.world.edit("orders", &back);
            let runs = |world: &World| worker_phase(world) == Some(eddyline_api::Phase::Running);
            scenario.until("keeps reading during the outage of storage", runs).await;
            scenario.world.state().has_storage = true;
            scenario.until("ready", is_settled).await;
            assert_eq!(pod_uid(&scenario.world), before, "the same process");
            assert_eq!(scenario.status().revision.expect("a revision").number, 1);
        }
    }
}

#[tokio::test]
async fn a_job_that_has_stopped_already_starts_again_when_the_change_is_reverted() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.edit("orders", &other_sql());
    scenario.passes(1).await;
    assert_eq!(worker_phase(&scenario.world), Some(eddyline_api::Phase::Stopped));
    scenario.world.edit("orders", &json!({"sql": testing::SQL}));
    scenario.until("ready", is_settled).await;
    assert!(scenario.status().revision.expect("a revision").from.contains("/rev-2"));
}

#[tokio::test]
async fn a_job_whose_checkpoints_fail_reads_on_until_it_can_be_stopped() {
    for change in [other_sql(), json!({"state": "Suspended"})] {
        let mut scenario = Scenario::ready(|_| {}).await;
        let set_failures = |world: &World, failures: u32| {
            for worker in world.state().workers.values_mut() {
                worker.status.checkpoint_failures = failures;
            }
        };
        set_failures(&scenario.world, 2);
        scenario.world.edit("orders", &change);
        scenario.passes(60).await;
        assert_eq!(worker_phase(&scenario.world), Some(eddyline_api::Phase::Running), "{change}");
        set_failures(&scenario.world, 0);
        let taken = |world: &World| world.events().contains(&"SavepointCompleted".to_owned());
        scenario.until("stopped with a savepoint", taken).await;
    }
}

#[tokio::test]
async fn a_corrected_restore_is_used_by_a_job_that_has_never_run() {
    for sql in [None, Some(other_sql())] {
        let mut scenario = Scenario::new();
        scenario.create(|job| job.spec.restore_from.uri = Some("s3://bucket/nothing-here".to_owned()));
        scenario.until("failed", is_in(Phase::Failed)).await;
        if let Some(sql) = &sql {
            scenario.world.edit("orders", sql);
            scenario.passes(10).await;
        }
        assert!(scenario.status().rolled_back.is_none(), "there is nothing to go back to");
        scenario.world.edit("orders", &json!({"restoreFrom": {"uri": "s3://bucket/there"}}));
        scenario.until("ready", is_settled).await;
        let revision = scenario.status().revision.expect("a revision");
        assert_eq!(revision.from, "s3://bucket/there");

        scenario.world.edit("orders", &json!({"restoreFrom": {"uri": "s3://bucket/another"}}));
        scenario.passes(5).await;
        assert_eq!(scenario.status().revision.map(|r| r.number), Some(revision.number), "it has its own state now");
    }
}

#[tokio::test]
async fn a_revision_that_fails_after_one_that_never_ran_is_not_rolled_back_to_it() {
    let mut scenario = Scenario::new();
    scenario.world.state().missing_tags.extend(["broken".to_owned(), "worse".to_owned()]);
    scenario.create(|job| job.spec.workers.version = "broken".to_owned());
    scenario.passes(5).await;
    scenario.world.edit("orders", &json!({"workers": {"version": "worse"}}));
    scenario.passes(30).await;
    let status = scenario.status();
    assert_eq!((status.phase, status.rolled_back), (Phase::Starting, None));
    let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
    assert!(stalled.message.contains("worse"), "{}", stalled.message);
    scenario.world.edit("orders", &json!({"workers": {"version": "1.0"}}));
    scenario.until("ready", is_settled).await;
}
