//! Decides what to do about a job. Pure: no I/O, no clock, no randomness.
//!
//! A plan is the next status, which holds the intent, and the steps that follow from it. The status is stored before the
//! first step, and every step may be carried out again, so that a controller that dies between any two of them leaves a
//! job from which the next one finds the way. One decision a reconcile: what comes after it is decided on what is seen then.
//!
//! - `life`: which of the rooms below a job is in;
//! - `start`: the first revision;
//! - `change`: from one revision to the next, and back;
//! - `suspension`: suspending and resuming;
//! - `steady`: a job that only has to be kept running, at the right parallelism;
//! - `pods`: the pods that every running job has, and those it must not have;
//! - `savepoints`: savepoints by schedule;
//! - `deletion`: the end.

use std::time::Duration;

use eddyline_api::SavepointRequest;
use eddyline_crds::{Savepoint, StreamJobStatus};
use k8s_openapi::api::batch::v1::Job;

use crate::clock::Timestamp;
use crate::desired::Children;
use crate::events::Event;
use crate::observed::Observed;
use crate::settings::Settings;
use crate::status;
use crate::validate::Verdict;

mod change;
mod deletion;
mod life;
mod pass;
mod pods;
mod savepoints;
mod start;
mod steady;
mod suspension;

pub use pass::Pass;
pub(crate) use suspension::waits_for;

/// What to do about a job.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was seen and what is meant.
    pub status: StreamJobStatus,
    /// What has happened.
    pub events: Vec<Event>,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// When to look again at the latest.
    pub requeue: Duration,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Sets or takes off the finalizer.
    SetFinalizer(bool),
    /// Creates the Secret with the identity, or renews the certificates in it.
    EnsureIdentity,
    /// Applies the children.
    Apply(Box<Children>),
    /// Deletes the StatefulSet with its pods.
    DeleteStatefulSet,
    /// Deletes a pod.
    DeletePod {
        /// Its name.
        name: String,
        /// Its uid: a pod that has already taken its place is not meant.
        uid: String,
        /// Seconds until it is killed, if not its own.
        grace: Option<u32>,
    },
    /// Asks the worker to run on this many slots.
    Rescale {
        /// How many.
        parallelism: u16,
    },
    /// Asks the worker to stop, with a savepoint or with a checkpoint.
    Stop {
        /// The savepoint.
        savepoint: Option<SavepointRequest>,
        /// After which time the worker resumes by itself, if it has not stopped by then.
        timeout: Duration,
    },
    /// Asks the worker to resume instead of stopping.
    TakeBackStop,
    /// Creates a Savepoint object with its status.
    CreateSavepoint(Box<Savepoint>),
    /// Deletes a Savepoint object.
    DeleteSavepoint {
        /// Its name.
        name: String,
    },
    /// Creates the batch job that deletes the job's data, or makes a savepoint of it.
    CreateBatchJob(Box<Job>),
    /// Deletes the ConfigMaps of other revisions than this one.
    PruneRevisions {
        /// The one that stays.
        keep: u64,
    },
}

impl Step {
    /// What it does, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SetFinalizer(true) => "set the finalizer",
            Self::SetFinalizer(false) => "take off the finalizer",
            Self::EnsureIdentity => "ensure the identity",
            Self::Apply(_) => "apply the children",
            Self::DeleteStatefulSet => "delete the StatefulSet",
            Self::DeletePod { .. } => "delete a pod",
            Self::Rescale { .. } => "rescale",
            Self::Stop { .. } => "stop",
            Self::TakeBackStop => "take back the stop",
            Self::CreateSavepoint(_) => "create a Savepoint",
            Self::DeleteSavepoint { .. } => "delete a Savepoint",
            Self::CreateBatchJob(_) => "create a batch job",
            Self::PruneRevisions { .. } => "prune revisions",
        }
    }
}

/// Decides what to do about a job.
pub fn plan(verdict: &Verdict, seen: &Observed, settings: &Settings, now: Timestamp) -> Plan {
    let mut pass = Pass::new(verdict, seen, settings, now);
    if seen.job.metadata.deletion_timestamp.is_some() {
        deletion::decide(&mut pass);
    } else {
        life::decide(&mut pass);
    }
    let before = seen.job.status.clone().unwrap_or_default();
    let mut plan = pass.into_plan();
    plan.events.extend(status::events::told_by(&before, &plan.status));
    plan
}

#[cfg(test)]
mod tests;
