//! A chain: operators that call each other directly, without a channel between them.

use std::sync::Arc;
use std::time::Instant;

use eddyline_operators::{Collector, Operator};
use eddyline_state::{Frozen, SnapshotRequest};
use eddyline_stream::{Batch, OperatorUid, Watermark};

use super::metrics::OperatorMetrics;
use super::task::Error;

struct Link {
    operator: Box<dyn Operator>,
    metrics: Arc<OperatorMetrics>,
    out: Collector,
}

/// Operators of one subtask, in the order in which rows pass them.
#[derive(Default)]
pub struct Chain {
    links: Vec<Link>,
}

impl Chain {
    /// Adds an operator at the end.
    pub fn push(&mut self, operator: Box<dyn Operator>, metrics: Arc<OperatorMetrics>) {
        self.links.push(Link { operator, metrics, out: Collector::default() });
    }

    /// Passes rows through all operators; `end` gets what comes out.
    pub fn process(&mut self, batch: Batch, end: &mut dyn FnMut(Batch) -> Result<(), Error>) -> Result<(), Error> {
        process(&mut self.links, batch, end)
    }

    /// Passes the watermark to every operator, from the first to the last. The rows that an operator emits for it pass the
    /// operators behind it before the watermark does.
    pub fn watermark(
        &mut self,
        watermark: Watermark,
        end: &mut dyn FnMut(Batch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        each(&mut self.links, end, &mut |link| {
            link.metrics.set_watermark(watermark);
            link.operator.on_watermark(watermark, &mut link.out)
        })
    }

    /// Reports to every operator that its input is idle. The operators emit what must not wait until the input resumes.
    pub fn idle(&mut self, end: &mut dyn FnMut(Batch) -> Result<(), Error>) -> Result<(), Error> {
        each(&mut self.links, end, &mut |link| link.operator.on_idle(&mut link.out))
    }

    /// Has every operator emit what must not wait behind a barrier.
    pub fn before_barrier(&mut self, end: &mut dyn FnMut(Batch) -> Result<(), Error>) -> Result<(), Error> {
        each(&mut self.links, end, &mut |link| link.operator.before_barrier(&mut link.out))
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

fn process(links: &mut [Link], batch: Batch, end: &mut dyn FnMut(Batch) -> Result<(), Error>) -> Result<(), Error> {
    let Some((first, rest)) = links.split_first_mut() else { return end(batch) };
    first.metrics.rows_in.add(batch.num_rows() as u64);
    let started = Instant::now();
    first.operator.process_batch(batch, &mut first.out).map_err(|source| failed(first, source))?;
    first.metrics.busy_ns.add_time(started.elapsed());
    pass_on(first, rest, end)
}

fn pass_on(first: &mut Link, rest: &mut [Link], end: &mut dyn FnMut(Batch) -> Result<(), Error>) -> Result<(), Error> {
    for batch in first.out.drain() {
        first.metrics.rows_out.add(batch.num_rows() as u64);
        process(rest, batch, end)?;
    }
    Ok(())
}

/// Calls `act` on every link in order; what a link emits passes those behind it before they are called themselves.
fn each(
    links: &mut [Link],
    end: &mut dyn FnMut(Batch) -> Result<(), Error>,
    act: &mut dyn FnMut(&mut Link) -> eddyline_operators::Result<()>,
) -> Result<(), Error> {
    let Some((first, rest)) = links.split_first_mut() else { return Ok(()) };
    let started = Instant::now();
    act(first).map_err(|source| failed(first, source))?;
    first.metrics.busy_ns.add_time(started.elapsed());
    pass_on(first, rest, end)?;
    each(rest, end, act)
}
