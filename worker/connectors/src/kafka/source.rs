//! The Kafka source, and the reader that takes records from its partitions in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eddyline_stream::{CheckpointId, SplitId};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;
use tracing::warn;

use super::client::{self, TableConsumer, unavailable};
use super::config::SourceConfig;
use super::dead_letter::DeadLetters;
use super::enumerator::PartitionEnumerator;
use super::partition_queue::{Message, PartitionQueue, events_waiting};
use super::reachability;
use super::rows::{BATCH_ROWS_MAX, RowDecoder};
use super::split::{self, Position};
use crate::source::{Placement, Poll, ReaderContext, ReaderCounters, Source, SourceReader, Split, SplitEnumerator};
use crate::{Error, TableDescriptor};

/// The number of batches without a row after which a poll returns, so that other tasks can run.
const BATCHES_WITHOUT_ROWS_MAX: usize = 8;

/// How long a reader waits, after an alarm, to learn whether a partition still exists.
const EXISTENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// The source of a Kafka table.
pub struct KafkaSource {
    config: Arc<SourceConfig>,
    table: Arc<TableDescriptor>,
    projection: Vec<usize>,
    metadata: Vec<usize>,
}

impl KafkaSource {
    /// Prepares reading the columns `projection` (indices into the physical columns, in output order) and `metadata`
    /// (indices into the metadata columns). Talks to no broker yet.
    ///
    /// # Errors
    /// Says what the formats do not support.
    pub fn open(
        config: SourceConfig,
        table: TableDescriptor,
        projection: Vec<usize>,
        metadata: Vec<usize>,
    ) -> Result<Self, Error> {
        RowDecoder::new(&config.layout, &table, &projection, &metadata)?;
        Ok(Self { config: Arc::new(config), table: Arc::new(table), projection, metadata })
    }
}

impl Source for KafkaSource {
    fn enumerator(&self, io: tokio::runtime::Handle) -> Result<Box<dyn SplitEnumerator>, Error> {
        Ok(Box::new(PartitionEnumerator::new(Arc::clone(&self.config), self.table.name.clone(), io)))
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>, Error> {
        let rows = RowDecoder::new(&self.config.layout, &self.table, &self.projection, &self.metadata)?;
        Ok(Box::new(KafkaReader::new(Arc::clone(&self.config), &self.table.name, rows, context)?))
    }

    fn placement(&self) -> Placement {
        Placement::Spread
    }

    fn discovery_interval(&self) -> Option<Duration> {
        if self.config.is_bounded() { None } else { self.config.discovery_interval }
    }
}

/// A partition while it is read.
struct Partition {
    id: SplitId,
    topic: String,
    number: i32,

    position: Position,
    /// Whether it has been read to its end.
    finished: bool,
    /// Whether its end has been reported.
    announced: bool,
    paused: bool,
    /// Records taken from the queue. Those before `next` are done.
    taken: Vec<Message>,
    next: usize,
    /// `None` once finished.
    queue: Option<PartitionQueue>,
}

impl Partition {
    /// Whether no record waits here. The client fetches each partition for itself, so a busy one keeps none from
    /// others.
    fn is_empty(&self) -> bool {
        self.next == self.taken.len() && self.queue.as_ref().is_none_or(PartitionQueue::is_empty)
    }
}

/// Reads partitions on a slot thread.
struct KafkaReader {
    config: Arc<SourceConfig>,
    table: String,
    waker: Arc<dyn Fn() + Send + Sync>,

