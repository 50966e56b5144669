//! Tables in memory: a source that reads as many rows as the test releases, and a sink whose rows count once committed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eddyline_connectors::sink::{Committable, Prepared, Sink, SinkCommitter, SinkWriter, Staging, WriterContext};
use eddyline_connectors::source::{
    Discovery, Placement, Poll, ReaderContext, ReaderCounters, Source, SourceReader, Split, SplitEnumerator,
};
use eddyline_connectors::{Error, OpenContext};
use eddyline_job_graph::{SinkNode, SourceNode};
use eddyline_stream::{Batch, CheckpointId, SplitId};
use eddyline_worker::runtime::connectors::{Connectors, OpenError};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};

/// The longest time that the opening of a source waits for the test.
const PATIENCE: Duration = Duration::from_secs(10);

/// Rows by table. All attempts and runs of a test share them.
#[derive(Clone, Default)]
pub struct MemoryTables {
    /// Rows of each source table, over its physical columns.
    pub inputs: Arc<BTreeMap<String, Batch>>,
    /// The number of rows of each table that may be read so far.
    pub released: Arc<AtomicUsize>,
    /// The number of next commits that fail.
    pub failing_commits: Arc<AtomicUsize>,
    /// The number of next opens of a source that fail because nothing answers.
    pub failing_opens: Arc<AtomicUsize>,
    /// The next open of a source waits for this.
    pub held_open: Arc<Mutex<Option<Receiver<()>>>>,
    /// Whether sinks also use the staging area of the job, as Kafka's sink does.
    pub stages: Arc<AtomicBool>,
    /// Whether commits wait.
    pub held_commits: Arc<AtomicBool>,
    staged: Arc<Mutex<BTreeMap<u64, Batch>>>,
    committed: Arc<Mutex<BTreeMap<String, Committed>>>,
}

#[derive(Default)]
struct Committed {
    rows: Vec<Batch>,
    seen: std::collections::BTreeSet<u64>,
}

impl MemoryTables {
    /// Tables with these inputs, without any released row.
    pub fn new(inputs: BTreeMap<String, Batch>) -> Self {
        Self { inputs: Arc::new(inputs), ..Self::default() }
    }

    /// Lets sources read up to this row of each table, or to the end of the update that the row belongs to.
    pub fn release(&self, rows: usize) {
        self.released.store(rows, Ordering::SeqCst);
    }

    /// The committed rows of a sink table.
    pub fn committed(&self, table: &str) -> Vec<Batch> {
        self.committed.lock().expect("no panic").get(table).map(|committed| committed.rows.clone()).unwrap_or_default()
    }
}

impl Connectors for MemoryTables {
    fn open_source(&self, source: &SourceNode, _: &OpenContext) -> Result<Box<dyn Source>, OpenError> {
        let held = self.held_open.lock().expect("no panic").take();
        if let Some(held) = held {
            held.recv_timeout(PATIENCE).map_err(|_| down("the broker"))?;
        }
        if counted_down(&self.failing_opens) {
            return Err(down("the broker").into());
        }
        let rows = self.inputs.get(&source.table.name).expect("input rows for every source table of the test");
        let rows = rows.project(&source.projection).expect("columns of the table");
        Ok(Box::new(MemorySource { rows, released: Arc::clone(&self.released) }))
    }

    fn open_sink(&self, sink: &SinkNode, context: &OpenContext) -> Result<Box<dyn Sink>, OpenError> {
        let (table, staging) = (sink.table.name.clone(), Arc::clone(&context.staging));
        Ok(Box::new(MemorySink { table, tables: self.clone(), staging, attempt: context.attempt }))
    }
}

struct MemorySource {
    rows: Batch,
    released: Arc<AtomicUsize>,
}

impl Source for MemorySource {
    fn enumerator(&self, _: tokio::runtime::Handle) -> Result<Box<dyn SplitEnumerator>, Error> {
        Ok(Box::new(OneSplit))
    }

    fn reader(&self, _: ReaderContext) -> Result<Box<dyn SourceReader>, Error> {
        let (rows, released) = (self.rows.clone(), Arc::clone(&self.released));
        Ok(Box::new(MemoryReader { rows, released, split: None }))
    }

    fn placement(&self) -> Placement {
        Placement::OnDemand
    }

    fn discovery_interval(&self) -> Option<Duration> {
        None
    }
}

struct OneSplit;

impl SplitEnumerator for OneSplit {
    fn discover(&mut self) -> BoxFuture<'_, Result<Discovery, Error>> {
        let split = Split { id: SplitId::new("all"), position: serde_json::json!(0), finished: false };
        ready(Ok(Discovery { splits: vec![split], complete: true })).boxed()
    }
}

