//! A job on disk: a `.sql` script or a `StreamJob` manifest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eddyline_crds::StreamJob;
use eddyline_plan::Script;

use crate::coordinator::job::RestartStrategy;

/// A job, as its file describes it.
#[derive(Clone, Debug)]
pub struct JobFile {
    /// The job's name: that of the manifest, or the file's name without its ending.
    pub name: String,
    /// The SQL, under the name that error messages show.
    pub script: Script,
    /// Settings outside the SQL.
    pub config: BTreeMap<String, String>,
    /// The number of slots, if the file has it.
    pub parallelism: Option<u16>,
    /// The folder of the checkpoints, if the file has one.
    pub checkpoint_dir: Option<String>,
    /// Options of that storage.
    pub storage_options: BTreeMap<String, String>,
    /// The time between two checkpoints, if the file has it.
    pub checkpoint_interval: Option<Duration>,
    /// What to restore from, if the file has it.
    pub restore_uri: Option<String>,
    /// Operators whose state may be dropped if it fits no operator of the job.
    pub allow_non_restored_state: Vec<String>,
    /// How often the job may restart. The default if the file does not say.
    pub restart: RestartStrategy,
}

/// Why a job file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not a StreamJob.
    #[error("{path} is not a StreamJob manifest (apiVersion eddyline.io/v1alpha1)")]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<serde_norway::Error>,
    },
    /// The manifest asks for something a local run cannot do.
    #[error("{path}: {reason}")]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// What it asks for, and what to do instead.
        reason: String,
    },
}

impl JobFile {
    /// Reads a job. Files that end in `.yaml` or `.yml` are manifests, all others are SQL.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let is_manifest = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if is_manifest { Self::from_manifest(path, &text) } else { Ok(Self::from_sql(path, text)) }
    }

    fn from_sql(path: &Path, text: String) -> Self {
        Self {
            name: path.file_stem().map_or_else(|| "job".to_owned(), |name| name.to_string_lossy().into_owned()),
            script: Script { name: path.display().to_string(), text },
            config: BTreeMap::new(),
            parallelism: None,
            checkpoint_dir: None,
            storage_options: BTreeMap::new(),
            checkpoint_interval: None,
            restore_uri: None,
            allow_non_restored_state: Vec::new(),
            restart: RestartStrategy::default(),
        }
    }

    fn from_manifest(path: &Path, text: &str) -> Result<Self, Error> {
        let unsupported = |reason: &str| Error::Unsupported { path: path.to_owned(), reason: reason.to_owned() };
        let job: StreamJob = serde_norway::from_str(text)
            .map_err(|source| Error::Manifest { path: path.to_owned(), source: Box::new(source) })?;
        let spec = job.spec;
        let sql = match (spec.sql, spec.sql_from) {
            (Some(sql), None) => sql,
            (None, Some(_)) => return Err(unsupported("spec.sqlFrom names a ConfigMap; a local run needs spec.sql")),
            _ => return Err(unsupported("spec.sql is missing")),
        };
        let mut config = spec.config;
        let timeout = spec.checkpoint.timeout.get();
        add_checkpoint_keys(&mut config, spec.max_parallelism, spec.checkpoint.retain, timeout);
        let storage = spec.checkpoint.storage;
        let endpoint = storage.as_ref().and_then(|storage| storage.endpoint.clone());
        Ok(Self {
            name: job.metadata.name.unwrap_or_else(|| "job".to_owned()),
            script: Script { name: format!("{} (spec.sql)", path.display()), text: sql },
            config,
            parallelism: Some(spec.parallelism),
            checkpoint_dir: storage.map(|storage| storage.uri),
            storage_options: endpoint.map(|endpoint| ("s3.endpoint".to_owned(), endpoint)).into_iter().collect(),
            checkpoint_interval: Some(spec.checkpoint.interval.get()),
            restore_uri: spec.restore_from.uri,
            allow_non_restored_state: spec.upgrade.allow_non_restored_state,
            restart: RestartStrategy {
                max_per_window: spec.restart.max_per_window as usize,
                window: spec.restart.window.get(),
                backoff_initial: spec.restart.backoff.initial.get(),
                backoff_max: spec.restart.backoff.max.get(),
                waits_at_first_start: false,
            },
        })
    }
}

/// Adds Flink's keys for fields of a StreamJob, unless the keys are set.
pub fn add_checkpoint_keys(
    config: &mut BTreeMap<String, String>,
    max_parallelism: u32,
    checkpoints_retained: u16,
    checkpoint_timeout: Duration,
) {
    let timeout = format!("{} ms", checkpoint_timeout.as_millis());
    for (key, value) in [
        ("pipeline.max-parallelism", max_parallelism.to_string()),
        ("state.checkpoints.num-retained", checkpoints_retained.to_string()),
        ("execution.checkpointing.timeout", timeout),
    ] {
        config.entry(key.to_owned()).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_gives_sql_and_settings() {
        let text = "
apiVersion: eddyline.io/v1alpha1
kind: StreamJob
metadata: {name: orders}
spec:
  sql: SELECT 1
  parallelism: 3
  maxParallelism: 64
  config: {table.local-time-zone: Europe/Berlin}
  checkpoint: {interval: 5s, storage: {uri: 's3://bucket/jobs', endpoint: 'http://127.0.0.1:9000'}}
";
        let job = JobFile::from_manifest(Path::new("orders.yaml"), text).expect("a manifest");
        assert_eq!((job.name.as_str(), job.parallelism), ("orders", Some(3)));
        assert_eq!(job.config["pipeline.max-parallelism"], "64");
        assert_eq!(job.config["table.local-time-zone"], "Europe/Berlin");
        assert_eq!(job.storage_options["s3.endpoint"], "http://127.0.0.1:9000");
        assert_eq!(job.checkpoint_interval, Some(Duration::from_secs(5)));
    }
}