    rows: RowDecoder,
    partitions: Vec<Partition>,
    /// The next partition to read.
    turn: usize,
    counters: ReaderCounters,
    dead_letters: Option<DeadLetters>,
    /// The offsets of the last snapshot, to be committed for monitoring.
    snapshot: Option<TopicPartitionList>,
    /// Set when the client has events for us.
    has_events: Arc<AtomicBool>,
    /// The client. It must be dropped last, because partitions hold its records and queues.
    consumer: Arc<TableConsumer>,
}

impl KafkaReader {
    fn new(config: Arc<SourceConfig>, table: &str, rows: RowDecoder, context: ReaderContext) -> Result<Self, Error> {
        let purpose = format!("source {table}, reader {}", context.subtask.0);
        let mut consumer = client::consumer_config(&config.properties, table);
        if !config.properties.consumer.contains_key("statistics.interval.ms") {
            consumer.set("statistics.interval.ms", reachability::INTERVAL_MS);
        }
        let mut consumer: TableConsumer = client::create(&consumer, &purpose)?;
        let has_events = Arc::new(AtomicBool::new(true));
        let (flag, waker) = (Arc::clone(&has_events), Arc::clone(&context.waker));
        consumer.set_nonempty_callback(move || {
            flag.store(true, Ordering::Release);
            waker();
        });
        Ok(Self {
            dead_letters: DeadLetters::open(&config, table)?,
            config,
            table: table.to_owned(),
            waker: context.waker,
            rows,
            partitions: Vec::new(),
            turn: 0,
            counters: ReaderCounters::default(),
            snapshot: None,
            has_events,
            consumer: Arc::new(consumer),
        })
    }

    /// Handles the client's events. A broker that does not answer is no error: the client's context logs it, and the
    /// client keeps trying.
    fn take_events(&self) -> Result<(), Error> {
        if self.has_events.swap(false, Ordering::AcqRel) {
            // Take all events: the client calls again only when an event arrives in an empty queue.
            while events_waiting(&self.consumer) > 0 {
                if let Some(Err(KafkaError::MessageConsumptionFatal(code))) = self.consumer.poll(Duration::ZERO) {
                    let what = format!("source {}: the kafka client has failed", self.table);
                    return Err(unavailable(what, KafkaError::MessageConsumptionFatal(code)));
                }
            }
            if self.consumer.context().take_alarm() {
                self.check_partitions()?;
            }
        }
        Ok(())
    }

