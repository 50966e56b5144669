//! Measures how many rows per CPU second are read from Kafka: `kafka_throughput BOOTSTRAP [RECORDS] [PARTITIONS]`.
//!
//! Writes short JSON records to a new topic, then reads them to the end with one reader and decodes all columns. Prints
//! wall time, CPU time of this process (client threads included, the broker not), and rows for each.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow::datatypes::{DataType, Field, Schema};
use eddyline_connectors::TableDescriptor;
use eddyline_connectors::kafka::{KafkaSource, SourceConfig};
use eddyline_connectors::source::{Poll, ReaderContext, Source};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().context("usage: kafka_throughput BOOTSTRAP [RECORDS] [PARTITIONS]")?;
    let records: u64 = arguments.next().map_or(Ok(2_000_000), |text| text.parse())?;
    let partitions: i32 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let topic = format!("throughput-{}", std::process::id());
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let bytes = write(&io, &bootstrap, &topic, records, partitions)?;
    for _ in 0..3 {
        let (cpu, start) = (cpu_time()?, Instant::now());
        let rows = read(&io, &bootstrap, &topic)?;
        let (cpu, wall) = (cpu_time()? - cpu, start.elapsed());
        ensure!(rows == records, "read {rows} of {records} rows");
        println!(
            "{rows} rows of {:.1} bytes: {:.2} s, {:.2} CPU-s; {:.0} rows/s, {:.0} rows/CPU-s",
            bytes as f64 / rows as f64,
            wall.as_secs_f64(),
            cpu.as_secs_f64(),
            rows as f64 / wall.as_secs_f64(),
            rows as f64 / cpu.as_secs_f64(),
        );
    }
    Ok(())
}

fn write(io: &tokio::runtime::Runtime, bootstrap: &str, topic: &str, records: u64, partitions: i32) -> Result<u64> {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("linger.ms", "20").set("batch.size", "262144");
    let admin: AdminClient<_> = config.create()?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    io.block_on(admin.create_topics([&new], &AdminOptions::new()))?;
    let producer: BaseProducer = config.create()?;
    let mut bytes = 0;
    for id in 0..records {
        let value = format!(
            "{{\"id\":{:06},\"name\":\"customer-{:07}\",\"ts\":{}}}",
            id % 900_000 + 100_000,
            id % 1000,
            1_700_000_000_000 + id
        );
        bytes += value.len() as u64;
        let mut record = BaseRecord::<str, str>::to(topic).payload(&value).partition((id % partitions as u64) as i32);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(1));
        }
    }
    producer.flush(Duration::from_secs(60))?;
    Ok(bytes)
}

fn read(io: &tokio::runtime::Runtime, bootstrap: &str, topic: &str) -> Result<u64> {
    let options = [
        ("connector", "kafka"),
        ("topic", topic),
        ("properties.bootstrap.servers", bootstrap),
        ("scan.startup.mode", "earliest-offset"),
        ("scan.bounded.mode", "latest-offset"),
        ("format", "json"),
    ];
    let field = |name, data_type| Field::new(name, data_type, true);
    let table = TableDescriptor {
        name: "throughput".to_owned(),
        schema: Arc::new(Schema::new(vec![
            field("id", DataType::Int64),
            field("name", DataType::Utf8),
            field("ts", DataType::Int64),
        ])),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    };
    let source = KafkaSource::open(SourceConfig::parse(&table)?, table, vec![0, 1, 2], Vec::new())?;
    let bell = Arc::new((Mutex::new(false), Condvar::new()));
    let ringing = Arc::clone(&bell);
    let waker = move || {
        *ringing.0.lock().expect("nobody panics under this lock") = true;
        ringing.1.notify_one();
    };
    let mut reader =
        source.reader(ReaderContext { io: io.handle().clone(), waker: Arc::new(waker), subtask: (0, 1) })?;
    let splits = io.block_on(source.enumerator(io.handle().clone())?.discover())?.splits;
    let mut open = splits.len();
    for split in splits {
        reader.add_split(split)?;
    }
    let mut count = 0;
    while open > 0 {
        match reader.poll(8192)? {
            Poll::Rows { rows, .. } => count += rows.num_rows() as u64,
            Poll::Finished(_) => open -= 1,
            Poll::Pending => {
                let rung = bell.0.lock().expect("nobody panics under this lock");
                *bell.1.wait_while(rung, |rung| !*rung).expect("nobody panics under this lock") = false;
            }
        }
    }
    Ok(count)
}

/// The user and system time of this process so far.
fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("a line of /proc")?.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
