//! Tables in memory whose sources have several splits. The test decides when each split gets its rows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use eddyline_connectors::sink::Sink;
use eddyline_connectors::source::{
    Discovery, Placement, Poll, ReaderContext, ReaderCounters, Source, SourceReader, Split, SplitEnumerator,
};
use eddyline_connectors::{Error, OpenContext};
use eddyline_job_graph::{SinkNode, SourceNode};
use eddyline_stream::{Batch, SplitId};
use eddyline_worker::runtime::connectors::{Connectors, OpenError};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use crate::memory_tables::MemoryTables;

/// The sources of one job, in the order of its graph. Each has the same number of splits.
#[derive(Clone)]
pub struct SplitTables {
    /// The sinks of the job.
    pub sinks: MemoryTables,
    state: Arc<Mutex<State>>,
    opened: Arc<AtomicUsize>,
}

struct State {
    sources: Vec<Vec<SplitState>>,
    wakers: Vec<Arc<dyn Fn() + Send + Sync>>,
    ended: bool,
}

#[derive(Clone, Default)]
struct SplitState {
    waiting: VecDeque<Batch>,
    read: usize,
    /// Whether the reader has reported after its last rows that the split is empty. The split is idle then.
    idle: bool,
}

impl SplitTables {
    /// Sources without rows.
    pub fn new(sources: usize, splits: usize) -> Self {
        let sources = vec![vec![SplitState::default(); splits]; sources];
        Self {
            sinks: MemoryTables::default(),
            state: Arc::new(Mutex::new(State { sources, wakers: Vec::new(), ended: false })),
            opened: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Gives a split its next rows, over the physical columns of the table.
    pub fn give(&self, source: usize, split: usize, rows: Batch) {
        let mut state = self.state();
        let split = &mut state.sources[source][split];
        split.waiting.push_back(rows);
        split.idle = false;
        state.wake();
    }

    /// The number of rows of a split that wait to be read.
    pub fn waiting(&self, source: usize, split: usize) -> usize {
        self.state().sources[source][split].waiting.iter().map(Batch::num_rows).sum()
    }

    /// Whether all rows of every split are read and every split has become idle. Wakes the readers, so that they notice
    /// the idle timeout at once.
    pub fn are_idle(&self) -> bool {
        let state = self.state();
        state.wake();
        state.sources.iter().flatten().all(|split| split.idle)
    }

    /// Ends all splits.
    pub fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.wake();
    }
}

impl State {
    fn wake(&self) {
        self.wakers.iter().for_each(|wake| wake());
    }
}

impl Connectors for SplitTables {
    fn open_source(&self, source: &SourceNode, _: &OpenContext) -> Result<Box<dyn Source>, OpenError> {
        let number = self.opened.fetch_add(1, Ordering::SeqCst) % self.state().sources.len();
        Ok(Box::new(Opened { tables: self.clone(), number, projection: source.projection.clone() }))
    }

    fn open_sink(&self, sink: &SinkNode, context: &OpenContext) -> Result<Box<dyn Sink>, OpenError> {
        self.sinks.open_sink(sink, context)
    }
}

struct Opened {
    tables: SplitTables,
    number: usize,
    projection: Vec<usize>,
}

impl Source for Opened {
    fn enumerator(&self, _: tokio::runtime::Handle) -> Result<Box<dyn SplitEnumerator>, Error> {
        Ok(Box::new(Splits(self.tables.state().sources[self.number].len())))
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>, Error> {
        let (tables, number) = (self.tables.clone(), self.number);
        tables.state().wakers.push(context.waker);
        Ok(Box::new(Reader { tables, number, projection: self.projection.clone(), splits: Vec::new(), turn: 0 }))
    }

    fn placement(&self) -> Placement {
        Placement::Spread
    }

    fn discovery_interval(&self) -> Option<Duration> {
        None
    }
}

struct Splits(usize);

impl SplitEnumerator for Splits {
    fn discover(&mut self) -> BoxFuture<'_, Result<Discovery, Error>> {
        let split = |number: usize| Split {
            id: SplitId::new(number.to_string()),
            position: serde_json::json!(0),
            finished: false,
        };
        ready(Ok(Discovery { splits: (0..self.0).map(split).collect(), complete: true })).boxed()
    }
}

struct Reader {
    tables: SplitTables,
    number: usize,
    projection: Vec<usize>,
    splits: Vec<Split>,
    turn: usize,
}

fn number_of(split: &SplitId) -> usize {
    split.to_string().parse().expect("splits are numbered")
}

impl SourceReader for Reader {
    fn add_split(&mut self, split: Split) -> Result<(), Error> {
        self.splits.push(split);
        Ok(())
    }

    /// Reads one split as long as it has rows, and then the next one. A split with a backlog can make the others wait
    /// for ever.
    fn poll(&mut self, max_rows: usize) -> Result<Poll, Error> {
        let mut state = self.tables.state();
        let ended = state.ended;
        for _ in 0..self.splits.len() {
            let count = self.splits.len();
            let split = &mut self.splits[self.turn % count];
            let this = &mut state.sources[self.number][number_of(&split.id)];
            if let Some(mut rest) = this.waiting.pop_front() {
                let taken = rest.split_to(max_rows);
                if rest.num_rows() > 0 {
                    this.waiting.push_front(rest);
                }
                this.read += taken.num_rows();
                split.position = serde_json::json!(this.read);
                let rows = taken.project(&self.projection).expect("columns of the table");
                return Ok(Poll::Rows { split: split.id.clone(), rows });
            }
            if ended && !split.finished {
                split.finished = true;
                return Ok(Poll::Finished(split.id.clone()));
            }
            self.turn += 1;
        }
        Ok(Poll::Pending)
    }

    fn is_empty(&mut self, split: &SplitId) -> bool {
        let mut state = self.tables.state();
        let this = &mut state.sources[self.number][number_of(split)];
        this.idle = this.waiting.is_empty();
        this.idle
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Error> {
        Ok(self.splits.clone())
    }

    fn counters(&self) -> ReaderCounters {
        ReaderCounters::default()
    }
}
