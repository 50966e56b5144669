//! Decides what to do about a job. Pure: no I/O, no clock, no randomness.
//!
//! A plan is the next status, which holds the intent, and the steps that follow from it. The status is stored before
//! the first step, and every step may be repeated. So a controller may die between any two steps, and the next one
//! continues. Each reconcile makes one decision. The next decision is made on what is observed then.
//!
//! - `life`: which of the modules below decides about a job;
//! - `start`: the first revision;
//! - `change`: from one revision to the next, and back;
//! - `suspension`: suspending and resuming;
//! - `steady`: a job that only has to be kept running, at the right parallelism;
//! - `pods`: the pods that a job must not have;
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
    /// What was observed and what is intended.
    pub status: StreamJobStatus,
    /// The events to emit.
    pub events: Vec<Event>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The longest wait until the next reconcile.
    pub requeue: Duration,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Adds or removes the finalizer.
    SetFinalizer(bool),
    /// Creates the Secret with the identity, or renews its certificates.
    EnsureIdentity,
    /// Applies the children.
    Apply(Box<Children>),
    /// Deletes the StatefulSet with its pods.
    DeleteStatefulSet,
    /// Deletes a pod.
    DeletePod {
        /// Its name.
        name: String,
        /// Its uid, so that a pod that has already replaced it is not deleted.
        uid: String,
        /// The grace period in seconds. None: the pod's own.
        grace: Option<u32>,
    },
    /// Asks the worker to run on this many slots.
    Rescale {
        /// The number of slots.
        parallelism: u16,
    },
    /// Asks the worker to stop, with a savepoint or with a checkpoint.
    Stop {
        /// The savepoint.
        savepoint: Option<SavepointRequest>,
        /// The time limit. If the worker has not stopped by then, it resumes by itself.
        timeout: Duration,
    },
    /// Asks the worker to resume instead of stopping.
    CancelStop,
    /// Creates a Savepoint object with its status.
    CreateSavepoint(Box<Savepoint>),
    /// Deletes a Savepoint object.
    DeleteSavepoint {
        /// Its name.
        name: String,
    },
    /// Creates the batch job that deletes the job's data, or copies it into a savepoint.
    CreateBatchJob(Box<Job>),
    /// Deletes the ConfigMaps of all revisions except this one.
    PruneRevisions {
        /// The revision that stays.
        keep: u64,
    },
}

impl Step {
    /// What it does, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SetFinalizer(true) => "set the finalizer",
            Self::SetFinalizer(false) => "remove the finalizer",
            Self::EnsureIdentity => "ensure the identity",
            Self::Apply(_) => "apply the children",
            Self::DeleteStatefulSet => "delete the StatefulSet",
            Self::DeletePod { .. } => "delete a pod",
            Self::Rescale { .. } => "rescale",
            Self::Stop { .. } => "stop",
            Self::CancelStop => "cancel the stop",
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
    plan.events.extend(status::events::between(&before, &plan.status));
    plan
}

#[cfg(test)]
mod tests;
