//! The broker of this test run, and topics in it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::certificates::Authority;

/// A user that the broker knows, and the password.
pub const USER: (&str, &str) = ("reader", "a-good-password");

/// The address of the broker, for processes that a test starts.
pub const BOOTSTRAP_VARIABLE: &str = "EDDYLINE_TEST_KAFKA";

/// The longest wait of a test.
pub const DEADLINE: Duration = Duration::from_secs(60);

static BROKER: OnceLock<RwLock<Broker>> = OnceLock::new();

/// A running broker. When this process ends, the broker is stopped and its data is removed.
pub struct Broker {
    ports: Ports,
    /// The authority that signs the certificates of the broker and of clients that it trusts. `None` in a process that
    /// a test has started.
    authority: Option<Authority>,
    data: PathBuf,
    /// The guard process of the broker. It stops the broker when its standard input is closed, so the broker does not
    /// outlive this process.
    _guard: Option<Child>,
}

/// The ports on which the broker listens.
#[derive(Clone, Copy, Default)]
struct Ports {
    plain: u16,
    controller: u16,
    /// The port of TLS for clients with a certificate.
    mutual: u16,
    /// The port of TLS for users with a password.
    scram: u16,
}

/// The broker, for tests that only talk to it.
pub fn broker() -> RwLockReadGuard<'static, Broker> {
    BROKER.get_or_init(start).read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The broker, for a test that stops it.
pub fn broker_alone() -> RwLockWriteGuard<'static, Broker> {
    BROKER.get_or_init(start).write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The tokio runtime of the tests.
pub fn io() -> &'static tokio::runtime::Runtime {
    static IO: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    IO.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// A free port of the loopback interface below 32 768. Outgoing connections get ports from 32 768 on, so none of them
/// can take the port before a server opens it again.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let port = || 10_000 + (std::process::id() * 101 + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
    let mut tried = std::iter::repeat_with(|| u16::try_from(port()).expect("below 30 000")).take(1_000);
    tried.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../e2e/services/kafka/broker.sh")
}

fn start() -> RwLock<Broker> {
    if let Ok(address) = std::env::var(BOOTSTRAP_VARIABLE) {
        let plain = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address with a port");
        let ports = Ports { plain, ..Ports::default() };
        return RwLock::new(Broker { ports, authority: None, data: PathBuf::new(), _guard: None });
    }
    let [plain, controller, mutual, scram] = [(); 4].map(|()| free_port());
    let data = tempfile::Builder::new().prefix("eddyline-kafka-").tempdir().expect("a folder").keep();
    let authority = Authority::new("authority of the brokers");
    let (certificate, key) = authority.broker();
    let folder = data.join("tls");
    std::fs::create_dir(&folder).expect("a folder in the data folder");
    std::fs::write(folder.join("ca.pem"), authority.certificate()).expect("a file in the data folder");
    std::fs::write(folder.join("broker.pem"), certificate + &key).expect("a file in the data folder");
    let ports = Ports { plain, controller, mutual, scram };
    let mut broker = Broker { ports, authority: Some(authority), data, _guard: None };
    broker.run(&["start"]);
    // It has a session of its own, so that an interrupt of the tests does not end it first.
    let mut guard = Command::new("setsid");
    guard.args(["sh", "-c", "cat >/dev/null; \"$0\" stop -9 && rm -rf \"$KAFKA_DATA\""]).arg(script());
    guard.env("KAFKA_PORT", plain.to_string()).env("KAFKA_DATA", &broker.data);
    guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    broker._guard = Some(guard.spawn().expect("setsid and sh are there"));
    RwLock::new(broker)
}

