//! Produces records and collects failed deliveries.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka_sys as sys;

use super::client::{Context, not_made};
use super::records::Record;
use crate::Error;

/// The number of failed deliveries that are kept. More say nothing new.
const FAILURES_MAX: usize = 16;

/// How often a flush lets failed deliveries be reported.
const FLUSH_SLICE: Duration = Duration::from_millis(100);

/// A record that a broker did not accept.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its destination.
    pub partition: i32,
    /// Why it was not written.
    pub error: KafkaError,
}

/// The failed deliveries of a producer.
#[derive(Default)]
pub struct Failures(Mutex<Vec<Failure>>);

impl Failures {
    /// The first failure, if any. It stays: a record that is lost stays lost.
    pub fn first(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }
}

/// A producer's context: logs like all clients and remembers failed deliveries.
pub struct DeliveryContext {
    client: Context,
    failures: Arc<Failures>,
}

impl DeliveryContext {
    /// A context for the producer that does `purpose`. It reports to `failures`.
    pub fn new(purpose: &str, config: &ClientConfig, failures: Arc<Failures>) -> Self {
        Self { client: Context::new(purpose, config), failures }
    }

    /// Why brokers refuse this client, if they do; see [`Context::refusal`].
    pub fn refusal(&self) -> Option<Error> {
        self.client.refusal(true)
    }
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for DeliveryContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let mut failures = self.failures.0.lock().unwrap_or_else(PoisonError::into_inner);
            if failures.len() < FAILURES_MAX {
                failures.push(Failure { partition: message.partition(), error: error.clone() });
            }
        }
    }
}

/// Makes a producer whose failed deliveries go to `failures`.
///
/// # Errors
/// Names the property that librdkafka does not accept.
pub fn create<T>(config: &ClientConfig, purpose: &str, failures: &Arc<Failures>) -> Result<T, Error>
where
    T: FromClientConfigAndContext<DeliveryContext>,
{
    let context = DeliveryContext::new(purpose, config, Arc::clone(failures));
    config.create_with_context(context).map_err(|error| not_made(config, purpose, error))
}

/// A record in the client's form, with its headers and the marker if there is one.
pub fn record_of<'a>(topic: &'a str, record: &Record<'a>, marker: Option<&str>) -> BaseRecord<'a, [u8], [u8]> {
    let mut base = BaseRecord::to(topic);
    base.key = record.key;
    base.payload = record.value;
    base.partition = record.partition;
    base.timestamp = record.timestamp;
    if !record.headers.is_empty() || marker.is_some() {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + 1);
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: *value });
        }
        if let Some(marker) = marker {
            headers = headers.insert(Header { key: super::publisher::MARKER_HEADER, value: Some(marker) });
        }
        base.headers = Some(headers);
    }
    base
}

/// Waits until everything handed over to a client is acknowledged or reported as failed, at most `limit`. A record that has
/// failed counts until its report has been handled, so none is missed. `serve` has the client report failed deliveries, unless
/// a thread does that anyhow, and says whether to keep waiting: what follows a refused record in a transaction is never sent.
/// [`Producer::flush`] would not do: it looks every 100 ms only, because records that have arrived are no event for it.
///
/// # Errors
/// [`KafkaError::Flush`], also when `limit` was not long enough.
pub fn flush(client: &Client<DeliveryContext>, limit: Duration, serve: &dyn Fn() -> bool) -> Result<(), KafkaError> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let slice = i32::try_from(left.min(FLUSH_SLICE).as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is alive for the call.
        let code = RDKafkaErrorCode::from(unsafe { sys::rd_kafka_flush(client.native_ptr(), slice) });
        match code {
            RDKafkaErrorCode::NoError => return Ok(()),
            RDKafkaErrorCode::OperationTimedOut if !left.is_zero() => {
                if !serve() {
                    return Ok(());
                }
            }
            code => return Err(KafkaError::Flush(code)),
        }
    }
}

/// A producer outside of transactions: records are sent at once, and a flush ends when they have arrived.
pub struct Outbox {
    purpose: String,
    topic: String,
    producer: ThreadedProducer<DeliveryContext>,
    failures: Arc<Failures>,
}

impl Outbox {
    /// An outbox for `topic`. `purpose` is its name in errors and logs.
    ///
    /// # Errors
    /// Names the property that librdkafka does not accept.
    pub fn open(config: &ClientConfig, purpose: &str, topic: &str) -> Result<Self, Error> {
        let failures = Arc::default();
        let producer = create(config, purpose, &failures)?;
        Ok(Self { purpose: purpose.to_owned(), topic: topic.to_owned(), producer, failures })
    }

    /// Hands a record over. `false` if there is no room now.
    ///
    /// # Errors
    /// Says why the record can never be sent, or that an earlier one was lost.
    pub fn send(&self, record: &Record<'_>) -> Result<bool, Error> {
        match self.producer.send(record_of(&self.topic, record, None)) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(super::client::unavailable(
                format!("{}: topic {}: cannot send a record", self.purpose, self.topic),
                error,
            )),
        }
    }

    /// The number of records handed over and not yet acknowledged.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Fails if a record was lost.
    ///
    /// # Errors
    /// Names topic, partition and reason.
    pub fn check(&self) -> Result<(), Error> {
        match self.failures.first() {
            None => Ok(()),
            // Records timed out while brokers refuse the client: that is the reason to report.
            Some(Failure { error, .. })
                if super::client::is_retryable(&error)
                    && let Some(refusal) = self.producer.context().refusal() =>
            {
                Err(refusal)
            }
            Some(Failure { partition, error }) => Err(super::client::unavailable(
                format!("{}: topic {}, partition {partition}: a record was not written", self.purpose, self.topic),
                error,
            )),
        }
    }

    /// Waits until all records are acknowledged, at most `limit`. `false` if that was not long enough.
    ///
    /// # Errors
    /// Names a record that was lost.
    pub fn flush(&self, limit: Duration) -> Result<bool, Error> {
        let flushed = match flush(self.producer.client(), limit, &|| true) {
            Ok(()) => true,
            Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => false,
            Err(error) => return Err(super::client::unavailable(format!("{}: cannot flush", self.purpose), error)),
        };
        self.check()?;
        Ok(flushed)
    }
}
