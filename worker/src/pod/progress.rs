//! The progress and speed of a job: the counters of its tasks, sampled every second.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eddyline_api::status::{Backpressure, Progress};
use eddyline_stream::Watermark;

use crate::coordinator::job::View;
use crate::coordinator::status::now_ms;
use crate::runtime::metrics::{OperatorMetrics, Totals};

/// The time between two samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// The number of samples for a rate.
const WINDOW: usize = 5;
/// The share of time waiting for room downstream from which an operator counts as back-pressured.
const BACKPRESSURED_SHARE: f64 = 0.5;

/// The number of samples with new rows and an unchanged watermark after which the watermark counts as stuck. With
/// steady input this is two minutes, so that timestamps cut to whole minutes do not count as stuck.
const STUCK_LOOKS: u32 = 120;

/// The counters at one moment.
#[derive(Clone, Debug)]
struct Sample {
    at: Instant,
    attempt: u64,
    rows_in: u64,
    /// By operator, in the order in which data passes them.
    backpressured_ns: Vec<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    samples: VecDeque<Sample>,
    stillness: Stillness,
}

/// Whether event time stands still although rows are read. Time without rows does not count, because only rows advance
/// the watermark.
#[derive(Debug, Default)]
struct Stillness {
    watermark: Option<Watermark>,
    /// When the watermark was first seen at its current value.
    since_ms: u64,
    rows_in: u64,
    /// The number of samples with new rows since then.
    reading: u32,
}

impl Stillness {
    fn look(&mut self, watermark: Option<Watermark>, rows_in: u64, now_ms: u64) {
        if watermark != self.watermark {
            *self = Self { watermark, since_ms: now_ms, rows_in, reading: 0 };
        } else if rows_in != self.rows_in {
            self.rows_in = rows_in;
            self.reading = self.reading.saturating_add(1);
        }
    }

    fn stuck_since_ms(&self) -> Option<u64> {
        (self.watermark.is_some() && self.reading >= STUCK_LOOKS).then_some(self.since_ms)
    }
}

/// Samples the counters, and keeps the samples of the last seconds.
#[derive(Debug, Default)]
pub struct Sampler {
    seen: Mutex<Seen>,
}

impl Sampler {
    /// Samples until the runtime ends.
    pub async fn run(self: Arc<Self>, view: Arc<View>) {
        let mut tick = tokio::time::interval(INTERVAL);
        loop {
            tick.tick().await;
            self.look(&view);
        }
    }

    fn look(&self, view: &View) {
        let totals = Totals::of(&view.operators());
        let sample = Sample {
            at: Instant::now(),
            attempt: view.status.snapshot().attempt,
            rows_in: totals.rows_in,
            backpressured_ns: by_operator(&view.operators()).into_iter().map(|(_, ns, _)| ns).collect(),
        };
        let mut seen = self.seen.lock().expect("no holder of the samples panics");
        if seen.samples.back().is_some_and(|last| last.attempt != sample.attempt) {
            *seen = Seen::default();
        }
        seen.stillness.look(totals.watermark, totals.rows_in, now_ms());
        seen.samples.push_back(sample);
        while seen.samples.len() > WINDOW + 1 {
            seen.samples.pop_front();
        }
    }

    /// The progress of the job.
    pub fn progress(&self, view: &View) -> Progress {
        let operators = view.operators();
        let totals = Totals::of(&operators);
        let watermark_ms = totals.watermark.map(Watermark::time_ms);
        let lag = watermark_ms.map(|time| now_ms().saturating_sub(u64::try_from(time).unwrap_or(0)));
        let seen = self.seen.lock().expect("no holder of the samples panics");
        let has_moved = totals.watermark != seen.stillness.watermark;
        Progress {
            watermark_ms,
            watermark_lag_ms: lag,
            watermark_stuck_since_ms: seen.stillness.stuck_since_ms().filter(|_| !has_moved),
            lag_records: totals.source_lag,
            records_in_per_second: rate(&seen.samples),
            records_in: totals.rows_in,
            records_out: totals.rows_out,
            late_records: totals.late_rows,
            bad_records: totals.bad_records,
            backpressure: backpressure(&operators, &seen.samples),
            unreachable_sources: unreachable_sources(&operators),
        }
    }
}

/// The sources that cannot be read, each once, with the reason.
fn unreachable_sources(metrics: &[Arc<OperatorMetrics>]) -> Vec<String> {
    let reasons: BTreeMap<&str, String> =
        metrics.iter().filter_map(|task| Some((task.label.as_str(), task.trouble()?))).collect();
    reasons.into_iter().map(|(source, why)| format!("{source}: {why}")).collect()
}

fn rate(samples: &VecDeque<Sample>) -> f64 {
    let (Some(first), Some(last)) = (samples.front(), samples.back()) else { return 0.0 };
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    if seconds > 0.0 { last.rows_in.saturating_sub(first.rows_in) as f64 / seconds } else { 0.0 }
}

/// For each operator: its name, the nanoseconds that its tasks waited for room downstream, and the number of tasks.
fn by_operator(metrics: &[Arc<OperatorMetrics>]) -> Vec<(String, u64, u32)> {
    let mut operators: Vec<(&OperatorMetrics, u64, u32)> = Vec::new();
    for task in metrics {
        match operators.iter_mut().find(|(known, ..)| known.uid == task.uid) {
            Some((_, waited, tasks)) => {
                *waited += task.backpressured_ns.get();
                *tasks += 1;
            }
            None => operators.push((task, task.backpressured_ns.get(), 1)),
        }
    }
    operators.into_iter().map(|(task, waited, tasks)| (task.label.clone(), waited, tasks)).collect()
}

