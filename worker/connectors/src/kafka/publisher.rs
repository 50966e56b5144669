//! One slot's transactions.
//!
//! The steps, each of which may be the last one of a process: init (fences whoever had the id before, and ends what it
//! left open) → read the group's offset: the last checkpoint published → begin → produce → send the checkpoint's id as
//! the group's next offset → commit. Records and offset become visible together, so the question "was this published?"
//! has an exact answer, and publishing again is harmless.
//!
//! After any trouble the producer is thrown away and the steps begin anew: init finds out how a commit whose answer was
//! lost has ended. Only what no repetition can cure is an error.
//!
//! Kafka forgets the offsets of a group that has been idle for `offsets.retention.minutes` (a week by default). When
//! there is no offset, the topic is scanned from the time of staging on for a marker, a header of the last record of each
//! transaction, before anything is published.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_stream::crash_point;
use rdkafka::consumer::{Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Headers as _;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tracing::{info, warn};

use super::client::{REQUEST_TIMEOUT, TableConsumer, consumer_config, create, is_retryable, producer_config};
use super::config::SinkConfig;
use super::producer::{self, DeliveryContext, Failures, record_of};
use super::records::Record;
use super::staged::{StagedObject, for_each};
use crate::Error;

/// The header of the last record of a transaction. Its value is `group@checkpoint`.
pub const MARKER_HEADER: &str = "eddyline.published";

/// How long one publication is tried before the commit fails.
const PUBLISH_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Longest wait for one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the first step waits before it looks whether brokers refuse the client; then twice as long each time.
const INIT_SLICE: Duration = Duration::from_secs(2);

/// Pauses between tries: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Another producer with the same id is met so often before this one gives way. Brokers answer the same way when a
/// transaction took longer than its timeout, so the first time proves nothing.
const FENCED_MAX: u32 = 3;

/// A scan begins so much before the time of staging, for clocks that differ.
const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;

/// How many offsets of each partition a scan looks at when timestamps do not tell when a record was published.
const SCAN_TAIL: i64 = 200_000;

/// The names of a slot at the brokers.
#[derive(Clone, Debug)]
pub struct Names {
    /// The consumer group whose offset is the last checkpoint published.
    pub group: String,
    /// The producer's transactional id.
    pub transactional_id: String,
}

/// What is to be published of one slot.
pub struct Publication {
    /// The checkpoint.
    pub checkpoint: u64,
    /// The earliest time at which it can have been published, in milliseconds since 1970.
    pub staged_at_ms: i64,
    /// The staged objects in order.
    pub objects: Vec<(StagedObject, Bytes)>,
}

/// Publishes one slot's records. Blocks; lives on a thread that may wait.
pub struct Publisher {
    config: Arc<SinkConfig>,
    names: Names,
    written_timestamps: bool,

    session: Option<Session>,
}

/// A producer that is ready for transactions.
struct Session {
    producer: BaseProducer<DeliveryContext>,
    failures: Arc<Failures>,
    /// Never subscribes: it stands for the group.
    group: TableConsumer,
    /// The last checkpoint published, once known.
    published: Option<u64>,
}

/// Why a try failed.
enum Trouble {
    /// Another try can help.
    Passing(Error),
    /// Another producer with the same transactional id took over, or this one was too slow.
    Fenced(Error),
    /// No try can help.
    Lasting(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Lasting(error)
    }
}

impl Publisher {
    /// A publisher for the slot with these names. Connects when it first publishes.
    pub fn new(config: Arc<SinkConfig>, names: Names, written_timestamps: bool) -> Self {
        Self { config, names, written_timestamps, session: None }
    }

    /// Publishes, unless that has been done already.
    ///
    /// # Errors
    /// Names the topic, the transactional id and what stands against it.
    pub fn publish(&mut self, publication: &Publication) -> Result<(), Error> {
        let deadline = Instant::now() + PUBLISH_LIMIT;
        let mut pause = BACKOFF.0;
        let mut fenced = 0;
        loop {
            let error = match self.try_publish(publication) {
                Ok(()) => return Ok(()),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Fenced(error)) => {
                    fenced += 1;
                    if fenced == FENCED_MAX {
                        return Err(error);
                    }
                    error
                }
                Err(Trouble::Passing(error)) => error,
            };
            self.session = None;
            if Instant::now() >= deadline {
                return Err(error);
            }
            let checkpoint = publication.checkpoint;
            warn!(transactional_id = self.names.transactional_id, checkpoint, %error, "publishing failed and is tried again");
            std::thread::sleep(pause);
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    fn try_publish(&mut self, publication: &Publication) -> Result<(), Trouble> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.start()?,
        };
        let published = match session.published {
            Some(published) => published,
            None => self.last_published(&session, publication)?,
        };
        session.published = Some(published);
        if published >= publication.checkpoint {
            info!(group = self.names.group, published, checkpoint = publication.checkpoint, "published already");
        } else {
            self.transact(&session, publication)?;
            session.published = Some(publication.checkpoint);
        }
        self.session = Some(session);
        Ok(())
    }

    fn start(&self) -> Result<Session, Trouble> {
        crash_point("kafka-sink.before-init");
        let mut fixed = vec![
            ("transactional.id", self.names.transactional_id.as_str()),
            ("enable.idempotence", "true"),
            ("delivery.report.only.error", "true"),
        ];
        if !self.config.properties.producer.contains_key("transaction.timeout.ms") {
            fixed.push(("transaction.timeout.ms", "300000"));
        }
        let failures = Arc::default();
        let purpose = format!("sink transaction {}", self.names.transactional_id);
        let producer: BaseProducer<DeliveryContext> =
            producer::create(&producer_config(&self.config.properties, &fixed), &purpose, &failures)?;
        let mut consumer = consumer_config(&self.config.properties, &self.names.group);
        consumer.set("group.id", &self.names.group).set("isolation.level", "read_committed");
        let group = create(&consumer, &purpose)?;
        self.init(&producer)?;
        crash_point("kafka-sink.after-init");
        Ok(Session { producer, failures, group, published: None })
    }

    /// Fences earlier producers with the same id. Looks up now and then whether brokers refuse the client.
    fn init(&self, producer: &BaseProducer<DeliveryContext>) -> Result<(), Trouble> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let mut slice = INIT_SLICE;
        // A call that has timed out is taken up by the next one where it stood.
        while let Err(error) = producer.init_transactions(slice) {
            producer.poll(Duration::from_millis(50));
            if let Some(refusal) = producer.context().refusal() {
                return Err(Trouble::Lasting(refusal));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::OperationTimedOut) {
                return Err(self.trouble("start transactions", error));
            }
            slice = (slice * 2).min(left);
        }
        Ok(())
    }

    /// The checkpoint that the group's offset names; 0 before the first.
    fn last_published(&self, session: &Session, publication: &Publication) -> Result<u64, Trouble> {
        let mut asked = TopicPartitionList::with_capacity(1);
        asked.add_partition(&self.config.topic, 0);
        let answer = session
            .group
            .committed_offsets(asked, REQUEST_TIMEOUT)
            .map_err(|error| self.passing("read the last published checkpoint", error))?;
        for element in answer.elements() {
            element.error().map_err(|error| self.passing("read the last published checkpoint", error))?;
            if let Offset::Offset(offset) = element.offset() {
                return Ok(u64::try_from(offset).unwrap_or(0));
            }
        }
        if publication.checkpoint > 1 && self.find_marker(publication)? {
            return Ok(publication.checkpoint);
        }
        Ok(0)
    }

    fn transact(&self, session: &Session, publication: &Publication) -> Result<(), Trouble> {
        let producer = &session.producer;
        let cannot = |what: &'static str| move |error| self.trouble(what, error);
        crash_point("kafka-sink.before-begin");
        producer.begin_transaction().map_err(cannot("begin a transaction"))?;
        crash_point("kafka-sink.after-begin");
        self.produce(session, publication)?;
        crash_point("kafka-sink.after-produce");
        if let Err(error) = producer.flush(STEP_TIMEOUT) {
            return Err(self.trouble("flush", error));
        }
        self.check(session)?;
        crash_point("kafka-sink.after-flush-of-transaction");
        let mut offsets = TopicPartitionList::with_capacity(1);
        let checkpoint = i64::try_from(publication.checkpoint).unwrap_or(i64::MAX);
        offsets
            .add_partition_offset(&self.config.topic, 0, Offset::Offset(checkpoint))
            .map_err(cannot("name the checkpoint"))?;
        let group: ConsumerGroupMetadata = session
            .group
            .group_metadata()
            .ok_or_else(|| Trouble::Passing(self.error("learn about the group", None, true)))?;
        producer
            .send_offsets_to_transaction(&offsets, &group, STEP_TIMEOUT)
            .map_err(cannot("send the checkpoint's id"))?;
        crash_point("kafka-sink.after-offsets");
        producer.commit_transaction(STEP_TIMEOUT).map_err(cannot("commit"))?;
        crash_point("kafka-sink.after-transaction");
        Ok(())
    }

    fn produce(&self, session: &Session, publication: &Publication) -> Result<(), Trouble> {
        let marker = format!("{}@{}", self.names.group, publication.checkpoint);
        let total: u64 = publication.objects.iter().map(|(object, _)| object.records).sum();
        let mut sent = 0;
        let mut trouble = None;
        for (object, bytes) in &publication.objects {
            let each = for_each(object, bytes, |record| {
                sent += 1;
                let marker = (sent == total).then_some(marker.as_str());
                self.send(session, record, marker).map_err(|found| {
                    // Passed through `for_each` as a value, so that its kind is not lost.
                    trouble = Some(found);
                    self.error("send", None, true)
                })
            });
            match (each, trouble.take()) {
                (Ok(()), _) => {}
                (Err(_), Some(trouble)) => return Err(trouble),
                (Err(damaged), None) => return Err(Trouble::Lasting(damaged)),
            }
        }
        Ok(())
    }

    fn send(&self, session: &Session, record: &Record<'_>, marker: Option<&str>) -> Result<(), Trouble> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let mut base = record_of(&self.config.topic, record, marker);
        loop {
            match session.producer.send(base) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    base = back;
                    session.producer.poll(Duration::from_millis(5));
                    self.check(session)?;
                }
                Err((error, _)) => return Err(self.trouble("send a record", error)),
            }
        }
    }

    /// Fails if a broker refused a record.
    fn check(&self, session: &Session) -> Result<(), Trouble> {
        let Some(failure) = session.failures.first() else { return Ok(()) };
        Err(self.trouble("write a record", failure.error))
    }

    /// Whether the marker of a publication is in the topic.
    fn find_marker(&self, publication: &Publication) -> Result<bool, Trouble> {
        let cannot = |error| self.passing("look for an earlier publication", error);
        let mut config = consumer_config(&self.config.properties, &self.names.group);
        config.set("group.id", format!("{}-scan", self.names.group));
        config.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
        let consumer: TableConsumer = create(&config, &format!("sink scan {}", self.names.group))?;
        let metadata = consumer.fetch_metadata(Some(&self.config.topic), REQUEST_TIMEOUT).map_err(cannot)?;
        let mut scanned = TopicPartitionList::new();
        let mut open = Vec::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let (low, high) =
                consumer.fetch_watermarks(&self.config.topic, partition.id(), REQUEST_TIMEOUT).map_err(cannot)?;
            let from = if self.written_timestamps {
                low.max(high - SCAN_TAIL)
            } else {
                let mut asked = TopicPartitionList::with_capacity(1);
                let since = Offset::Offset((publication.staged_at_ms - CLOCK_SKEW_MS).max(0));
                asked.add_partition_offset(&self.config.topic, partition.id(), since).map_err(cannot)?;
                let answer = consumer.offsets_for_times(asked, REQUEST_TIMEOUT).map_err(cannot)?;
                match answer.elements().first().map(|element| element.offset()) {
                    Some(Offset::Offset(offset)) => offset,
                    _ => high,
                }
            };
            if from < high {
                scanned
                    .add_partition_offset(&self.config.topic, partition.id(), Offset::Offset(from))
                    .map_err(cannot)?;
                open.push(partition.id());
            }
        }
        consumer.assign(&scanned).map_err(cannot)?;
        let deadline = Instant::now() + PUBLISH_LIMIT;
        while !open.is_empty() {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    let found = message.headers().is_some_and(|headers| {
                        headers.iter().any(|header| {
                            header.key == MARKER_HEADER
                                && header
                                    .value
                                    .is_some_and(|value| covers(value, &self.names.group, publication.checkpoint))
                        })
                    });
                    if found {
                        info!(
                            group = self.names.group,
                            checkpoint = publication.checkpoint,
                            "found an earlier publication"
                        );
                        return Ok(true);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|other| *other != partition),
                Some(Err(error)) if !is_retryable(&error) => return Err(cannot(error)),
                _ => {}
            }
            if Instant::now() >= deadline {
                return Err(Trouble::Passing(self.error("look for an earlier publication in time", None, true)));
            }
        }
        Ok(false)
    }

    fn error(&self, what: &str, source: Option<KafkaError>, retryable: bool) -> Error {
        let reason = source.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        Error::Unavailable {
            what: format!(
                "topic {}, transactional id {}: cannot {what}{reason}",
                self.config.topic, self.names.transactional_id
            ),
            source: source.map(|error| Box::new(error) as _),
            retryable,
        }
    }

    fn passing(&self, what: &str, error: KafkaError) -> Trouble {
        use RDKafkaErrorCode as Code;
        let lasting =
            matches!(error.rdkafka_error_code(), Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed));
        let error = self.error(what, Some(error), !lasting);
        if lasting { Trouble::Lasting(error) } else { Trouble::Passing(error) }
    }

    fn trouble(&self, what: &str, error: KafkaError) -> Trouble {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => Trouble::Fenced(self.error(
                &format!(
                    "{what}, because another process uses the id, or the transaction took longer than its timeout"
                ),
                Some(error),
                false,
            )),
            // What no repetition cures: rights, and what the broker's settings forbid.
            Some(
                Code::TransactionalIdAuthorizationFailed
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::InvalidTransactionTimeout
                | Code::MessageSizeTooLarge
                | Code::InvalidTopic
                | Code::InvalidRecord
                | Code::InvalidTimestamp
                | Code::UnknownPartition
                | Code::UnknownTopic
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature
                | Code::NotImplemented,
            ) => Trouble::Lasting(self.error(what, Some(error), false)),
            _ => Trouble::Passing(self.error(what, Some(error), true)),
        }
    }
}

/// Whether a marker tells of a publication of `group` that is not older than `checkpoint`.
fn covers(marker: &[u8], group: &str, checkpoint: u64) -> bool {
    let Some((of, published)) = std::str::from_utf8(marker).ok().and_then(|marker| marker.rsplit_once('@')) else {
        return false;
    };
    of == group && published.parse::<u64>().is_ok_and(|published| published >= checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_covers_its_group_up_to_its_checkpoint() {
        assert!(covers(b"job-sink@1-0@7", "job-sink@1-0", 7));
        assert!(covers(b"g@8", "g", 7));
        assert!(!covers(b"g@6", "g", 7));
        assert!(!covers(b"h@7", "g", 7));
        assert!(!covers(b"g", "g", 7) && !covers(b"g@x", "g", 7));
    }
}
