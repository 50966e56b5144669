//! The settings of the controller: from flags, or from environment variables.

use std::net::SocketAddr;

use clap::{ArgAction, Parser, ValueEnum};
use eddyline_crds::stream_job::CheckpointStorage;

/// Runs StreamJobs on Kubernetes.
#[derive(Clone, Debug, Parser)]
#[command(name = "eddyline-operator", version)]
struct Flags {
    /// The repository of the worker image [env: EDDYLINE_WORKER_IMAGE]
    #[arg(long)]
    worker_image: Option<String>,
    /// The tag of the worker image for jobs without workers.version [env: EDDYLINE_WORKER_TAG] [default: this version]
    #[arg(long)]
    worker_tag: Option<String>,
    /// When workers pull their image: Always, IfNotPresent or Never
    #[arg(long)]
    image_pull_policy: Option<String>,
    /// The namespaces whose jobs are run, separated by commas; all if empty [env: WATCH_NAMESPACES]
    #[arg(long, value_delimiter = ',')]
    watch_namespaces: Option<Vec<String>>,
    /// The checkpoint storage of jobs without their own, as JSON of spec.checkpoint.storage [env:
    /// EDDYLINE_DEFAULT_STORAGE]
    #[arg(long)]
    default_storage: Option<String>,
    /// The namespace that the controller runs in [env: POD_NAMESPACE]
    #[arg(long)]
    namespace: Option<String>,
    /// The name of this replica [env: POD_NAME]
    #[arg(long)]
    identity: Option<String>,
    /// The address that serves health and metrics; [::] is every address, including IPv4
    #[arg(long, default_value = "[::]:8080")]
    listen: SocketAddr,
    /// Whether to wait for the Lease before acting
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    leader_elect: bool,
    /// The Lease that the replicas of this release share
    #[arg(long, default_value = crate::names::LEASE)]
    lease_name: String,
    /// The form of log lines
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    log: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

/// The settings of the controller.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The repository of the worker image.
    pub worker_image: String,
    /// The tag of the worker image for jobs without `workers.version`.
    pub worker_tag: String,
    /// When workers pull their image. Unset: Kubernetes' default.
    pub image_pull_policy: Option<String>,
    /// The namespaces whose jobs are run; all if empty.
    pub watch_namespaces: Vec<String>,
    /// The checkpoint storage of jobs without their own.
    pub default_storage: Option<CheckpointStorage>,
    /// The namespace that the controller runs in.
    pub namespace: String,
    /// The name of this replica.
    pub identity: String,
    /// The address that serves health and metrics.
    pub listen: SocketAddr,
    /// Whether to wait for the Lease before acting.
    pub leader_elect: bool,
    /// The Lease that the replicas of this release share.
    pub lease: String,
    /// The form of log lines.
    pub log: LogFormat,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The default storage is not a CheckpointStorage.
    #[error("the default storage '{text}' is no checkpoint storage")]
    DefaultStorage {
        /// The given text.
        text: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A pull policy that Kubernetes does not know.
    #[error("'{0}' is no image pull policy; write Always, IfNotPresent or Never")]
    PullPolicy(String),
}

impl Settings {
    /// The settings of this process. If a flag is wrong, prints the usage and ends the process.
    ///
    /// # Errors
    /// The value of a flag cannot be used.
    pub fn of_process() -> Result<Self, Error> {
        Self::from_flags(Flags::parse(), |name| std::env::var(name).ok())
    }

    fn from_flags(flags: Flags, environment: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let given =
            |flag: Option<String>, name: &str| flag.or_else(|| environment(name)).filter(|text| !text.is_empty());
        let default_storage = given(flags.default_storage, "EDDYLINE_DEFAULT_STORAGE")
            .map(|text| serde_json::from_str(&text).map_err(|source| Error::DefaultStorage { text, source }))
            .transpose()?;
        let image_pull_policy = flags.image_pull_policy.filter(|policy| !policy.is_empty());
        if let Some(policy) = &image_pull_policy
            && !["Always", "IfNotPresent", "Never"].contains(&policy.as_str())
        {
            return Err(Error::PullPolicy(policy.clone()));
        }
        let namespaces = flags
            .watch_namespaces
            .or_else(|| environment("WATCH_NAMESPACES").map(|text| text.split(',').map(str::to_owned).collect()))
            .unwrap_or_default();
        let mut watch_namespaces: Vec<String> =
            namespaces.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        watch_namespaces.sort();
        watch_namespaces.dedup();
        Ok(Self {
            worker_image: given(flags.worker_image, "EDDYLINE_WORKER_IMAGE")
                .unwrap_or_else(|| "eddyline-worker".to_owned()),
            worker_tag: given(flags.worker_tag, "EDDYLINE_WORKER_TAG")
                .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            image_pull_policy,
            watch_namespaces,
            default_storage,
            namespace: given(flags.namespace, "POD_NAMESPACE").unwrap_or_else(|| "default".to_owned()),
            identity: given(flags.identity, "POD_NAME")
                .unwrap_or_else(|| format!("{}-{}", crate::names::MANAGER, std::process::id())),
            listen: flags.listen,
            leader_elect: flags.leader_elect,
            lease: flags.lease_name,
            log: flags.log,
        })
    }

    /// The image of workers with this version. Empty: the controller's own version.
    pub fn image(&self, version: &str) -> String {
        let tag = if version.is_empty() { &self.worker_tag } else { version };
        format!("{}:{tag}", self.worker_image)
    }

    /// The settings that tests run with.
    #[cfg(test)]
    pub(crate) fn of_a_test() -> Self {
        let flags =
            Flags::parse_from(["eddyline-operator", "--worker-image", "eddyline-worker", "--worker-tag", "1.0"]);
        let environment = |name: &str| match name {
            "POD_NAMESPACE" => Some("eddyline-system".to_owned()),
            "POD_NAME" => Some("operator-0".to_owned()),
            _ => None,
        };
        Self::from_flags(flags, environment).expect("settings of a test")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str], environment: &[(&str, &str)]) -> Result<Settings, Error> {
        let flags = Flags::parse_from(std::iter::once(&"eddyline-operator").chain(flags));
        Settings::from_flags(flags, |name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_flag_goes_before_the_environment() {
        let environment = [("EDDYLINE_WORKER_TAG", "2.0"), ("WATCH_NAMESPACES", "b, a,,b")];
        let settings = read(&["--worker-tag", "3.0"], &environment).expect("settings");
        assert_eq!(settings.image(""), "eddyline-worker:3.0");
        assert_eq!(settings.image("4.0"), "eddyline-worker:4.0");
        assert_eq!(settings.watch_namespaces, ["a", "b"]);
    }

    #[test]
    fn a_default_storage_that_is_none_is_named() {
        let error = read(&[], &[("EDDYLINE_DEFAULT_STORAGE", "{\"url\": \"s3://b\"}")]).expect_err("no storage");
        assert!(error.to_string().contains("url"), "{error}");
    }
}
