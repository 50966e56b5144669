//! What users do with a job, without failures.

use eddyline_crds::status::Phase;
use serde_json::json;

use super::*;
use crate::testing::world::{CONFIG_MAPS, PODS};

/// The numbers of requests after which controllers die in the runs of a scenario.
const DEATHS: [usize; 4] = [1, 2, 5, 9];

pub(super) fn revision_of_pod(world: &World) -> Option<String> {
    let state = world.state();
    let pod = state.objects.get(PODS, "orders-worker-0")?;
    pod["metadata"]["annotations"]["eddyline.io/revision"].as_str().map(str::to_owned)
}

/// The checkpoint or savepoint that the worker starts from.
pub(super) fn started_from(world: &World) -> String {
    let state = world.state();
    let worker = state.workers.values().next().expect("a worker");
    serde_json::to_string(&worker.config.start.from).expect("JSON")
}

#[tokio::test]
async fn a_new_job_is_started_and_becomes_ready() {
    let scenario = Scenario::ready(|_| {}).await;
    let status = scenario.status();
    assert_eq!((status.parallelism, status.workers.ready, status.attempt), (2, 1, 1));
    assert_eq!(status.selector, "eddyline.io/job=orders");
    assert_eq!(started_from(&scenario.world), "\"empty\"");
    assert_eq!(scenario.world.events(), ["Started"]);
}

#[tokio::test]
async fn a_controller_that_dies_at_any_request_starts_the_job_all_the_same() {
    for requests in 1..30 {
        let mut scenario = Scenario::dying_after(requests);
        scenario.create(|_| {});
        scenario.until("ready", is_settled).await;
        assert_eq!(scenario.status().revision.expect("a revision").number, 1, "after {requests} requests");
    }
}

#[tokio::test]
async fn a_job_that_runs_well_is_left_alone() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.passes(3).await;
    scenario.world.state().requests.clear();
    scenario.passes(5).await;
    let requests = scenario.world.state().requests.clone();
    let writes: Vec<_> = requests
        .iter()
        .filter(|(verb, _)| !["get", "list", "status"].contains(&verb.as_str()))
        .filter(|(_, resource)| resource != "eddyline.io:streamjobs/status")
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert!(requests.len() <= 5 * 6, "{} requests in five passes: {requests:?}", requests.len());
}

#[tokio::test]
async fn a_change_of_parallelism_reaches_the_worker_without_a_new_pod() {
    for requests in std::iter::once(None).chain(DEATHS.map(Some)) {
        let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        scenario.create(|_| {});
        scenario.until("ready", is_settled).await;
        let attempt = scenario.status().attempt;
        for wanted in [4, 1] {
            scenario.world.edit("orders", &json!({"parallelism": wanted}));
            scenario
                .until("rescaled", |world| {
                    is_settled(world)
                        && world.job("orders").is_some_and(|job| job.status.is_some_and(|s| s.parallelism == wanted))
                })
                .await;
        }
        assert_eq!(scenario.status().attempt, attempt, "the same process");
        assert_eq!(scenario.status().revision.expect("a revision").number, 1);
        let config = scenario.world.state().objects.get(CONFIG_MAPS, "orders-rev-1").cloned().expect("a ConfigMap");
        assert!(config["data"]["worker.json"].as_str().is_some_and(|text| text.contains("\"parallelism\": 1")));
    }
}

#[tokio::test]
async fn new_sql_resumes_from_a_savepoint() {
    for requests in std::iter::once(None).chain(DEATHS.map(Some)) {
        let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        scenario.create(|_| {});
        scenario.until("ready", is_settled).await;
        let sql = testing::SQL.replace("SELECT n", "SELECT n + 1");
        scenario.world.edit("orders", &json!({"sql": sql}));
        scenario.until("upgraded", |world| is_settled(world) && revision_of_pod(world).as_deref() == Some("2")).await;
        assert!(started_from(&scenario.world).contains("/rev-2"), "{}", started_from(&scenario.world));
        scenario
            .until("the old revision is gone", |world| {
                world.state().objects.get(CONFIG_MAPS, "orders-rev-1").is_none() || requests.is_some()
            })
            .await;
        if requests.is_none() {
            let events = scenario.world.events();
            assert_eq!(events, ["Started", "SavepointCompleted", "Upgraded"]);
        }
    }
}

