//! Topics of the cluster's broker, as used from this machine.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// The broker.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Its address, as seen from this machine.
    pub bootstrap: String,
}

impl Broker {
    /// The broker that `e2e/kind/services.sh env` names.
    ///
    /// # Errors
    /// When the environment does not.
    pub fn of_environment() -> Result<Self> {
        let bootstrap =
            std::env::var("KAFKA_BOOTSTRAP").context("KAFKA_BOOTSTRAP is not set; see e2e/kind/services.sh env")?;
        Ok(Self { bootstrap })
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// When the broker does not answer or refuses.
    pub fn create(&self, topic: &str, partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let created = futures_block_on(admin.create_topics([&new], &options))?;
        for result in created {
            result.map_err(|(name, code)| anyhow::anyhow!("topic {name} cannot be made: {code}"))?;
        }
        Ok(())
    }

    /// Publishes a record in a transaction, with the offset of a group. A new broker makes its own topics for these
    /// then, which takes seconds; one that has been in use has them.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn warm_up(&self, topic: &str) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(60);
        self.create(topic, 1)?;
        let group: BaseConsumer = self.config().set("group.id", topic).create()?;
        let group = group.group_metadata().context("the consumer has a group")?;
        let producer: BaseProducer = self.config().set("transactional.id", topic).create()?;
        producer.init_transactions(PATIENCE)?;
        producer.begin_transaction()?;
        send(&producer, topic, None, "key", "value")?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, 0, Offset::Offset(1))?;
        producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
        producer.commit_transaction(PATIENCE)?;
        Ok(())
    }

    /// A producer that keeps trying during an outage of the broker.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn producer(&self) -> Result<BaseProducer> {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("message.timeout.ms", "300000").set("linger.ms", "20");
        Ok(config.create()?)
    }

    /// The committed records of a topic, read until `is_enough` is true.
    ///
    /// # Errors
    /// When they do not come in time. The message has the number of records so far.
    pub fn read_committed(
        &self,
        topic: &str,
        patience: Duration,
        mut is_enough: impl FnMut(&[Vec<u8>]) -> bool,
    ) -> Result<Vec<Vec<u8>>> {
        let mut config = self.config();
        config.set("group.id", "e2e").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create()?;
        let deadline = Instant::now() + patience;
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20))?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let mut assignment = TopicPartitionList::new();
        for partition in 0..i32::try_from(partitions)? {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let mut records = Vec::new();
        while !is_enough(&records) {
            if Instant::now() > deadline {
                bail!("topic {topic}: only {} records in {} s", records.len(), patience.as_secs());
            }
            // After an error the client reconnects by itself.
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                records.push(message.payload().unwrap_or_default().to_vec());
            }
        }
        // Records that follow at once also count, so that a repeated result is seen.
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(1500)) {
            records.push(message.payload().unwrap_or_default().to_vec());
        }
        Ok(records)
    }
}

/// Waits for a future of the client library's admin interface, whose results come from another thread.
fn futures_block_on<F: Future>(future: F) -> F::Output {
    use std::task::{Context, Poll, Wake, Waker};
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

/// Hands a record to the producer, waiting for room.
///
/// # Errors
/// When the producer refuses it for another reason.
pub fn send(producer: &BaseProducer, topic: &str, partition: Option<i32>, key: &str, value: &str) -> Result<()> {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    record.partition = partition;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(Duration::from_millis(50));
                record = back;
            }
            Err((error, _)) => return Err(error).with_context(|| format!("topic {topic}")),
        }
    }
}

/// Waits until everything is in the topic.
///
/// # Errors
/// When the broker does not accept it.
pub fn flush(producer: &BaseProducer) -> Result<()> {
    producer.flush(Duration::from_secs(180)).context("the broker does not take the last records")
}

/// Gives the producer time to work.
pub fn poll(producer: &BaseProducer, time: Duration) {
    producer.poll(time);
    // Polling returns at once when there is nothing to report.
    std::thread::park_timeout(time);
}