    /// Fails if a partition is gone, or if brokers now refuse this client. Asks a broker, which happens only
    /// when the client has raised an alarm.
    fn check_partitions(&self) -> Result<(), Error> {
        for partition in self.partitions.iter().filter(|partition| !partition.finished) {
            let Ok(metadata) = self.consumer.fetch_metadata(Some(&partition.topic), EXISTENCE_TIMEOUT) else {
                match self.consumer.context().refusal(true) {
                    Some(refusal) => return Err(refusal),
                    None => continue,
                }
            };
            self.consumer.context().answered();
            let Some(topic) = metadata.topics().first() else { continue };
            match topic.error().map(RDKafkaErrorCode::from) {
                Some(code) => judge(partition, code, "the broker does not know it")?,
                None if topic.partitions().iter().all(|known| known.id() != partition.number) => {
                    judge(partition, RDKafkaErrorCode::UnknownPartition, "the broker does not know it")?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Decodes fetched records of one partition until there is a batch, or no record is left.
    fn read(&mut self, index: usize, max_rows: usize) -> Result<Progress, Error> {
        let partition = &mut self.partitions[index];
        if partition.next == partition.taken.len() {
            partition.taken.clear();
            partition.next = 0;
            if let Some(queue) = &partition.queue {
                queue.take(&mut partition.taken, max_rows);
            }
            if partition.taken.is_empty() {
                return Ok(Progress::Dry);
            }
        }
        while partition.next < partition.taken.len()
            && self.rows.len() < max_rows
            && !partition.finished
            && !self.rows.is_full()
        {
            let message = &partition.taken[partition.next];
            let offset = message.offset();
            match message.news() {
                Some((RDKafkaErrorCode::PartitionEOF, _)) => {
                    // Transaction markers at the end have offsets too, but no record shows them.
                    partition.position.offset = partition.position.offset.max(offset);
                }
                Some((code, text)) => judge(partition, code, &text)?,
                None if partition.position.stop.is_some_and(|stop| offset >= stop) => partition.finished = true,
                None => {
                    self.counters.bytes += message.value().map_or(0, <[u8]>::len) as u64;
                    if let Err(refusal) = self.rows.decode(&partition.topic, partition.number, message) {
                        self.counters.bad_records += 1;
                        let place =
                            format!("topic {}, partition {}, offset {offset}", partition.topic, partition.number);
                        if let Some(dead_letters) = &mut self.dead_letters {
                            dead_letters.send(&partition.topic, partition.number, message, &refusal.reason)?;
                        } else if !refusal.skip {
                            let skips = self.config.layout.value_format.skip_option();
                            let skips = skips.map_or_else(String::new, |key| format!("'{key}' skips such records, "));
                            let reason = format!("{}; {skips}'scan.dead-letter.topic' keeps them", refusal.reason);
                            return Err(Error::BadRecord { place, reason });
                        }
                    }
                    partition.position.offset = offset + 1;
                    partition.position.leader_epoch = message.leader_epoch();
                }
            }
            partition.next += 1;
            partition.finished |= partition.position.is_at_stop();
        }
        if partition.finished {
            partition.taken.clear();
            partition.next = 0;
            partition.queue = None;
            self.unassign(index);
        }
        if self.rows.len() == 0 {
            return Ok(if self.partitions[index].finished { Progress::Dry } else { Progress::NoRows });
        }
        Ok(Progress::Rows(Poll::Rows { split: self.partitions[index].id.clone(), rows: self.rows.take()? }))
    }

    fn assign(&self, topic: &str, number: i32, position: Position) -> Result<(), Error> {
        let failed = |error| unavailable(format!("topic {topic}, partition {number}: cannot start reading"), error);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(topic, number, Offset::Offset(position.offset)).map_err(failed)?;
        if let Some(epoch) = position.leader_epoch {
            // SAFETY: the list has exactly one element, which lives as long as the list.
            unsafe { sys::rd_kafka_topic_partition_set_leader_epoch((*list.ptr()).elems, epoch) };
        }
        self.consumer.incremental_assign(&list).map_err(failed)
    }

    fn unassign(&self, index: usize) {
        let partition = &self.partitions[index];
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&partition.topic, partition.number);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            warn!(split = %partition.id, %error, "failed to stop fetching a finished partition");
        }
    }

    fn lag_records(&self) -> Option<u64> {
        let mut lag = 0;
        for partition in self.partitions.iter().filter(|partition| !partition.finished) {
            let (mut low, mut high) = (-1, -1);
            let topic = std::ffi::CString::new(partition.topic.as_str()).ok()?;
            // SAFETY: all pointers are valid for the call, which only reads what the client knows already.
            unsafe {
                sys::rd_kafka_get_watermark_offsets(
                    self.consumer.client().native_ptr(),
                    topic.as_ptr(),
                    partition.number,
                    &mut low,
                    &mut high,
                );
            }
            let end = partition.position.stop.map_or(high, |stop| stop.min(high.max(0)));
            if high < 0 {
                return None;
            }
            lag += u64::try_from(end - partition.position.offset).unwrap_or(0);
        }
        Some(lag)
    }
}

/// The result of reading one partition.
enum Progress {
    /// There were no records.
    Dry,
    /// There were records, but none gave a row.
    NoRows,
    /// Rows.
    Rows(Poll),
}

/// Interprets librdkafka's error about a partition. `Ok` if it recovers by itself.
fn judge(partition: &Partition, code: RDKafkaErrorCode, text: &str) -> Result<(), Error> {
    use RDKafkaErrorCode as Code;
    let place = format!("topic {}, partition {}", partition.topic, partition.number);
    let ended = |what: String| Err(Error::Unavailable { what, source: None, retryable: false });
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => Err(Error::Restore {
            split: partition.id.to_string(),
            reason: format!(
                "offset {} is no longer in the log, or not yet ({text}): records were deleted, or the topic was truncated or \
                 created again. To continue, set 'properties.auto.offset.reset' to 'earliest' (the oldest record) or \
                 'latest' (new records)",
                partition.position.offset
            ),
        }),
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId => {
            ended(format!(
                "{place} no longer exists: it was deleted while it was read. Create it again, or remove the topic from the \
                 table"
            ))
        }
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed => ended(format!("{place}: {text}")),
        _ => {
            warn!(split = %partition.id, %code, text, "a partition reports an error; reading continues");
            Ok(())
        }
    }
}

impl SourceReader for KafkaReader {
    fn add_split(&mut self, split: Split) -> Result<(), Error> {
        let (topic, number, position) = split::parse(&split)?;
        let finished = split.finished || position.is_at_stop();
        let queue = if finished {
            None
        } else {
            let waker = Arc::clone(&self.waker);
            let queue = PartitionQueue::split_off(&self.consumer, &topic, number, waker)?;
            self.assign(&topic, number, position)?;
            Some(queue)
        };
        self.partitions.push(Partition {
            id: split.id,
            topic,
            number,
            position,
            finished,
            announced: split.finished,
            paused: false,
            taken: Vec::new(),
            next: 0,
            queue,
        });
        Ok(())
    }

