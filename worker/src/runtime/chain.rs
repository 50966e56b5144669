//! Chains. The operators of a chain call each other directly, without a channel between them. Only the first one can
//! have several inputs.
//!
//! A batch passes all operators before the next one is read, and so does a watermark. The rows that an operator emits
//! for a watermark pass the operators after it before the watermark does. Operators emit in pieces
//! ([`Progress::More`]), so a call can return in the middle. The chain then knows which operators have more to emit,
//! and which operator gets the watermark next. Operators closest to the end are resumed first, because their remaining
//! rows are older than those of the others.

use std::sync::Arc;
use std::time::Instant;

use eddyline_operators::{Collector, InputIndex, Operator, PIECE_ROWS, Progress};
use eddyline_state::{Frozen, SnapshotRequest, SpillDirectory};
use eddyline_stream::{Batch, OperatorUid, Watermark};

use super::metrics::OperatorMetrics;
use super::task::Error;

/// Receives the output of a chain.
pub type End<'a> = &'a mut dyn FnMut(Batch) -> Result<(), Error>;

struct Link {
    operator: Box<dyn Operator>,
    metrics: Arc<OperatorMetrics>,
    /// The output that the next operator has not received.
    out: Collector,
    has_more: bool,
    /// Whether the key hashes of a batch are those of its key.
    takes_hashes: bool,
    /// The event time of its restored state, until the operators after it have received it.
    restored: Option<Watermark>,
}

impl Link {
    fn is_busy(&self) -> bool {
        self.has_more || !self.out.is_empty()
    }

    fn publish_counters(&self) {
        let counters = self.operator.counters();
        self.metrics.late_rows.set(counters.late_rows);
        self.metrics.state_bytes.set(counters.state_bytes as u64);
        self.metrics.spilled_bytes.set(counters.spilled_bytes);
    }
}

/// A signal that passes all operators. Rows are not signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The watermark.
    Watermark(Watermark),
    /// The time of the clock, in milliseconds since the epoch. Only operators with a timer that is due receive it.
    Clock(i64),
    /// The input is idle. Operators emit the rows that must not wait until it resumes.
    Idle,
}

/// The operators of one subtask, in the order in which rows pass them.
pub struct Chain {
    // Fixed at start.
    piece_rows: usize,
    /// Whether this is the only subtask of the chain.
    is_alone: bool,
    // Changing.
    links: Vec<Link>,
    /// The current signal, and the index of the link that gets it next.
    signal: Option<(Signal, usize)>,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new(PIECE_ROWS, true)
    }
}

impl Chain {
    /// Makes an empty chain whose operators emit pieces of `piece_rows` rows. `is_alone`: this is the only subtask of
    /// the chain.
    pub fn new(piece_rows: usize, is_alone: bool) -> Self {
        Self { piece_rows, is_alone, links: Vec::new(), signal: None }
    }

    /// Adds an operator at the end. `restored` is the result of its [`Operator::restore`]. `takes_hashes`: the key
    /// hashes of batches are those of its key, or it ignores them.
    pub fn push(
        &mut self,
        operator: Box<dyn Operator>,
        metrics: Arc<OperatorMetrics>,
        restored: Option<Watermark>,
        takes_hashes: bool,
    ) {
        let out = Collector::with_room(self.piece_rows);
        let restored = restored.filter(|watermark| *watermark > Watermark::MIN);
        self.links.push(Link { operator, metrics, out, has_more: false, takes_hashes, restored });
    }

    /// Begins to pass the event time of restored operators to themselves and to the operators after them, because the
    /// barrier may have passed in the middle of that watermark. Returns the watermark that the last operator will
    /// receive.
    pub fn begin_restored(&mut self) -> Option<Watermark> {
        let first = self.links.iter().position(|link| link.restored.is_some())?;
        let last = self.links.iter().filter_map(|link| link.restored).max();
        self.signal = Some((Signal::Watermark(Watermark::MIN), first));
        last
    }

    /// Passes rows from an input of the first operator through all operators. `end` gets the output.
    pub fn process(&mut self, input: InputIndex, batch: Batch, end: End<'_>) -> Result<Progress, Error> {
        debug_assert!(self.is_done(), "a chain takes nothing while it has more to say");
        self.pass(0, input, batch, end)?;
        self.run(false, end)
    }

    /// Passes a signal to every operator, from the first to the last.
    pub fn signal(&mut self, signal: Signal, end: End<'_>) -> Result<Progress, Error> {
        debug_assert!(self.is_done(), "a chain takes nothing while it has more to say");
        self.signal = Some((signal, 0));
        self.run(false, end)
    }

    /// Continues the last call with the next piece.
    pub fn resume(&mut self, end: End<'_>) -> Result<Progress, Error> {
        self.run(true, end)
    }

    /// The time of the earliest processing-time timer of any operator.
    pub fn next_timer(&self) -> Option<i64> {
        self.links.iter().filter_map(|link| link.operator.next_timer()).min()
    }

    /// Whether everything that the chain has received is passed on.
    pub fn is_done(&self) -> bool {
        self.signal.is_none() && !self.links.iter().any(Link::is_busy)
    }

    /// Whether a barrier may pass now. It may if everything is passed on, or between two pieces of one operator that
    /// has the rest in its state. Operators after it that store event time do not have the watermark yet, while they
    /// may have it in other subtasks. All subtasks of an operator restore the smallest event time, so that must be the
    /// same in all of them.
    pub fn may_be_cut(&self) -> bool {
        let Some(at) = self.links.iter().position(Link::is_busy) else { return self.signal.is_none() };
        let (link, behind) = (&self.links[at], &self.links[at + 1..]);
        let is_only = !behind.iter().any(Link::is_busy);
        let all_have_it = self.is_alone || !behind.iter().any(|link| link.operator.may_be_cut());
        is_only && all_have_it && link.out.is_empty() && link.operator.may_be_cut()
    }

