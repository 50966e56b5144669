//! The client of a job's worker: its HTTP API over mutual TLS. It implements a trait, so that tests can replace it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use eddyline_api::savepoint::{Problem, RescaleRequest, StopRequest};
use eddyline_api::{JobStatus, Savepoint, SavepointRequest, endpoint, mounts};
use futures::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::identity::Credentials;

/// How long a worker may take to answer.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// The requests to a worker.
pub trait WorkerClient: Send + Sync {
    /// The state of its job.
    fn status(&self) -> BoxFuture<'_, Result<JobStatus, Error>>;
    /// Runs the job on another number of slots.
    fn rescale(&self, parallelism: u16) -> BoxFuture<'_, Result<(), Error>>;
    /// Stops the job.
    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<(), Error>>;
    /// Cancels a stop that has not ended the job yet.
    fn resume(&self) -> BoxFuture<'_, Result<(), Error>>;
    /// Takes a savepoint.
    fn take_savepoint(&self, request: SavepointRequest) -> BoxFuture<'_, Result<Savepoint, Error>>;
    /// The state of a requested savepoint, if the worker's process knows it.
    fn savepoint(&self, name: String) -> BoxFuture<'_, Result<Option<Savepoint>, Error>>;
}

/// The address and the identity of a worker.
#[derive(Clone, Debug)]
pub struct Address {
    /// The namespace of the job.
    pub namespace: String,
    /// The job.
    pub job: String,
    /// The pod's address.
    pub ip: IpAddr,
}

/// Makes clients of workers.
pub trait Connect: Send + Sync {
    /// A client of the worker at an address; nothing is sent yet.
    ///
    /// # Errors
    /// Credentials that cannot be used.
    fn connect(&self, address: &Address, credentials: &Credentials) -> Result<Arc<dyn WorkerClient>, Error>;
}

/// A request to a worker that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error("the worker does not answer: {}", innermost(.0))]
    Unreachable(#[source] reqwest::Error),
    /// The worker has refused.
    #[error("the worker refuses: {message}")]
    Refused {
        /// The status code.
        code: u16,
        /// Why.
        message: String,
    },
    /// The credentials are unusable.
    #[error("the identity of the job cannot be used: {0}")]
    Credentials(String),
}

/// The last cause of the chain, which is the specific one: `connection refused`, `timed out`.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Connects over HTTPS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Https;

impl Connect for Https {
    fn connect(&self, address: &Address, credentials: &Credentials) -> Result<Arc<dyn WorkerClient>, Error> {
        let name = mounts::server_name(&address.namespace, &address.job);
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls(credentials)?)
            .resolve(&name, SocketAddr::new(address.ip, mounts::API_PORT))
            .no_proxy()
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(15))
            .build()
            .map_err(|error| Error::Credentials(error.to_string()))?;
        Ok(Arc::new(HttpsWorker { client, base: format!("https://{name}:{}", mounts::API_PORT) }))
    }
}

pub(crate) fn tls(credentials: &Credentials) -> Result<rustls::ClientConfig, Error> {
    let unusable = |error: &dyn std::fmt::Display| Error::Credentials(error.to_string());
    let mut roots = rustls::RootCertStore::empty();
    let authority =
        CertificateDer::from_pem_slice(credentials.authority.as_bytes()).map_err(|error| unusable(&error))?;
    roots.add(authority).map_err(|error| unusable(&error))?;
    let certificate =
        CertificateDer::from_pem_slice(credentials.certificate.as_bytes()).map_err(|error| unusable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).map_err(|error| unusable(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(|error| unusable(&error))
}

struct HttpsWorker {
    client: reqwest::Client,
    base: String,
}

impl HttpsWorker {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        answer(self.client.get(format!("{}{path}", self.base)).send().await).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        answer(self.client.post(format!("{}{path}", self.base)).json(body).send().await).await
    }
}

async fn answer<T: DeserializeOwned>(response: reqwest::Result<reqwest::Response>) -> Result<T, Error> {
    let response = response.map_err(Error::Unreachable)?;
    let code = response.status();
    if code.is_success() {
        return response.json().await.map_err(Error::Unreachable);
    }
    let text = response.text().await.map_err(Error::Unreachable)?;
    let message = serde_json::from_str::<Problem>(&text).map_or(text, |problem| problem.message);
    Err(Error::Refused { code: code.as_u16(), message })
}

impl WorkerClient for HttpsWorker {
    fn status(&self) -> BoxFuture<'_, Result<JobStatus, Error>> {
        Box::pin(self.get(endpoint::JOB))
    }

    fn rescale(&self, parallelism: u16) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(
            async move { self.post::<JobStatus>(endpoint::RESCALE, &RescaleRequest { parallelism }).await.map(|_| ()) },
        )
    }

    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.post::<JobStatus>(endpoint::STOP, &request).await.map(|_| ()) })
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.post::<JobStatus>(endpoint::RESUME, &serde_json::json!({})).await.map(|_| ()) })
    }

    fn take_savepoint(&self, request: SavepointRequest) -> BoxFuture<'_, Result<Savepoint, Error>> {
        Box::pin(async move { self.post(endpoint::SAVEPOINTS, &request).await })
    }

    fn savepoint(&self, name: String) -> BoxFuture<'_, Result<Option<Savepoint>, Error>> {
        Box::pin(async move {
            match self.get(&endpoint::SAVEPOINT.replace("{name}", &name)).await {
                Ok(savepoint) => Ok(Some(savepoint)),
                Err(Error::Refused { code: 404, .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }
}
