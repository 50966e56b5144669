//! Whole reconciles against a fake API server, in a world where pods start and workers answer. Each scenario is also
//! run with a controller that dies after every single request, and must have the same outcome.

use std::sync::Arc;
use std::time::Duration;

use eddyline_crds::StreamJobStatus;
use eddyline_crds::status::Phase;
use serde_json::{Value, json};

use crate::context::Context;
use crate::metrics::Metrics;
use crate::reconcile::{self, Next};
use crate::settings::Settings;
use crate::status::conditions::{self, Type};
use crate::testing;
use crate::testing::world::{JOBS, World};
use crate::{polls, savepoint};

mod deletion;
mod failures;
mod health;
mod life;
mod ownership;
mod releases;
mod rights;
mod rollbacks;
mod savepoints;
mod stops;

/// The number of rounds after which a scenario has failed.
const PASSES_MAX: usize = 400;

/// A world with a controller.
pub(crate) struct Scenario {
    pub(crate) world: World,
    pub(crate) settings: Settings,
    context: Arc<Context>,
    /// The number of requests after which each controller dies. None: never.
    dies_after: Option<usize>,
    /// The number of rounds so far.
    passes: usize,
}

impl Scenario {
    /// A world with a controller that never dies.
    pub(crate) fn new() -> Self {
        let world = World::new();
        let settings = Settings::of_a_test();
        let context = context(&world, &settings);
        Self { world, settings, context, dies_after: None, passes: 0 }
    }

    /// A world with a controller that dies after this many requests. The next one dies after one more, and so on.
    pub(crate) fn dying_after(requests: usize) -> Self {
        Self { dies_after: Some(requests), ..Self::new() }
    }

    /// A world with a controller that never dies, and a job that is Ready.
    pub(crate) async fn ready(change: impl FnOnce(&mut eddyline_crds::StreamJob)) -> Self {
        let mut scenario = Self::new();
        scenario.create(change);
        scenario.until("ready", is_settled).await;
        scenario
    }

    /// Creates a job.
    pub(crate) fn create(&self, change: impl FnOnce(&mut eddyline_crds::StreamJob)) {
        let mut job = testing::job("orders");
        change(&mut job);
        let mut state = self.world.state();
        let now = state.now;
        state.objects.create(JOBS, json!(job), now);
    }

    /// Runs rounds until a condition holds.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&World) -> bool) {
        for _ in 0..PASSES_MAX {
            if holds(&self.world) {
                return;
            }
            self.pass().await;
        }
        let job = self.world.job("orders").map(|job| json!(job.status));
        panic!("not within {PASSES_MAX} passes: {what}; events {:?}; status {job:#?}", self.world.events());
    }

    /// Runs some rounds.
    pub(crate) async fn passes(&mut self, number: usize) {
        for _ in 0..number {
            self.pass().await;
        }
    }

    /// One round: a reconcile of every object, and then everything that others do.
    pub(crate) async fn pass(&mut self) {
        self.passes += 1;
        assert_honest(&self.world);
        if let Some(requests) = &mut self.dies_after {
            self.world.state().answers_left = Some(*requests);
            // Each controller gets one request further, so that every request is the last one once.
            *requests += 1;
        }
        // A controller that dies remembers no failure, and reports none.
        while let Ok(Next::Ask(question)) = reconcile::reconcile(&self.context, "shop", "orders", testing::UID).await {
            polls::put(&self.context, &question).await;
        }
        for name in self.savepoints() {
            let _ = savepoint::reconcile(&self.context, "shop", &name).await;
        }
        let mut has_died = false;
        {
            let mut state = self.world.state();
            if state.answers_left == Some(0) {
                has_died = true;
            }
            state.answers_left = None;
            state.tick(Duration::from_secs(1));
        }
        if has_died {
            self.context = context(&self.world, &self.settings);
        } else if self.dies_after.is_some() {
            // If no controller died in a round, the next one begins to die early again.
            self.dies_after = Some(1);
        }
    }

    fn savepoints(&self) -> Vec<String> {
        let state = self.world.state();
        let names = state.objects.of(testing::world::SAVEPOINTS);
        names.filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }

    /// The status of the job.
    pub(crate) fn status(&self) -> StreamJobStatus {
        self.world.job("orders").expect("a job").status.unwrap_or_default()
    }
}

