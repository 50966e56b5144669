//! A real Kafka broker for the tests of this binary.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// A broker that ends with the test process.
pub struct Broker {
    port: u16,
    data: tempfile::TempDir,
    producer: OnceLock<BaseProducer>,
    _watchdog: std::process::Child,
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../e2e/services/kafka/broker.sh")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of the loopback interface");
    listener.local_addr().expect("a bound address").port()
}

/// The broker, started at the first call. It is ended by a watchdog process when this process is gone.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| {
        let data = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let environment = [
            ("KAFKA_PORT", port.to_string()),
            ("KAFKA_CONTROLLER_PORT", free_port().to_string()),
            ("KAFKA_DATA", data.path().display().to_string()),
        ];
        let output = Command::new(script()).arg("start").envs(environment.clone()).output().expect("bash");
        assert!(output.status.success(), "no broker: {}", String::from_utf8_lossy(&output.stderr));
        // Statics are not dropped: a child that waits for this process to end stops the broker then.
        let watchdog = format!(
            "while kill -0 {} 2>/dev/null; do sleep 1; done; '{}' wipe",
            std::process::id(),
            script().display()
        );
        // Outlives this process on purpose.
        let watchdog_process = Command::new("setsid")
            .args(["bash", "-c", &watchdog])
            .envs(environment)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("setsid");
        Broker { port, data, producer: OnceLock::new(), _watchdog: watchdog_process }
    })
}

impl Broker {
    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes a topic.
    pub fn create_topic(&self, name: &str, partitions: u16) {
        let output = Command::new(script())
            .args(["topic", name, &partitions.to_string()])
            .env("KAFKA_PORT", self.port.to_string())
            .env("KAFKA_DATA", self.data.path())
            .output()
            .expect("bash");
        assert!(output.status.success(), "no topic: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Writes records, each to its partition, and waits until they are stored.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = (i32, String)>) {
        let producer = self.producer.get_or_init(|| {
            // A record that a slow broker has taken must not be sent again.
            ClientConfig::new()
                .set("enable.idempotence", "true")
                .set("bootstrap.servers", self.address())
                .set("linger.ms", "5")
                .create()
                .expect("a producer")
        });
        for (partition, record) in records {
            let mut record = BaseRecord::<(), _>::to(topic).partition(partition).payload(record.as_str());
            while let Err((_, back)) = producer.send(record) {
                record = back;
                producer.poll(Duration::from_millis(20));
            }
        }
        producer.flush(Duration::from_secs(30)).expect("the broker stores the records");
    }

    /// Reads what is committed, from the beginning, until `is_done` says so of all records so far, or for `patience`.
    pub fn consume_committed(
        &self,
        topic: &str,
        partitions: i32,
        patience: Duration,
        mut is_done: impl FnMut(&[String]) -> bool,
    ) -> Vec<String> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .set("group.id", format!("check-{topic}"))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&assignment).expect("partitions");
        let deadline = std::time::Instant::now() + patience;
        let mut records = Vec::new();
        while std::time::Instant::now() < deadline && !is_done(&records) {
            if let Some(message) = consumer.poll(Duration::from_millis(200)) {
                let message = message.expect("a record");
                records.push(String::from_utf8(message.payload().unwrap_or_default().to_vec()).expect("text"));
            }
        }
        records
    }
}
