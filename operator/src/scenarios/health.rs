//! The whole status of a job that is healthy, at rest, or failing.

use eddyline_api::Phase as WorkerPhase;
use eddyline_api::status::Backpressure;
use eddyline_crds::savepoint::SavepointPhase;
use eddyline_crds::status::Phase;
use serde_json::json;

use super::*;
use crate::testing::health::{Health, argo_cd, kstatus};
use crate::testing::world::{PODS, SAVEPOINTS};

const WELL: [&str; 10] = [
    "Ready True Running",
    "Stalled False Progressing",
    "Reconciling False Settled",
    "Accepted True Accepted",
    "Running True Running",
    "WorkersReady True Running",
    "CheckpointHealthy True Completing",
    "WatermarkAdvancing True Advancing",
    "Backpressured False KeepingUp",
    "Warning False NothingToReport",
];

/// Lets the worker read rows for some rounds, a second of event time each.
async fn under_load(scenario: &mut Scenario, passes: usize) {
    for _ in 0..passes {
        {
            let mut state = scenario.world.state();
            let now = state.now.as_millisecond();
            for worker in state.workers.values_mut() {
                let progress = &mut worker.status.progress;
                progress.watermark_ms = Some(now - 5_000);
                progress.watermark_lag_ms = Some(5_000);
                progress.records_in += 50;
                progress.records_in_per_second = 50.0;
                progress.backpressure = Some(Backpressure { operator: "write".to_owned(), share: 0.2 });
            }
        }
        scenario.pass().await;
    }
}

async fn a_job_under_load() -> Scenario {
    let mut scenario = Scenario::ready(|_| {}).await;
    under_load(&mut scenario, 3).await;
    scenario
}

fn object(scenario: &Scenario) -> Value {
    scenario.world.state().objects.get(JOBS, "orders").cloned().expect("a job")
}

fn writes_of_the_status(scenario: &Scenario) -> usize {
    let state = scenario.world.state();
    state.requests.iter().filter(|(verb, what)| verb == "patch" && what == "eddyline.io:streamjobs/status").count()
}

#[tokio::test]
async fn of_a_job_that_runs_well_every_condition_says_so_and_no_event_says_otherwise() {
    let mut scenario = a_job_under_load().await;
    for _ in 0..20 {
        assert_eq!(said(&scenario), WELL);
        under_load(&mut scenario, 5).await;
    }
    assert_eq!(scenario.world.events(), ["Started"]);
    assert_eq!((kstatus(&object(&scenario)), argo_cd(&object(&scenario))), (Health::Good, Health::Good));
}

#[tokio::test]
async fn a_job_that_runs_well_is_written_seldom_although_its_figures_change_all_the_time() {
    let mut scenario = a_job_under_load().await;
    scenario.world.state().requests.clear();
    under_load(&mut scenario, 120).await;
    let writes = writes_of_the_status(&scenario);
    assert!((1..=5).contains(&writes), "{writes} in two minutes");
    let status = scenario.status();
    let behind = status.checkpoint.expect("a checkpoint").completed_at.0;
    assert!(crate::clock::since(behind, scenario.world.state().now).as_secs() <= 35, "the figures are not old");
}

#[tokio::test]
async fn questions_that_are_lost_change_nothing_and_a_worker_that_stays_silent_is_reported() {
    for (phase, ready) in [(WorkerPhase::Running, "Ready True Running"), (WorkerPhase::Failed, "Ready False JobFailed")]
    {
        let mut scenario = a_job_under_load().await;
        for worker in scenario.world.state().workers.values_mut() {
            worker.status.phase = phase;
        }
        scenario.passes(2).await;
        let (before, events) = (scenario.status(), scenario.world.events());
        assert_eq!(said(&scenario)[0], ready);
        for _ in 0..5 {
            scenario.world.state().has_network = false;
            scenario.passes(10).await;
            assert_eq!(scenario.status().conditions, before.conditions);
            scenario.world.state().has_network = true;
            scenario.passes(1).await;
        }
        scenario.world.state().has_network = false;
        scenario.passes(25).await;
        let silent = scenario.status();
        assert_eq!(silent.phase, before.phase);
        let checkpoints = conditions::find(&silent.conditions, Type::CheckpointHealthy).expect("a condition");
        let expected = if phase == WorkerPhase::Running { "WorkerNotReachable" } else { "NotRunning" };
        assert_eq!((checkpoints.status.as_str(), checkpoints.reason.as_str()), ("Unknown", expected));
        scenario.world.state().has_network = true;
        scenario.passes(2).await;
        let after = scenario.status();
        let reasons =
            |status: &StreamJobStatus| status.conditions.iter().map(|known| known.reason.clone()).collect::<Vec<_>>();
        assert_eq!(reasons(&after), reasons(&before));
        assert_eq!(scenario.world.events(), events, "nothing has happened");
    }
}

