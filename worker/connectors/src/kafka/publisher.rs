//! Publishes the records of one slot, in transactions.
//!
//! The steps, each of which may be the last one of a process: init (fences the former owner of the id, and ends what
//! that left open) → read the group's offset: how far it has published → for each staged object: begin → produce → send
//! the progress as the group's next offset → commit. Records and offset become visible together, so the question "was
//! this published?" has an exact answer, and publishing again is harmless.
//!
//! A transaction has one staged object, so its size and the memory of a publication have a bound, however large an
//! epoch is. The offset is always the last checkpoint that is published completely. Its metadata says which objects of
//! the next checkpoint are already published. A release that did not cut epochs wrote offsets without metadata: they
//! mean the same.
//!
//! After a temporary failure, the producer is dropped and the steps start again: init finds out how a commit whose
//! answer was lost has ended. Only a permanent failure is an error.
//!
//! Kafka forgets the offsets of a group that has been idle for `offsets.retention.minutes` (a week by default). If
//! there is no offset, and an earlier publication may be so old that its offset was forgotten, the topic is scanned for
//! a marker before anything is published. The scan begins at the time of staging. A marker is a header of the last
//! record of each transaction.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
use crate::backoff::Backoff;

/// The header of the last record of a transaction. Its value is `group@checkpoint`, or `group@checkpoint:records` if
/// more records of the checkpoint follow.
pub const MARKER_HEADER: &str = "eddyline.published";

/// How long a publication may make no progress before the commit fails.
const PUBLISH_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Longest wait for one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the first step waits before it checks whether brokers refuse the client. Each further wait is twice as
/// long.
const INIT_SLICE: Duration = Duration::from_secs(2);

/// The number of answers that another producer has the id after which this one fails. Brokers answer in the same way if
/// a transaction took longer than its timeout, so the first answer proves nothing.
const FENCED_MAX: u32 = 3;

/// Brokers keep offsets at least this long. If there is no offset, nothing has been published in this time.
const OFFSETS_KEPT_MS: i64 = 60 * 60 * 1000;

/// A scan begins this long before the time of staging, because clocks may differ.
const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;

/// The number of offsets of each partition that a scan reads, if timestamps are not those of publication.
const SCAN_TAIL: i64 = 200_000;

/// The names that a slot uses at the brokers.
#[derive(Clone, Debug)]
pub struct Names {
    /// The consumer group whose offset is the last checkpoint published.
    pub group: String,
    /// The producer's transactional id.
    pub transactional_id: String,
}

/// The output of one slot to publish.
pub struct Publication {
    /// The checkpoint.
    pub checkpoint: u64,
    /// The earliest time at which it can have been published, in milliseconds since 1970.
    pub staged_at_ms: i64,
    /// Whether it may have been published before: by another attempt or process, or by a commit that has failed.
    pub is_recovered: bool,
    /// The staged objects in order.
    pub objects: Vec<StagedObject>,
}

/// The progress of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// This checkpoint and all before it.
    complete: u64,
    /// The number of a later checkpoint, and how many of its records are published.
    partial: Option<(u64, u64)>,
}

impl Progress {
    /// The progress in a group's offset and its metadata.
    fn read(offset: i64, metadata: &str) -> Self {
        Self { complete: u64::try_from(offset).unwrap_or(0), partial: Self::read_partial(metadata) }
    }

    fn read_partial(text: &str) -> Option<(u64, u64)> {
        let (checkpoint, records) = text.split_once(':')?;
        Some((checkpoint.parse().ok()?, records.parse().ok()?))
    }

    /// The partial checkpoint as a text, for the offset's metadata and for markers.
    fn partial_text(&self) -> Option<String> {
        self.partial.map(|(checkpoint, records)| format!("{checkpoint}:{records}"))
    }

    fn covers(&self, checkpoint: u64) -> bool {
        self.complete >= checkpoint
    }

    /// The number of published records of a checkpoint that is not published completely.
    fn records_of(&self, checkpoint: u64) -> u64 {
        self.partial.filter(|(partial, _)| *partial == checkpoint).map_or(0, |(_, records)| records)
    }

    /// The marker in the last record of a transaction that brings a group to this progress.
    fn marker(&self, group: &str) -> String {
        let text = self.partial_text().unwrap_or_else(|| self.complete.to_string());
        format!("{group}@{text}")
    }

    /// Takes over the progress in a marker, if it is of this group.
    fn record_marker(&mut self, marker: &[u8], group: &str) {
        let Some((of, text)) = std::str::from_utf8(marker).ok().and_then(|marker| marker.rsplit_once('@')) else {
            return;
        };
        if of != group {
            return;
        }
        if let Ok(complete) = text.parse() {
            self.complete = self.complete.max(complete);
        } else if let Some(partial) = Self::read_partial(text) {
            self.partial = self.partial.max(Some(partial));
        }
    }
}

