//! Runs sources and sinks in tests: an I/O runtime, wakers that tests can wait for, and short definitions of tables.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use eddyline_stream::CheckpointId;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::sink::{Committable, Sink, SinkWriter, Staging, WriterContext};
use crate::source::{Poll, ReaderContext, Source, SourceReader, Split};
use crate::{Error, MetadataColumn, OpenContext, SinkConfig, SourceConfig, TableDescriptor, open_sink, open_source};

/// How long a test waits for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// A table with these columns and options.
pub(crate) fn table(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableDescriptor {
    let fields: Vec<Field> =
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    TableDescriptor {
        name: "t".to_owned(),
        schema: Arc::new(Schema::new(fields)),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// A metadata column whose name is its key.
pub(crate) fn metadata(key: &str, data_type: DataType) -> MetadataColumn {
    MetadataColumn { name: key.to_owned(), key: key.to_owned(), data_type, is_virtual: true }
}

/// An I/O runtime and a slot thread that can be woken.
pub(crate) struct Harness {
    runtime: tokio::runtime::Runtime,
    woken: Arc<(Mutex<bool>, Condvar)>,
}

impl Harness {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: runtime.expect("a runtime"), woken: Arc::default() }
    }

    pub(crate) fn io(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let woken = Arc::clone(&self.woken);
        Arc::new(move || {
            *woken.0.lock().expect("no panic while locked") = true;
            woken.1.notify_all();
        })
    }

    /// Waits until the waker was called.
    pub(crate) fn wait(&self) {
        let deadline = Instant::now() + DEADLINE;
        let mut woken = self.woken.0.lock().expect("no panic while locked");
        while !*woken {
            let left = deadline.checked_duration_since(Instant::now()).expect("the waker is called in time");
            woken = self.woken.1.wait_timeout(woken, left).expect("no panic while locked").0;
        }
        *woken = false;
    }

    pub(crate) fn open_context(&self, attempt: u64) -> OpenContext {
        self.open_context_in("h", attempt)
    }

    fn open_context_in(&self, history: &str, attempt: u64) -> OpenContext {
        OpenContext {
            job: "job".to_owned(),
            history: history.to_owned(),
            uid: "uid".to_owned(),
            attempt,
            staging: Arc::new(NoStaging),
        }
    }

    pub(crate) fn source(&self, table: &TableDescriptor) -> Box<dyn Source> {
        let projection: Vec<usize> = (0..table.schema.fields().len()).collect();
        let metadata: Vec<usize> = (0..table.metadata.len()).collect();
        self.try_source(table, &projection, &metadata).expect("the source opens")
    }

    pub(crate) fn try_source(
        &self,
        table: &TableDescriptor,
        projection: &[usize],
        metadata: &[usize],
    ) -> Result<Box<dyn Source>, Error> {
        let config = SourceConfig::parse(table).expect("valid options");
        open_source(config, table, projection, metadata, &self.open_context(1))
    }

    pub(crate) fn reader(&self, source: &dyn Source) -> Box<dyn SourceReader> {
        let context = ReaderContext { io: self.io(), waker: self.waker(), subtask: (0, 1) };
        source.reader(context).expect("a reader")
    }

    pub(crate) fn discover(&self, source: &dyn Source) -> Result<Vec<Split>, Error> {
        let mut enumerator = source.enumerator(self.io()).expect("an enumerator");
        Ok(self.block_on(enumerator.discover())?.splits)
    }

    /// The next rows of a table of inserts, or `None` when all splits of the reader are finished.
    pub(crate) fn next(&self, reader: &mut dyn SourceReader, rows_max: usize) -> Result<Option<RecordBatch>, Error> {
        loop {
            match reader.poll(rows_max)? {
                Poll::Rows { rows, .. } => return Ok(Some(rows.into_inserts().expect("a table of inserts"))),
                Poll::Finished(_) => {
                    if reader.snapshot()?.iter().all(|split| split.finished) {
                        return Ok(None);
                    }
                }
                Poll::Pending => {
                    if reader.snapshot()?.iter().all(|split| split.finished) {
                        return Ok(None);
                    }
                    self.wait();
                }
            }
        }
    }

    /// All rows of all splits, in order.
    pub(crate) fn read(&self, source: &dyn Source, rows_max: usize) -> Result<RecordBatch, Error> {
        let mut reader = self.reader(source);
        for split in self.discover(source)? {
            reader.add_split(split)?;
        }
        self.drain(reader.as_mut(), rows_max)
    }

    /// All rows that a reader still has.
    pub(crate) fn drain(&self, reader: &mut dyn SourceReader, rows_max: usize) -> Result<RecordBatch, Error> {
        let mut batches = Vec::new();
        while let Some(rows) = self.next(reader, rows_max)? {
            batches.push(rows);
        }
        let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        Ok(concat_batches(&schema, &batches).expect("batches of one schema"))
    }

    pub(crate) fn sink(&self, table: &TableDescriptor, attempt: u64) -> Box<dyn Sink> {
        self.sink_in("h", table, attempt)
    }

    /// A sink whose checkpoints belong to this history.
    pub(crate) fn sink_in(&self, history: &str, table: &TableDescriptor, attempt: u64) -> Box<dyn Sink> {
        let config = SinkConfig::parse(table).expect("valid options");
        open_sink(config, table, &self.open_context_in(history, attempt)).expect("the sink opens")
    }

    pub(crate) fn writer(&self, sink: &dyn Sink, subtask: (usize, usize), attempt: u64) -> Box<dyn SinkWriter> {
        let waits = Arc::new(|_: &Error| ());
        let context = WriterContext { io: self.io(), waker: self.waker(), subtask, attempt, waits };
        sink.writer(context).expect("a writer")
    }

    pub(crate) fn prepare(&self, writer: &mut dyn SinkWriter, checkpoint: u64) -> Result<Vec<Committable>, Error> {
        let staged = writer.prepare_commit(CheckpointId::new(checkpoint));
        self.block_on(staged)
    }

    pub(crate) fn commit(&self, sink: &dyn Sink, checkpoint: u64, parts: &[Committable]) -> Result<(), Error> {
        let mut committer = sink.committer(self.io()).expect("it opens").expect("there is something to commit");
        self.block_on(committer.commit(CheckpointId::new(checkpoint), parts))
    }

    pub(crate) fn abort_stale(&self, sink: &dyn Sink, kept: &[Committable]) -> Result<(), Error> {
        let mut committer = sink.committer(self.io()).expect("it opens").expect("there is something to commit");
        self.block_on(committer.abort_stale(kept))
    }
}

/// The staging of connectors that do not stage output beside the checkpoint.
struct NoStaging;

impl Staging for NoStaging {
    fn put(&self, name: String, _data: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        async move { Err(Error::Unavailable { what: format!("nothing is staged: {name}"), source: None, retryable: false }) }
            .boxed()
    }

    fn get(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>> {
        async move { Err(Error::Unavailable { what: format!("nothing is staged: {name}"), source: None, retryable: false }) }
            .boxed()
    }
}
