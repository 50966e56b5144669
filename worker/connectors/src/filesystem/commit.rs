//! Makes staged parts visible, exactly once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eddyline_stream::{CheckpointId, crash_point};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::commit_note::CommitNote;
use super::names::Names;
use super::object_upload::Unfinished;
use super::store::{Store, blocking, failed, failed_on_disk, key};
use super::upload::{create_folder, sync_folders};
use crate::Error;
use crate::sink::{Committable, SinkCommitter};

/// The number of objects that are moved at the same time.
const MOVES_MAX: usize = 16;

/// A part that is durable and not yet visible. This is part of checkpoints: extend it, never change a meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Staged {
    /// Where the part is staged.
    pub(super) staging: String,
    /// The final path. Nothing else ever writes there.
    #[serde(rename = "final")]
    pub(super) path: String,
    /// The folder of the partition, below that of the table.
    pub(super) partition: String,
    /// The size in bytes.
    pub(super) size: u64,
    /// The number of rows.
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
    pub(super) target: Target,
    pub(super) io: tokio::runtime::Handle,
}

/// Where a sink makes parts visible.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) store: Store,
    pub(super) names: Names,
    pub(super) history: String,
    pub(super) attempt: u64,
    pub(super) success_file: Option<String>,
    /// Whether nothing is left of earlier releases, see [`CommitNote::is_tidy`].
    pub(super) is_tidy: Arc<AtomicBool>,
}

impl SinkCommitter for FileCommitter {
    fn commit<'a>(
        &'a mut self,
        checkpoint: CheckpointId,
        committables: &'a [Committable],
    ) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let parts = committables.iter().map(Staged::of).collect::<Result<Vec<_>, _>>()?;
            if parts.is_empty() {
                return Ok(());
            }
            let target = self.target.clone();
            on_runtime(&self.io, async move { target.commit(checkpoint, parts).await }).await
        }
        .boxed()
    }

    fn abort_stale<'a>(&'a mut self, kept: &'a [Committable]) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            // What was staged by another connector of the table names no files.
            let kept = kept.iter().filter_map(|part| Some(Staged::of(part).ok()?.staging)).collect();
            let target = self.target.clone();
            on_runtime(&self.io, async move { target.abort_stale(kept).await }).await
        }
        .boxed()
    }
}

/// Runs a future on the I/O runtime, whether or not anybody waits for it.
async fn on_runtime(
    io: &tokio::runtime::Handle,
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<(), Error> {
    match io.spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(failed("an I/O task ended early".to_owned(), error)),
    }
}

/// The state of a part at a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is staged: make it visible.
    Publish,
    /// A copy of it is visible: remove the staged object.
    RemoveStaged,
    /// It is visible.
    Nothing,
    /// It does not exist.
    Missing,
}

impl Target {
    async fn commit(&self, checkpoint: CheckpointId, parts: Vec<Staged>) -> Result<(), Error> {
        let mut note = CommitNote::read(&self.store, &self.names.commit_note()).await?;
        let is_repeated = note.has_begun(&self.history, checkpoint);
        let store = &self.store;
        let mut parts: Vec<(Staged, Step)> = stream::iter(parts)
            .map(|part| async move { step_of(store, &part).await.map(|step| (part, step)) }.boxed())
            .buffered(MOVES_MAX)
            .try_collect()
            .await?;
        for (part, _) in parts.iter().filter(|(_, step)| *step == Step::Missing) {
            if !is_repeated {
                return Err(part.lost(format!("neither it nor '{}' exists: its rows are lost", part.staging)));
            }
            warn!(part = part.path, "a part that was made visible before is gone: a reader has removed it");
        }
        if !is_repeated {
            note.is_tidy |= self.is_tidy.load(Ordering::Relaxed);
            note.begin(&self.history, checkpoint);
            note.write(&self.store, &self.names.commit_note()).await?;
        }
        crash_point("file-sink.commit-noted");
        parts.retain(|(_, step)| *step != Step::Missing);
        let partitions: BTreeSet<String> = parts.iter().map(|(part, _)| part.partition.clone()).collect();
        self.publish(parts).await?;
        let Some(name) = &self.success_file else { return Ok(()) };
        for partition in partitions {
            crash_point("file-sink.before-success-file");
            mark_success(&self.store, self.names.path(&partition, name)).await?;
        }
        Ok(())
    }

