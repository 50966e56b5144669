//! The identity of a job: an authority of its own, a certificate for its workers and one for its controller.
//!
//! Only the job's own workers and its controller have a certificate of its authority, so no other pod can use its API.
//! The authority's key stays in the Secret and is never mounted.

use std::collections::BTreeMap;
use std::time::Duration;

use eddyline_api::mounts;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::clock::{Timestamp, whole_seconds};
use crate::names;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate of a worker or of the controller is valid.
const LEAF_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The age at which such a certificate is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// How long an authority is valid.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

const AUTHORITY: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const WORKER: &str = "tls.crt";
const WORKER_KEY: &str = "tls.key";
const CLIENT: &str = "client.crt";
const CLIENT_KEY: &str = "client.key";

/// The files of the Secret that are mounted into a worker.
pub const MOUNTED: [&str; 3] = [AUTHORITY, WORKER, WORKER_KEY];

/// The credentials that the controller presents to a worker, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The job's authority.
    pub authority: String,
    /// The controller's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// The whole identity: the data of the Secret, as PEM by file name, and when to renew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    files: BTreeMap<String, String>,
    renew_after: Timestamp,
}

/// An identity that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to make the identity of the job {namespace}/{job}")]
pub struct Error {
    /// The job's namespace.
    namespace: String,
    /// The job.
    job: String,
    /// Why.
    source: rcgen::Error,
}

impl Identity {
    /// A new identity, or new certificates from the authority of an old identity.
    ///
    /// # Errors
    /// The key of the old authority cannot be read, or there is no randomness.
    pub fn make(namespace: &str, job: &str, old: Option<&Identity>, now: Timestamp) -> Result<Self, Error> {
        let made = Self::try_make(namespace, job, old, now);
        made.map_err(|source| Error { namespace: namespace.to_owned(), job: job.to_owned(), source })
    }

    fn try_make(namespace: &str, job: &str, old: Option<&Self>, now: Timestamp) -> Result<Self, rcgen::Error> {
        let mut files = BTreeMap::new();
        let old_authority = old.and_then(|old| Some((old.files.get(AUTHORITY)?, old.files.get(AUTHORITY_KEY)?)));
        let authority_key = match old_authority {
            Some((_, key)) => KeyPair::from_pem(key)?,
            None => KeyPair::generate()?,
        };
        let authority = authority(namespace, job, now);
        files.insert(
            AUTHORITY.to_owned(),
            match old_authority {
                Some((certificate, _)) => certificate.clone(),
                None => authority.self_signed(&authority_key)?.pem(),
            },
        );
        files.insert(AUTHORITY_KEY.to_owned(), authority_key.serialize_pem());
        let issuer = Issuer::from_params(&authority, &authority_key);
        let leaves = [
            (WORKER, WORKER_KEY, mounts::server_name(namespace, job), ExtendedKeyUsagePurpose::ServerAuth),
            (CLIENT, CLIENT_KEY, mounts::client_name(namespace, job), ExtendedKeyUsagePurpose::ClientAuth),
        ];
        for (certificate_file, key_file, name, usage) in leaves {
            let key = KeyPair::generate()?;
            let mut leaf = CertificateParams::new(vec![name.clone()])?;
            leaf.distinguished_name = DistinguishedName::new();
            leaf.distinguished_name.push(DnType::CommonName, short(&name));
            leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            // Workers of a job are clients of each other.
            leaf.extended_key_usages = vec![usage.clone()];
            if usage == ExtendedKeyUsagePurpose::ServerAuth {
                leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
            }
            leaf.use_authority_key_identifier_extension = true;
            set_validity(&mut leaf, now, LEAF_LIFE);
            files.insert(certificate_file.to_owned(), leaf.signed_by(&key, &issuer)?.pem());
            files.insert(key_file.to_owned(), key.serialize_pem());
        }
        Ok(Self { files, renew_after: whole_seconds(now.checked_add(RENEW_AFTER).unwrap_or(now)) })
    }

    /// The identity in a Secret, if it is complete.
    pub fn read(secret: &Secret) -> Option<Self> {
        let data = secret.data.as_ref()?;
        let mut files = BTreeMap::new();
        for name in [AUTHORITY, AUTHORITY_KEY, WORKER, WORKER_KEY, CLIENT, CLIENT_KEY] {
            files.insert(name.to_owned(), String::from_utf8(data.get(name)?.0.clone()).ok()?);
        }
        let annotations = secret.metadata.annotations.as_ref();
        let renew_after = annotations
            .and_then(|annotations| annotations.get(names::RENEW_AFTER_ANNOTATION)?.parse().ok())
            .unwrap_or(Timestamp::UNIX_EPOCH);
        Some(Self { files, renew_after })
    }

