//! A chain: operators that call each other directly, without a channel between them. Only the first one can have several
//! inputs.
//!
//! A batch passes all operators before the next one is taken; a watermark too, and the rows that an operator emits for it pass
//! those behind it before the watermark does. Operators speak in pieces ([`Progress::More`]). So a call can return in the
//! middle: then the chain knows which operators have more to say, and where the watermark stands. Those nearest to the end are
//! asked first: what they have left came before what the others have.

use std::sync::Arc;
use std::time::Instant;

use eddyline_operators::{Collector, InputIndex, Operator, PIECE_ROWS, Progress};
use eddyline_state::{Frozen, SnapshotRequest};
use eddyline_stream::{Batch, OperatorUid, Watermark};

use super::metrics::OperatorMetrics;
use super::task::Error;

/// Takes what comes out of a chain.
pub type End<'a> = &'a mut dyn FnMut(Batch) -> Result<(), Error>;

struct Link {
    operator: Box<dyn Operator>,
    metrics: Arc<OperatorMetrics>,
    /// What it has emitted and the next one has not got yet.
    out: Collector,
    has_more: bool,
    /// Whether the key hashes that a batch carries are those of its key.
    takes_hashes: bool,
    /// The event time that its state had come to, until the operators behind it have it.
    restored: Option<Watermark>,
}

impl Link {
    fn is_busy(&self) -> bool {
        self.has_more || !self.out.is_empty()
    }
}

/// What passes all operators, besides rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Event time has come this far.
    Watermark(Watermark),
    /// The clock says this time, in milliseconds since the epoch. Only operators with a timer that is due receive it.
    Clock(i64),
    /// The input is idle: operators emit what must not wait until it resumes.
    Idle,
}

/// Operators of one subtask, in the order in which rows pass them.
pub struct Chain {
    // Fixed at start.
    piece_rows: usize,
    /// Whether there is no other subtask of it.
    is_alone: bool,
    // Changing.
    links: Vec<Link>,
    /// The signal in flight, and the link that gets it next.
    signal: Option<(Signal, usize)>,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new(PIECE_ROWS, true)
    }
}

impl Chain {
    /// No operators; they are to speak in pieces of so many rows. `is_alone`: their subtask is the only one.
    pub fn new(piece_rows: usize, is_alone: bool) -> Self {
        Self { piece_rows, is_alone, links: Vec::new(), signal: None }
    }

    /// Adds an operator at the end; `restored` is what its [`Operator::restore`] has returned. `takes_hashes`: key hashes that
    /// batches carry are those of its key, or of no concern to it.
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

    /// Begins to pass on the event time of restored operators, to themselves and to those behind them: they may have
    /// been in the middle of it. Returns what the last operator is going to receive.
    pub fn begin_restored(&mut self) -> Option<Watermark> {
        let first = self.links.iter().position(|link| link.restored.is_some())?;
        let last = self.links.iter().filter_map(|link| link.restored).max();
        self.signal = Some((Signal::Watermark(Watermark::MIN), first));
        last
    }

    /// Passes rows through all operators; `end` gets what comes out. They come from an input of the first one.
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

    /// Continues with the next piece of what the last call has left.
    pub fn resume(&mut self, end: End<'_>) -> Result<Progress, Error> {
        self.run(true, end)
    }

    /// The time of the first timer of any operator that goes by the clock.
    pub fn next_timer(&self) -> Option<i64> {
        self.links.iter().filter_map(|link| link.operator.next_timer()).min()
    }

    /// Whether everything that was taken has been passed on.
    pub fn is_done(&self) -> bool {
        self.signal.is_none() && !self.links.iter().any(Link::is_busy)
    }

    /// Whether a barrier may pass now: when everything is passed on, or between two pieces of one operator that keeps the rest
    /// in its state. Operators behind it that keep event time do not have it yet, in other subtasks they can have it: all of
    /// them restore the smallest event time, so that it has to be one for all.
    pub fn may_be_cut(&self) -> bool {
        let Some(at) = self.links.iter().position(Link::is_busy) else { return self.signal.is_none() };
        let (link, behind) = (&self.links[at], &self.links[at + 1..]);
        let is_only = !behind.iter().any(Link::is_busy);
        let all_have_it = self.is_alone || !behind.iter().any(|link| link.operator.may_be_cut());
        is_only && all_have_it && link.out.is_empty() && link.operator.may_be_cut()
    }

    /// Works until nothing is left, or until an operator would have to be resumed: a second time, if it `may_resume`.
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

    /// Gives rows to a link, or to the end.
    fn pass(&mut self, at: usize, input: InputIndex, mut batch: Batch, end: End<'_>) -> Result<(), Error> {
        let Some(link) = self.links.get(at) else { return end(batch) };
        link.metrics.rows_in.add(batch.num_rows() as u64);
        if !link.takes_hashes {
            batch = batch.without_key_hashes();
        }
        self.call(at, |operator, out| operator.process(input, batch, out))
    }

    /// Gives the signal to the next link; `false` if there is none, or no signal.
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

    /// Has every operator emit what must not wait behind a barrier.
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

    /// Has the links from `first` on pass on what they have been given: a barrier is behind it.
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

    /// The state of every operator that has some, as it is asked for.
    pub fn snapshot(&mut self, request: SnapshotRequest) -> Result<Vec<(OperatorUid, Frozen)>, Error> {
        let mut snapshots = Vec::new();
        for link in &mut self.links {
            if let Some(frozen) = link.operator.snapshot(request).map_err(|source| failed(link, source))? {
                snapshots.push((link.metrics.uid.clone(), frozen));
            }
        }
        Ok(snapshots)
    }

    /// Copies the operators' own totals into their metrics.
    pub fn publish_counters(&self) {
        for link in &self.links {
            let counters = link.operator.counters();
            link.metrics.late_rows.set(counters.late_rows);
            link.metrics.state_bytes.set(counters.state_bytes as u64);
        }
    }

    /// The metrics of every operator.
    pub fn metrics(&self) -> impl Iterator<Item = &Arc<OperatorMetrics>> {
        self.links.iter().map(|link| &link.metrics)
    }
}

fn failed(link: &Link, source: eddyline_operators::Error) -> Error {
    Error::Operator { operator: link.metrics.uid.clone(), label: link.metrics.label.clone(), source: Box::new(source) }
}