#[tokio::test]
async fn broken_sql_disturbs_nothing_and_is_named_by_line_and_column() {
    let mut scenario = Scenario::ready(|_| {}).await;
    let sql = testing::SQL.replace("SELECT n FROM", "SELECT m FROM");
    scenario.world.edit("orders", &json!({"sql": sql, "parallelism": 4}));
    scenario.passes(5).await;
    let status = scenario.status();
    let accepted = conditions::find(&status.conditions, Type::Accepted).expect("a condition");
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "SqlInvalid"));
    assert!(accepted.message.starts_with("3:24: "), "{}", accepted.message);
    assert!(conditions::is_true(&status.conditions, Type::Ready));
    assert!(conditions::is_true(&status.conditions, Type::Stalled));
    assert_eq!((status.phase, status.parallelism), (Phase::Running, 4), "slots are no part of what is refused");
    assert!(accepted.message.ends_with("its parallelism can still be changed"), "{}", accepted.message);
    assert_eq!(revision_of_pod(&scenario.world).as_deref(), Some("1"));
    let events = scenario.world.events();
    assert_eq!(events, ["Started", "RescaleStarted", "SqlInvalid", "RescaleCompleted"]);
}

#[tokio::test]
async fn of_a_refused_edit_no_more_slots_are_taken_than_the_running_revision_can_have() {
    let mut scenario = Scenario::ready(|job| job.spec.checkpoint.storage = None).await;
    scenario.world.edit("orders", &json!({"sql": "SELEC", "maxParallelism": 1024, "parallelism": 256}));
    scenario.passes(5).await;
    let status = scenario.status();
    assert_eq!((status.phase, status.parallelism), (Phase::Running, 2));
    let accepted = conditions::find(&status.conditions, Type::Accepted).expect("a condition");
    assert!(accepted.message.contains("with parallelism 2: it cannot use 256"), "{}", accepted.message);
    let warning = conditions::find(&status.conditions, Type::Warning).expect("a condition");
    assert_eq!(warning.reason, "NoCheckpointStorage", "what runs still has none");
}

/// SQL whose job has windows of a minute.
pub(super) const WINDOWED: &str = "CREATE TABLE numbers (n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');\n\
     CREATE TABLE out (n BIGINT, total BIGINT) WITH ('connector' = 'blackhole');\n\
     INSERT INTO out SELECT n, COUNT(*) FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' MINUTE))\n\
     GROUP BY n, window_start, window_end;\n";

#[tokio::test]
async fn sql_that_the_state_does_not_fit_is_refused_before_anything_is_stopped() {
    let mut scenario = Scenario::ready(|job| job.spec.sql = Some(WINDOWED.to_owned())).await;
    let other = WINDOWED.replace("'1' MINUTE", "'5' MINUTE");
    scenario.world.edit("orders", &json!({"sql": other}));
    scenario.passes(5).await;
    let status = scenario.status();
    let accepted = conditions::find(&status.conditions, Type::Accepted).expect("a condition");
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "StateIncompatible"));
    assert!(accepted.message.contains("window: TUMBLE(1 min) -> TUMBLE(5 min)"), "{}", accepted.message);
    assert!(conditions::is_true(&status.conditions, Type::Ready), "revision 1 runs on");
    assert_eq!((status.phase, status.operation), (Phase::Running, None));
    assert_eq!(revision_of_pod(&scenario.world).as_deref(), Some("1"));
    assert!(!scenario.world.events().contains(&"SavepointCompleted".to_owned()), "{:?}", scenario.world.events());

    // An alias does not change the computation.
    let alias = WINDOWED.replace("COUNT(*)", "COUNT(*) AS c");
    scenario.world.edit("orders", &json!({"sql": alias}));
    scenario.until("upgraded", |world| is_settled(world) && revision_of_pod(world).as_deref() == Some("2")).await;

    // The state of the operator that the message names may be dropped.
    let named = accepted_name(&accepted.message);
    scenario.world.edit("orders", &json!({"sql": other, "upgrade": {"allowNonRestoredState": [named]}}));
    scenario.until("upgraded", |world| is_settled(world) && revision_of_pod(world).as_deref() == Some("3")).await;
    assert!(started_from(&scenario.world).contains("/rev-3"), "all other state is kept");
    let config = scenario.world.state().objects.get(CONFIG_MAPS, "orders-rev-3").cloned().expect("a ConfigMap");
    assert!(config["data"]["worker.json"].as_str().is_some_and(|text| text.contains(&named)), "{config}");
}

