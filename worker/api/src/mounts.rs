//! The paths, ports and names of a worker's pod.

/// The folder of the revision's ConfigMap.
pub const CONFIG: &str = "/etc/eddyline/job";
/// The [`WorkerConfig`](crate::WorkerConfig) as JSON, within [`CONFIG`].
pub const CONFIG_FILE: &str = "worker.json";
/// The SQL of the job, within [`CONFIG`].
pub const SQL_FILE: &str = "job.sql";
/// The Secrets in the SQL: a folder for each, with a file for each key.
pub const SECRETS: &str = "/etc/eddyline/secrets";
/// The Secret with the credentials of the checkpoint storage: a file for each key.
pub const STORAGE: &str = "/etc/eddyline/storage";
/// The worker's identity: `tls.crt`, `tls.key`, and `ca.crt` which signed it and the controller's.
pub const IDENTITY: &str = "/etc/eddyline/identity";
/// The folder that the worker may write to. Nothing in it is needed after a restart, but a restart may be faster with it.
pub const DATA: &str = "/var/lib/eddyline";

/// The environment variable with the termination grace period of the pod in seconds, if it is not Kubernetes' 30.
pub const GRACE_PERIOD: &str = "EDDYLINE_TERMINATION_GRACE_PERIOD_SECONDS";

/// The port of the API, with mutual TLS.
pub const API_PORT: u16 = 8443;
/// The port of `/healthz`, `/readyz` and `/metrics`, for everybody.
pub const HEALTH_PORT: u16 = 8080;

/// The name in a worker's certificate, which its clients expect.
pub fn server_name(namespace: &str, job: &str) -> String {
    format!("worker.{job}.{namespace}.eddyline.internal")
}
/// The name in the certificate of a job's controller.
pub fn client_name(namespace: &str, job: &str) -> String {
    format!("controller.{job}.{namespace}.eddyline.internal")
}
