//! Staged output. It is in a job's folder until its commit is done, and a savepoint has a copy.
//!
//! Committables name what is staged: any text in them that equals the name of a staged object refers to it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use eddyline_stream::OperatorUid;
use futures::{StreamExt, TryStreamExt};

use crate::error::{Error, Result};
use crate::paths;
use crate::retention;
use crate::storage::{self, Storage};

/// Objects that are copied at the same time. Each is in memory during its copy.
const COPIES_AT_ONCE: usize = 4;

/// Reads an object that is staged in a folder.
pub(crate) async fn get(folder: &Storage, name: &str) -> Result<Bytes> {
    let name = paths::staged(name);
    match folder.get(&name).await? {
        Some(data) => Ok(data),
        None => Err(Error::Storage(storage::Error::Absent { object: folder.name_of(&name) })),
    }
}

/// Copies what committables name, from the folder of a job or savepoint to that of a savepoint.
pub(crate) async fn copy(
    from: &Storage,
    to: &Storage,
    committables: &BTreeMap<OperatorUid, Vec<serde_json::Value>>,
) -> Result<()> {
    let mut named = BTreeSet::new();
    committables.values().flatten().for_each(|value| retention::texts(value, &mut named));
    if named.is_empty() {
        return Ok(());
    }
    let prefix = paths::staged("");
    let listed = from.list(paths::STAGED).await?;
    let wanted = listed.into_iter().filter(|entry| entry.name.strip_prefix(&prefix).is_some_and(|n| named.contains(n)));
    futures::stream::iter(wanted)
        .map(|entry| async move {
            // A missing object was published, and then the caller finds that its commit is done.
            match from.get(&entry.name).await? {
                Some(data) => Ok(to.put_once(&entry.name, data).await?),
                None => Ok(()),
            }
        })
        .buffer_unordered(COPIES_AT_ONCE)
        .try_collect()
        .await
}

/// Records in a savepoint's folder that its output is visible, and removes the copies, which are no longer needed.
pub(crate) async fn mark_committed(folder: &Storage) -> Result<()> {
    folder.put(paths::COMMITTED, Bytes::new()).await?;
    eddyline_stream::crash_point("savepoint.marked");
    for entry in folder.list(paths::STAGED).await? {
        folder.delete(&entry.name).await?;
    }
    Ok(())
}