    /// The data of the Secret.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        self.files.iter().map(|(name, text)| (name.clone(), ByteString(text.clone().into_bytes()))).collect()
    }

    /// When to make new certificates.
    pub fn renew_after(&self) -> Timestamp {
        self.renew_after
    }

    /// The credentials that the controller presents to a worker.
    pub fn credentials(&self) -> Credentials {
        let file = |name: &str| self.files.get(name).cloned().unwrap_or_default();
        Credentials { authority: file(AUTHORITY), certificate: file(CLIENT), key: file(CLIENT_KEY) }
    }
}

/// The authority of a job. Certificates refer to it by name and key, so its name is always the same.
fn authority(namespace: &str, job: &str, now: Timestamp) -> CertificateParams {
    let mut authority = CertificateParams::default();
    authority.distinguished_name = DistinguishedName::new();
    authority.distinguished_name.push(DnType::OrganizationName, "Eddyline");
    authority.distinguished_name.push(DnType::CommonName, short(&format!("{job}.{namespace}")));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut authority, now, AUTHORITY_LIFE);
    authority
}

/// A common name has at most 64 characters; the whole name is in the alternative names.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Valid from a day ago, because clocks of other machines may be slow.
fn set_validity(certificate: &mut CertificateParams, now: Timestamp, life: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let begin = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()).saturating_sub(DAY);
    certificate.not_before = epoch + begin;
    certificate.not_after = epoch + begin + DAY + life;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

    use super::*;

    fn now() -> Timestamp {
        "2026-05-01T12:00:00Z".parse().expect("a time")
    }

    fn certificate(identity: &Identity, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(identity.files[name].as_bytes()).expect("a certificate")
    }

    fn server(identity: &Identity) -> rustls::ServerConnection {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(identity, AUTHORITY)).expect("an authority");
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .expect("a verifier");
        let key = PrivateKeyDer::from_pem_slice(identity.files[WORKER_KEY].as_bytes()).expect("a key");
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate(identity, WORKER)], key)
            .expect("a server");
        rustls::ServerConnection::new(Arc::new(config)).expect("a connection")
    }

    /// Whether a controller of one identity and a worker of another come to an agreement, in memory.
    fn shake_hands(controller: &Identity, worker: &Identity, job: &str) -> Result<(), String> {
        let config = crate::worker_client::tls(&controller.credentials()).map_err(|error| error.to_string())?;
        let name = ServerName::try_from(mounts::server_name("shop", job)).expect("a name");
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
        let mut server = server(worker);
        for _ in 0..10 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).map_err(|error| error.to_string())?;
            }
            server.read_tls(&mut wire.as_slice()).map_err(|error| error.to_string())?;
            server.process_new_packets().map_err(|error| format!("the worker: {error}"))?;
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).map_err(|error| error.to_string())?;
            }
            client.read_tls(&mut wire.as_slice()).map_err(|error| error.to_string())?;
            client.process_new_packets().map_err(|error| format!("the controller: {error}"))?;
            if !client.is_handshaking() && !server.is_handshaking() {
                return Ok(());
            }
        }
        Err("no end".to_owned())
    }

    #[test]
    fn controller_and_worker_of_one_job_believe_each_other() {
        // Verification reads the clock of the machine, so the certificates are made now.
        let identity = Identity::make("shop", "orders", None, Timestamp::now()).expect("an identity");
        shake_hands(&identity, &identity, "orders").expect("an agreement");
    }

    #[test]
    fn an_identity_of_another_job_is_not_believed() {
        let orders = Identity::make("shop", "orders", None, Timestamp::now()).expect("an identity");
        let clicks = Identity::make("shop", "clicks", None, Timestamp::now()).expect("an identity");
        assert!(shake_hands(&orders, &clicks, "clicks").is_err());
        assert!(shake_hands(&clicks, &orders, "clicks").is_err(), "another name");
    }

    #[test]
    fn new_certificates_keep_the_authority_and_work_with_the_old_ones() {
        let old = Identity::make("shop", "orders", None, Timestamp::now()).expect("an identity");
        let new = Identity::make("shop", "orders", Some(&old), Timestamp::now()).expect("an identity");
        assert_eq!(old.files[AUTHORITY], new.files[AUTHORITY]);
        assert_ne!(old.files[WORKER], new.files[WORKER]);
        shake_hands(&new, &old, "orders").expect("an agreement with a worker that has not reloaded");
        shake_hands(&old, &new, "orders").expect("an agreement with a controller that has not reloaded");
    }

    #[test]
    fn an_identity_is_read_back_from_its_secret_and_due_after_sixty_days() {
        let made = Identity::make("shop", "orders", None, now()).expect("an identity");
        let mut secret = Secret { data: Some(made.data()), ..Secret::default() };
        secret.metadata.annotations =
            Some(BTreeMap::from([(names::RENEW_AFTER_ANNOTATION.to_owned(), made.renew_after().to_string())]));
        assert_eq!(Identity::read(&secret), Some(made.clone()));
        assert_eq!(made.renew_after().to_string(), "2026-06-30T12:00:00Z");
        secret.data.as_mut().expect("data").remove(CLIENT);
        assert_eq!(Identity::read(&secret), None, "incomplete");
    }
}
