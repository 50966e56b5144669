//! Makes a savepoint from storage alone, without the running job: from the latest complete checkpoint of a job that has
//! ended, crashed or was deleted, or from another savepoint.

use std::collections::BTreeMap;

use eddyline_stream::CheckpointId;
use tokio::sync::mpsc;

use crate::envelope;
use crate::error::{Error, Result};
use crate::handle::CheckpointHandle;
use crate::manifest::{self, FileProto, ManifestProto, Table};
use crate::merge;
use crate::paths;
use crate::staged;
use crate::storage::{self, PART_BYTES, Part, Storage};

/// The most tries of a copy. It starts again when the running job has removed an object that was being copied.
const TRIES: u32 = 5;

/// A savepoint that is a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its location.
    pub uri: String,
    /// The number of the checkpoint that it is a copy of.
    pub checkpoint: CheckpointId,
    /// When that checkpoint was stored, in milliseconds since 1970 by its storage's clock.
    pub taken_at_ms: i64,
}

/// Copies to a self-contained savepoint in the folder `to`. `from` is the folder of a checkpoint, of a savepoint, or of
/// a job, which stands for its latest completed checkpoint. A folder that already holds a savepoint is not changed, so
/// a copy can be repeated after an interruption.
///
/// # Errors
/// [`Error::MissingManifest`] when there is nothing to copy. When `to` holds another job's savepoint, when the source
/// is damaged, and when storage fails.
pub async fn copy_savepoint(from: &str, to: &str, options: &BTreeMap<String, String>) -> Result<Copied> {
    let target = Storage::open(to, options)?;
    let mut tries = 1;
    loop {
        let source = CheckpointHandle::open_uri(from, options).await?;
        if let Some(bytes) = target.get(paths::MANIFEST).await? {
            return found(&source, &target, &bytes).await;
        }
        match copy_checkpoint(&source, &target).await {
            Err(Error::MissingRunFile { .. } | Error::MissingManifest { .. }) if tries < TRIES => tries += 1,
            copied => return copied,
        }
    }
}

/// The savepoint that an earlier try has made.
async fn found(source: &CheckpointHandle, target: &Storage, bytes: &[u8]) -> Result<Copied> {
    let object = target.name_of(paths::MANIFEST);
    let proto: ManifestProto = envelope::open(envelope::MANIFEST, &object, bytes)?;
    if proto.kind != manifest::SAVEPOINT || proto.job != source.job() {
        let reason = format!("there is a checkpoint or savepoint of job {} already", proto.job);
        return Err(Error::SavepointLocation { uri: target.uri(), reason });
    }
    let taken_at_ms = stored_at_ms(target).await?;
    Ok(Copied { uri: target.uri(), checkpoint: CheckpointId::new(proto.checkpoint), taken_at_ms })
}

/// Copies an open checkpoint or savepoint to a savepoint. State in a chain of run files is merged: the savepoint has
/// each row once.
///
/// # Errors
/// When the source is damaged or was removed during the copy, and when storage fails.
pub async fn copy_checkpoint(source: &CheckpointHandle, target: &Storage) -> Result<Copied> {
    let folder = source.base().open_beside(source.uri())?;
    let object = folder.name_of(paths::MANIFEST);
    let Some(bytes) = folder.get(paths::MANIFEST).await? else { return Err(Error::MissingManifest { object }) };
    let mut proto: ManifestProto = envelope::open(envelope::MANIFEST, &object, &bytes)?;
    let taken_at_ms = stored_at_ms(&folder).await?;
    // The checkpoint is part of the name, because an earlier try may have written files of another checkpoint.
    let name = |index: usize| format!("state-{}-{index}.run", source.id());
    if source.manifest().tables.iter().any(Table::has_deltas) {
        proto.files = merge::merge(source, target, &name(0), &mut proto.tables).await?;
    } else {
        for (index, file) in proto.files.iter_mut().enumerate().filter(|(_, file)| !file.name.is_empty()) {
            copy_file(source, file, target, &name(index)).await?;
            file.name = name(index);
        }
    }
    staged::copy(source.base(), target, source.committables()).await?;
    if let Some(history) = source.history().await? {
        target.put(paths::HISTORY, history.into_bytes().into()).await?;
    }
    // This is looked up last, because staged output is removed only when its commit is known to be done.
    if source.open_output().await?.is_none() {
        staged::mark_committed(target).await?;
    } else {
        // The mark of an earlier try is about another checkpoint.
        target.delete(paths::COMMITTED).await?;
    }
    proto.kind = manifest::SAVEPOINT;
    eddyline_stream::crash_point("savepoint.before-manifest-of-copy");
    target.put_once(paths::MANIFEST, proto.seal()).await?;
    Ok(Copied { uri: target.uri(), checkpoint: source.id(), taken_at_ms })
}

/// When the manifest in a folder was stored.
async fn stored_at_ms(folder: &Storage) -> Result<i64> {
    let listed = folder.list("").await?;
    let manifest = listed.iter().find(|entry| entry.name == paths::MANIFEST);
    Ok(manifest.map_or(0, |entry| entry.modified_ms))
}

async fn copy_file(source: &CheckpointHandle, file: &FileProto, target: &Storage, name: &str) -> Result<()> {
    let part = async |from: u64| {
        let to = file.bytes.min(from + PART_BYTES as u64);
        match source.base().get_range(&file.name, from..to).await {
            Ok(Some(part)) => Ok(part),
            Ok(None) => {
                Err(Error::MissingRunFile { object: source.base().name_of(&file.name), checkpoint: source.id() })
            }
            Err(storage::Error::TooShort { object, end }) => {
                Err(Error::corrupt(object, "run file", format!("it ends before byte {end}")))
            }
            Err(error) => Err(error.into()),
        }
    };
    if file.bytes <= PART_BYTES as u64 {
        return Ok(target.put_once(name, part(0).await?).await?);
    }
    let (sender, parts) = mpsc::channel::<Part>(1);
    let read = async {
        let mut from = 0;
        while from < file.bytes {
            match part(from).await {
                Ok(part) => {
                    if sender.send(Ok(part)).await.is_err() {
                        // The upload has failed, and its error says why.
                        break;
                    }
                    from += PART_BYTES as u64;
                }
                Err(error) => {
                    let _upload_has_failed = sender.send(Err(storage::Abandoned)).await;
                    return Err(error);
                }
            }
        }
        drop(sender);
        Ok(())
    };
    let (uploaded, read) = futures::future::join(target.upload(name, parts), read).await;
    read?;
    Ok(uploaded?)
}
