//! Tables over topics, read and written the way a job does it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, TimestampMillisecondType};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use eddyline_connectors::kafka::{KafkaSink, KafkaSource, SinkConfig, SourceConfig};
use eddyline_connectors::sink::{Sink, SinkWriter, Staging, WriterContext};
use eddyline_connectors::source::{Poll, ReaderContext, Source, SourceReader, Split, SplitEnumerator};
use eddyline_connectors::{Error, MetadataColumn, TableDescriptor};
use eddyline_stream::{Batch, RowKind};
use futures::future::BoxFuture;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::broker::{Broker, DEADLINE, io};

/// A table `(id BIGINT, name STRING)` over `topic`, with more options.
pub fn table(broker: &Broker, topic: &str, options: &[(&str, &str)]) -> TableDescriptor {
    let mut all = BTreeMap::from([
        ("connector".to_owned(), "kafka".to_owned()),
        ("topic".to_owned(), topic.to_owned()),
        ("properties.bootstrap.servers".to_owned(), broker.address()),
        ("scan.startup.mode".to_owned(), "earliest-offset".to_owned()),
        ("format".to_owned(), "json".to_owned()),
    ]);
    all.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    TableDescriptor {
        name: "t".to_owned(),
        schema: Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
        ])),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: all,
    }
}

/// Adds a metadata column whose name is its key.
pub fn with_metadata(mut table: TableDescriptor, key: &str, data_type: DataType, is_virtual: bool) -> TableDescriptor {
    table.metadata.push(MetadataColumn { name: key.to_owned(), key: key.to_owned(), data_type, is_virtual });
    table
}

/// A bell that a reader's or writer's waker rings.
#[derive(Default)]
pub struct Bell(Mutex<bool>, Condvar);

impl Bell {
    fn ring(&self) {
        // This is called on a client's thread, also after a test has failed.
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    /// Waits until it rings.
    pub fn wait(&self, deadline: Instant) {
        let mut rung = self.0.lock().expect("no panic under the lock");
        while !*rung {
            let left =
                deadline.checked_duration_since(Instant::now()).expect("the waker is called before the deadline");
            rung = self.1.wait_timeout(rung, left).expect("no panic under the lock").0;
        }
        *rung = false;
    }
}

/// A source with one reader.
pub struct Reading {
    pub enumerator: Box<dyn SplitEnumerator>,
    pub reader: Box<dyn SourceReader>,
    bell: Arc<Bell>,
    given: Vec<String>,
    finished: usize,
    complete: bool,
}

impl Reading {
    /// Opens the source of a table, all its columns; nothing is read yet.
    pub fn open(table: TableDescriptor) -> Self {
        let config = SourceConfig::parse(&table).expect("valid options");
        let (columns, metadata) = (table.schema.fields().len(), table.metadata.len());
        let source =
            KafkaSource::open(config, table, (0..columns).collect(), (0..metadata).collect()).expect("a source");
        let bell = Arc::new(Bell::default());
        let ringing = Arc::clone(&bell);
        let context =
            ReaderContext { io: io().handle().clone(), waker: Arc::new(move || ringing.ring()), subtask: (0, 1) };
        Self {
            enumerator: source.enumerator(io().handle().clone()).expect("an enumerator"),
            reader: source.reader(context).expect("a reader"),
            bell,
            given: Vec::new(),
            finished: 0,
            complete: false,
        }
    }

    /// Opens the source of a table and gives the reader all splits.
    pub fn start(table: TableDescriptor) -> Self {
        let mut reading = Self::open(table);
        reading.discover().expect("a discovery");
        reading
    }

    /// Looks for splits and gives the reader those it does not have.
    pub fn discover(&mut self) -> Result<(), Error> {
        let found = io().block_on(self.enumerator.discover())?;
        self.complete = found.complete;
        for split in found.splits {
            self.give(split);
        }
        Ok(())
    }

    /// Gives the reader a split, unless it has it.
    pub fn give(&mut self, split: Split) {
        if !self.given.iter().any(|known| known == split.id.as_str()) {
            self.given.push(split.id.as_str().to_owned());
            self.finished += usize::from(split.finished);
            self.reader.add_split(split).expect("a split that can be read");
        }
    }

    /// Reads `count` rows, as text.
    pub fn rows(&mut self, count: usize) -> Vec<String> {
        let rows = self.until(|rows, _| rows >= count).expect("readable records");
        assert_eq!(rows.len(), count, "{rows:?}");
        rows
    }