    /// Works until nothing is left or an operator must be resumed. With `may_resume`, until one must be resumed a
    /// second time.
    fn run(&mut self, mut may_resume: bool, end: End<'_>) -> Result<Progress, Error> {
        loop {
            if let Some(at) = self.links.iter().rposition(Link::is_busy) {
                match self.links[at].out.take() {
                    Some(batch) => {
                        self.links[at].metrics.rows_out.add(batch.num_rows() as u64);
                        self.pass(at + 1, InputIndex::FIRST, batch, end)?;
                    }
                    None if may_resume => {
                        may_resume = false;
                        self.call(at, |operator, out| operator.resume(out))?;
                    }
                    None => return Ok(Progress::More),
                }
            } else if !self.pass_signal()? {
                return Ok(Progress::Done);
            }
        }
    }

    /// Passes rows to a link or to the end.
    fn pass(&mut self, at: usize, input: InputIndex, mut batch: Batch, end: End<'_>) -> Result<(), Error> {
        let Some(link) = self.links.get(at) else { return end(batch) };
        link.metrics.rows_in.add(batch.num_rows() as u64);
        if !link.takes_hashes {
            batch = batch.without_key_hashes();
        }
        self.call(at, |operator, out| operator.process(input, batch, out))
    }

    /// Passes the signal to the next link. `false` if there is no link or no signal.
    fn pass_signal(&mut self) -> Result<bool, Error> {
        let Some((signal, at)) = &mut self.signal else { return Ok(false) };
        let Some(link) = self.links.get_mut(*at) else {
            self.signal = None;
            return Ok(false);
        };
        if let Signal::Watermark(watermark) = signal {
            *watermark = link.restored.take().map_or(*watermark, |restored| restored.max(*watermark));
            link.metrics.set_watermark(*watermark);
        }
        let (signal, link) = (*signal, *at);
        *at += 1;
        self.call(link, |operator, out| match signal {
            Signal::Watermark(watermark) => operator.on_watermark(watermark, out),
            Signal::Clock(now_ms) if operator.next_timer().is_some_and(|time| time <= now_ms) => {
                operator.on_timer(now_ms, out)
            }
            Signal::Clock(_) => Ok(Progress::Done),
            Signal::Idle => operator.on_idle(out),
        })?;
        Ok(true)
    }

    fn call(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut dyn Operator, &mut Collector) -> eddyline_operators::Result<Progress>,
    ) -> Result<(), Error> {
        let link = &mut self.links[at];
        let started = Instant::now();
        let progress = act(link.operator.as_mut(), &mut link.out);
        link.metrics.busy_ns.add_time(started.elapsed());
        link.has_more = progress.map_err(|source| failed(link, source))? == Progress::More;
        Ok(())
    }

    /// Makes every operator emit the rows that must precede the barrier.
    pub fn before_barrier(&mut self, end: End<'_>) -> Result<(), Error> {
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            let started = Instant::now();
            link.operator.before_barrier(&mut link.out).map_err(|source| failed(link, source))?;
            link.metrics.busy_ns.add_time(started.elapsed());
            let flushed: Vec<Batch> = link.out.drain().collect();
            for batch in flushed {
                self.links[at].metrics.rows_out.add(batch.num_rows() as u64);
                self.pass(at + 1, InputIndex::FIRST, batch, end)?;
                self.finish_behind(at + 1, end)?;
            }
        }
        Ok(())
    }

    /// Makes the links from `first` on pass on everything they have received, before the barrier.
    fn finish_behind(&mut self, first: usize, end: End<'_>) -> Result<(), Error> {
        while let Some(at) = self.links.iter().rposition(Link::is_busy).filter(|at| *at >= first) {
            match self.links[at].out.take() {
                Some(batch) => {
                    self.links[at].metrics.rows_out.add(batch.num_rows() as u64);
                    self.pass(at + 1, InputIndex::FIRST, batch, end)?;
                }
                None => self.call(at, |operator, out| operator.resume(out))?,
            }
        }
        Ok(())
    }

    /// The requested state of every operator with state.
    pub fn snapshot(&mut self, request: SnapshotRequest) -> Result<Vec<(OperatorUid, Frozen)>, Error> {
        let mut snapshots = Vec::new();
        for link in &mut self.links {
            if let Some(frozen) = link.operator.snapshot(request).map_err(|source| failed(link, source))? {
                snapshots.push((link.metrics.uid.clone(), frozen));
            }
        }
        Ok(snapshots)
    }

    /// Makes operators move state to the local disk that have been asked to.
    pub fn evict(&mut self, disk: &SpillDirectory) -> Result<(), Error> {
        for link in &mut self.links {
            let Some(bytes) = link.metrics.eviction.asked() else { continue };
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            let started = Instant::now();
            let freed = link.operator.evict(bytes, disk).map_err(|source| failed(link, source))?;
            link.metrics.busy_ns.add_time(started.elapsed());
            link.publish_counters();
            link.metrics.eviction.done(freed as u64);
        }
        Ok(())
    }

    /// Copies the operators' own counters to their metrics.
    pub fn publish_counters(&self) {
        self.links.iter().for_each(Link::publish_counters);
    }

    /// The metrics of every operator.
    pub fn metrics(&self) -> impl Iterator<Item = &Arc<OperatorMetrics>> {
        self.links.iter().map(|link| &link.metrics)
    }
}

fn failed(link: &Link, source: eddyline_operators::Error) -> Error {
    Error::Operator { operator: link.metrics.uid.clone(), label: link.metrics.label.clone(), source: Box::new(source) }
}
