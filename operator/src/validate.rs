//! From a spec to a job that can be run, or to the reasons against it. Referenced objects were read before. Only the
//! planning of SQL takes time, on its own thread.

use std::collections::BTreeSet;

use eddyline_crds::StreamJobSpec;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::json;

use crate::names;
use crate::observed::{Observed, Sql};
use crate::revision::{self, Record};
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::vocabulary::named;

mod fields;
mod planning;
mod secrets;
mod state;

pub use planning::Planner;
pub use secrets::{Reference, references};
pub use state::objection_to_return;

/// The verdict on a spec.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The spec can be run.
    Accepted(Box<Accepted>),
    /// The spec cannot be run.
    Rejected(Rejection),
}

/// A spec that can be run.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The spec with all references resolved.
    pub record: Record,
    /// Its fingerprint.
    pub hash: String,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// Why a spec cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The kind of reason.
    pub reason: Reason,
    /// The details, with line and column if it is about the SQL.
    pub message: String,
}

named! {
    /// Kinds of reasons against a spec.
    Reason {
        /// The SQL does not plan.
        SqlInvalid = "SqlInvalid",
        /// The ConfigMap or key of the SQL is missing.
        SqlNotFound = "SqlNotFound",
        /// A field of the spec cannot be used.
        SpecInvalid = "SpecInvalid",
        /// The spec asks for what this version cannot do.
        NotYetSupported = "NotYetSupported",
        /// The state of the running job belongs to another computation.
        StateIncompatible = "StateIncompatible",
    }
}

impl Verdict {
    /// The accepted spec, if it is one.
    pub fn accepted(&self) -> Option<&Accepted> {
        match self {
            Self::Accepted(accepted) => Some(accepted),
            Self::Rejected(_) => None,
        }
    }
}

/// Judges the spec of a job.
pub async fn validate(seen: &Observed, settings: &Settings, planner: &Planner) -> Verdict {
    match check(seen, settings, planner).await {
        Ok(accepted) => Verdict::Accepted(Box::new(accepted)),
        Err(rejection) => Verdict::Rejected(rejection),
    }
}

async fn check(seen: &Observed, settings: &Settings, planner: &Planner) -> Result<Accepted, Rejection> {
    let spec = &seen.job.spec;
    check_fields(seen.name(), spec)?;
    let sql = match &seen.sql {
        Sql::Text(text) => text,
        Sql::Missing(message) => {
            return Err(Rejection { reason: Reason::SqlNotFound, message: message.clone() });
        }
    };
    if sql.len() > SQL_BYTES_MAX {
        return Err(sql_invalid(format!(
            "the SQL has {} bytes; at most {SQL_BYTES_MAX} fit into the ConfigMap of a revision. Split the job",
            sql.len()
        )));
    }
    references(sql).map_err(sql_invalid)?;
    let planned = planner.plan(sql, &spec.config).await.map_err(sql_invalid)?;
    let hash = revision::hash(spec, sql);
    if let Some(message) = state::objection(seen, &hash, &planned, planner).await {
        return Err(Rejection { reason: Reason::StateIncompatible, message });
    }
    let mut warnings = planned.warnings;
    let storage = spec.checkpoint.storage.clone().or_else(|| settings.default_storage.clone());
    if storage.is_none() {
        warnings.insert(0, NO_STORAGE.to_owned());
    }
    let record = Record {
        spec: StreamJobSpec { sql: Some(sql.clone()), sql_from: None, ..spec.clone() },
        image: settings.image(&spec.workers.version),
        storage,
    };
    Ok(Accepted { hash, record, warnings })
}

/// The longest SQL in bytes. A ConfigMap holds 1 MiB, including the rest of the spec.
const SQL_BYTES_MAX: usize = 768 * 1024;

/// The warning of a job without storage.
pub const NO_STORAGE: &str =
    "checkpoint.storage is not set: checkpoints are kept in memory, and state is lost when the worker's process ends";

fn sql_invalid(message: String) -> Rejection {
    Rejection { reason: Reason::SqlInvalid, message }
}

/// Checks what the schema of the custom resource cannot express.
fn check_fields(name: &str, spec: &StreamJobSpec) -> Result<(), Rejection> {
    let invalid = |message: String| Err(Rejection { reason: Reason::SpecInvalid, message });
    if let Some(objection) = names::objection_to_job_name(name) {
        return invalid(objection);
    }
    if spec.sql.is_some() == spec.sql_from.is_some() {
        return invalid("set exactly one of sql and sqlFrom".to_owned());
    }
    if u32::from(spec.parallelism) > spec.max_parallelism {
        return invalid(format!(
            "parallelism {} is greater than maxParallelism {}",
            spec.parallelism, spec.max_parallelism
        ));
    }
    if let Some(template) = &spec.workers.template {
        let known = match pod_template(template) {
            Ok(known) => json!(known),
            Err(error) => return invalid(format!("workers.template is no PodTemplateSpec: {error}")),
        };
        let unknown = fields::dropped(template, &known, "workers.template");
        if !unknown.is_empty() {
            return invalid(format!("a PodTemplateSpec has no field {}", unknown.join(", ")));
        }
    }
    if let Some(schedule) = &spec.savepoints.schedule
        && let Err(error) = Schedule::parse(schedule)
    {
        return invalid(error.to_string());
    }
    if spec.restore_from.uri.is_some() && spec.restore_from.savepoint_ref.is_some() {
        return invalid("restoreFrom takes savepointRef or uri, not both".to_owned());
    }
    if spec.workers.slots > 0 && spec.workers.slots < spec.parallelism {
        return Err(Rejection {
            reason: Reason::NotYetSupported,
            message: format!(
                "parallelism {} with workers.slots {} needs {} workers; this version runs one worker per job. Leave \
                 workers.slots at 0",
                spec.parallelism,
                spec.workers.slots,
                spec.parallelism.div_ceil(spec.workers.slots)
            ),
        });
    }
    Ok(())
}

/// Reads a pod template. A template may leave out `spec.containers`; then there are none.
pub fn pod_template(template: &serde_json::Value) -> Result<PodTemplateSpec, serde_json::Error> {
    serde_json::from_value(template.clone())
}

/// The Secrets that a job's SQL refers to.
pub fn secrets(sql: &str) -> BTreeSet<String> {
    references(sql).unwrap_or_default().into_iter().map(|reference| reference.secret).collect()
}

#[cfg(test)]
mod tests;
