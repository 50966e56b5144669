//! The controller of stream jobs.
//!
//! A reconcile of a job has five steps, each in its own file:
//!
//! - `observe` reads the job, its children and what its worker says, into the values of `observed`;
//! - `validate` judges the spec, and plans its SQL;
//! - `plan` decides: pure, and the only place that does;
//! - `status` says what was seen and what is meant, and stores it before anything is done;
//! - `apply` carries out the steps of the plan, each of which may be carried out again.
//!
//! `controller` makes reconciles happen, `polls` asks workers in between, `desired` holds what a running job consists of, `savepoint` is the controller of the
//! second kind of object. Only the holder of the Lease (`leader`) acts.
//!
//! Invariants: the intent is in the status before the first step that follows from it; decisions never ask for the time,
//! for chance or for anything outside; a spec that is refused changes nothing that runs; nothing here is on the path of
//! data, and nothing that is remembered between reconciles is needed.

pub mod apply;
pub mod backoff;
pub mod claims;
pub mod clock;
pub mod context;
pub mod controller;
pub mod desired;
pub mod events;
pub mod identity;
pub mod leader;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod observed;
pub mod ownership;
pub mod plan;
pub mod polls;
pub mod rbac;
pub mod reconcile;
pub mod revision;
pub mod savepoint;
pub mod schedule;
pub mod server;
pub mod settings;
pub mod status;
pub mod validate;
mod vocabulary;
pub mod worker_client;

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod testing;