#[tokio::test]
async fn a_suspended_job_and_a_finished_one_are_as_their_specs_ask() {
    let mut scenario = a_job_under_load().await;
    scenario.world.edit("orders", &json!({"state": "Suspended"}));
    scenario.until("suspended", is_in(Phase::Suspended)).await;
    scenario.passes(3).await;
    let at_rest = |reason: &str| {
        vec![
            format!("Ready True {reason}"),
            "Stalled False Progressing".to_owned(),
            "Reconciling False Settled".to_owned(),
            "Accepted True Accepted".to_owned(),
            format!("Running False {reason}"),
            format!("WorkersReady True {reason}"),
            "CheckpointHealthy Unknown NotRunning".to_owned(),
            "WatermarkAdvancing Unknown NotRunning".to_owned(),
            "Backpressured Unknown NotRunning".to_owned(),
            "Warning False NothingToReport".to_owned(),
        ]
    };
    assert_eq!(said(&scenario), at_rest("Suspended"));
    assert_eq!((kstatus(&object(&scenario)), argo_cd(&object(&scenario))), (Health::Good, Health::Suspended));

    scenario.world.edit("orders", &json!({"state": "Running"}));
    assert_eq!(kstatus(&object(&scenario)), Health::InProgress, "not seen yet");
    scenario.until("ready again", is_settled).await;
    for worker in scenario.world.state().workers.values_mut() {
        worker.status.phase = WorkerPhase::Finished;
    }
    scenario.until("finished", is_in(Phase::Finished)).await;
    scenario.passes(3).await;
    assert_eq!(said(&scenario), at_rest("Finished"));
    assert_eq!((kstatus(&object(&scenario)), argo_cd(&object(&scenario))), (Health::Good, Health::Good));

    let savepoint = testing::savepoint("late", "orders");
    {
        let mut state = scenario.world.state();
        let now = state.now;
        state.objects.create(SAVEPOINTS, json!(savepoint), now);
    }
    scenario.passes(2).await;
    let late = scenario.world.state().objects.get(SAVEPOINTS, "late").cloned().expect("a Savepoint");
    assert_eq!(late["status"]["phase"], json!(SavepointPhase::Failed));
    assert_eq!(kstatus(&late), Health::Bad);
    assert!(late["status"]["message"].as_str().is_some_and(|why| why.contains("is Finished")), "{late}");
}

#[tokio::test]
async fn a_savepoint_settles_when_it_is_complete() {
    let mut scenario = a_job_under_load().await;
    scenario.world.state().has_storage = false;
    {
        let mut state = scenario.world.state();
        let now = state.now;
        state.objects.create(SAVEPOINTS, json!(testing::savepoint("one", "orders")), now);
    }
    let found = |scenario: &Scenario| scenario.world.state().objects.get(SAVEPOINTS, "one").cloned().expect("one");
    scenario.passes(3).await;
    assert_eq!(kstatus(&found(&scenario)), Health::InProgress, "{}", found(&scenario));
    scenario.world.state().has_storage = true;
    scenario.passes(4).await;
    assert_eq!(kstatus(&found(&scenario)), Health::Good, "{}", found(&scenario));
    let conditions = found(&scenario)["status"]["conditions"].clone();
    assert_eq!((&conditions[0]["type"], &conditions[0]["reason"]), (&json!("Ready"), &json!("Completed")));
}

