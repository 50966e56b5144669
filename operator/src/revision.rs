//! Revisions: an accepted spec with all references resolved, how it is recorded, and how revisions differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use eddyline_crds::stream_job::CheckpointStorage;
use eddyline_crds::{StreamJobSpec, status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An accepted spec with all references resolved. A rollback returns to it, and it keeps running while a newer spec is
/// refused. The revision's ConfigMap stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The spec, with its SQL inlined.
    pub spec: StreamJobSpec,
    /// The image of the workers.
    pub image: String,
    /// Where checkpoints are stored, the controller's default included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<CheckpointStorage>,
}

impl Record {
    /// The SQL.
    pub fn sql(&self) -> &str {
        self.spec.sql.as_deref().unwrap_or_default()
    }

    /// The fingerprint of the spec.
    pub fn hash(&self) -> String {
        hash(&self.spec, self.sql())
    }
}

/// The fingerprint of those fields of a spec that need a new worker.
pub fn hash(spec: &StreamJobSpec, sql: &str) -> String {
    let mut fixed = json!({
        "sql": sql,
        "config": spec.config,
        "maxParallelism": spec.max_parallelism,
        "workers": spec.workers,
        "checkpoint": spec.checkpoint,
        "restart": spec.restart,
    });
    // Empty fields are left out, so that a newer controller does not see running jobs as changed.
    if !spec.upgrade.allow_non_restored_state.is_empty() {
        fixed["allowNonRestoredState"] = json!(spec.upgrade.allow_non_restored_state);
    }
    fingerprint(&fixed)
}

/// The fingerprint of a JSON value. The order of keys does not matter.
pub fn fingerprint(value: &Value) -> String {
    let mut text = String::new();
    write_sorted(value, &mut text);
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            text.push('{');
            for (key, value) in fields.iter().collect::<BTreeMap<_, _>>() {
                let _ = write!(text, "{}:", Value::from(key.as_str()));
                write_sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => {
            let _ = write!(text, "{plain}");
        }
    }
}

/// The state that a revision starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// The latest checkpoint.
    Latest,
    /// No state.
    Empty,
    /// A savepoint.
    Savepoint(String),
}

impl From {
    /// The state that a recorded revision starts from.
    pub fn of(revision: &status::Revision) -> Self {
        match revision.from.as_str() {
            "latest" => Self::Latest,
            "empty" => Self::Empty,
            uri => Self::Savepoint(uri.to_owned()),
        }
    }

    /// The spelling in the status and in the worker's configuration.
    pub fn start(&self) -> eddyline_api::StartFrom {
        match self {
            Self::Latest => eddyline_api::StartFrom::Latest,
            Self::Empty => eddyline_api::StartFrom::Empty,
            Self::Savepoint(uri) => eddyline_api::StartFrom::Savepoint { uri: uri.clone() },
        }
    }
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Latest => "latest",
            Self::Empty => "empty",
            Self::Savepoint(uri) => uri,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_a_running_worker_can_change_is_not_in_the_hash() {
        let job = testing::job("orders");
        let before = hash(&job.spec, "SELECT 1");
        let mut other = job.spec.clone();
        other.parallelism = 4;
        other.state = eddyline_crds::stream_job::DesiredState::Suspended;
        other.upgrade.rollback.enabled = false;
        assert_eq!(hash(&other, "SELECT 1"), before);
        assert_ne!(hash(&other, "SELECT 2"), before);
        other.workers.version = "2.0".to_owned();
        assert_ne!(hash(&other, "SELECT 1"), before);
    }

    /// A job that failed to restore is tried again when the user allows what it needs.
    #[test]
    fn state_that_may_be_left_behind_is_in_the_hash_when_there_is_some() {
        let job = testing::job("orders");
        let mut other = job.spec.clone();
        other.upgrade.allow_non_restored_state = vec!["source/numbers".to_owned()];
        assert_ne!(hash(&other, "SELECT 1"), hash(&job.spec, "SELECT 1"));
    }

    #[test]
    fn a_fingerprint_does_not_depend_on_the_order_of_keys() {
        let one: Value = serde_json::from_str(r#"{"a":{"x":1,"y":[1,2]},"b":"t"}"#).expect("JSON");
        let two: Value = serde_json::from_str(r#"{"b":"t","a":{"y":[1,2],"x":1}}"#).expect("JSON");
        let three: Value = serde_json::from_str(r#"{"b":"t","a":{"y":[2,1],"x":1}}"#).expect("JSON");
        assert_eq!(fingerprint(&one), fingerprint(&two));
        assert_ne!(fingerprint(&one), fingerprint(&three));
    }
}
