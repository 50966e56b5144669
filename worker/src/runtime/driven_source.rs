//! A source task under test: the test scripts its reader, steps it, and reads its output.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, TimestampMillisecondArray};
use eddyline_connectors::Error;
use eddyline_connectors::source::FewFinished;
use eddyline_connectors::source::{Discovery, Placement, Poll, ReaderCounters, SourceReader, Split};
use eddyline_job_graph::{Calc, NodeKind, Partitioning};
use eddyline_operators::calc::CalcOperator;
use eddyline_plan::{PlanOptions, Script, plan};
use eddyline_stream::{
    Assignment, Barrier, BarrierKind, Batch, CheckpointId, Element, MaxParallelism, OperatorUid, SlotIndex, SplitId,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::chain::Chain;
use super::metrics::{OperatorMetrics, Role};
use super::output::{Output, OutputEdge};
use super::pipeline::Pipeline;
use super::source_task::{Command, Mailbox, Parts, SourceTask};
use super::splits::SplitPool;
use super::task::{Event, EventSender, Progress, Task};
use crate::exchange::channel::{Receiver, channel};
use crate::exchange::partitioner::Partitioner;
use crate::runtime::waker::SlotWaker;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn metrics(name: &str, role: Role) -> Arc<OperatorMetrics> {
    OperatorMetrics::new(OperatorUid::new(name), name.to_owned(), role, SlotIndex::new(0))
}

/// An output to one channel, and the channel's receiver.
pub(super) fn output() -> (Output, Receiver) {
    let (sender, receiver) = channel(SlotWaker::default(), SlotWaker::default(), 1);
    let assignment = Arc::new(Assignment::even(MaxParallelism::DEFAULT, 1));
    let partitioner = Partitioner::new(Partitioning::Forward, assignment, 0, 1);
    (Output::Channels(vec![OutputEdge::new(partitioner, vec![Some(sender)])]), receiver)
}

pub(super) fn events() -> EventSender {
    unbounded_channel().0
}

pub(super) fn times(times: &[i64]) -> RecordBatch {
    let column = Arc::new(TimestampMillisecondArray::from(times.to_vec()));
    RecordBatch::try_from_iter([("ts", column as _)]).expect("one column")
}

fn text(element: Element) -> String {
    match element {
        Element::Data(batch) => format!("{} rows", batch.num_rows()),
        Element::Watermark(watermark) => format!("at {}", watermark.time_ms()),
        Element::Idle => "idle".to_owned(),
        Element::Barrier(_) => "barrier".to_owned(),
        Element::EndOfInput => "end".to_owned(),
    }
}

pub(super) fn received(receiver: &Receiver) -> Vec<String> {
    std::iter::from_fn(|| receiver.receive()).map(text).collect()
}

pub(super) fn barrier(number: u64) -> Barrier {
    Barrier::of_all_state(CheckpointId::new(number), BarrierKind::Checkpoint)
}

/// The remaining rows of splits: the times of the rows of each batch, and whether the split ends after them.
type Words = BTreeMap<String, (VecDeque<Vec<i64>>, bool)>;

/// A reader that reads what a test adds to its script.
struct Scripted {
    /// The position of a split is the number of rows that were read.
    splits: Vec<Split>,
    script: Arc<Mutex<Words>>,
}

impl Scripted {
    fn script(&self) -> MutexGuard<'_, Words> {
        self.script.lock().expect("no panic")
    }
}

impl SourceReader for Scripted {
    fn add_split(&mut self, split: Split) -> Result<(), Error> {
        self.splits.push(split);
        Ok(())
    }

    fn poll(&mut self, _: usize) -> Result<Poll, Error> {
        let mut script = self.script.lock().expect("no panic");
        for split in self.splits.iter_mut().filter(|split| !split.finished) {
            let Some((batches, ends)) = script.get_mut(split.id.as_str()) else { continue };
            if let Some(rows) = batches.pop_front() {
                let given = split.position.as_u64().expect("a number of rows");
                split.position = serde_json::json!(given + rows.len() as u64);
                return Ok(Poll::Rows { split: split.id.clone(), rows: Batch::new(times(&rows)) });
            }
            if *ends {
                split.finished = true;
                return Ok(Poll::Finished(split.id.clone()));
            }
        }
        Ok(Poll::Pending)
    }

