//! Makes staged parts visible, once and only once.

use std::collections::BTreeSet;
use std::path::Path;

use eddyline_stream::{CheckpointId, crash_point};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};

use super::names::Names;
use super::store::{Store, blocking, failed, failed_on_disk, key};
use super::upload::sync_folders;
use crate::Error;
use crate::sink::{Committable, SinkCommitter};

/// Objects that are moved at the same time.
const MOVES_MAX: usize = 16;

/// A part that is durable and not yet seen. Part of checkpoints: extend it, never change a meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Staged {
    /// Where it is.
    pub(super) staging: String,
    /// Where it belongs. Nobody else ever writes there.
    #[serde(rename = "final")]
    pub(super) path: String,
    /// The folder of its partition, below that of the table.
    pub(super) partition: String,
    /// Bytes.
    pub(super) size: u64,
    /// Rows.
    pub(super) rows: u64,
}

impl Staged {
    pub(super) fn into_committable(self) -> Committable {
        Committable { description: serde_json::json!(self) }
    }

    fn of(committable: &Committable) -> Result<Self, Error> {
        serde_json::from_value(committable.description.clone()).map_err(|error| Error::Restore {
            split: committable.description.to_string(),
            reason: format!("this is not a part of a filesystem table: {error}"),
        })
    }

    fn lost(&self, what: String) -> Error {
        Error::Restore { split: format!("part '{}'", self.path), reason: what }
    }
}

/// Makes the parts of all writers of a sink visible.
pub(super) struct FileCommitter {
    // Fixed at start.
    pub(super) store: Store,
    pub(super) names: Names,
    pub(super) attempt: u64,
    pub(super) success_file: Option<String>,
    pub(super) io: tokio::runtime::Handle,
}

impl SinkCommitter for FileCommitter {
    fn commit<'a>(
        &'a mut self,
        _checkpoint: CheckpointId,
        committables: &'a [Committable],
    ) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let parts = committables.iter().map(Staged::of).collect::<Result<Vec<_>, _>>()?;
            if parts.is_empty() {
                return Ok(());
            }
            let (store, names, success_file) = (self.store.clone(), self.names.clone(), self.success_file.clone());
            on_runtime(&self.io, async move { commit(&store, &names, parts, success_file.as_deref()).await }).await
        }
        .boxed()
    }

    fn abort_stale<'a>(&'a mut self, _last: CheckpointId) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let (store, names, attempt) = (self.store.clone(), self.names.clone(), self.attempt);
            on_runtime(&self.io, async move { abort_stale(&store, &names, attempt).await }).await
        }
        .boxed()
    }
}

/// Runs a future on the I/O runtime, whoever waits for it.
async fn on_runtime(
    io: &tokio::runtime::Handle,
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<(), Error> {
    match io.spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(failed("an I/O task ended early".to_owned(), error)),
    }
}

async fn commit(store: &Store, names: &Names, parts: Vec<Staged>, success_file: Option<&str>) -> Result<(), Error> {
    let partitions: BTreeSet<String> = parts.iter().map(|part| part.partition.clone()).collect();
    match store {
        Store::Local => {
            let folder = names.folder.clone();
            blocking(move || {
                for part in &parts {
                    publish_on_disk(part)?;
                }
                let folders =
                    parts.iter().filter_map(|part| Some(Path::new(&part.path).parent()?.to_owned())).collect();
                sync_folders(folders, Path::new(&folder))
            })
            .await?;
        }
        Store::S3(_) => {
            stream::iter(parts)
                .map(|part| async move { publish_object(store, &part).await }.boxed())
                .buffer_unordered(MOVES_MAX)
                .try_collect::<()>()
                .await?;
        }
    }
    let Some(name) = success_file else { return Ok(()) };
    for partition in partitions {
        crash_point("file-sink.before-success-file");
        mark_success(store, names.path(&partition, name)).await?;
    }
    Ok(())
}

/// Renames a part. Once it is renamed, the staged file is gone and the final one is there: a replay sees that.
fn publish_on_disk(part: &Staged) -> Result<(), Error> {
    let look = |path: &str| match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed_on_disk(format!("cannot look at '{path}'"), error)),
    };
    match (look(&part.staging)?, look(&part.path)?) {
        (Some(size), None) if size == part.size => {
            crash_point("file-sink.before-rename");
            std::fs::rename(&part.staging, &part.path).map_err(|error| {
                failed_on_disk(format!("cannot rename '{}' to '{}'", part.staging, part.path), error)
            })?;
            crash_point("file-sink.after-rename");
            Ok(())
        }
        (None, Some(size)) if size == part.size => Ok(()),
        (Some(size), None) => Err(part.lost(format!("'{}' has {size} bytes instead of {}", part.staging, part.size))),
        (None, Some(size)) => Err(part.lost(format!("it has {size} bytes instead of {}: another file?", part.size))),
        (Some(_), Some(_)) => Err(part.lost(format!("there is a file of that name, and '{}' as well", part.staging))),
        (None, None) => Err(part.lost(format!("neither it nor '{}' exists: its rows are lost", part.staging))),
    }
}

/// Copies a part to its place and removes the staged object. Both may be there after a crash between the two.
async fn publish_object(store: &Store, part: &Staged) -> Result<(), Error> {
    let Store::S3(objects) = store else { return Ok(()) };
    let staged = store.head(&part.staging).await?.map(|file| file.size);
    let visible = store.head(&part.path).await?.map(|file| file.size);
    match (staged, visible) {
        (Some(size), None) if size == part.size => {
            crash_point("file-sink.before-copy");
            objects
                .copy(&key(&part.staging)?, &key(&part.path)?)
                .await
                .map_err(|error| failed(format!("cannot copy object '{}' to '{}'", part.staging, part.path), error))?;
            crash_point("file-sink.before-delete");
            store.remove(&part.staging).await
        }
        (Some(_), Some(size)) if size == part.size => store.remove(&part.staging).await,
        (None, Some(size)) if size == part.size => Ok(()),
        (_, Some(size)) => Err(part.lost(format!("it has {size} bytes instead of {}: another object?", part.size))),
        (Some(size), None) => Err(part.lost(format!("'{}' has {size} bytes instead of {}", part.staging, part.size))),
        (None, None) => Err(part.lost(format!("neither it nor '{}' exists: its rows are lost", part.staging))),
    }
}

async fn mark_success(store: &Store, path: String) -> Result<(), Error> {
    match store {
        Store::Local => {
            blocking(move || {
                std::fs::File::create(&path)
                    .and_then(|file| file.sync_all())
                    .map_err(|error| failed_on_disk(format!("cannot create file '{path}'"), error))
            })
            .await
        }
        Store::S3(store) => {
            let put = store.put(&key(&path)?, object_store::PutPayload::default()).await;
            put.map(drop).map_err(|error| failed(format!("cannot write object '{path}'"), error))
        }
    }
}

/// Removes what attempts before this one have staged and no checkpoint has taken over.
async fn abort_stale(store: &Store, names: &Names, attempt: u64) -> Result<(), Error> {
    let Some(files) = store.list(&names.folder, |_| true).await? else { return Ok(()) };
    let stale = files.into_iter().filter(|file| names.attempt_of(&file.path).is_some_and(|staged| staged < attempt));
    for file in stale {
        crash_point("file-sink.before-abort");
        store.remove(&file.path).await?;
    }
    Ok(())
}