    async fn publish(&self, parts: Vec<(Staged, Step)>) -> Result<(), Error> {
        match &self.store {
            Store::Local => {
                let folder = self.names.folder.clone();
                blocking(move || {
                    for (part, _) in parts.iter().filter(|(_, step)| *step == Step::Publish) {
                        publish_on_disk(part)?;
                    }
                    let folders =
                        parts.iter().filter_map(|(part, _)| Some(Path::new(&part.path).parent()?.to_owned())).collect();
                    sync_folders(folders, Path::new(&folder))
                })
                .await
            }
            Store::S3(objects) => {
                stream::iter(parts)
                    .map(|(part, step)| async move { publish_object(&self.store, objects, &part, step).await }.boxed())
                    .buffer_unordered(MOVES_MAX)
                    .try_collect::<()>()
                    .await
            }
        }
    }

    /// Removes the files that earlier attempts have staged, except those to keep.
    async fn abort_stale(&self, kept: BTreeSet<String>) -> Result<(), Error> {
        let note = CommitNote::read(&self.store, &self.names.commit_note()).await?;
        let is_tidy = note.is_tidy || self.is_tidy.load(Ordering::Relaxed);
        // Earlier releases staged in the folders of partitions, so all of them are listed once.
        let folder = if is_tidy { self.names.staging_folder() } else { self.names.folder.clone() };
        let files = self.store.list(&folder, |_| true).await?.unwrap_or_default();
        let is_dead = |path: &str| self.names.attempt_of(path).is_some_and(|staged| staged < self.attempt);
        let is_stale = |path: &str| is_dead(path) && !kept.contains(path);
        for file in files.into_iter().filter(|file| is_stale(&file.path)) {
            crash_point("file-sink.before-abort");
            if let Store::S3(objects) = &self.store
                && Names::is_upload_note(&file.path)
            {
                let text = self.store.read(&file.path, 0..file.size).await?;
                if let Some(upload) = Unfinished::parse(&text) {
                    upload.abort(objects).await?;
                }
            }
            self.store.remove(&file.path).await?;
        }
        self.is_tidy.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Finds where a part is. A name is used once, so a file of another size is not this part.
async fn step_of(store: &Store, part: &Staged) -> Result<Step, Error> {
    let staged = store.head(&part.staging).await?.map(|file| file.size);
    let visible = store.head(&part.path).await?.map(|file| file.size);
    match (staged, visible) {
        (Some(size), None) if size == part.size => Ok(Step::Publish),
        // The object is copied and not yet removed. A disk never has both files.
        (Some(_), Some(size)) if size == part.size && matches!(store, Store::S3(_)) => Ok(Step::RemoveStaged),
        (None, Some(size)) if size == part.size => Ok(Step::Nothing),
        (None, None) => Ok(Step::Missing),
        (Some(_), Some(_)) if matches!(store, Store::Local) => {
            Err(part.lost(format!("there is a file of that name, and '{}' as well", part.staging)))
        }
        (_, Some(size)) => Err(part.lost(format!("it has {size} bytes instead of {}: another file?", part.size))),
        (Some(size), None) => Err(part.lost(format!("'{}' has {size} bytes instead of {}", part.staging, part.size))),
    }
}

/// Renames a part. A repeated commit sees that the staged file is gone and the final one exists.
fn publish_on_disk(part: &Staged) -> Result<(), Error> {
    let cannot = |error| failed_on_disk(format!("cannot rename '{}' to '{}'", part.staging, part.path), error);
    if let Some(folder) = Path::new(&part.path).parent() {
        create_folder(folder).map_err(cannot)?;
    }
    crash_point("file-sink.before-rename");
    std::fs::rename(&part.staging, &part.path).map_err(cannot)?;
    crash_point("file-sink.after-rename");
    Ok(())
}

/// Copies a part to its final path and removes the staged object. After a crash between the two, both may exist.
async fn publish_object(store: &Store, objects: &AmazonS3, part: &Staged, step: Step) -> Result<(), Error> {
    if step == Step::Publish {
        crash_point("file-sink.before-copy");
        objects
            .copy(&key(&part.staging)?, &key(&part.path)?)
            .await
            .map_err(|error| failed(format!("cannot copy object '{}' to '{}'", part.staging, part.path), error))?;
        crash_point("file-sink.before-delete");
    }
    if step == Step::Nothing { Ok(()) } else { store.remove(&part.staging).await }
}

async fn mark_success(store: &Store, path: String) -> Result<(), Error> {
    match store {
        Store::Local => {
            blocking(move || {
                let folder = Path::new(&path).parent().unwrap_or(Path::new("/"));
                create_folder(folder)
                    .and_then(|()| std::fs::File::create(&path))
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
