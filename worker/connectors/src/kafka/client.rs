//! Clients of librdkafka: how they are configured, how they log, and what their errors mean for a job.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use tracing::{debug, info, warn};

use super::config::SourceConfig;
use super::properties::ClientProperties;
use super::reachability::Reachability;
use crate::Error;

/// The same trouble is logged once in this time.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The longest wait for one request that a job makes before it runs.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A consumer as this connector uses it.
pub type TableConsumer = BaseConsumer<Context>;

/// Takes librdkafka's log lines and errors, and says the same thing only once in a while.
pub struct Context {
    /// What the client is for, in log lines.
    purpose: String,
    said: Mutex<BTreeMap<String, Instant>>,
    /// Set by an error that the client tells in its log and nowhere else: a topic that is gone.
    alarm: AtomicBool,
    reachability: Mutex<Reachability>,
}

impl Context {
    /// A context for the client that does `purpose`.
    pub fn new(purpose: impl Into<String>) -> Self {
        Self {
            purpose: purpose.into(),
            said: Mutex::default(),
            alarm: AtomicBool::new(false),
            reachability: Mutex::default(),
        }
    }

    /// Which brokers do not answer at the moment, if the client gives statistics.
    pub fn trouble(&self) -> Option<String> {
        let reachability = self.reachability.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        reachability.trouble().map(str::to_owned)
    }

    /// Whether there was an alarm since the last call: reason to look whether what is read still exists.
    pub fn take_alarm(&self) -> bool {
        self.alarm.swap(false, Ordering::AcqRel)
    }

    fn is_news(&self, kind: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
        match level {
            RDKafkaLogLevel::Debug => debug!(client = self.purpose, facility, message, "librdkafka"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                info!(client = self.purpose, facility, message, "librdkafka");
            }
            _ if self.is_news(facility) => warn!(client = self.purpose, facility, message, "librdkafka"),
            _ => {}
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.reachability.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes this way too and is no news.
        let code = error.rdkafka_error_code();
        if code != Some(RDKafkaErrorCode::PartitionEOF) && self.is_news(&error.to_string()) {
            warn!(client = self.purpose, %error, reason, "kafka client reports an error and goes on trying");
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

/// A configuration with what all clients have in common.
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

/// What a consumer gets before the table's properties, which may change it.
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

/// A producer configuration with the settings that must hold whatever the table says.
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

/// Makes a client.
///
/// # Errors
/// Names the property that librdkafka does not accept.
pub fn create<T: FromClientConfigAndContext<Context>>(config: &ClientConfig, purpose: &str) -> Result<T, Error> {
    config.create_with_context(Context::new(purpose)).map_err(|error| {
        let what = match &error {
            KafkaError::ClientConfig(_, reason, name, value) => {
                format!("{purpose}: 'properties.{name}' = '{value}' is not accepted: {reason}")
            }
            _ => format!("{purpose}: cannot make a kafka client"),
        };
        Error::Unavailable { what, source: Some(Box::new(error)), retryable: false }
    })
}

/// A consumer that answers questions about topics and offsets and reads nothing.
pub fn asking_consumer(config: &SourceConfig, table: &str) -> Result<TableConsumer, Error> {
    create(&consumer_config(&config.properties, table), &format!("source {table}, discovery"))
}

/// Whether it can help to wait and try again.
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