struct MemoryReader {
    rows: Batch,
    released: Arc<AtomicUsize>,
    split: Option<Split>,
}

impl MemoryReader {
    fn position(&self) -> usize {
        let split = self.split.as_ref().expect("polled with a split");
        usize::try_from(split.position.as_u64().expect("a number")).expect("small")
    }

    fn released(&self) -> usize {
        self.rows.cut_at(self.released.load(Ordering::SeqCst))
    }
}

impl SourceReader for MemoryReader {
    fn add_split(&mut self, split: Split) -> Result<(), Error> {
        self.split = Some(split);
        Ok(())
    }

    fn poll(&mut self, max_rows: usize) -> Result<Poll, Error> {
        let position = self.position();
        let released = self.released();
        let split = self.split.as_mut().expect("polled with a split");
        if position == self.rows.num_rows() {
            split.finished = true;
            return Ok(Poll::Finished(split.id.clone()));
        }
        let count = released.saturating_sub(position).min(max_rows);
        if count == 0 {
            return Ok(Poll::Pending);
        }
        let mut rest = self.rows.clone();
        rest.split_to(position);
        let rows = rest.split_to(count);
        split.position = serde_json::json!(position + rows.num_rows());
        Ok(Poll::Rows { split: split.id.clone(), rows })
    }

    fn is_empty(&mut self, _: &SplitId) -> bool {
        self.position() == self.released()
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Error> {
        Ok(self.split.iter().cloned().collect())
    }

    fn counters(&self) -> ReaderCounters {
        ReaderCounters::default()
    }
}

/// Decrements a counter. Returns whether it was above 0.
fn counted_down(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn down(what: &str) -> Error {
    Error::Unavailable { what: format!("{what} is down"), source: None, retryable: true }
}

#[derive(Clone)]
struct MemorySink {
    table: String,
    tables: MemoryTables,
    staging: Arc<dyn Staging>,
    attempt: u64,
}

impl Sink for MemorySink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, Error> {
        Ok(Box::new(MemoryWriter { sink: self.clone(), io: context.io, rows: Vec::new() }))
    }

    fn committer(&self, _: tokio::runtime::Handle) -> Result<Option<Box<dyn SinkCommitter>>, Error> {
        Ok(Some(Box::new(self.clone())))
    }
}

struct MemoryWriter {
    sink: MemorySink,
    io: tokio::runtime::Handle,
    rows: Vec<Batch>,
}

impl SinkWriter for MemoryWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.rows.push(batch.clone());
        Ok(())
    }

    fn prepare_commit(&mut self, checkpoint: CheckpointId) -> Prepared {
        let rows = Batch::concat(&std::mem::take(&mut self.rows)).expect("one schema");
        let Some(rows) = rows else { return Prepared::done(Vec::new()) };
        let mut staged = self.sink.tables.staged.lock().expect("no panic");
        let number = staged.len() as u64;
        staged.insert(number, rows);
        let committable = Committable { description: serde_json::json!(number) };
        if !self.sink.tables.stages.load(Ordering::SeqCst) {
            return Prepared::done(vec![committable]);
        }
        let (staging, name) = (Arc::clone(&self.sink.staging), format!("attempt-{}/{checkpoint}", self.sink.attempt));
        Prepared::start(&self.io, async move {
            staging.put(name, bytes::Bytes::from_static(b"rows")).await.map(|()| vec![committable])
        })
    }

    fn bytes(&self) -> u64 {
        0
    }
}

impl SinkCommitter for MemorySink {
    fn commit<'a>(&'a mut self, _: CheckpointId, committables: &'a [Committable]) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let mut turns = tokio::time::interval(Duration::from_millis(1));
            while self.tables.held_commits.load(Ordering::SeqCst) {
                turns.tick().await;
            }
            if counted_down(&self.tables.failing_commits) {
                return Err(down("the table"));
            }
            self.commit_now(committables);
            Ok(())
        }
        .boxed()
    }

    fn abort_stale<'a>(&'a mut self, _: &'a [Committable]) -> BoxFuture<'a, Result<(), Error>> {
        ready(Ok(())).boxed()
    }
}

impl MemorySink {
    fn commit_now(&self, committables: &[Committable]) {
        let staged = self.tables.staged.lock().expect("no panic");
        let mut committed = self.tables.committed.lock().expect("no panic");
        let table = committed.entry(self.table.clone()).or_default();
        for committable in committables {
            let number = committable.description.as_u64().expect("a number");
            if table.seen.insert(number) {
                table.rows.push(staged[&number].clone());
            }
        }
    }
}
