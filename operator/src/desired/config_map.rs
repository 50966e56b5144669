//! The ConfigMap of a revision: the settings of its workers, and the spec that a rollback returns to.

use std::collections::BTreeMap;

use eddyline_api::{Start, WorkerConfig, config, mounts};
use eddyline_crds::quantity;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::Serialize;

use super::Inputs;
use crate::names;
use crate::revision::{self, Record};

/// The key of the [`Record`].
pub const RECORD_KEY: &str = "spec.json";

pub(super) fn config_map(inputs: Inputs<'_>) -> ConfigMap {
    let mut record = inputs.record.clone();
    record.spec.parallelism = inputs.parallelism;
    // The SQL has a key of its own.
    record.spec.sql = None;
    ConfigMap {
        metadata: inputs.metadata(names::revision(inputs.name(), inputs.revision.number)),
        data: Some(BTreeMap::from([
            (mounts::CONFIG_FILE.to_owned(), json(&worker_config(inputs))),
            (mounts::SQL_FILE.to_owned(), inputs.record.sql().to_owned()),
            (RECORD_KEY.to_owned(), json(&record)),
        ])),
        ..ConfigMap::default()
    }
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("these types have only string keys and finite numbers")
}

/// The settings of the workers of a revision.
pub fn worker_config(inputs: Inputs<'_>) -> WorkerConfig {
    let spec = &inputs.record.spec;
    let uid = inputs.job.metadata.uid.as_deref().unwrap_or_default();
    let ms = |duration: eddyline_crds::Duration| u64::try_from(duration.get().as_millis()).unwrap_or(u64::MAX);
    WorkerConfig {
        job: inputs.name().to_owned(),
        namespace: inputs.namespace().to_owned(),
        config: spec.config.clone(),
        parallelism: inputs.parallelism,
        max_parallelism: spec.max_parallelism,
        start: Start {
            token: names::start_token(uid, inputs.revision.number),
            from: revision::From::of(inputs.revision).start(),
            allow_non_restored_state: spec.upgrade.allow_non_restored_state.clone(),
        },
        checkpoint: config::Checkpoint {
            interval_ms: ms(spec.checkpoint.interval),
            timeout_ms: ms(spec.checkpoint.timeout),
            retain: spec.checkpoint.retain,
            uri: inputs.record.storage.as_ref().map(|storage| storage.uri.clone()),
            endpoint: inputs.record.storage.as_ref().and_then(|storage| storage.endpoint.clone()),
        },
        restart: config::Restart {
            max_per_window: spec.restart.max_per_window,
            window_ms: ms(spec.restart.window),
            backoff_initial_ms: ms(spec.restart.backoff.initial),
            backoff_max_ms: ms(spec.restart.backoff.max),
        },
        local_storage: spec
            .workers
            .storage
            .as_ref()
            .and_then(|volume| Some(config::LocalStorage { bytes: quantity::bytes(&volume.size)? })),
    }
}

/// The record of a revision in its ConfigMap, if it can be read. Earlier versions also kept the SQL in the record.
pub fn record(config_map: &ConfigMap) -> Option<Record> {
    let data = config_map.data.as_ref()?;
    let mut record: Record = serde_json::from_str(data.get(RECORD_KEY)?).ok()?;
    if record.spec.sql.is_none() {
        record.spec.sql = Some(data.get(mounts::SQL_FILE)?.clone());
    }
    Some(record)
}
