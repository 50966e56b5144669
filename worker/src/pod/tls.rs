//! Mutual TLS with certificates that are reloaded when their files change.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

/// The time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a client has for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of connections after the handshake that wait to be accepted.
const CONNECTIONS_WAITING: usize = 16;
/// How long to wait when the system returns no connection, for example because it has no file descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

const FILES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} has no usable {what}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate, key and authority do not fit together.
    #[error("the certificates in {folder} cannot be used")]
    Unusable {
        /// Where they are.
        folder: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A certificate, its key, and the authority of the clients' certificates.
#[derive(Clone, Debug)]
pub struct Identity {
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Identity {
    /// Reads the files of a folder, and reads them again whenever they change.
    ///
    /// # Errors
    /// When they cannot be used now. If later files cannot be used, the previous ones stay in use.
    pub fn watch(folder: PathBuf) -> Result<Self, Error> {
        let mut known = contents(&folder)?;
        let identity = Self { current: Arc::new(RwLock::new(Arc::new(server_config(&folder)?))) };
        let current = Arc::clone(&identity.current);
        tokio::spawn(async move {
            loop {
                sleep(CHECK_INTERVAL).await;
                let reloaded = contents(&folder).and_then(|now| {
                    if now == known {
                        return Ok(None);
                    }
                    let config = server_config(&folder)?;
                    known = now;
                    Ok(Some(config))
                });
                match reloaded {
                    Ok(None) => {}
                    Ok(Some(config)) => {
                        *current.write().expect("no holder of the identity panics") = Arc::new(config);
                        info!("certificates reloaded");
                    }
                    Err(error) => warn!(error = %crate::chain_of(&error), "certificates not reloaded"),
                }
            }
        });
        Ok(identity)
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&*self.current.read().expect("no holder of the identity panics")))
    }
}

fn contents(folder: &Path) -> Result<Vec<Vec<u8>>, Error> {
    FILES
        .iter()
        .map(|file| {
            let path = folder.join(file);
            std::fs::read(&path).map_err(|source| Error::Read { path, source })
        })
        .collect()
}

fn certificates(path: PathBuf) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect);
    read.map_err(|source| Error::Parse { path, what: "certificate", source })
}

fn server_config(folder: &Path) -> Result<ServerConfig, Error> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unusable { folder: folder.into(), source };
    let chain = certificates(folder.join("tls.crt"))?;
    let path = folder.join("tls.key");
    let key =
        PrivateKeyDer::from_pem_file(&path).map_err(|source| Error::Parse { path, what: "private key", source })?;
    let mut authority = RootCertStore::empty();
    for certificate in certificates(folder.join("ca.crt"))? {
        authority.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(authority), Arc::clone(&provider))
        .build()
        .map_err(|error| unusable(error.into()))?;
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_client_cert_verifier(clients).with_single_cert(chain, key))
        .map_err(|error| unusable(error.into()))
}

/// Accepts connections of clients that have a certificate of the job's authority.
pub struct Listener {
    local: SocketAddr,
    connections: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Listener {
    /// Accepts connections on a socket. Handshakes run concurrently, so a slow client delays no other.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn start(listener: TcpListener, identity: Identity) -> std::io::Result<Self> {
        let local = listener.local_addr()?;
        let (sender, connections) = mpsc::channel(CONNECTIONS_WAITING);
        tokio::spawn(async move {
            loop {
                let (stream, peer) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        warn!(%error, "no connection accepted");
                        sleep(ACCEPT_BACKOFF).await;
                        continue;
                    }
                };
                let (acceptor, sender) = (identity.acceptor(), sender.clone());
                tokio::spawn(async move {
                    match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let _gone = sender.send((stream, peer)).await;
                        }
                        Ok(Err(error)) => debug!(%peer, %error, "handshake refused"),
                        Err(_) => debug!(%peer, "handshake took too long"),
                    }
                });
            }
        });
        Ok(Self { local, connections })
    }
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            // The accepting task has ended, which happens only when the process ends.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.local)
    }
}