    fn is_empty(&mut self, split: &SplitId) -> bool {
        self.script().get(split.as_str()).is_none_or(|(batches, _)| batches.is_empty())
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Error> {
        Ok(self.splits.clone())
    }

    fn counters(&self) -> ReaderCounters {
        ReaderCounters::default()
    }
}

/// A source task, its input, and its output.
pub(super) struct Source {
    pub(super) task: SourceTask,
    script: Arc<Mutex<Words>>,
    pool: Arc<Mutex<SplitPool>>,
    mailbox: Mailbox,
    pub(super) sent: Receiver,
    reports: UnboundedReceiver<Event>,
    pub(super) said: Vec<String>,
}

impl Source {
    /// A source of `t (ts)` with a watermark at `ts`. It hands on each read at once.
    pub(super) fn new(placement: Placement, idle_timeout: Duration, chain: Chain) -> Self {
        Self::with(placement, idle_timeout, chain, |_| ())
    }

    /// The same source, with changed parts.
    pub(super) fn with(
        placement: Placement,
        idle_timeout: Duration,
        chain: Chain,
        change: impl FnOnce(&mut Parts),
    ) -> Self {
        let text = "CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');
                    CREATE TABLE s (ts TIMESTAMP(3)) WITH ('connector' = 'blackhole'); INSERT INTO s SELECT ts FROM t;";
        let script = Script { name: "job.sql".to_owned(), text: text.to_owned() };
        let graph = plan(&script, &PlanOptions::default()).expect("a plan").graph;
        let NodeKind::Source(source) = &graph.nodes[0].kind else { panic!("the source comes first") };
        let calc = Calc { filter: None, columns: source.columns.clone() };
        let columns = CalcOperator::new(calc, times(&[]).schema(), Arc::clone(&graph.nodes[0].schema));
        let (output, sent) = output();
        let (events, reports) = unbounded_channel();
        let script = Arc::new(Mutex::new(Words::new()));
        let pool = Arc::new(Mutex::new(SplitPool::new(placement, 1, Vec::new(), Box::new(FewFinished::default()))));
        let mailbox = Mailbox::default();
        let mut parts = Parts {
            slot: SlotIndex::new(0),
            reader: Box::new(Scripted { splits: Vec::new(), script: Arc::clone(&script) }),
            columns,
            watermark: source.watermark.clone(),
            rows_per_read: 10,
            buffer_timeout: Some(Duration::ZERO),
            clock: Arc::new(Instant::now),
            idle_timeout,
            pool: Arc::clone(&pool),
            alignment: None,
            memory: None,
            mailbox: Arc::clone(&mailbox),
            metrics: metrics("source", Role::Source),
            pipeline: Pipeline::new(SlotIndex::new(0), chain, output, events),
        };
        change(&mut parts);
        Self { task: SourceTask::new(parts), script, pool, mailbox, sent, reports, said: Vec::new() }
    }

    pub(super) fn discovered(&self, splits: &[&str]) {
        let split = |id: &&str| Split { id: SplitId::new(*id), position: serde_json::json!(0), finished: false };
        let discovery = Discovery { splits: splits.iter().map(split).collect(), complete: false };
        self.pool.lock().expect("no panic").discovered(discovery);
    }

    /// Sets the batches of a split, with rows of these times. After them it ends or has no rows.
    pub(super) fn script(&self, split: &str, batches: &[&[i64]], ends: bool) {
        let batches = batches.iter().map(|times| times.to_vec()).collect();
        self.script.lock().expect("no panic").insert(split.to_owned(), (batches, ends));
    }

    /// Sends a command.
    pub(super) fn command(&self, command: Command) {
        self.mailbox.lock().expect("no panic").push_back(command);
    }

    /// The number of rows of all splits that the next acknowledged checkpoint has as read. `None` if none was
    /// acknowledged.
    pub(super) fn acknowledged(&mut self) -> Option<u64> {
        let Ok(Event::Acknowledged { snapshot, .. }) = self.reports.try_recv() else { return None };
        let (_, splits) = snapshot.splits.expect("those of a source");
        Some(splits.iter().map(|split| split.position.as_u64().expect("a number of rows")).sum())
    }

    /// Adds batches with rows of these times to a split.
    pub(super) fn add_to_script(&self, split: &str, batches: impl IntoIterator<Item = Vec<i64>>) {
        self.script.lock().expect("no panic").entry(split.to_owned()).or_default().0.extend(batches);
    }

    /// Steps until the task has nothing to do. Returns its output.
    pub(super) fn step(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while self.task.step().expect("nothing fails") == Progress::Worked {
            said.extend(received(&self.sent));
        }
        said.extend(received(&self.sent));
        said
    }

    /// Steps until the output has the text `last`. Returns the output so far.
    pub(super) fn until(&mut self, last: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.said.iter().position(|said| said == last) {
                return self.said.drain(..=at).collect();
            }
            assert!(Instant::now() < deadline, "{last} has not come: {:?}", self.said);
            self.task.step().expect("nothing fails");
            self.said.extend(received(&self.sent));
        }
    }
}
