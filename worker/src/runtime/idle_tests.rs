//! What tasks say, and in which order, when their splits or channels fall idle and wake.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, TimestampMillisecondArray};
use eddyline_connectors::Error;
use eddyline_connectors::source::FewFinished;
use eddyline_connectors::source::{Discovery, Placement, Poll, ReaderCounters, SourceReader, Split};
use eddyline_job_graph::{Calc, NodeKind, Partitioning};
use eddyline_operators::calc::CalcOperator;
use eddyline_operators::{Collector, Operator};
use eddyline_plan::{PlanOptions, Script, plan};
use eddyline_stream::{
    Assignment, Barrier, BarrierKind, Batch, CheckpointId, Element, MaxParallelism, OperatorUid, SlotIndex, SplitId,
    Watermark,
};

use super::chain::Chain;
use super::metrics::{OperatorMetrics, Role};
use super::operator_task::{Input, OperatorTask};
use super::output::{Output, OutputEdge};
use super::source_task::{Command, Mailbox, Parts, SourceTask};
use super::splits::SplitPool;
use super::task::{EventSender, Progress, Task};
use crate::exchange::channel::{Receiver, Sender, channel};
use crate::exchange::partitioner::Partitioner;
use crate::runtime::waker::SlotWaker;

const PATIENCE: Duration = Duration::from_secs(60);

/// Holds rows back as local pre-aggregation does: until it must not.
#[derive(Default)]
struct Holding {
    held: Vec<Batch>,
}

impl Holding {
    fn flush(&mut self, out: &mut Collector) {
        self.held.drain(..).for_each(|batch| out.emit(batch));
    }
}

impl Operator for Holding {
    fn process_batch(&mut self, batch: Batch, _: &mut Collector) -> eddyline_operators::Result<()> {
        self.held.push(batch);
        Ok(())
    }

    fn on_idle(&mut self, out: &mut Collector) -> eddyline_operators::Result<()> {
        self.flush(out);
        Ok(())
    }

    fn before_barrier(&mut self, out: &mut Collector) -> eddyline_operators::Result<()> {
        self.flush(out);
        Ok(())
    }
}

/// Two operators, of which the first one holds rows back.
fn chain() -> Chain {
    let mut chain = Chain::default();
    for name in ["first", "second"] {
        chain.push(Box::new(Holding::default()), metrics(name, Role::Operator));
    }
    chain
}

fn metrics(name: &str, role: Role) -> Arc<OperatorMetrics> {
    OperatorMetrics::new(OperatorUid::new(name), name.to_owned(), role, SlotIndex::new(0))
}

/// An output into one channel, and its end.
fn output() -> (Output, Receiver) {
    let (sender, receiver) = channel(SlotWaker::default(), SlotWaker::default());
    let assignment = Arc::new(Assignment::even(MaxParallelism::DEFAULT, 1));
    let partitioner = Partitioner::new(Partitioning::Forward, assignment, 0, 1);
    (Output::Channels(vec![OutputEdge::new(partitioner, vec![Some(sender)])]), receiver)
}

fn events() -> EventSender {
    tokio::sync::mpsc::unbounded_channel().0
}

