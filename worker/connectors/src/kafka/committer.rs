//! Publishing what was staged, checkpoint by checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_stream::{CheckpointId, crash_point};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::config::SinkConfig;
use super::publisher::{Names, Publication, Publisher};
use super::sink::broken_off;
use super::staged::{Staged, StagedObject};
use crate::Error;
use crate::sink::{Committable, SinkCommitter, Staging};

/// The number of slots that publish at the same time.
const PUBLISHING_MAX: usize = 8;

/// The number of bytes of staged objects in memory, over all slots. A larger object is in memory alone. The client
/// holds as much again.
const PUBLISHING_BYTES_MAX: u32 = 64 << 20;

/// Publishes staged records, each slot with its own transactional producer.
///
/// The committables alone say which slots there are, not the present parallelism: after a rescale the slots of the
/// former parallelism are still published here.
pub struct KafkaCommitter {
    config: Arc<SinkConfig>,
    job: String,
    uid: String,
    /// Whether rows carry their own timestamps. Then the timestamp of a record is not that of its publication.
    written_timestamps: bool,
    staging: Arc<dyn Staging>,
    io: tokio::runtime::Handle,

    /// One for each slot that was published in this attempt.
    publishers: BTreeMap<u16, Publisher>,
    /// Whether the output to commit was staged before this attempt.
    is_recovering: bool,
    /// Whether the last commit has failed, perhaps after it had published something.
    has_failed: bool,
}

impl KafkaCommitter {
    /// A committer of the sink `uid` of `job`.
    pub fn new(
        config: Arc<SinkConfig>,
        job: &str,
        uid: &str,
        written_timestamps: bool,
        staging: Arc<dyn Staging>,
        io: tokio::runtime::Handle,
    ) -> Self {
        Self {
            config,
            job: job.to_owned(),
            uid: uid.to_owned(),
            written_timestamps,
            staging,
            io,
            publishers: BTreeMap::new(),
            is_recovering: true,
            has_failed: false,
        }
    }

    fn publisher(&mut self, slot: u16) -> Publisher {
        self.publishers.remove(&slot).unwrap_or_else(|| {
            let group = format!("{}-{}-{slot}", self.job, self.uid);
            let transactional_id = match &self.config.transactional_id_prefix {
                Some(prefix) => format!("{prefix}-{}-{slot}", self.uid),
                None => group.clone(),
            };
            Publisher::new(Arc::clone(&self.config), Names { group, transactional_id }, self.written_timestamps)
        })
    }
}

/// Reads staged objects, a few at a time.
struct Objects {
    staging: Arc<dyn Staging>,
    io: tokio::runtime::Handle,
    memory: Semaphore,
}

/// A staged object in memory.
struct Loaded<'a> {
    bytes: Bytes,
    _memory: SemaphorePermit<'a>,
}

impl AsRef<[u8]> for Loaded<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Objects {
    /// Reads an object as soon as there is room for it. Blocks; no thread that holds one asks for another.
    fn load(&self, object: &StagedObject) -> Result<Loaded<'_>, Error> {
        let size = u32::try_from(object.bytes).unwrap_or(u32::MAX).min(PUBLISHING_BYTES_MAX);
        self.io.block_on(async {
            let memory = self.memory.acquire_many(size).await.expect("it is never closed");
            Ok(Loaded { bytes: self.staging.get(object.name.clone()).await?, _memory: memory })
        })
    }
}

/// Publishes the objects of a slot on a thread that may block.
async fn publish(
    mut publisher: Publisher,
    checkpoint: CheckpointId,
    is_recovered: bool,
    staged: Vec<Staged>,
    objects: Arc<Objects>,
) -> Result<Publisher, Error> {
    let publication = Publication {
        checkpoint: checkpoint.number(),
        staged_at_ms: staged.iter().map(|part| part.staged_at_ms).min().unwrap_or(0),
        is_recovered,
        objects: staged.into_iter().flat_map(|part| part.objects).collect(),
    };
    let io = objects.io.clone();
    let published =
        io.spawn_blocking(move || publisher.publish(&publication, &|object| objects.load(object)).map(|()| publisher));
    published.await.unwrap_or_else(|error| Err(broken_off("publishing", error)))
}

impl SinkCommitter for KafkaCommitter {
    fn commit<'a>(
        &'a mut self,
        checkpoint: CheckpointId,
        committables: &'a [Committable],
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            crash_point("kafka-sink.before-commit");
            let mut slots: BTreeMap<u16, Vec<Staged>> = BTreeMap::new();
            for committable in committables {
                let staged = Staged::parse(committable)?;
                slots.entry(staged.slot).or_default().push(staged);
            }
            let memory = Semaphore::new(PUBLISHING_BYTES_MAX as usize);
            let is_recovered = self.is_recovering || self.has_failed;
            let objects = Arc::new(Objects { staging: Arc::clone(&self.staging), io: self.io.clone(), memory });
            let mut work = Vec::with_capacity(slots.len());
            for (slot, mut staged) in slots {
                // Output of an abandoned checkpoint is published with the next one, before the output of that.
                staged.sort_by_key(|part| part.checkpoint);
                let publisher = self.publisher(slot);
                let work_of_slot = publish(publisher, checkpoint, is_recovered, staged, Arc::clone(&objects));
                work.push(async move { (slot, work_of_slot.await) });
            }
            let mut running = futures::stream::iter(work).buffer_unordered(PUBLISHING_MAX);
            let mut failed = None;
            while let Some((slot, outcome)) = running.next().await {
                match outcome {
                    Ok(publisher) => {
                        self.publishers.insert(slot, publisher);
                    }
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            crash_point("kafka-sink.after-all-slots");
            self.has_failed = failed.is_some();
            failed.map_or(Ok(()), Err)
        })
    }

    fn abort_stale<'a>(&'a mut self, _kept: &'a [Committable]) -> BoxFuture<'a, Result<(), Error>> {
        // Records of unfinished epochs never left the staging area. A transaction that a crash left open belongs to a
        // checkpoint whose commit recovery has just repeated, and that ended it.
        self.is_recovering = false;
        Box::pin(async { Ok(()) })
    }
}