#[tokio::test]
async fn what_cannot_come_up_is_bad_for_tools_and_its_reason_is_steady() {
    let mut scenario = Scenario::new();
    scenario.world.state().missing_tags.push("broken".to_owned());
    scenario.create(|job| job.spec.workers.version = "broken".to_owned());
    scenario.passes(5).await;
    let first = scenario.status().conditions;
    assert_eq!((kstatus(&object(&scenario)), argo_cd(&object(&scenario))), (Health::Bad, Health::Bad));
    for waiting in ["ErrImagePull", "ImagePullBackOff", "ErrImagePull"] {
        {
            let mut state = scenario.world.state();
            let mut pod = state.objects.get(PODS, "orders-worker-0").cloned().expect("a pod");
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] = json!(waiting);
            state.objects.store(PODS, "orders-worker-0", pod);
        }
        scenario.passes(2).await;
        assert_eq!(scenario.status().conditions, first, "{waiting}");
    }
    let events = scenario.world.events();
    assert_eq!(events, ["WorkerFailed"], "reported once");
}

#[tokio::test]
async fn a_refused_edit_is_bad_for_tools_although_the_job_runs_on() {
    let mut scenario = a_job_under_load().await;
    scenario.world.edit("orders", &json!({"workers": {"slots": 1}}));
    under_load(&mut scenario, 2).await;
    assert_eq!((kstatus(&object(&scenario)), argo_cd(&object(&scenario))), (Health::Bad, Health::Bad));
    let mut expected = WELL.map(str::to_owned);
    expected[1] = "Stalled True NotYetSupported".to_owned();
    expected[3] = "Accepted False NotYetSupported".to_owned();
    assert_eq!(said(&scenario), expected);
    assert_eq!(scenario.world.events(), ["Started", "NotYetSupported"]);
}

#[tokio::test]
async fn a_job_that_has_failed_says_whether_it_was_started_too_often() {
    for (is_limit, event) in [(true, "RestartLimitReached"), (false, "JobFailed")] {
        let mut scenario = a_job_under_load().await;
        for worker in scenario.world.state().workers.values_mut() {
            worker.status.phase = WorkerPhase::Failed;
            worker.status.is_restart_limit_reached = is_limit;
            worker.status.message = Some(format!("403: <?xml?><Error><Code>No</Code>{}</Error>", "x".repeat(2_500)));
        }
        scenario.passes(3).await;
        assert_eq!(scenario.world.events(), ["Started", event]);
        let status = scenario.status();
        let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
        assert_eq!((stalled.reason.as_str(), stalled.message.as_str()), ("JobFailed", "403: No"));
        assert!(said(&scenario).contains(&"CheckpointHealthy Unknown NotRunning".to_owned()));
        assert_eq!(kstatus(&object(&scenario)), Health::Bad);
    }
}

#[tokio::test]
async fn an_object_of_another_release_is_run_as_far_as_it_is_known_and_never_holds_its_deletion_up() {
    let mut scenario = a_job_under_load().await;
    let change = |scenario: &Scenario, change: &dyn Fn(&mut Value)| {
        let mut job = object(scenario);
        change(&mut job);
        scenario.world.state().objects.store(JOBS, "orders", job);
    };
    change(&scenario, &|job| {
        job["spec"]["autoscale"] = json!({"max": 4});
        job["status"]["phase"] = json!("Thinking");
        job["status"]["operation"] = json!({"kind": "Think", "startedAt": "2026-05-01T12:00:00Z"});
    });
    scenario.until("ready", is_settled).await;
    change(&scenario, &|job| {
        job["spec"]["savepoints"] = json!({"onDelete": "Archive"});
        job["metadata"]["finalizers"] = json!(["eddyline.io/cleanup"]);
    });
    delete_job(&scenario.world);
    scenario.passes(2).await;
    assert!(scenario.world.state().objects.get(JOBS, "orders").is_none(), "nobody can say what it waits for");
}