fn context(world: &World, settings: &Settings) -> Arc<Context> {
    let metrics = Metrics::new().expect("metrics");
    let (clock, connect) = (Arc::new(world.clone()), Arc::new(world.clone()));
    Arc::new(Context::new(world.client(), settings.clone(), clock, connect, metrics))
}

/// Nothing in the status of a Ready job says that it is not ready, whatever happened before. Whether its newest spec is
/// accepted and has warnings is not checked.
fn assert_honest(world: &World) {
    let state = world.state();
    let status = state.objects.get(JOBS, "orders").map(|job| job["status"].clone()).unwrap_or_default();
    let status: StreamJobStatus = serde_json::from_value(status).unwrap_or_default();
    if status.phase != Phase::Running || !conditions::is_true(&status.conditions, Type::Ready) {
        return;
    }
    let about_the_spec = [Type::Stalled, Type::Accepted, Type::Warning];
    for kind in Type::ALL.iter().filter(|kind| !about_the_spec.contains(kind)) {
        let condition = conditions::find(&status.conditions, *kind).expect("every condition is there");
        let expected: &[(&str, &str)] = match kind {
            Type::Reconciling => &[("False", "Settled")],
            Type::CheckpointHealthy if !state.has_storage => continue,
            Type::CheckpointHealthy => &[("True", "Completing"), ("Unknown", "NoneYet")],
            Type::WatermarkAdvancing => &[("True", "Advancing"), ("Unknown", "NoWatermark")],
            Type::Backpressured => &[("False", "KeepingUp")],
            _ => &[("True", "Running")],
        };
        let found = (condition.status.as_str(), condition.reason.as_str());
        assert!(expected.contains(&found), "{} is {found:?} although the job is Ready", kind.as_str());
    }
    if conditions::find(&status.conditions, Type::Stalled).is_some_and(|stalled| stalled.status == "True") {
        let refused = conditions::find(&status.conditions, Type::Accepted).is_some_and(|known| known.status == "False");
        assert!(
            refused || status.rolled_back.is_some(),
            "Stalled although the job is Ready and its spec was carried out"
        );
    }
}

/// Whether the job is Ready and no operation is in progress.
pub(crate) fn is_settled(world: &World) -> bool {
    world.job("orders").and_then(|job| Some((job.metadata.generation, job.status?))).is_some_and(
        |(generation, status)| {
            status.phase == Phase::Running
                && status.operation.is_none()
                && Some(status.observed_generation) == generation
                && conditions::is_true(&status.conditions, Type::Ready)
        },
    )
}

/// All conditions, each with status and reason.
pub(crate) fn said(scenario: &Scenario) -> Vec<String> {
    let conditions = scenario.status().conditions;
    conditions.iter().map(|known| format!("{} {} {}", known.type_, known.status, known.reason)).collect()
}

/// Whether the job is in a phase.
pub(crate) fn is_in(phase: Phase) -> impl Fn(&World) -> bool {
    move |world| world.job("orders").and_then(|job| job.status).is_some_and(|status| status.phase == phase)
}

/// Deletes the job as a user does.
pub(crate) fn delete_job(world: &World) {
    let mut state = world.state();
    let now = state.now;
    state.objects.delete(JOBS, "orders", &Value::Null, now);
}

/// Deletes the job with `--cascade=foreground`: its children are deleted first.
pub(crate) fn delete_job_in_foreground(world: &World) {
    let mut state = world.state();
    let now = state.now;
    state.objects.delete(JOBS, "orders", &json!({"propagationPolicy": "Foreground"}), now);
}

/// Whether the job is gone.
pub(crate) fn is_gone(world: &World) -> bool {
    world.job("orders").is_none()
}
