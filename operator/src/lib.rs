//! The controller of stream jobs.
//!
//! A reconcile of a job has five steps, each in its own file:
//!
//! - `observe` reads the job, its children and its worker's answer into the values of `observed`;
//! - `validate` judges the spec, and plans its SQL;
//! - `plan` decides; it is pure, and the only module that decides;
//! - `status` records what was observed and what is intended, before anything is done;
//! - `apply` carries out the steps of the plan; every step may be repeated.
//!
//! `controller` starts reconciles, and `polls` asks workers in between. `desired` has the objects of a running job.
//! `savepoint` is the controller of Savepoints. Only the holder of the Lease (`leader`) acts.
//!
//! Invariants: the intent is in the status before the first step that follows from it. Decisions use no clock, no
//! randomness and no I/O. A refused spec changes nothing that runs. Nothing here is on the data path. Nothing that is
//! remembered between reconciles is needed.

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