/// The slow operator: it follows the last operator that waits most of the time.
fn backpressure(metrics: &[Arc<OperatorMetrics>], samples: &VecDeque<Sample>) -> Option<Backpressure> {
    let (first, last) = (samples.front()?, samples.back()?);
    let elapsed_ns = last.at.duration_since(first.at).as_nanos() as f64;
    let operators = by_operator(metrics);
    if elapsed_ns == 0.0 || [first, last].iter().any(|sample| sample.backpressured_ns.len() != operators.len()) {
        return None;
    }
    let share = |position: usize| {
        let waited = last.backpressured_ns[position].saturating_sub(first.backpressured_ns[position]) as f64;
        waited / (elapsed_ns * f64::from(operators[position].2))
    };
    let waiting = (0..operators.len()).rev().find(|position| share(*position) > BACKPRESSURED_SHARE)?;
    let slow = operators.get(waiting + 1).unwrap_or(&operators[waiting]);
    Some(Backpressure { operator: slow.0.clone(), share: share(waiting).min(1.0) })
}

#[cfg(test)]
mod tests {
    use eddyline_stream::{OperatorUid, SlotIndex};

    use crate::runtime::metrics::Role;

    use super::*;

    fn view() -> (View, Arc<OperatorMetrics>, Arc<OperatorMetrics>) {
        let operator =
            |name: &str, role| OperatorMetrics::new(OperatorUid::new(name), name.to_owned(), role, SlotIndex::new(0));
        let (source, sink) = (operator("read", Role::Source), operator("write", Role::Sink));
        let view = View::default();
        *view.operators.write().expect("no panic") = vec![Arc::clone(&source), Arc::clone(&sink)];
        (view, source, sink)
    }

    /// Looks once a second, at rows that have been read by then and at the watermark. Whether it was ever called stuck.
    fn is_ever_stuck(seconds: u64, rows: impl Fn(u64) -> u64, watermark: impl Fn(u64) -> i64) -> bool {
        let mut stillness = Stillness::default();
        (0..seconds).any(|second| {
            stillness.look(Some(Watermark::new(watermark(second))), rows(second), second * 1000);
            stillness.stuck_since_ms().is_some()
        })
    }

    #[test]
    fn a_watermark_that_moves_with_what_is_read_is_never_stuck() {
        let at = |second: u64| i64::try_from(second).expect("seconds");
        assert!(!is_ever_stuck(3_600, |second| second * 50, at), "steady input");
        assert!(!is_ever_stuck(3_600, |second| second * 50, |second| at(second / 60 * 60)), "whole minutes");
        assert!(!is_ever_stuck(3_600, |second| second / 60 * 50, |second| at(second / 60)), "a burst each minute");
        assert!(!is_ever_stuck(3_600, |second| second.min(5), |_| 7), "nothing is read");
    }

    #[test]
    fn a_watermark_that_stays_while_rows_are_read_for_long_is_stuck_until_it_moves() {
        let mut stillness = Stillness::default();
        let limit = u64::from(STUCK_LOOKS);
        for second in 0..=limit {
            assert_eq!(stillness.stuck_since_ms(), None, "after {second} looks");
            stillness.look(Some(Watermark::new(1_000)), second * 10, 5_000 + second * 1000);
        }
        assert_eq!(stillness.stuck_since_ms(), Some(5_000), "since it was first seen there");
        stillness.look(Some(Watermark::new(2_000)), limit * 10 + 5, 900_000);
        assert_eq!(stillness.stuck_since_ms(), None);
        assert!(!is_ever_stuck(100, |second| second, |_| 7) && is_ever_stuck(200, |second| second, |_| 7));
    }

    #[test]
    fn a_job_that_has_just_read_more_than_at_its_last_look_is_not_stuck() {
        let (view, source, _) = view();
        let sampler = Sampler::default();
        source.set_watermark(Watermark::new(1_000));
        source.rows_in.add(5);
        sampler.look(&view);
        source.rows_in.add(5);
        sampler.look(&view);
        source.rows_in.add(5);
        let progress = sampler.progress(&view);
        assert_eq!((progress.watermark_ms, progress.watermark_stuck_since_ms), (Some(1_000), None));
    }

    #[test]
    fn a_source_that_cannot_be_read_is_named_once() {
        let (view, source, sink) = view();
        let twin = OperatorMetrics::new(source.uid.clone(), source.label.clone(), Role::Source, SlotIndex::new(1));
        *view.operators.write().expect("no panic") = vec![Arc::clone(&source), Arc::clone(&twin), sink];
        for task in [&source, &twin] {
            task.set_trouble(Some("no broker answers".to_owned()));
        }
        let sampler = Sampler::default();
        assert_eq!(sampler.progress(&view).unreachable_sources, ["read: no broker answers"]);
        source.set_trouble(None);
        twin.set_trouble(None);
        assert_eq!(sampler.progress(&view).unreachable_sources, Vec::<String>::new());
    }

    #[test]
    fn the_operator_that_others_wait_for_is_named() {
        let (view, source, _) = view();
        let sampler = Sampler::default();
        sampler.look(&view);
        assert_eq!(sampler.progress(&view).backpressure, None);
        source.backpressured_ns.add(u64::MAX / 4);
        sampler.look(&view);
        let found = sampler.progress(&view).backpressure.expect("it waits");
        assert_eq!((found.operator.as_str(), found.share), ("write", 1.0));
    }
}
