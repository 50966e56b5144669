//! An object store (S3) as a store.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig};
use tokio::sync::mpsc;

use super::credentials::MountedCredentials;
use super::{Backend, Created, Entry, Error, Part};

/// How long one request may take, including the transfer of its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request is retried.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
const RETRIES: usize = 8;
/// Parts of one upload that are sent at the same time.
const PARTS_AT_ONCE: usize = 4;

pub(crate) struct Objects<S> {
    store: S,
    uri: String,
}

/// The bucket of an S3 service; see [`super::Storage::open`] for the options.
pub(crate) fn s3(
    uri: &str,
    bucket: &str,
    options: &BTreeMap<String, String>,
) -> Result<Objects<impl ObjectStore + use<>>, Error> {
    let option = |names: &[&str]| names.iter().find_map(|name| options.get(*name)).cloned();
    let invalid = |reason: String| Error::Location { uri: uri.to_owned(), reason };
    let endpoint = option(&["s3.endpoint"])
        .or_else(|| std::env::var("AWS_ENDPOINT_URL_S3").ok())
        .or_else(|| std::env::var("AWS_ENDPOINT_URL").ok())
        .or_else(|| std::env::var("AWS_ENDPOINT").ok());
    let path_style = match option(&["s3.path.style.access", "s3.path-style-access"]).as_deref() {
        None => endpoint.is_some(),
        Some("true") => true,
        Some("false") => false,
        Some(other) => return Err(invalid(format!("s3.path.style.access must be true or false, not {other}"))),
    };
    let plain_http = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!path_style)
        .with_client_options(ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_allow_http(plain_http))
        .with_retry(RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() });
    let region = option(&["s3.region", "s3.endpoint.region"])
        .or_else(|| std::env::var("AWS_REGION").ok())
        .or_else(|| std::env::var("AWS_DEFAULT_REGION").ok());
    builder = builder.with_region(region.unwrap_or_else(|| "us-east-1".to_owned()));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(key) = option(&["s3.access-key", "s3.access.key"]) {
        builder = builder.with_access_key_id(key);
    }
    if let Some(secret) = option(&["s3.secret-key", "s3.secret.key"]) {
        builder = builder.with_secret_access_key(secret);
    }
    if let Some(token) = option(&["s3.session-token", "s3.session.token"]) {
        builder = builder.with_token(token);
    }
    if let Some(folder) = option(&["s3.credentials-dir"]) {
        builder = builder.with_credentials(Arc::new(MountedCredentials::new(folder)));
    }
    let store = builder.build().map_err(|error| invalid(error.to_string()))?;
    Ok(Objects { store, uri: format!("s3://{bucket}") })
}

impl<S: ObjectStore> Objects<S> {
    fn path(&self, action: &'static str, name: &str) -> Result<Path, Error> {
        Path::parse(name).map_err(|error| Error::access(action, self.shown(name), error))
    }

    fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.uri)
    }

    async fn upload_parts(&self, path: &Path, mut parts: mpsc::Receiver<Part>) -> Result<(), object_store::Error> {
        let abandoned = |error| object_store::Error::Generic { store: "S3", source: Box::new(error) };
        let mut upload = self.store.put_multipart(path).await?;
        let mut in_flight = FuturesUnordered::new();
        let sent = async {
            while let Some(part) = parts.recv().await {
                in_flight.push(upload.put_part(PutPayload::from(part.map_err(abandoned)?)));
                if in_flight.len() == PARTS_AT_ONCE {
                    in_flight.try_next().await?;
                }
            }
            while in_flight.try_next().await?.is_some() {}
            Ok(())
        };
        let sent = sent.await;
        // A part that arrived after an abort would stay in the store.
        while in_flight.next().await.is_some() {}
        match sent {
            Ok(()) => upload.complete().await.map(|_| ()),
            Err(error) => {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, object = %path, "an unfinished upload was left in the store");
                }
                Err(error)
            }
        }
    }

    async fn read(&self, name: &str, options: GetOptions) -> Result<Option<Bytes>, Error> {
        let path = self.path("read", name)?;
        let failed = |error| Error::access("read", self.shown(name), error);
        match self.store.get_opts(&path, options).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

impl<S: ObjectStore> Backend for Objects<S> {
    fn create<'a>(&'a self, name: &'a str, content: Bytes) -> BoxFuture<'a, Result<Created, Error>> {
        Box::pin(async move {
            let path = self.path("create", name)?;
            match self.store.put_opts(&path, PutPayload::from(content), PutMode::Create.into()).await {
                Ok(_) => Ok(Created::Yes),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    Ok(Created::Refused)
                }
                Err(error) => Err(Error::access("create", self.shown(name), error)),
            }
        })
    }

    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let path = self.path("write", name)?;
            let put = self.store.put(&path, PutPayload::from(content)).await;
            put.map(|_| ()).map_err(|error| Error::access("write", self.shown(name), error))
        })
    }

    fn upload<'a>(&'a self, name: &'a str, parts: mpsc::Receiver<Part>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let path = self.path("write", name)?;
            self.upload_parts(&path, parts).await.map_err(|error| Error::access("write", self.shown(name), error))
        })
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(self.read(name, GetOptions::default()))
    }

    fn get_range<'a>(&'a self, name: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        Box::pin(self.read(name, options))
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        Box::pin(async move {
            let prefix = if folder.is_empty() { None } else { Some(self.path("list", folder)?) };
            let listed = self.store.list(prefix.as_ref()).map_ok(|meta| Entry {
                name: meta.location.to_string(),
                bytes: meta.size,
                modified_ms: meta.last_modified.timestamp_millis(),
            });
            listed.try_collect().await.map_err(|error| Error::access("list", self.shown(folder), error))
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let path = self.path("delete", name)?;
            match self.store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(Error::access("delete", self.shown(name), error)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn objects() -> Objects<InMemory> {
        Objects { store: InMemory::new(), uri: "s3://bucket".to_owned() }
    }

    #[tokio::test]
    async fn an_object_store_does_what_a_backend_must() {
        let objects = objects();
        assert_eq!(objects.create("a/b", Bytes::from_static(b"one")).await.expect("written"), Created::Yes);
        assert_eq!(objects.create("a/b", Bytes::from_static(b"two")).await.expect("asked"), Created::Refused);
        assert_eq!(objects.get("a/b").await.expect("read").as_deref(), Some(b"one".as_slice()));
        assert_eq!(objects.get_range("a/b", 1..3).await.expect("read").as_deref(), Some(b"ne".as_slice()));
        objects.put("a/c", Bytes::from_static(b"three")).await.expect("written");
        objects.put("ab", Bytes::from_static(b"beside")).await.expect("written");
        let listed = objects.list("a").await.expect("listed");
        assert_eq!(
            listed.iter().map(|entry| (entry.name.as_str(), entry.bytes)).collect::<Vec<_>>(),
            [("a/b", 3), ("a/c", 5)]
        );
        objects.delete("a/b").await.expect("deleted");
        objects.delete("a/b").await.expect("deleted twice");
        assert_eq!(objects.get("a/b").await.expect("read"), None);
        assert_eq!(objects.get_range("a/b", 0..1).await.expect("read"), None);
    }

    #[tokio::test]
    async fn an_upload_is_an_object_only_when_all_parts_have_come() {
        let objects = objects();
        let send = async |parts: Vec<Part>| {
            let (sender, receiver) = mpsc::channel(4);
            for part in parts {
                sender.send(part).await.expect("room");
            }
            drop(sender);
            objects.upload("x", receiver).await
        };
        send(vec![Ok(Bytes::from_static(b"half")), Err(super::super::Abandoned)]).await.expect_err("abandoned");
        assert_eq!(objects.get("x").await.expect("read"), None);
        send(vec![Ok(Bytes::from_static(b"one ")), Ok(Bytes::from_static(b"two"))]).await.expect("uploaded");
        assert_eq!(objects.get("x").await.expect("read").as_deref(), Some(b"one two".as_slice()));
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let options = BTreeMap::from([("s3.path.style.access".to_owned(), "maybe".to_owned())]);
        let error = s3("s3://bucket/x", "bucket", &options).err().expect("refused").to_string();
        assert!(error.contains("s3.path.style.access must be true or false, not maybe"), "{error}");
    }
}
