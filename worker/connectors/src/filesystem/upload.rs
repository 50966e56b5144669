//! Files while they are written: the I/O side of a writer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use eddyline_stream::{CheckpointId, crash_point};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::warn;

use super::commit::Staged;
use super::names::Names;
use super::object_upload::ObjectUpload;
use super::patience::Patience;
use super::store::{Store, blocking, failed_on_disk};
use crate::Error;

/// A request of a writer. Requests are carried out in order.
pub(super) enum Command {
    /// Append to a part. The first append creates it.
    Append { part: u64, partition: Arc<str>, bytes: Vec<u8> },
    /// End a part and make it durable.
    Close { part: u64, rows: u64 },
    /// All parts closed since the last checkpoint belong to this one: give them their names.
    Prepare { checkpoint: CheckpointId, reply: oneshot::Sender<Result<Vec<Staged>, Error>> },
}

/// The state that a writer and its uploads share.
#[derive(Default)]
pub(super) struct Shared {
    /// The number of bytes that the writer has handed over and that are not written yet.
    pub(super) in_flight: AtomicU64,
    broken: Mutex<Option<Broken>>,
}

/// Why nothing can be written. Every caller gets the same error, because chance decides which one the job reports.
#[derive(Clone, Debug)]
struct Broken(Arc<Error>);

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Shared {
    /// Fails if nothing can be written.
    pub(super) fn check(&self) -> Result<(), Error> {
        let broken = self.broken.lock().expect("nobody panics while holding it");
        let Some(broken) = &*broken else { return Ok(()) };
        let retryable = matches!(*broken.0, Error::Unavailable { retryable: true, .. });
        let what = "rows can no longer be written".to_owned();
        Err(Error::Unavailable { what, source: Some(Box::new(broken.clone())), retryable })
    }

    fn broke(&self, error: Error) {
        *self.broken.lock().expect("nobody panics while holding it") = Some(Broken(Arc::new(error)));
    }
}

/// Writes the files of one writer.
pub(super) struct Uploads {
    // Fixed at start.
    pub(super) store: Store,
    pub(super) names: Names,
    pub(super) attempt: u64,
    pub(super) slot: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) waker: Arc<dyn Fn() + Send + Sync>,
    pub(super) patience: Patience,
    /// Limits the parts of objects in flight.
    pub(super) room: Arc<Semaphore>,
    // Changing.
    pub(super) open: BTreeMap<u64, OpenFile>,
    pub(super) closed: Vec<ClosedFile>,
    pub(super) staged_number: u64,
}

/// A file that is being written.
pub(super) struct OpenFile {
    path: String,
    partition: Arc<str>,
    size: u64,
    output: Output,
}

enum Output {
    Disk(Arc<File>),
    Object(Box<ObjectUpload>),
}

/// A file that is complete and durable.
pub(super) struct ClosedFile {
    path: String,
    partition: Arc<str>,
    size: u64,
    rows: u64,
}