impl Broker {
    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(script());
        command.args(arguments).env("KAFKA_PORT", self.ports.plain.to_string()).env("KAFKA_DATA", &self.data);
        command.env("KAFKA_CONTROLLER_PORT", self.ports.controller.to_string()).env("KAFKA_HEAP", "384m");
        command.env("KAFKA_TLS", self.data.join("tls")).env("KAFKA_USERS", format!("{}={}", USER.0, USER.1));
        command.env("KAFKA_MUTUAL_PORT", self.ports.mutual.to_string());
        command.env("KAFKA_SCRAM_PORT", self.ports.scram.to_string());
        let status = command.stdout(Stdio::null()).status().expect("the broker's script can be run");
        assert!(status.success(), "broker.sh {arguments:?} failed: {status}");
    }

    /// Stops the broker as a crash would.
    pub fn kill(&self) {
        self.run(&["stop", "-9"]);
    }

    /// Starts the broker again, with its data.
    pub fn restart(&self) {
        self.run(&["start"]);
    }

    /// The address for clients without TLS.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain)
    }

    /// The address for clients with a certificate.
    pub fn mutual_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.mutual)
    }

    /// The address for users with a password.
    pub fn scram_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.scram)
    }

    /// The authority that the broker trusts.
    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("a broker that this process started")
    }

    /// A client configuration.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        config
    }

    /// A client that creates and deletes topics and users.
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// Creates a topic with a unique name.
    pub fn topic(&self, partitions: i32) -> String {
        self.topic_with(partitions, &[])
    }

    /// Makes a topic with these settings.
    pub fn topic_with(&self, partitions: i32, settings: &[(&str, &str)]) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("topic-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let made = io().block_on(self.admin().create_topics([&topic], &admin_options())).expect("an answer");
        made[0].as_ref().expect("a new topic");
        name
    }

    /// Raises the number of a topic's partitions.
    pub fn add_partitions(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        let made = io().block_on(self.admin().create_partitions([&new], &admin_options())).expect("an answer");
        made[0].as_ref().expect("new partitions");
    }

    /// Creates a user, or changes the password of one. Open connections stay open.
    pub fn set_password(&self, (name, password): (&str, &str)) {
        let change = format!("SCRAM-SHA-256=[password={password}]");
        let tool = ["tool", "kafka.admin.ConfigCommand", "--bootstrap-server", &self.address(), "--alter"];
        let user = ["--add-config", &change, "--entity-type", "users", "--entity-name", name];
        self.run(&[tool.as_slice(), &user].concat());
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, topic: &str) {
        let gone = io().block_on(self.admin().delete_topics(&[topic], &admin_options())).expect("an answer");
        gone[0].as_ref().expect("a deleted topic");
    }

    /// Writes records and waits until they are acknowledged.
    pub fn produce(&self, topic: &str, records: &[TestRecord<'_>]) {
        let producer: BaseProducer = self.client().set("linger.ms", "1").create().expect("a producer");
        for record in records {
            producer.send(record.to(topic)).map_err(|(error, _)| error).expect("room for a record");
        }
        producer.flush(DEADLINE).expect("acknowledgements");
    }
}

fn admin_options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(DEADLINE)).request_timeout(Some(DEADLINE))
}

/// A record to write.
#[derive(Clone, Copy, Default)]
pub struct TestRecord<'a> {
    /// The partition to write to.
    pub partition: i32,
    /// The key, if any.
    pub key: Option<&'a str>,
    /// The value.
    pub value: &'a str,
    /// The timestamp, in milliseconds since 1970. `None` means now.
    pub timestamp: Option<i64>,
    /// One header, if any.
    pub header: Option<(&'a str, &'a str)>,
}

impl<'a> TestRecord<'a> {
    /// A record with only a value.
    pub fn value(partition: i32, value: &'a str) -> Self {
        Self { partition, value, ..Self::default() }
    }

    /// The same as a record of rdkafka.
    pub fn to(&self, topic: &'a str) -> BaseRecord<'a, str, str> {
        let mut record = BaseRecord::to(topic).payload(self.value).partition(self.partition);
        record.key = self.key;
        record.timestamp = self.timestamp;
        record.headers = self.header.map(|(key, value)| OwnedHeaders::new().insert(Header { key, value: Some(value) }));
        record
    }
}
