//! Deletes what a job has in storage, when its owner wants nothing of it kept.

use std::collections::BTreeMap;

use futures::TryStreamExt;

use crate::error::Result;
use crate::handle::CheckpointHandle;
use crate::job::JobStore;
use crate::paths;
use crate::storage::Storage;

/// Objects that are deleted at the same time.
const DELETES_AT_ONCE: usize = 16;

impl JobStore {
    /// Deletes everything in the job's folder. The control log goes last, so that a removal which was cut off leaves a job
    /// whose checkpoints are missing, not one that seems to have none.
    ///
    /// # Errors
    /// When storage fails; what is left goes at the next try.
    pub async fn remove(&self) -> Result<usize> {
        remove_all(self.storage(), |name| name.starts_with(paths::CONTROL)).await
    }
}

/// Deletes everything in a folder of savepoints.
///
/// # Errors
/// When the location is not valid or storage fails.
pub async fn remove_folder(uri: &str, options: &BTreeMap<String, String>) -> Result<usize> {
    remove_all(&Storage::open(uri, options)?, |_| false).await
}

/// Deletes one savepoint. One that is not there counts as deleted.
///
/// # Errors
/// When the location holds something else: nothing is deleted then. When storage fails.
pub async fn remove_savepoint(uri: &str, options: &BTreeMap<String, String>) -> Result<usize> {
    let storage = Storage::open(uri, options)?;
    if storage.list("").await?.is_empty() {
        return Ok(0);
    }
    // The manifest goes last, so what has none is no savepoint, also when a removal was cut off.
    CheckpointHandle::open_uri(uri, options).await?;
    remove_all(&storage, |name| name == paths::MANIFEST).await
}

async fn remove_all(storage: &Storage, is_last: impl Fn(&str) -> bool) -> Result<usize> {
    storage.delete_unfinished(i64::MAX).await?;
    let names: Vec<String> = storage.list("").await?.into_iter().map(|entry| entry.name).collect();
    let (last, first): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| is_last(name));
    for group in [first, last] {
        futures::stream::iter(group.into_iter().map(Ok))
            .try_for_each_concurrent(DELETES_AT_ONCE, |name| storage.delete(name))
            .await?;
    }
    Ok(names.len())
}
