//! The Kafka sink, and the writer that stages (`exactly-once`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use eddyline_stream::{Batch, CheckpointId, crash_point};
use rdkafka::consumer::Consumer as _;
use tracing::warn;

use super::client::{REQUEST_TIMEOUT, TableConsumer, asking_consumer, unavailable, wait_for_answer};
use super::committer::KafkaCommitter;
use super::config::{DeliveryGuarantee, Partitioner, SinkConfig};
use super::producing::ProducingWriter;
use super::records::{PartitionChoice, RowEncoder};
use super::staged::{Staged, StagedObject, StagedWriter, VERSION};
use crate::sink::{Prepared, Sink, SinkCommitter, SinkWriter, Staging, WriterContext};
use crate::{Error, TableDescriptor};

/// A writer stages its records when it has this many bytes, even without a barrier. This bounds its memory, and the size of a
/// transaction: an object is larger by one record at most.
const STAGED_OBJECT_BYTES: usize = 16 << 20;

/// The number of uploads in flight from which a writer accepts no more rows.
const UPLOADS_MAX: u64 = 2;

/// The sink of a Kafka table.
pub struct KafkaSink {
    config: Arc<SinkConfig>,
    table: Arc<TableDescriptor>,
    uid: String,
    job: String,
    staging: Arc<dyn Staging>,
    /// The number of partitions of the topic. Requested only if the partitioner needs it.
    partitions: i32,
}

impl KafkaSink {
    /// Prepares writing. `sink_uid` and `job` name the sink's transactions and staged objects: they must stay the same
    /// over restarts and be different for different sinks. Asks the brokers for the topic's partitions, and may wait
    /// for them, if the partitioner needs their number, and asks whether they take the client if they have a choice.
    ///
    /// # Errors
    /// Says what the formats do not support, that brokers refuse the client, or that the topic's partitions cannot be
    /// read.
    pub fn open(
        config: SinkConfig,
        table: TableDescriptor,
        sink_uid: &str,
        job: &str,
        staging: Arc<dyn Staging>,
    ) -> Result<Self, Error> {
        RowEncoder::new(&config, &table, PartitionChoice::Client)?;
        let partitions = ask_brokers(&config, &table.name)?;
        Ok(Self {
            config: Arc::new(config),
            table: Arc::new(table),
            uid: sink_uid.to_owned(),
            job: job.to_owned(),
            staging,
            partitions,
        })
    }

    /// Sets the history of checkpoint numbers. What a job published in another history does not count in this one.
    #[must_use]
    pub fn with_history(mut self, history: &str) -> Self {
        self.job = format!("{}-{history}", self.job);
        self
    }
}

/// Before the job runs, checks whether brokers accept the client, and how many partitions there are.
fn ask_brokers(config: &SinkConfig, table: &str) -> Result<i32, Error> {
    let needs_count = config.partitioner != Partitioner::Default;
    if !needs_count && !config.properties.is_guarded() {
        return Ok(1);
    }
    let consumer = asking_consumer(&config.properties, table, &format!("sink {table}"))?;
    match wait_for_answer(&consumer, Some(&config.topic)) {
        // Records wait during an outage of the broker.
        Err(Error::Unavailable { what, retryable: true, .. }) if !needs_count => {
            warn!(topic = config.topic, what, "no broker has answered yet");
        }
        met => met?,
    }
    if needs_count { partition_count(&consumer, config) } else { Ok(1) }
}

fn partition_count(consumer: &TableConsumer, config: &SinkConfig) -> Result<i32, Error> {
    let what = || format!("topic {}: cannot read its partitions", config.topic);
    let metadata =
        consumer.fetch_metadata(Some(&config.topic), REQUEST_TIMEOUT).map_err(|error| unavailable(what(), error))?;
    let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    match i32::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Error::Unavailable {
            what: format!("topic {} does not exist: create it, or correct 'topic'", config.topic),
            source: None,
            retryable: false,
        }),
    }
}

impl Sink for KafkaSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, Error> {
        let choice = PartitionChoice::new(self.config.partitioner, context.subtask.0, self.partitions);
        let encoder = RowEncoder::new(&self.config, &self.table, choice)?;
        match self.config.guarantee {
            DeliveryGuarantee::ExactlyOnce => {
                Ok(Box::new(StagingWriter::new(encoder, &self.uid, Arc::clone(&self.staging), context)?))
            }
            guarantee => {
                Ok(Box::new(ProducingWriter::new(&self.config, &self.table.name, guarantee, encoder, context)?))
            }
        }
    }

    fn committer(&self, io: tokio::runtime::Handle) -> Result<Option<Box<dyn SinkCommitter>>, Error> {
        if self.config.guarantee != DeliveryGuarantee::ExactlyOnce {
            return Ok(None);
        }
        let written_timestamps =
            self.table.metadata.iter().any(|column| !column.is_virtual && column.key == "timestamp");
        Ok(Some(Box::new(KafkaCommitter::new(
            Arc::clone(&self.config),
            &self.job,
            &self.uid,
            written_timestamps,
            Arc::clone(&self.staging),
            io,
        ))))
    }
}

