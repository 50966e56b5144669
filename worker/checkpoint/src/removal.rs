//! Deletes everything that a job has in storage, on request of its owner.

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
    /// Deletes everything in the job's folder. The control log is deleted last: an interrupted removal leaves a job
    /// whose checkpoints are missing, not one that seems to have none.
    ///
    /// # Errors
    /// When storage fails. The next call deletes the rest.
    pub async fn remove(&self) -> Result<usize> {
        let names = names(self.storage()).await?;
        remove_all(self.storage(), names, |name| name.starts_with(paths::CONTROL)).await
    }
}

/// Deletes everything in a folder of savepoints except those in `keep`: locations of savepoints, in any folder.
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
    let mut names = names(&storage).await?;
    names.retain(|name| !kept.iter().any(|kept| name.starts_with(kept)));
    remove_all(&storage, names, |_| false).await
}

/// Deletes one savepoint. One that does not exist counts as deleted.
///
/// # Errors
/// When the location holds something else; nothing is deleted then. When storage fails.
pub async fn remove_savepoint(uri: &str, options: &BTreeMap<String, String>) -> Result<usize> {
    let storage = Storage::open(uri, options)?;
    let names = names(&storage).await?;
    if names.is_empty() {
        return Ok(0);
    }
    CheckpointHandle::open_uri(uri, options).await?;
    // The manifest is deleted last, so that an interrupted removal can be repeated.
    remove_all(&storage, names, |name| name == paths::MANIFEST).await
}

/// The objects in a folder.
pub(crate) async fn names(storage: &Storage) -> Result<Vec<String>> {
    Ok(storage.list("").await?.into_iter().map(|entry| entry.name).collect())
}

/// Removes the unfinished objects that dead processes have left in a folder, then the given objects, some of them
/// last.
pub(crate) async fn remove_all(storage: &Storage, names: Vec<String>, is_last: impl Fn(&str) -> bool) -> Result<usize> {
    storage.delete_unfinished(i64::MAX).await?;
    let (last, first): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| is_last(name));
    for group in [first, last] {
        futures::stream::iter(group.into_iter().map(Ok))
            .try_for_each_concurrent(DELETES_AT_ONCE, |name| storage.delete(name))
            .await?;
    }
    Ok(names.len())
}
