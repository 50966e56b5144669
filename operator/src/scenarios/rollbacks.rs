//! Rollbacks of revisions that do not work. If possible, the job returns to the latest checkpoint, so that no output is
//! repeated. Otherwise it reports that output is repeated.

use serde_json::json;

use super::life::{WINDOWED, accepted_name, revision_of_pod, started_from};
use super::*;
use crate::names;

const BEFORE: &str = "s3://bucket/jobs/shop.orders/chk-5";

/// A job that is upgraded with its last state to SQL that fails after its first checkpoint, before it is seen Ready.
/// Returns the job once it has been rolled back.
async fn rolled_back(mut scenario: Scenario, sql: &str) -> Scenario {
    scenario.create(|job| {
        job.spec.sql = Some(WINDOWED.to_owned());
        job.spec.upgrade.mode = eddyline_crds::stream_job::UpgradeMode::LastState;
    });
    scenario.until("ready", is_settled).await;
    let accepted = |world: &World| {
        let status = world.job("orders").and_then(|job| job.status).expect("a status");
        conditions::find(&status.conditions, Type::Accepted).cloned().expect("a condition")
    };
    scenario.world.state().has_storage = false;
    scenario.world.edit("orders", &json!({"sql": sql}));
    let is_judged = |world: &World| {
        let generation = world.job("orders").and_then(|job| job.metadata.generation);
        accepted(world).observed_generation == generation
    };
    scenario.until("judged", is_judged).await;
    if accepted(&scenario.world).status == "False" {
        let named = accepted_name(&accepted(&scenario.world).message);
        scenario.world.edit("orders", &json!({"upgrade": {"allowNonRestoredState": [named]}}));
    }
    let start = names::start_token(testing::UID, 2);
    let change = |world: &World, change: &dyn Fn(&mut eddyline_api::JobStatus)| {
        let mut state = world.state();
        let mut of_revision = state.workers.values_mut().filter(|worker| worker.status.start == start);
        of_revision.next().map(|worker| change(&mut worker.status)).is_some()
    };
    let restores = |status: &mut eddyline_api::JobStatus| status.restored_from = Some(BEFORE.to_owned());
    scenario.until("restored", |world| change(world, &restores)).await;
    scenario.passes(12).await;
    let completed_at = scenario.world.state().now;
    let fails = |status: &mut eddyline_api::JobStatus| {
        status.checkpoint = Some(testing::checkpoint(9, completed_at));
        status.phase = eddyline_api::Phase::Failed;
        status.message = Some("bad luck".to_owned());
    };
    assert!(change(&scenario.world, &fails), "revision 2 runs");
    scenario.until("revision 3", |world| revision_of_pod(world).as_deref() == Some("3")).await;
    scenario.world.state().has_storage = true;
    scenario.until("rolled back", is_settled).await;
    scenario
}

#[tokio::test]
async fn a_rollback_resumes_from_the_latest_checkpoint_if_it_can_use_it() {
    for requests in [None, Some(1), Some(4), Some(9)] {
        let scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        let scenario = rolled_back(scenario, &WINDOWED.replace("COUNT(*)", "COUNT(*) AS c")).await;
        assert_eq!(started_from(&scenario.world), "\"latest\"", "{requests:?}");
        let back = scenario.status().rolled_back.expect("a rollback");
        assert_eq!(back.message, "bad luck");
    }
}

#[tokio::test]
async fn a_rollback_that_cannot_use_the_latest_checkpoint_says_that_output_is_repeated() {
    for requests in [None, Some(1), Some(4), Some(9)] {
        let scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        let scenario = rolled_back(scenario, &WINDOWED.replace("'1' MINUTE", "'5' MINUTE")).await;
        assert!(started_from(&scenario.world).contains(BEFORE), "{requests:?}: {}", started_from(&scenario.world));
        let status = scenario.status();
        let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
        assert_eq!(stalled.reason, "RolledBack");
        for expected in [
            "generation 3 was rolled back: bad luck. The previous revision resumes from s3://bucket/jobs/shop.orders/chk-5",
            "window: TUMBLE(5 min) -> TUMBLE(1 min)",
            "output that was committed since then is repeated",
        ] {
            assert!(stalled.message.contains(expected), "{}", stalled.message);
        }
        if requests.is_none() {
            let notes = scenario.world.notes();
            let reported =
                notes.iter().filter(|note| note.ends_with("output that was committed since then is repeated"));
            assert_eq!(reported.count(), 1, "{notes:?}");
        }
    }
}

#[tokio::test]
async fn a_rollback_that_does_not_run_either_ends_and_takes_the_next_change() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.state().missing_tags.extend(["broken".to_owned(), "1.0".to_owned()]);
    scenario.world.edit("orders", &json!({"workers": {"version": "broken"}}));
    let is_over = |world: &World| {
        let status = world.job("orders").and_then(|job| job.status).expect("a status");
        status.revision.is_some_and(|revision| revision.number == 3) && status.operation.is_none()
    };
    scenario.until("the rollback is abandoned", is_over).await;
    scenario.passes(5).await;
    let status = scenario.status();
    let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
    assert_eq!((status.phase, stalled.reason.as_str()), (Phase::Failed, "RollbackFailed"));
    for expected in [
        "generation 2 was rolled back: the image eddyline-worker:broken of orders-worker-0 cannot be pulled",
        "does not run either: the image eddyline-worker:1.0 of orders-worker-0 cannot be pulled",
        "Correct the spec: any change of it is tried",
    ] {
        assert!(stalled.message.contains(expected), "{}", stalled.message);
    }
    let reported = scenario.world.events().iter().filter(|reason| *reason == "RollbackFailed").count();
    assert_eq!(reported, 1, "{:?}", scenario.world.events());
    scenario.world.edit("orders", &json!({"workers": {"version": "1.1"}}));
    scenario.until("ready", is_settled).await;
    assert!(scenario.status().revision.expect("a revision").from.contains("/rev-2"), "nothing has run since");
}

#[tokio::test]
async fn a_rollback_that_runs_after_all_is_not_failed_any_more() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.edit("orders", &json!({"sql": format!("{}-- 'fails'\n", testing::SQL)}));
    scenario.until("the old revision", |world| revision_of_pod(world).as_deref() == Some("3")).await;
    let set_phase = |world: &World, phase: eddyline_api::Phase| {
        for worker in world.state().workers.values_mut() {
            worker.status.phase = phase;
        }
    };
    set_phase(&scenario.world, eddyline_api::Phase::Failed);
    scenario.until("failed", is_in(Phase::Failed)).await;
    scenario.world.state().has_storage = false;
    set_phase(&scenario.world, eddyline_api::Phase::Running);
    for worker in scenario.world.state().workers.values_mut() {
        worker.status.checkpoint = None;
    }
    scenario.passes(3).await;
    assert_eq!(scenario.status().phase, Phase::Running, "without a checkpoint, but it runs");
    scenario.world.state().has_storage = true;
    scenario.until("ready", is_settled).await;
    let status = scenario.status();
    let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
    assert_eq!(stalled.reason, "RolledBack");
    scenario.passes(5).await;
    assert_eq!(scenario.status().phase, Phase::Running);
}