    /// Reads up to `max_rows` rows at once.
    pub fn batch(&mut self, max_rows: usize) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.reader.poll(max_rows).expect("readable records") {
                Poll::Rows { rows, .. } => return as_text(&rows),
                Poll::Finished(_) => self.finished += 1,
                Poll::Pending => self.bell.wait(deadline),
            }
        }
    }

    /// Reads until all splits have ended.
    pub fn all_rows(&mut self) -> Vec<String> {
        let splits = self.given.len();
        self.until(|_, finished| finished == splits).expect("readable records")
    }

    /// Reads until there is an error.
    pub fn error(&mut self) -> Error {
        self.until(|_, _| false).expect_err("an endless read ends with an error")
    }

    /// Whether no more splits will be found.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    fn until(&mut self, enough: impl Fn(usize, usize) -> bool) -> Result<Vec<String>, Error> {
        let deadline = Instant::now() + DEADLINE;
        let mut rows = Vec::new();
        while !enough(rows.len(), self.finished) {
            match self.reader.poll(1000)? {
                Poll::Rows { rows: batch, .. } => rows.extend(as_text(&batch)),
                Poll::Finished(_) => self.finished += 1,
                Poll::Pending => self.bell.wait(deadline),
            }
        }
        Ok(rows)
    }
}

/// Rows with their columns separated by commas. A row that is not an insert begins with its kind.
pub fn as_text(batch: &Batch) -> Vec<String> {
    let rows = batch.rows();
    let cell = |column: usize, row| match rows.column(column).as_primitive_opt::<TimestampMillisecondType>() {
        Some(instants) => instants.value(row).to_string(),
        None => array_value_to_string(rows.column(column), row).expect("a printable value"),
    };
    let line = |row| {
        let cells = (0..rows.num_columns()).map(|column| cell(column, row)).collect::<Vec<_>>().join(",");
        if batch.kind(row) == RowKind::Insert { cells } else { format!("{} {cells}", batch.kind(row)) }
    };
    (0..batch.num_rows()).map(line).collect()
}

/// Staged objects as files.
pub struct Folder(pub PathBuf);

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        Path::join(&self.0, name.replace('/', "+"))
    }
}

fn io_error(name: &str, error: std::io::Error) -> Error {
    Error::Unavailable { what: format!("staged object {name}"), source: Some(Box::new(error)), retryable: false }
}

impl Staging for Folder {
    fn put(&self, name: String, data: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { std::fs::write(self.path(&name), data).map_err(|error| io_error(&name, error)) })
    }

    fn get(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>> {
        Box::pin(
            async move { std::fs::read(self.path(&name)).map(Bytes::from).map_err(|error| io_error(&name, error)) },
        )
    }
}

/// Opens the sink `sink` of the job `job`.
pub fn open_sink(table: TableDescriptor, folder: &Path) -> KafkaSink {
    let config = SinkConfig::parse(&table).expect("valid options");
    let uid = format!("sink/{}", config.topic);
    KafkaSink::open(config, table, &uid, "job", Arc::new(Folder(folder.to_owned()))).expect("a sink")
}

/// Writer `slot` of `slots`, and its waker's bell.
pub fn open_writer(sink: &dyn Sink, slot: usize, slots: usize) -> (Box<dyn SinkWriter>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    let ringing = Arc::clone(&bell);
    let context = WriterContext {
        io: io().handle().clone(),
        waker: Arc::new(move || ringing.ring()),
        subtask: (slot, slots),
        attempt: 1,
        waits: Arc::new(|_| ()),
    };
    (sink.writer(context).expect("a writer"), bell)
}

/// Rows of the table `(id, name)`.
pub fn rows(ids: std::ops::Range<i64>) -> Batch {
    let names: Vec<String> = ids.clone().map(|id| format!("n{id}")).collect();
    let schema =
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]));
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(StringArray::from(names))];
    Batch::new(RecordBatch::try_new(schema, columns).expect("columns of the schema"))
}

/// The records that a reader of committed records finds in a topic now: (partition, key, value), by partition.
pub fn committed(broker: &Broker, topic: &str) -> Vec<(i32, String, String)> {
    let mut config = broker.client();
    config.set("group.id", "check").set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.set("enable.auto.commit", "false").create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE).expect("metadata");
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("an assignment");
    let deadline = Instant::now() + DEADLINE;
    let (mut found, mut open) = (Vec::new(), partitions.len());
    while open > 0 {
        assert!(Instant::now() < deadline, "topic {topic} has no end");
        match consumer.poll(std::time::Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
                found.push((message.partition(), text(message.key()), text(message.payload())));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("topic {topic}: {error}"),
            None => {}
        }
    }
    found.sort_by_key(|(partition, ..)| *partition);
    found
}

/// The values that a reader of committed records finds in a topic now, sorted.
pub fn committed_values(broker: &Broker, topic: &str) -> Vec<String> {
    let mut values: Vec<String> = committed(broker, topic).into_iter().map(|(_, _, value)| value).collect();
    values.sort();
    values
}

/// The values that `rows(ids)` become, sorted.
pub fn values(ids: std::ops::Range<i64>) -> Vec<String> {
    let mut values: Vec<String> = ids.map(|id| format!("{{\"id\":{id},\"name\":\"n{id}\"}}")).collect();
    values.sort();
    values
}