/// Publishes the records of a slot. Blocks, so it runs on a thread that may.
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
    /// The group's member. It never subscribes.
    group: TableConsumer,
    /// Once known.
    progress: Option<Progress>,
}

/// Why an attempt failed.
enum Trouble {
    /// Another attempt can succeed.
    Passing(Error),
    /// Another producer with the same transactional id took over, or this one was too slow.
    Fenced(Error),
    /// No attempt can succeed.
    Lasting(Error),
}

impl Trouble {
    /// A staged object cannot be read, for now or for good.
    fn of_staging(error: Error) -> Self {
        match error {
            Error::Unavailable { retryable: true, .. } => Self::Passing(error),
            error => Self::Lasting(error),
        }
    }
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

    /// Publishes what is not yet published. `load` reads one object at a time.
    ///
    /// # Errors
    /// Names the topic, the transactional id and the reason.
    pub fn publish<T: AsRef<[u8]>>(
        &mut self,
        publication: &Publication,
        load: &dyn Fn(&StagedObject) -> Result<T, Error>,
    ) -> Result<(), Error> {
        let mut deadline = Instant::now() + PUBLISH_LIMIT;
        let mut backoff = Backoff::new();
        let mut fenced = 0;
        loop {
            let mut transactions = 0;
            let tried = self.try_publish(publication, load, &mut transactions);
            if transactions > 0 {
                (deadline, backoff, fenced) = (Instant::now() + PUBLISH_LIMIT, Backoff::new(), 0);
            }
            let error = match tried {
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
            warn!(transactional_id = self.names.transactional_id, checkpoint, %error, "publishing failed; retrying");
            std::thread::sleep(backoff.wait());
        }
    }

    fn try_publish<T: AsRef<[u8]>>(
        &mut self,
        publication: &Publication,
        load: &dyn Fn(&StagedObject) -> Result<T, Error>,
        transactions: &mut u32,
    ) -> Result<(), Trouble> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.start()?,
        };
        let mut progress = match session.progress.take() {
            Some(progress) => progress,
            None => self.progress_of(&session, publication)?,
        };
        let checkpoint = publication.checkpoint;
        if progress.covers(checkpoint) {
            info!(group = self.names.group, published = progress.complete, checkpoint, "published already");
        } else {
            let published = progress.records_of(checkpoint);
            let mut end = 0;
            for (index, object) in publication.objects.iter().enumerate() {
                let begin = end;
                end += object.records;
                let is_last = index + 1 == publication.objects.len();
                if end <= published && !is_last {
                    continue;
                }
                progress = if is_last {
                    Progress { complete: checkpoint, partial: None }
                } else {
                    Progress { complete: progress.complete, partial: Some((checkpoint, end)) }
                };
                let bytes = load(object).map_err(Trouble::of_staging)?;
                let skipped = published.saturating_sub(begin);
                self.transact(&session, (object, bytes.as_ref(), skipped), &progress)?;
                *transactions += 1;
            }
        }
        session.progress = Some(progress);
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
        Ok(Session { producer, failures, group, progress: None })
    }

    /// Fences earlier producers with the same id. Checks now and then whether brokers refuse the client.
    fn init(&self, producer: &BaseProducer<DeliveryContext>) -> Result<(), Trouble> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let mut slice = INIT_SLICE;
        // A call that has timed out is continued by the next one.
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

    /// The progress in the group's offset. If there is no offset, nothing is published.
    fn progress_of(&self, session: &Session, publication: &Publication) -> Result<Progress, Trouble> {
        let mut asked = TopicPartitionList::with_capacity(1);
        asked.add_partition(&self.config.topic, 0);
        let answer = session
            .group
            .committed_offsets(asked, REQUEST_TIMEOUT)
            .map_err(|error| self.passing("read the last published checkpoint", error))?;
        for element in answer.elements() {
            element.error().map_err(|error| self.passing("read the last published checkpoint", error))?;
            if let Offset::Offset(offset) = element.offset() {
                return Ok(Progress::read(offset, element.metadata()));
            }
        }
        if is_scan_needed(publication, now_ms()) { self.scan(publication) } else { Ok(Progress::default()) }
    }

    /// Publishes the records of an object after the skipped ones.
    fn transact(
        &self,
        session: &Session,
        object: (&StagedObject, &[u8], u64),
        progress: &Progress,
    ) -> Result<(), Trouble> {
        let producer = &session.producer;
        let cannot = |what: &'static str| move |error| self.trouble(what, error);
        crash_point("kafka-sink.before-begin");
        producer.begin_transaction().map_err(cannot("begin a transaction"))?;
        crash_point("kafka-sink.after-begin");
        self.produce(session, object, &progress.marker(&self.names.group))?;
        crash_point("kafka-sink.after-produce");
        let serve = || {
            producer.poll(Duration::ZERO);
            session.failures.first().is_none()
        };
        producer::flush(producer.client(), STEP_TIMEOUT, &serve).map_err(cannot("flush"))?;
        self.check(session)?;
        crash_point("kafka-sink.after-flush-of-transaction");
        let mut offsets = TopicPartitionList::with_capacity(1);
        let complete = i64::try_from(progress.complete).unwrap_or(i64::MAX);
        let mut offset = offsets.add_partition(&self.config.topic, 0);
        offset.set_offset(Offset::Offset(complete)).map_err(cannot("name the checkpoint"))?;
        if let Some(partial) = progress.partial_text() {
            offset.set_metadata(partial);
        }
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

    fn produce(
        &self,
        session: &Session,
        (object, bytes, skipped): (&StagedObject, &[u8], u64),
        marker: &str,
    ) -> Result<(), Trouble> {
        let mut index = 0;
        let mut trouble = None;
        let each = for_each(object, bytes, |record| {
            index += 1;
            if index <= skipped {
                return Ok(());
            }
            let marker = (index == object.records).then_some(marker);
            self.send(session, record, marker).map_err(|found| {
                // Passed through `for_each` as a value, so that its kind is not lost.
                trouble = Some(found);
                self.error("send", None, true)
            })
        });
        match (each, trouble) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(trouble)) => Err(trouble),
            (Err(damaged), None) => Err(Trouble::Lasting(damaged)),
        }
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

    /// The group's progress according to the markers in the topic.
    fn scan(&self, publication: &Publication) -> Result<Progress, Trouble> {
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
        let (group, checkpoint) = (&self.names.group, publication.checkpoint);
        let mut progress = Progress::default();
        // The scan has no limit for the length of the topic. It fails only if it makes no progress.
        let mut deadline = Instant::now() + STEP_TIMEOUT;
        while !open.is_empty() && !progress.covers(checkpoint) {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    deadline = Instant::now() + STEP_TIMEOUT;
                    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                    for marker in headers.filter(|header| header.key == MARKER_HEADER) {
                        progress.record_marker(marker.value.unwrap_or_default(), group);
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
        info!(group, checkpoint, ?progress, "looked for an earlier publication");
        Ok(progress)
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
            // Permanent failures: missing rights, and what the broker's settings forbid.
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

/// Whether it may have been published so long ago that brokers no longer have the offset.
fn is_scan_needed(publication: &Publication, now_ms: i64) -> bool {
    publication.is_recovered && now_ms.saturating_sub(publication.staged_at_ms) > OFFSETS_KEPT_MS
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(complete: u64, partial: Option<(u64, u64)>) -> Progress {
        Progress { complete, partial }
    }

    #[test]
    fn an_offset_and_its_metadata_tell_the_progress_and_old_offsets_mean_the_same() {
        assert_eq!(Progress::read(7, ""), progress(7, None));
        assert_eq!(Progress::read(7, "another's note"), progress(7, None));
        assert_eq!(Progress::read(7, "8:1200"), progress(7, Some((8, 1200))));
        assert_eq!(progress(7, Some((8, 1200))).partial_text().as_deref(), Some("8:1200"));
        let cut = progress(7, Some((8, 1200)));
        assert!(cut.covers(7) && !cut.covers(8));
        assert_eq!((cut.records_of(8), cut.records_of(9)), (1200, 0));
    }

    #[test]
    fn markers_of_both_kinds_are_understood_and_those_of_others_are_not_heeded() {
        let mut found = Progress::default();
        for marker in ["h@9", "g", "g@x", "g@1:2:3", "g@6", "g@7:100", "g@7:300", "g@7:200"] {
            found.record_marker(marker.as_bytes(), "g");
        }
        assert_eq!(found, progress(6, Some((7, 300))));
        assert_eq!(found.marker("g"), "g@7:300");
        found.record_marker(b"g@8", "g");
        assert!(found.covers(7) && found.covers(8));
        assert_eq!(progress(7, None).marker("job-sink@1-0"), "job-sink@1-0@7");
        found = Progress::default();
        found.record_marker(b"job-sink@1-0@7", "job-sink@1-0");
        assert_eq!(found, progress(7, None));
    }

    #[test]
    fn the_topic_is_scanned_only_if_an_offset_can_have_been_forgotten() {
        let hour = OFFSETS_KEPT_MS;
        let staged = |is_recovered| Publication { checkpoint: 9, staged_at_ms: 0, is_recovered, objects: Vec::new() };
        assert!(is_scan_needed(&staged(true), hour + 1));
        assert!(!is_scan_needed(&staged(true), hour));
        assert!(!is_scan_needed(&staged(false), 1000 * hour), "nobody can have published it");
    }
}
