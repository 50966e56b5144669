//! The settings of a worker, from the files mounted into its pod.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use eddyline_api::{WorkerConfig, mounts};
use eddyline_plan::Script;

/// The key that a Secret with credentials has.
const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
/// The key of the region.
const REGION: &str = "AWS_REGION";

/// The folders of the files.
#[derive(Clone, Debug)]
pub struct Mounts {
    /// The settings and the SQL.
    pub config: PathBuf,
    /// Secrets that the SQL refers to.
    pub secrets: PathBuf,
    /// Credentials of the checkpoint storage. The folder need not exist.
    pub storage: PathBuf,
    /// Where the worker may write.
    pub data: PathBuf,
}

/// The content of the files.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings.
    pub config: WorkerConfig,
    /// The SQL.
    pub script: Script,
    /// Options of the checkpoint storage.
    pub storage_options: BTreeMap<String, String>,
    /// Where the worker may write.
    pub data_folder: PathBuf,
}

/// Why the files cannot be used.
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
    /// The settings are not what this version expects.
    #[error("{path} is no settings file of a worker")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

fn read(path: PathBuf) -> Result<String, Error> {
    std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
}

impl Settings {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn read(mounts: &Mounts) -> Result<Self, Error> {
        let path = mounts.config.join(mounts::CONFIG_FILE);
        let config: WorkerConfig =
            serde_json::from_str(&read(path.clone())?).map_err(|source| Error::Parse { path, source })?;
        let text = read(mounts.config.join(mounts::SQL_FILE))?;
        let mut storage_options = credentials(&mounts.storage)?;
        if let Some(endpoint) = &config.checkpoint.endpoint {
            storage_options.insert("s3.endpoint".to_owned(), endpoint.clone());
        }
        Ok(Self {
            script: Script { name: mounts::SQL_FILE.to_owned(), text },
            config,
            storage_options,
            data_folder: mounts.data.clone(),
        })
    }
}

/// The credentials of the storage, as options. The options name the folder of the credentials, so a changed Secret
/// takes effect with the next request, and a job recovers once its key is right.
///
/// # Errors
/// Names a file that exists and cannot be read.
pub fn credentials(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let mut options = BTreeMap::new();
    if folder.join(ACCESS_KEY).exists() {
        options.insert("s3.credentials-dir".to_owned(), folder.display().to_string());
    }
    let path = folder.join(REGION);
    match std::fs::read_to_string(&path) {
        Ok(value) => {
            options.insert("s3.region".to_owned(), value.trim_end_matches('\n').to_owned());
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::Read { path, source }),
    }
    Ok(options)
}
