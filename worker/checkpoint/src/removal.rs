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
        let (last, first) = names(self.storage(), |name| name.starts_with(paths::CONTROL)).await?;
        Ok(remove_all(self.storage(), first).await? + remove_all(self.storage(), last).await?)
    }
}

/// Deletes everything in a folder of savepoints but those in `keep`, which are locations of savepoints in any folder.
///
/// # Errors
/// When a location is not valid or storage fails.
pub async fn remove_savepoints(uri: &str, keep: &[String], options: &BTreeMap<String, String>) -> Result<usize> {
    let storage = Storage::open(uri, options)?;
    let folder = format!("{}/", storage.uri());
    let mut kept = Vec::new();
    for savepoint in keep {
        let savepoint = Storage::open(savepoint, options)?.uri();
        kept.extend(savepoint.strip_prefix(&folder).map(|name| format!("{name}/")));
    }
    let names = storage.list("").await?.into_iter().map(|entry| entry.name);
    remove_all(&storage, names.filter(|name| !kept.iter().any(|kept| name.starts_with(kept))).collect()).await
}

/// Deletes one savepoint. One that is not there counts as deleted.
///
/// # Errors
/// When the location holds something else: nothing is deleted then. When storage fails.
pub async fn remove_savepoint(uri: &str, options: &BTreeMap<String, String>) -> Result<usize> {
    let storage = Storage::open(uri, options)?;
    let (last, first) = names(&storage, |name| name == paths::MANIFEST).await?;
    if last.is_empty() && first.is_empty() {
        return Ok(0);
    }
    CheckpointHandle::open_uri(uri, options).await?;
    // What has no manifest is no savepoint, also when a removal was cut off.
    Ok(remove_all(&storage, first).await? + remove_all(&storage, last).await?)
}

/// The objects in a folder: those that are to go last, and the others.
async fn names(storage: &Storage, is_last: impl Fn(&str) -> bool) -> Result<(Vec<String>, Vec<String>)> {
    let names = storage.list("").await?.into_iter().map(|entry| entry.name);
    Ok(names.partition(|name| is_last(name)))
}

/// Removes these objects, and what dead processes have left half written beside them.
async fn remove_all(storage: &Storage, names: Vec<String>) -> Result<usize> {
    storage.delete_unfinished(i64::MAX).await?;
    futures::stream::iter(names.iter().map(Ok))
        .try_for_each_concurrent(DELETES_AT_ONCE, |name| storage.delete(name))
        .await?;
    Ok(names.len())
}
