//! Clients of librdkafka: how they are configured, how they log, and what their errors mean for a job.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use tracing::{debug, info, warn};

use super::partition_queue::events_waiting;
use super::properties::ClientProperties;
use super::reachability::Reachability;
use super::refusal::{Refusal, advice_on_configuration};
use crate::Error;

/// The same error is logged at most once in this time.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The longest wait for one request that a job makes before it runs.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the first request of a job waits for its answer. Each further one waits twice as long.
const FIRST_SLICE: Duration = Duration::from_secs(1);

/// Brokers that are silent for this long at the start of a job are reported, while the job waits for them.
const REPORTED_AFTER: Duration = Duration::from_secs(5);

/// How long a refusal must last to be final. A broker that has just started may not know its users yet.
const REFUSED_FOR: Duration = Duration::from_secs(2);

/// A refusal is over if it is not reported again for this long. The client reports it every 30 seconds.
const REFUSAL_HOLDS: Duration = Duration::from_secs(60);

/// A consumer as this connector uses it.
pub type TableConsumer = BaseConsumer<Context>;

/// Receives librdkafka's log lines and errors, and logs the same message only once in a while.
pub struct Context {
    /// What the client is for, in log lines.
    purpose: String,
    /// The brokers as the table names them.
    brokers: String,

    said: Mutex<BTreeMap<String, Instant>>,
    /// Set by an error that the client reports only in its log: a topic that is gone.
    alarm: AtomicBool,
    /// Which brokers answer, if the client gives statistics.
    reachability: Mutex<Reachability>,
    /// Why the last connection failed, if the broker gave a reason.
    refused: Mutex<Option<Refused>>,
}

/// A refusal, as the client reported it.
#[derive(Clone, Debug)]
struct Refused {
    why: Refusal,
    text: String,
    since: Instant,
    /// When it was reported last.
    reported: Instant,
}

