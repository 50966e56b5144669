//! Credentials in files that may change while the job runs, as those of a mounted Secret do.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use object_store::aws::AwsCredential;
use object_store::{CredentialProvider, Error, Result};

/// The names of the files, and of the keys of the Secret: access key, secret key, session token. The last may be
/// absent.
const FILES: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// Reads the files for each request. They are small and in memory, and a rotated key takes effect at once.
#[derive(Debug)]
pub(super) struct MountedCredentials {
    folder: PathBuf,
}

impl MountedCredentials {
    /// Credentials in a folder.
    pub(super) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn file(&self, name: &str) -> std::io::Result<Option<String>> {
        match std::fs::read_to_string(self.folder.join(name)) {
            Ok(value) => Ok(Some(value.trim_end_matches('\n').to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self) -> Result<AwsCredential> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: "S3", source };
        let [key_id, secret_key, token] = FILES.map(|name| self.file(name));
        let there = |value: Option<String>, name: &str| {
            value.ok_or_else(|| failed(format!("{} does not exist", self.folder.join(name).display()).into()))
        };
        Ok(AwsCredential {
            key_id: there(key_id.map_err(|error| failed(error.into()))?, FILES[0])?,
            secret_key: there(secret_key.map_err(|error| failed(error.into()))?, FILES[1])?,
            token: token.map_err(|error| failed(error.into()))?,
        })
    }
}

impl CredentialProvider for MountedCredentials {
    type Credential = AwsCredential;

    fn get_credential<'life0, 'async_trait>(
        &'life0 self,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<AwsCredential>>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(self.read().map(Arc::new)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_that_was_changed_is_used_for_the_next_request() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, value: &str| std::fs::write(folder.path().join(name), value).expect("written");
        let credentials = MountedCredentials::new(folder.path());
        let error = credentials.get_credential().await.expect_err("nothing there yet").to_string();
        assert!(error.contains("AWS_ACCESS_KEY_ID does not exist"), "{error}");
        write(FILES[0], "one\n");
        write(FILES[1], "secret");
        let found = credentials.get_credential().await.expect("read");
        assert_eq!((found.key_id.as_str(), found.secret_key.as_str(), &found.token), ("one", "secret", &None));
        write(FILES[0], "two");
        write(FILES[2], "token");
        let found = credentials.get_credential().await.expect("read");
        assert_eq!((found.key_id.as_str(), found.token.as_deref()), ("two", Some("token")));
    }
}