fn times(times: &[i64]) -> RecordBatch {
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

fn received(receiver: &Receiver) -> Vec<String> {
    std::iter::from_fn(|| receiver.receive()).map(text).collect()
}

pub(super) fn barrier(number: u64) -> Barrier {
    Barrier::of_all_state(CheckpointId::new(number), BarrierKind::Checkpoint)
}

/// What splits still have to give: times of rows, a batch each; and whether they end then.
type Words = BTreeMap<String, (VecDeque<Vec<i64>>, bool)>;

/// Reads what a test puts into its script.
struct Scripted {
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
                return Ok(Poll::Rows { split: split.id.clone(), rows: times(&rows) });
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

/// A source task, what it reads, and what it sends.
pub(super) struct Source {
    pub(super) task: SourceTask,
    script: Arc<Mutex<Words>>,
    pool: Arc<Mutex<SplitPool>>,
    pub(super) mailbox: Mailbox,
    sent: Receiver,
    said: Vec<String>,
}

impl Source {
    /// A source over `t (ts)` with a watermark at `ts`, that hands on each read.
    fn new(placement: Placement, idle_timeout: Duration, chain: Chain) -> Self {
        Self::with(placement, idle_timeout, chain, |_| ())
    }

    /// The same, with some of its parts changed.
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
            mailbox: Arc::clone(&mailbox),
            metrics: metrics("source", Role::Source),
            chain,
            output,
            events: events(),
        };
        change(&mut parts);
        Self { task: SourceTask::new(parts), script, pool, mailbox, sent, said: Vec::new() }
    }

    pub(super) fn discovered(&self, splits: &[&str]) {
        let split = |id: &&str| Split { id: SplitId::new(*id), position: serde_json::json!(0), finished: false };
        let discovery = Discovery { splits: splits.iter().map(split).collect(), complete: false };
        self.pool.lock().expect("no panic").discovered(discovery);
    }

    /// Lets a split give batches with rows of these times, and then end or be silent.
    pub(super) fn script(&self, split: &str, batches: &[&[i64]], ends: bool) {
        let batches = batches.iter().map(|times| times.to_vec()).collect();
        self.script.lock().expect("no panic").insert(split.to_owned(), (batches, ends));
    }

    /// Steps until nothing comes of it, and gives what it has said.
    pub(super) fn step(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while self.task.step().expect("nothing fails") == Progress::Worked {
            said.extend(received(&self.sent));
        }
        said.extend(received(&self.sent));
        said
    }

    /// Steps until it has said this, and gives what it has said up to then.
    fn until(&mut self, last: &str) -> Vec<String> {
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

const MIN: &str = "at -9223372036854775808";

#[test]
fn a_source_sends_what_it_holds_before_it_is_idle_and_its_watermark_before_its_next_rows() {
    let mut source = Source::new(Placement::Spread, Duration::from_millis(1), chain());
    source.discovered(&["a"]);
    assert_eq!(source.until("idle"), ["idle"]);
    for time in [3, 5] {
        source.script("a", &[&[time - 1, time]], false);
        let woken = if time == 3 { MIN } else { "at 3" };
        let at = format!("at {time}");
        assert_eq!(source.until(&at), [woken, &at]);
        // Both operators of the chain held them, one after the other.
        assert_eq!(source.until("idle"), ["2 rows", "idle"]);
        source.mailbox.lock().expect("no panic").push_back(Command::Barrier(barrier(time.unsigned_abs())));
        assert_eq!(source.until("barrier"), ["barrier"]);
    }
}

#[test]
fn a_split_falls_idle_while_another_one_of_its_reader_always_has_rows() {
    let mut source = Source::new(Placement::Spread, Duration::from_millis(1), Chain::default());
    source.discovered(&["a", "b"]);
    let deadline = Instant::now() + PATIENCE;
    let mut time = 0;
    while !source.said.iter().any(|said| said.starts_with("at ")) {
        assert!(Instant::now() < deadline, "{:?}", source.said);
        time += 10;
        source.script("a", &[&[time], &[time + 1], &[time + 2], &[time + 3], &[time + 4]], false);
        source.task.step().expect("nothing fails");
        source.said.extend(received(&source.sent));
    }
    assert!(!source.said.iter().any(|said| said == "idle"), "{:?}", source.said);
}

#[test]
fn a_source_that_may_not_read_because_the_job_is_being_stopped_takes_that_for_no_silence() {
    let mut source = Source::new(Placement::Spread, PATIENCE, Chain::default());
    source.script("a", &[&[1]], false);
    source.discovered(&["a"]);
    source.until("at 1");
    let stop = Barrier::of_all_state(CheckpointId::new(1), BarrierKind::Savepoint { stop: true });
    source.mailbox.lock().expect("no panic").push_back(Command::Barrier(stop));
    source.until("barrier");
    let (stopped, heard) = (Instant::now(), source.task.listening_ms());
    while stopped.elapsed() < Duration::from_millis(5) {
        source.task.step().expect("nothing fails");
    }
    assert_eq!(source.task.listening_ms(), heard);
    source.mailbox.lock().expect("no panic").push_back(Command::Resume);
    source.script("a", &[&[2]], false);
    source.until("at 2");
    let resumed = source.task.listening_ms();
    let deadline = Instant::now() + PATIENCE;
    while source.task.listening_ms() == resumed {
        assert!(Instant::now() < deadline, "the clock still stands");
    }
}

#[test]
fn a_reader_is_idle_between_two_pieces_only_if_none_waits_for_it() {
    let mut source = Source::new(Placement::OnDemand, Duration::ZERO, Chain::default());
    source.script("a", &[&[1]], true);
    source.discovered(&["a"]);
    assert_eq!(source.until("idle"), ["1 rows", "at 1", "idle"]);
    for piece in ["b", "c", "d"] {
        source.script(piece, &[&[2]], true);
    }
    source.script("d", &[&[7]], true);
    source.discovered(&["a", "b", "c", "d"]);
    assert_eq!(source.until("idle"), ["at 1", "1 rows", "at 2", "1 rows", "1 rows", "at 7", "idle"]);
}

/// A task with two inputs, each from a source reader of its own.
fn two_inputs() -> (OperatorTask, [Sender; 2], Receiver) {
    let ends = [0, 1].map(|_| channel(SlotWaker::default(), SlotWaker::default()));
    let (mut senders, mut inputs) = (Vec::new(), Vec::new());
    for (number, (sender, receiver)) in ends.into_iter().enumerate() {
        senders.push(sender);
        inputs.push(Input { channel: receiver, woken_by: BTreeSet::from([number]) });
    }
    let (output, sent) = output();
    let task = OperatorTask::new(SlotIndex::new(0), inputs, chain(), output, events());
    (task, senders.try_into().expect("two"), sent)
}

fn step(task: &mut OperatorTask, sent: &Receiver) -> Vec<String> {
    task.step().expect("nothing fails");
    received(sent)
}

fn at(time: i64) -> Element {
    Element::Watermark(Watermark::new(time))
}

#[test]
fn a_task_whose_channels_are_all_idle_sends_what_it_holds_first() {
    let (mut task, [left, right], sent) = two_inputs();
    for element in [Element::Data(Batch::new(times(&[1, 2]))), at(9), Element::Idle] {
        left.send(element);
    }
    right.send(at(4));
    assert_eq!(step(&mut task, &sent), ["at 4"]);
    right.send(Element::Idle);
    assert_eq!(step(&mut task, &sent), ["at 9", "2 rows", "idle"]);
    right.send(at(4));
    assert_eq!(step(&mut task, &sent), ["at 9"], "it is awake");
}

#[test]
fn rows_that_a_barrier_flushes_do_not_wake_an_idle_channel() {
    let (mut task, [left, right], sent) = two_inputs();
    left.send(Element::Idle);
    left.send(Element::Data(Batch::new(times(&[1]))));
    left.send(Element::Barrier(barrier(1)));
    right.send(at(5));
    right.send(Element::Barrier(barrier(1)));
    assert_eq!(step(&mut task, &sent), ["at 5", "1 rows", "barrier"]);
    right.send(at(8));
    assert_eq!(step(&mut task, &sent), ["at 8"], "the left one still does not count");
}

#[test]
fn the_end_of_one_input_beside_an_idle_one_is_not_the_end_of_event_time() {
    let (mut task, [left, right], sent) = two_inputs();
    left.send(at(5));
    right.send(Element::Idle);
    assert_eq!(step(&mut task, &sent), ["at 5"]);
    left.send(Element::EndOfInput);
    assert_eq!(step(&mut task, &sent), ["idle"]);
    right.send(at(7));
    assert_eq!(step(&mut task, &sent), ["at 7"]);
    right.send(Element::Data(Batch::new(times(&[8]))));
    right.send(Element::EndOfInput);
    assert_eq!(step(&mut task, &sent), ["end"], "rows that are held back for ever are this test's own");
}