/// The operator that a message about state names.
pub(super) fn accepted_name(message: &str) -> String {
    let (_, rest) = message.split_once("may be dropped: [").expect("the way out");
    rest.split(']').next().expect("a name").to_owned()
}

#[tokio::test]
async fn a_job_that_starts_empty_may_have_any_sql() {
    let mut scenario = Scenario::ready(|job| job.spec.sql = Some(WINDOWED.to_owned())).await;
    let sql = WINDOWED.replace("'1' MINUTE", "'5' MINUTE");
    scenario.world.edit("orders", &json!({"sql": sql, "upgrade": {"mode": "Stateless"}}));
    scenario.until("upgraded", |world| is_settled(world) && revision_of_pod(world).as_deref() == Some("2")).await;
    assert!(conditions::is_true(&scenario.status().conditions, Type::Accepted));
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_rolled_back_and_not_tried_again() {
    for requests in std::iter::once(None).chain(DEATHS.map(Some)) {
        let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        scenario.world.state().missing_tags.push("broken".to_owned());
        scenario.create(|_| {});
        scenario.until("ready", is_settled).await;
        scenario.world.edit("orders", &json!({"workers": {"version": "broken"}}));
        scenario
            .until("rolled back", |world| is_settled(world) && revision_of_pod(world).as_deref() == Some("3"))
            .await;
        assert!(started_from(&scenario.world).contains("/rev-2"), "{}", started_from(&scenario.world));
        scenario.passes(20).await;
        let status = scenario.status();
        let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
        assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "RolledBack"));
        assert!(stalled.message.contains("eddyline-worker:broken"), "{}", stalled.message);
        assert_eq!(status.revision.expect("a revision").image, "eddyline-worker:1.0");

        scenario.world.edit("orders", &json!({"workers": {"version": "1.1"}}));
        scenario.until("upgraded", |world| is_settled(world) && revision_of_pod(world).as_deref() == Some("4")).await;
        assert!(!conditions::is_true(&scenario.status().conditions, Type::Stalled));
    }
}

#[tokio::test]
async fn a_job_that_fails_with_its_new_sql_is_rolled_back() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.edit("orders", &json!({"sql": format!("{}-- 'fails'\n", testing::SQL)}));
    scenario.until("rolled back", |world| is_settled(world) && revision_of_pod(world).as_deref() == Some("3")).await;
    let back = scenario.status().rolled_back.expect("a rollback");
    assert_eq!(back.message, "no such topic");
    assert!(scenario.world.events().contains(&"RolledBack".to_owned()));
}

#[tokio::test]
async fn a_change_that_was_corrected_in_time_skips_the_broken_revision() {
    let mut scenario = Scenario::new();
    scenario.world.state().missing_tags.push("slow".to_owned());
    scenario.create(|job| job.spec.upgrade.rollback.enabled = false);
    scenario.until("ready", is_settled).await;
    scenario.world.edit("orders", &json!({"workers": {"version": "slow"}}));
    scenario.until("the broken revision", |world| revision_of_pod(world).as_deref() == Some("2")).await;
    scenario.world.edit("orders", &json!({"workers": {"version": "1.1"}}));
    scenario.until("upgraded", |world| is_settled(world) && revision_of_pod(world).as_deref() == Some("3")).await;
    assert!(started_from(&scenario.world).contains("/rev-2"), "the savepoint of the first");
}