impl Context {
    /// A context for the client that does `purpose`.
    pub fn new(purpose: impl Into<String>, config: &ClientConfig) -> Self {
        Self {
            purpose: purpose.into(),
            brokers: config.get("bootstrap.servers").unwrap_or_default().to_owned(),
            said: Mutex::default(),
            alarm: AtomicBool::new(false),
            reachability: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// Which brokers do not answer at the moment, if the client gives statistics.
    pub fn trouble(&self) -> Option<String> {
        self.reachability.lock().unwrap_or_else(PoisonError::into_inner).trouble().map(str::to_owned)
    }

    /// Why brokers refuse this client for good, with their names and a remedy. `retryable` says whether another attempt
    /// can succeed. Another attempt opens the tables again, and so reads changed Secrets.
    pub fn refusal(&self, retryable: bool) -> Option<Error> {
        let refused = self.refused();
        let is_valid = |refused: &&Refused| refused.why.is_final() && refused.reported.elapsed() < REFUSAL_HOLDS;
        let Refused { why, text, .. } = refused.as_ref().filter(is_valid)?;
        let what = format!("{}: brokers {} refuse the client: {text}; {}", self.purpose, self.brokers, why.advice());
        Some(Error::Unavailable { what, source: None, retryable })
    }

    /// Records that a broker has answered.
    pub fn answered(&self) {
        *self.refused() = None;
    }

    /// The error of a request that no broker has answered in time.
    fn silence(&self, error: KafkaError) -> Error {
        let hint = self.refused().as_ref().map(|Refused { why, text, .. }| format!(": {text}; {}", why.advice()));
        let what =
            format!("{}: brokers {} do not answer: {error}{}", self.purpose, self.brokers, hint.unwrap_or_default());
        Error::Unavailable { what, source: Some(Box::new(error)), retryable: true }
    }

    fn refused(&self) -> MutexGuard<'_, Option<Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the reason that the client reports for a connection that failed, if there is one.
    fn record_refusal(&self, text: &str) {
        let Some(why) = Refusal::of(text) else { return };
        // Log lines begin with the name of a thread.
        let text = text.strip_prefix("[thrd:").and_then(|text| text.split_once("]: ")).map_or(text, |(_, text)| text);
        let mut refused = self.refused();
        let reported = Instant::now();
        let since = refused.as_ref().filter(|known| known.why == why).map_or(reported, |known| known.since);
        *refused = Some(Refused { why, text: text.to_owned(), since, reported });
        if why.is_final() {
            self.alarm.store(true, Ordering::Release);
        }
    }

    /// Whether there was an alarm since the last call. Then the caller checks whether its topics still exist and may be
    /// read.
    pub fn take_alarm(&self) -> bool {
        self.alarm.swap(false, Ordering::AcqRel)
    }

    fn is_news(&self, kind: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let news = said.get(kind).is_none_or(|last| now.duration_since(*last) >= LOG_AGAIN_AFTER);
        if news {
            said.insert(kind.to_owned(), now);
        }
        news
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "ERROR" {
            self.alarm.store(true, Ordering::Release);
        }
        if facility == "FAIL" {
            self.record_refusal(message);
        }
        match level {
            RDKafkaLogLevel::Debug => debug!(client = self.purpose, facility, message, "librdkafka"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice if self.is_news(facility) => {
                info!(client = self.purpose, facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {}
            _ if self.is_news(facility) => warn!(client = self.purpose, facility, message, "librdkafka"),
            _ => {}
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.reachability.lock().unwrap_or_else(PoisonError::into_inner).take(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.record_refusal(reason);
        // The end of a partition is also reported here. It is no error.
        let code = error.rdkafka_error_code();
        // The failed connection is already in the log, with its reason.
        let is_logged = matches!(
            code,
            Some(
                RDKafkaErrorCode::PartitionEOF
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
            )
        );
        if !is_logged && self.is_news(&error.to_string()) {
            warn!(client = self.purpose, %error, reason, "kafka client reports an error and tries again");
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: rdkafka::error::KafkaResult<()>, _offsets: &rdkafka::TopicPartitionList) {
        if let Err(error) = result
            && self.is_news("commit")
        {
            warn!(client = self.purpose, %error, "failed to commit group offsets");
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &rdkafka::producer::DeliveryResult<'_>, _opaque: ()) {}
}

/// The common configuration of all clients.
fn config(properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "eddyline");
    // Broker addresses are re-resolved and connections retried for ever; a slow retry must not look like a dead job.
    config.set("reconnect.backoff.ms", "100").set("reconnect.backoff.max.ms", "2000");
    config.set("log.connection.close", "false");
    for (name, value) in properties {
        config.set(name, value);
    }
    config
}

/// The defaults of a consumer. The table's properties may change them.
const CONSUMER_DEFAULTS: [(&str, &str); 6] = [
    ("isolation.level", "read_committed"),
    ("auto.offset.reset", "error"),
    // The default of a second would let a fast reader run dry.
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "100000"),
    ("queued.max.messages.kbytes", "16384"),
    ("topic.metadata.propagation.max.ms", "5000"),
];

/// A consumer configuration for reading a table.
pub fn consumer_config(properties: &ClientProperties, table: &str) -> ClientConfig {
    let mut config = config(&properties.consumer);
    for (name, value) in CONSUMER_DEFAULTS {
        if !properties.consumer.contains_key(name) {
            config.set(name, value);
        }
    }
    // librdkafka assigns partitions only within a group; with this one nothing is ever committed.
    if !properties.consumer.contains_key("group.id") {
        config.set("group.id", format!("eddyline-{table}"));
    }
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true");
    config
}

/// A producer configuration, with the settings that a table cannot change.
pub fn producer_config(properties: &ClientProperties, fixed: &[(&str, &str)]) -> ClientConfig {
    let mut config = config(&properties.producer);
    for (name, value) in [("partitioner", "murmur2_random"), ("linger.ms", "5"), ("batch.size", "262144")] {
        if !properties.producer.contains_key(name) {
            config.set(name, value);
        }
    }
    for (name, value) in fixed {
        config.set(*name, *value);
    }
    config
}

/// Creates a client.
///
/// # Errors
/// Names the property that librdkafka does not accept.
pub fn create<T: FromClientConfigAndContext<Context>>(config: &ClientConfig, purpose: &str) -> Result<T, Error> {
    config.create_with_context(Context::new(purpose, config)).map_err(|error| not_made(config, purpose, error))
}

/// The error of a client that could not be created. It has no values of properties, because they may be secrets.
pub fn not_made(config: &ClientConfig, purpose: &str, error: KafkaError) -> Error {
    let brokers = config.get("bootstrap.servers").unwrap_or_default();
    let what = match &error {
        KafkaError::ClientConfig(_, reason, name, _) if is_secret(name) => {
            format!("{purpose}: 'properties.{name}' is not accepted: {reason}")
        }
        KafkaError::ClientConfig(_, reason, name, value) => {
            format!("{purpose}: 'properties.{name}' = '{value}' is not accepted: {reason}")
        }
        KafkaError::ClientCreation(reason) => {
            let advice = advice_on_configuration(reason).map(|advice| format!("; {advice}")).unwrap_or_default();
            format!("{purpose}: cannot make a kafka client for brokers {brokers}: {reason}{advice}")
        }
        error => format!("{purpose}: cannot make a kafka client for brokers {brokers}: {error}"),
    };
    // The source of the error would repeat what is left out here.
    Error::Unavailable { what, source: None, retryable: false }
}

fn is_secret(name: &str) -> bool {
    ["password", "pem", "secret", "username", "token"].iter().any(|part| name.contains(part))
}

/// A consumer for requests about topics and offsets. It reads no records.
///
/// # Errors
/// Names the property that librdkafka does not accept.
pub fn asking_consumer(properties: &ClientProperties, table: &str, purpose: &str) -> Result<TableConsumer, Error> {
    let mut config = consumer_config(properties, table);
    // A broker that wants TLS, or a client certificate, says so by closing the connection.
    config.set("log.connection.close", "true").set_log_level(RDKafkaLogLevel::Info);
    create(&config, purpose)
}

/// Sends a request whose answer does not matter, to learn whether brokers accept this client before anything runs.
///
/// # Errors
/// When brokers refuse the client, with the reason; or when no broker answers, which is retryable.
pub fn wait_for_answer(consumer: &TableConsumer, topic: Option<&str>) -> Result<(), Error> {
    let begun = Instant::now();
    let mut is_reported = false;
    let mut slice = FIRST_SLICE;
    loop {
        let answer = consumer.fetch_metadata(topic, slice);
        take_events(consumer);
        let Err(error) = answer else {
            consumer.context().answered();
            return Ok(());
        };
        let refused_for =
            consumer.context().refused().as_ref().map_or(Duration::ZERO, |refused| refused.since.elapsed());
        if refused_for >= REFUSED_FOR
            && let Some(refusal) = consumer.context().refusal(false)
        {
            return Err(refusal);
        }
        if begun.elapsed() >= REPORTED_AFTER && !is_reported {
            let context = consumer.context();
            warn!(
                client = context.purpose,
                "brokers {} do not answer: {error}. The job waits for them. Start them, or correct \
                 'properties.bootstrap.servers' and make sure that the addresses they advertise can be reached from here",
                context.brokers
            );
            is_reported = true;
        }
        let left = REQUEST_TIMEOUT.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(consumer.context().silence(error));
        }
        slice = (slice * 2).min(left);
    }
}

/// Receives the errors and log lines of a client that reads no records.
pub fn take_events(consumer: &TableConsumer) {
    while events_waiting(consumer) > 0 {
        let _ = consumer.poll(Duration::ZERO);
    }
}

/// Whether a later attempt can succeed.
pub fn is_retryable(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    if let KafkaError::Transaction(error) = error
        && error.is_retriable()
    {
        return true;
    }
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::TimedOutQueue
                | Code::MessageTimedOut
                | Code::WaitingForCoordinator
                | Code::Resolve
                | Code::RequestTimedOut
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::BrokerNotAvailable
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::ReplicaNotAvailable
                | Code::NetworkException
                | Code::NotEnoughReplicas
                | Code::NotEnoughReplicasAfterAppend
                | Code::KafkaStorageError
                | Code::UnstableOffsetCommit
                | Code::ConcurrentTransactions
                | Code::OffsetNotAvailable
        )
    )
}

/// The error of something tried on a broker.
pub fn unavailable(what: impl Into<String>, error: KafkaError) -> Error {
    let retryable = is_retryable(&error);
    Error::Unavailable { what: format!("{}: {error}", what.into()), source: Some(Box::new(error)), retryable }
}