impl Uploads {
    /// Carries out requests until the writer is dropped. Unfinished files then belong to no checkpoint.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut broken = false;
        while let Some(command) = commands.recv().await {
            let done = match command {
                Command::Append { part, partition, bytes } => {
                    let count = bytes.len() as u64;
                    let done = if broken { Ok(()) } else { self.append(part, &partition, bytes).await };
                    self.shared.in_flight.fetch_sub(count, Ordering::AcqRel);
                    done
                }
                Command::Close { .. } if broken => Ok(()),
                Command::Close { part, rows } => self.close(part, rows).await,
                Command::Prepare { reply, .. } if broken => {
                    let _ = reply.send(self.shared.check().map(|()| Vec::new()));
                    Ok(())
                }
                Command::Prepare { checkpoint, reply } => {
                    let _ = reply.send(self.prepare(checkpoint).await);
                    Ok(())
                }
            };
            if let Err(error) = done {
                broken = true;
                self.shared.broke(error);
                self.remove_unfinished().await;
            }
            (self.waker)();
        }
        self.remove_unfinished().await;
    }

    /// Removes files that can never be completed, to free their room. The next attempt removes what cannot be removed
    /// now.
    async fn remove_unfinished(&mut self) {
        for (_, file) in std::mem::take(&mut self.open) {
            let OpenFile { path, output, .. } = file;
            let removed = match output {
                Output::Disk(_) => self.store.remove(&path).await,
                Output::Object(mut object) => object.abort().await,
            };
            if let Err(error) = removed {
                warn!(path, %error, "an unfinished file could not be removed");
            }
        }
    }

    async fn append(&mut self, part: u64, partition: &Arc<str>, bytes: Vec<u8>) -> Result<(), Error> {
        if !self.open.contains_key(&part) {
            let file = self.create(partition).await?;
            self.open.insert(part, file);
        }
        let file = self.open.get_mut(&part).expect("it was put there if it was missing");
        file.size += bytes.len() as u64;
        match &mut file.output {
            Output::Disk(disk) => {
                let (disk, path) = (Arc::clone(disk), file.path.clone());
                blocking(move || {
                    (&*disk).write_all(&bytes).map_err(|error| failed_on_disk(format!("cannot write '{path}'"), error))
                })
                .await
            }
            Output::Object(object) => object.write(&bytes).await,
        }
    }

    async fn create(&mut self, partition: &Arc<str>) -> Result<OpenFile, Error> {
        loop {
            let number = self.staged_number;
            self.staged_number += 1;
            let path = self.names.staged(self.attempt, self.slot, number);
            let output = match &self.store {
                Store::S3(store) => {
                    let note = self.names.upload_note(self.attempt, self.slot, number);
                    let (store, patience, room) = (Arc::clone(store), self.patience.clone(), Arc::clone(&self.room));
                    Output::Object(Box::new(ObjectUpload::new(store, patience, room, path.clone(), note)))
                }
                Store::Local => {
                    let path = path.clone();
                    match blocking(move || create_on_disk(&path)).await? {
                        Some(file) => Output::Disk(Arc::new(file)),
                        // An earlier run of the job left the file, in an attempt with the same number.
                        None => continue,
                    }
                }
            };
            return Ok(OpenFile { path, partition: Arc::clone(partition), size: 0, output });
        }
    }

    async fn close(&mut self, part: u64, rows: u64) -> Result<(), Error> {
        let Some(file) = self.open.remove(&part) else { return Ok(()) };
        let OpenFile { path, partition, size, output } = file;
        match output {
            Output::Disk(disk) => {
                let written = path.clone();
                let synced = blocking(move || {
                    disk.sync_all().map_err(|error| failed_on_disk(format!("cannot write '{written}'"), error))
                });
                if let Err(error) = synced.await {
                    // This frees the room if possible, as after a failed write.
                    let _left_behind = self.store.remove(&path).await;
                    return Err(error);
                }
            }
            Output::Object(mut object) => {
                if let Err(error) = object.finish().await {
                    if let Err(error) = object.abort().await {
                        warn!(path, %error, "an unfinished upload could not be aborted");
                    }
                    return Err(error);
                }
            }
        }
        crash_point("file-sink.after-close");
        self.closed.push(ClosedFile { path, partition, size, rows });
        Ok(())
    }

    /// Chooses the final names. They are free, and nothing else ever uses them.
    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Staged>, Error> {
        let closed = std::mem::take(&mut self.closed);
        if let Store::Local = self.store {
            let folder = self.names.folder.clone();
            let paths: Vec<PathBuf> =
                closed.iter().filter_map(|file| Some(Path::new(&file.path).parent()?.into())).collect();
            blocking(move || sync_folders(paths, Path::new(&folder))).await?;
        }
        let mut staged = Vec::with_capacity(closed.len());
        let mut number = 0;
        for file in closed {
            let path = loop {
                let name = self.names.part(self.slot, checkpoint.number(), number);
                let path = self.names.path(&file.partition, &name);
                number += 1;
                // A job that was started without its state numbers its checkpoints from 1 again.
                if self.patience.answer(|| self.store.head(&path)).await?.is_none() {
                    break path;
                }
            };
            staged.push(Staged {
                staging: file.path,
                path,
                partition: file.partition.to_string(),
                size: file.size,
                rows: file.rows,
            });
        }
        crash_point("file-sink.after-prepare");
        Ok(staged)
    }
}

fn create_on_disk(path: &str) -> Result<Option<File>, Error> {
    let cannot = |error| failed_on_disk(format!("cannot create file '{path}'"), error);
    if let Some(folder) = Path::new(path).parent() {
        create_folder(folder).map_err(cannot)?;
    }
    match File::create_new(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(cannot(error)),
    }
}

/// Creates a folder and its missing parents. The name of each one is durable before the next is created.
pub(super) fn create_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent() else { return Ok(()) };
    create_folder(parent)?;
    match std::fs::create_dir(folder) {
        Ok(()) => File::open(parent)?.sync_all(),
        // Another writer has created it in the meantime.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the names in these folders durable, and the names of the folders themselves below the folder of the table. A
/// folder without files need not exist.
pub(super) fn sync_folders(folders: Vec<PathBuf>, table: &Path) -> Result<(), Error> {
    let mut all: Vec<&Path> = folders
        .iter()
        .flat_map(|folder| folder.ancestors().take_while(|ancestor| ancestor.starts_with(table)))
        .collect();
    all.sort_unstable();
    all.dedup();
    for folder in all {
        File::open(folder)
            .and_then(|opened| opened.sync_all())
            .map_err(|error| failed_on_disk(format!("cannot make folder '{}' durable", folder.display()), error))?;
    }
    Ok(())
}
