//! A real Kafka broker for the tests of this binary.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// A broker that ends with the test process.
pub struct Broker {
    port: u16,
    controller_port: u16,
    data: tempfile::TempDir,
    producer: OnceLock<BaseProducer>,
    _watchdog: std::process::Child,
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../e2e/services/kafka/broker.sh")
}

/// A free port of the loopback interface below 32 768. Outgoing connections get ports from 32 768 on, so none of them
/// can take the port before a server opens it again.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let port = || 10_000 + (std::process::id() * 101 + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
    let mut tried = std::iter::repeat_with(|| u16::try_from(port()).expect("below 30 000")).take(1_000);
    tried.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// The broker. It is started at the first call.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(Broker::start)
}

impl Broker {
    /// Starts a separate broker. A watchdog process ends it when this process is gone.
    pub fn start() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let (port, controller_port) = (free_port(), free_port());
        // Statics are not dropped, so a child process waits for the end of this process and then stops the broker.
        let watch = format!(
            "while kill -0 {} 2>/dev/null; do sleep 1; done; '{}' wipe",
            std::process::id(),
            script().display()
        );
        // The watchdog outlives this process on purpose.
        let mut watchdog = Command::new("setsid");
        watchdog
            .args(["bash", "-c", &watch])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let environment = Self::environment(port, controller_port, data.path());
        let watchdog = watchdog.envs(environment).spawn().expect("setsid");
        let broker = Self { port, controller_port, data, producer: OnceLock::new(), _watchdog: watchdog };
        broker.run(&["start"]);
        broker
    }

    fn environment(port: u16, controller_port: u16, data: &Path) -> [(&'static str, String); 3] {
        [
            ("KAFKA_PORT", port.to_string()),
            ("KAFKA_CONTROLLER_PORT", controller_port.to_string()),
            ("KAFKA_DATA", data.display().to_string()),
        ]
    }

    fn run(&self, arguments: &[&str]) {
        let environment = Self::environment(self.port, self.controller_port, self.data.path());
        let output = Command::new(script()).args(arguments).envs(environment).output().expect("bash");
        assert!(output.status.success(), "broker.sh {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn signal(&self, signal: &str) {
        let process =
            std::fs::read_to_string(self.data.path().join("broker.pid")).expect("the broker has been started");
        let sent = Command::new("kill").args([signal, process.trim()]).status().expect("kill");
        assert!(sent.success(), "{signal}");
    }

    /// Suspends the broker: connections stay open and it does not answer.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Resumes the broker.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Kills the broker as a crash would.
    pub fn kill(&self) {
        self.run(&["stop", "-9"]);
    }

    /// Starts the broker again, with its data.
    pub fn restart(&self) {
        self.run(&["start"]);
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Creates a topic.
    pub fn create_topic(&self, name: &str, partitions: u16) {
        self.run(&["topic", name, &partitions.to_string()]);
    }

    /// Writes records, each to its partition, and waits until they are stored.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = (i32, String)>) {
        let producer = self.producer.get_or_init(|| {
            // A record that a slow broker has stored must not be sent again.
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
        producer.flush(Duration::from_secs(90)).expect("the broker stores the records");
    }

    /// Reads the committed records from the beginning until `is_done` accepts those read so far, or for `patience`.
    pub fn consume_committed(
        &self,
        topic: &str,
        partitions: i32,
        patience: Duration,
        mut is_done: impl FnMut(&[String]) -> bool,
    ) -> Vec<String> {
        let consumer = self.reader(topic, partitions);
        let deadline = std::time::Instant::now() + patience;
        let mut records = Vec::new();
        while std::time::Instant::now() < deadline && !is_done(&records) {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(message) => records.push(text_of(&message.expect("a record"))),
            }
        }
        records
    }

    /// All records that are committed now.
    pub fn all_committed(&self, topic: &str, partitions: i32) -> Vec<String> {
        let consumer = self.reader(topic, partitions);
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        let (mut records, mut ended) = (Vec::new(), BTreeSet::new());
        while ended.len() < partitions as usize {
            assert!(std::time::Instant::now() < deadline, "the end of {topic} is not reached");
            match consumer.poll(Duration::from_millis(200)) {
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                Some(message) => records.push(text_of(&message.expect("a record"))),
                None => {}
            }
        }
        records
    }

    fn reader(&self, topic: &str, partitions: i32) -> BaseConsumer {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .set("group.id", format!("check-{topic}"))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&assignment).expect("partitions");
        consumer
    }
}

impl Drop for Broker {
    /// Stops the broker before its data folder is removed, because the watchdog finds the process by that folder.
    fn drop(&mut self) {
        let environment = Self::environment(self.port, self.controller_port, self.data.path());
        let _stopped = Command::new(script()).args(["stop", "-9"]).envs(environment).output();
    }
}

fn text_of(message: &impl Message) -> String {
    String::from_utf8(message.payload().unwrap_or_default().to_vec()).expect("text")
}
