//! The scenarios, in the order in which they run.

use anyhow::Result;

mod controller_loss;
mod deletion;
mod ending;
mod failure;
mod first_job;
mod footprint;
mod health;
mod neighbours;
mod outage;
mod rescale;
mod savepoint;
mod security;
mod suspension;
mod upgrade;

/// Something that a user or a failure does to a job, and the expected outcome.
pub struct Scenario {
    /// Its name on the command line, and part of its namespace's.
    pub name: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// Whether CI runs it.
    pub is_core: bool,
    /// Runs it.
    pub run: fn() -> Result<()>,
}

const fn core(name: &'static str, shows: &'static str, run: fn() -> Result<()>) -> Scenario {
    Scenario { name, shows, is_core: true, run }
}

const fn long(name: &'static str, shows: &'static str, run: fn() -> Result<()>) -> Scenario {
    Scenario { name, shows, is_core: false, run }
}

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    core("first-job", "kubectl apply, and right results in the topic", first_job::run),
    core("rescale", "kubectl scale and an edit move key groups under load", rescale::run),
    core("failure", "a deleted pod and a killed process lose and double nothing", failure::run),
    core("upgrade", "SQL changes through a savepoint; broken SQL and a broken image disturb nothing", upgrade::run),
    core("suspension", "suspended and resumed", suspension::run),
    core("savepoint", "savepoints by object, and a new job from one", savepoint::run),
    core("deletion", "deleted with each policy, also with storage out of reach", deletion::run),
    core("namespace", "a namespace is deleted with jobs in every state", deletion::namespace),
    core("foreground", "deleted in the foreground, with the last savepoint of its end", ending::foreground),
    core("security", "another job's pod has no way in; an invalid spec is refused by the API server", security::run),
    long("ending", "a last savepoint of a finished and of a failed job", ending::without_worker),
    long("foreign-objects", "objects of others are neither changed nor deleted", neighbours::foreign_objects),
    long("quota", "a refused pod is a reason; state goes under a quota", neighbours::quota),
    long("releases", "the older of two releases serves what both watch", neighbours::releases),
    long("gitops", "every state that lasts settles for kstatus, Flux and Argo CD", health::gitops),
    long("lost-poll", "a worker that pauses for 3 s changes no condition", health::lost_poll),
    long("rotated-keys", "wrong keys of the storage, and right ones again", health::rotated_keys),
    long("local-copies", "a restarted container reads its state from the volume of its pod", failure::local_copies),
    long("out-of-memory", "a worker that needs too much memory is reported by name", failure::out_of_memory),
    long("node-loss", "drained, paused and stopped nodes", failure::node_loss),
    long("controller-loss", "the controller killed at every step of a rescale and of an upgrade", controller_loss::run),
    long("schedule", "savepoints by schedule, with retention", savepoint::schedule),
    long("broker-away", "an outage of the broker for a minute", outage::broker),
    long("storage-away", "an outage of the S3 server for a minute", outage::storage),
    long("api-server-away", "an outage of the API server for a minute", outage::api_server),
    long("autoscaler", "a HorizontalPodAutoscaler changes the parallelism", rescale::autoscaler),
    long("chart", "helm upgrade restarts no worker, helm uninstall leaves jobs", footprint::chart),
    long("footprint", "memory of the controller with 50 jobs and of an idle worker", footprint::run),
];