    fn poll(&mut self, max_rows: usize) -> Result<Poll, Error> {
        self.take_events()?;
        let max_rows = max_rows.clamp(1, BATCH_ROWS_MAX);
        let mut without_rows = 0;
        let mut dry = 0;
        while dry < self.partitions.len() {
            let index = self.turn % self.partitions.len();
            let partition = &mut self.partitions[index];
            if partition.finished && !partition.announced {
                partition.announced = true;
                return Ok(Poll::Finished(partition.id.clone()));
            }
            let progress =
                if partition.finished || partition.paused { Progress::Dry } else { self.read(index, max_rows)? };
            match progress {
                Progress::Rows(rows) => {
                    self.turn = index + 1;
                    return Ok(rows);
                }
                // A partition that has just come to its end without rows reports it before the next one has its turn.
                Progress::Dry if self.partitions[index].finished && !self.partitions[index].announced => {}
                Progress::Dry => {
                    self.turn = index + 1;
                    dry += 1;
                }
                // The others have their turn: there may be any number of records that are no rows.
                Progress::NoRows => {
                    self.turn = index + 1;
                    dry = 0;
                    without_rows += 1;
                    if without_rows == BATCHES_WITHOUT_ROWS_MAX {
                        (self.waker)();
                        break;
                    }
                }
            }
        }
        Ok(Poll::Pending)
    }

    fn is_empty(&mut self, split: &SplitId) -> bool {
        self.partitions.iter().filter(|partition| partition.id == *split).all(Partition::is_empty)
    }

    fn pause(&mut self, split: &SplitId, paused: bool) {
        // Records stay in the queue, and a full queue stops fetching.
        for partition in self.partitions.iter_mut().filter(|partition| partition.id == *split) {
            partition.paused = paused;
        }
        if !paused {
            (self.waker)();
        }
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Error> {
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.flush()?;
        }
        if self.config.commit_group_offsets && self.config.properties.consumer.contains_key("group.id") {
            let mut offsets = TopicPartitionList::with_capacity(self.partitions.len());
            for partition in &self.partitions {
                let offset = Offset::Offset(partition.position.offset);
                offsets
                    .add_partition_offset(&partition.topic, partition.number, offset)
                    .map_err(|error| unavailable(format!("split {}: bad offset {offset:?}", partition.id), error))?;
            }
            self.snapshot = Some(offsets);
        }
        let split = |partition: &Partition| Split {
            id: partition.id.clone(),
            position: serde_json::json!(partition.position),
            finished: partition.announced,
        };
        Ok(self.partitions.iter().map(split).collect())
    }

    fn checkpoint_complete(&mut self, checkpoint: CheckpointId) {
        if let Some(offsets) = self.snapshot.take()
            && offsets.count() > 0
            && let Err(error) = self.consumer.commit(&offsets, CommitMode::Async)
        {
            warn!(table = self.table, %checkpoint, %error, "failed to commit group offsets");
        }
    }

    fn trouble(&self) -> Option<String> {
        self.consumer.context().trouble()
    }

    fn counters(&self) -> ReaderCounters {
        ReaderCounters { lag_records: self.lag_records(), ..self.counters }
    }
}