/// The error of work on the I/O runtime that ended without an answer.
pub fn broken_off(what: &str, error: tokio::task::JoinError) -> Error {
    Error::Unavailable { what: format!("{what} was interrupted"), source: Some(Box::new(error)), retryable: true }
}

/// Collects the records of an epoch and stages them (`exactly-once`).
struct StagingWriter {
    encoder: RowEncoder,
    staging: Arc<dyn Staging>,
    context: WriterContext,
    slot: u16,
    /// The prefix of the names of its objects: the sink.
    prefix: String,

    open: StagedWriter,
    /// Objects of this epoch that are staged or being staged.
    uploads: Vec<tokio::task::JoinHandle<Result<StagedObject, Error>>>,
    uploading: Arc<AtomicU64>,
    /// The last checkpoint prepared in this attempt. 0 before the first.
    last: u64,
    /// Numbers the objects of this writer, so that no name is used twice in an attempt.
    parts: u64,
    bytes: u64,
}

impl StagingWriter {
    fn new(encoder: RowEncoder, uid: &str, staging: Arc<dyn Staging>, context: WriterContext) -> Result<Self, Error> {
        let slot = u16::try_from(context.subtask.0).map_err(|_| Error::Unavailable {
            what: format!("a sink cannot have {} writers", context.subtask.1),
            source: None,
            retryable: false,
        })?;
        Ok(Self {
            encoder,
            staging,
            context,
            slot,
            prefix: format!("kafka-sink/{}", path_segment(uid)),
            open: StagedWriter::default(),
            uploads: Vec::new(),
            uploading: Arc::default(),
            last: 0,
            parts: 0,
            bytes: 0,
        })
    }

    /// Starts the upload of the collected records. `epoch` is part of the object's name.
    fn upload(&mut self, epoch: &str) {
        if self.open.records() == 0 {
            return;
        }
        let (attempt, slot, part) = (self.context.attempt, self.slot, self.parts);
        self.parts += 1;
        let name = format!("{}/attempt-{attempt}/{epoch}/slot-{slot}-{part}", self.prefix);
        let (object, bytes) = std::mem::take(&mut self.open).finish(name);
        let (staging, uploading) = (Arc::clone(&self.staging), Arc::clone(&self.uploading));
        let waker = Arc::clone(&self.context.waker);
        uploading.fetch_add(1, Ordering::AcqRel);
        self.uploads.push(self.context.io.spawn(async move {
            crash_point("kafka-sink.before-stage");
            let put = staging.put(object.name.clone(), bytes).await;
            crash_point("kafka-sink.after-stage");
            uploading.fetch_sub(1, Ordering::AcqRel);
            waker();
            put.map(|()| object)
        }));
    }
}

impl SinkWriter for StagingWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let rows = self.encoder.encode(batch)?;
        self.bytes += rows.bytes();
        for row in 0..rows.len() {
            self.open.push(&rows.record(row));
            if self.open.len() >= STAGED_OBJECT_BYTES {
                self.upload(&format!("after-checkpoint-{}", self.last));
            }
        }
        Ok(())
    }

    fn is_ready(&mut self) -> Result<bool, Error> {
        // An upload ends by itself: it does not wait for the barrier that waits for it.
        Ok(self.uploading.load(Ordering::Acquire) < UPLOADS_MAX)
    }

    fn prepare_commit(&mut self, checkpoint: CheckpointId) -> Prepared {
        self.upload(&format!("checkpoint-{checkpoint}"));
        self.last = checkpoint.number();
        let uploads = std::mem::take(&mut self.uploads);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut staged = Staged {
            version: VERSION,
            slot: self.slot,
            checkpoint: checkpoint.number(),
            staged_at_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            objects: Vec::with_capacity(uploads.len()),
        };
        Prepared::start(&self.context.io, async move {
            for upload in uploads {
                staged.objects.push(upload.await.unwrap_or_else(|error| Err(broken_off("an upload", error)))?);
            }
            Ok(if staged.objects.is_empty() { Vec::new() } else { vec![staged.to_committable()] })
        })
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A uid as one segment of an object's name: different uids give different segments.
fn path_segment(uid: &str) -> String {
    let mut segment = String::with_capacity(uid.len());
    for byte in uid.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => segment.push(char::from(byte)),
            other => segment.push_str(&format!("={other:02x}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_uids_have_different_segments() {
        assert_eq!(path_segment("totals/sink-1"), "totals=2fsink-1");
        assert_ne!(path_segment("a/b"), path_segment("a=2fb"));
    }
}