#[tokio::test]
async fn a_suspended_job_has_no_pods_and_resumes_where_it_was() {
    for requests in std::iter::once(None).chain(DEATHS.map(Some)) {
        let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        scenario.create(|_| {});
        scenario.until("ready", is_settled).await;
        scenario.world.edit("orders", &json!({"state": "Suspended"}));
        scenario.until("no pods", |world| is_in(Phase::Suspended)(world) && revision_of_pod(world).is_none()).await;
        scenario.passes(3).await;
        let status = scenario.status();
        assert!(status.last_savepoint.as_ref().is_some_and(|last| last.uri.contains("/suspend-1-")), "{status:?}");
        let said = |kind| {
            let condition = conditions::find(&status.conditions, kind).expect("a condition");
            (condition.status.clone(), condition.reason.clone())
        };
        assert_eq!(said(Type::Ready), ("True".to_owned(), "Suspended".to_owned()));
        assert_eq!(said(Type::Running), ("False".to_owned(), "Suspended".to_owned()));
        assert_eq!(said(Type::CheckpointHealthy), ("Unknown".to_owned(), "NotRunning".to_owned()));
        assert_eq!(said(Type::Reconciling).0, "False");
        assert_eq!(said(Type::Stalled).0, "False");
        assert_eq!((status.parallelism, status.workers.desired), (0, 0));

        scenario.world.edit("orders", &json!({"state": "Running"}));
        scenario.until("ready again", is_settled).await;
        assert_eq!(scenario.status().revision.expect("a revision").number, 1, "the same revision");
        if requests.is_none() {
            let events = scenario.world.events();
            assert_eq!(events, ["Started", "SavepointCompleted", "Suspended", "Resumed"]);
        }
    }
}

#[tokio::test]
async fn a_suspended_job_takes_new_sql_when_it_resumes() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.edit("orders", &json!({"state": "Suspended"}));
    scenario.until("suspended", is_in(Phase::Suspended)).await;
    let sql = testing::SQL.replace("SELECT n", "SELECT n + 1");
    scenario.world.edit("orders", &json!({"sql": sql, "state": "Running"}));
    scenario.until("ready again", is_settled).await;
    assert_eq!(revision_of_pod(&scenario.world).as_deref(), Some("2"));
    assert!(started_from(&scenario.world).contains("/suspend-1-"), "{}", started_from(&scenario.world));
}

#[tokio::test]
async fn a_bounded_job_finishes_and_leaves_no_pods() {
    let mut scenario = Scenario::ready(|_| {}).await;
    for worker in scenario.world.state().workers.values_mut() {
        worker.status.phase = eddyline_api::Phase::Finished;
    }
    scenario.until("no pods", |world| is_in(Phase::Finished)(world) && revision_of_pod(world).is_none()).await;
    scenario.passes(5).await;
    assert_eq!(scenario.status().phase, Phase::Finished);
    assert_eq!(scenario.world.events(), ["Started", "Finished"]);
}

#[tokio::test]
async fn a_job_without_storage_runs_with_a_warning_and_is_ready() {
    let mut scenario = Scenario::ready(|job| job.spec.checkpoint.storage = None).await;
    let status = scenario.status();
    let warning = conditions::find(&status.conditions, Type::Warning).expect("a condition");
    assert_eq!((warning.status.as_str(), warning.reason.as_str()), ("True", "NoCheckpointStorage"));
    let sql = testing::SQL.replace("SELECT n", "SELECT n + 1");
    scenario.world.edit("orders", &json!({"sql": sql}));
    scenario.until("upgraded", |world| is_settled(world) && revision_of_pod(world).as_deref() == Some("2")).await;
    assert_eq!(started_from(&scenario.world), "\"empty\"");
}

#[tokio::test]
async fn several_workers_are_not_yet_supported() {
    let mut scenario = Scenario::new();
    scenario.create(|job| job.spec.workers.slots = 1);
    scenario.passes(3).await;
    let status = scenario.status();
    let accepted = conditions::find(&status.conditions, Type::Accepted).expect("a condition");
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "NotYetSupported"));
    assert_eq!(status.phase, Phase::Pending);
    assert_eq!(revision_of_pod(&scenario.world), None);
}
