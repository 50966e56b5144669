//! Timers of operators: in event time, in processing time, and after a restore.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use eddyline_operators::{Collector, InputIndex, Operator, Progress, Result};
use eddyline_state::{Frozen, Snapshot, SnapshotRequest, TimeDomain, Timer, Timers};
use eddyline_stream::{BarrierKind, Batch, Element, OperatorUid, SlotIndex, Watermark};

use super::chain::Chain;
use super::driven_task::{Driven, at, barrier, numbers};
use super::metrics::{OperatorMetrics, Role};

/// Emits each number when its time is due in event time, and its negative when it is due in processing time.
#[derive(Default)]
struct Delaying {
    timers: Timers,
}

impl Delaying {
    fn give(&mut self, domain: TimeDomain, now_ms: i64, out: &mut Collector) -> Progress {
        while self.timers.next(domain).is_some_and(|time| time <= now_ms) {
            if out.room() == 0 {
                return Progress::More;
            }
            if let Some(timer) = self.timers.take_due(domain, now_ms) {
                let sign = if domain == TimeDomain::Processing { -1 } else { 1 };
                let column = Arc::new(Int64Array::from(vec![sign * timer.time_ms]));
                out.emit_rows(RecordBatch::try_from_iter([("n", column as _)]).expect("one column"));
            }
        }
        Progress::Done
    }
}

impl Operator for Delaying {
    fn process(&mut self, _: InputIndex, batch: Batch, _: &mut Collector) -> Result<Progress> {
        for number in batch.rows().column(0).as_primitive::<Int64Type>().values() {
            let timer = Timer { time_ms: *number, key_hash: 0, key: number.to_le_bytes().into() };
            self.timers.set(TimeDomain::Event, timer.clone());
            self.timers.set(TimeDomain::Processing, timer);
        }
        Ok(Progress::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Collector) -> Result<Progress> {
        Ok(self.give(TimeDomain::Event, watermark.time_ms(), out))
    }

    fn next_timer(&self) -> Option<i64> {
        self.timers.next(TimeDomain::Processing)
    }

    fn on_timer(&mut self, now_ms: i64, out: &mut Collector) -> Result<Progress> {
        Ok(self.give(TimeDomain::Processing, now_ms, out))
    }

    fn snapshot(&mut self, _: SnapshotRequest) -> Result<Option<Frozen>> {
        let rows = self.timers.rows()?;
        Ok(Some(Snapshot::of_all_rows(rows.into_iter().collect(), Vec::new()).into()))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<Option<Watermark>> {
        snapshot.keyed.iter().try_for_each(|rows| self.timers.restore(rows))?;
        Ok(None)
    }
}

fn driven(operator: Delaying) -> (Driven, Arc<AtomicI64>) {
    let mut chain = Chain::default();
    let (uid, slot) = (OperatorUid::new("delay"), SlotIndex::new(0));
    let metrics = OperatorMetrics::new(uid, "delay".to_owned(), Role::Operator, slot);
    chain.push(Box::new(operator), metrics, None, true);
    let now = Arc::new(AtomicI64::new(0));
    let read = Arc::clone(&now);
    (Driven::with_clock(chain, Box::new(move || read.load(Ordering::Relaxed))), now)
}

#[test]
fn timers_are_due_by_the_watermark_or_by_the_clock() {
    let (mut driven, now) = driven(Delaying::default());
    driven.send(0, [Element::Data(numbers(3..6))]);
    assert!(driven.said().is_empty());
    now.store(4, Ordering::Relaxed);
    assert_eq!(driven.said(), ["-3", "-4"]);
    driven.send(0, [at(3)]);
    assert_eq!(driven.said(), ["3", "at 3"], "the clock says nothing of event time");
    now.store(2, Ordering::Relaxed);
    assert!(driven.said().is_empty(), "the clock has gone back");
    now.store(9, Ordering::Relaxed);
    assert_eq!(driven.said(), ["-5"]);
}

#[test]
fn timers_that_were_due_while_the_job_was_down_fire_after_the_restore() {
    let (mut driven, _) = driven(Delaying::default());
    driven.send(0, [Element::Data(numbers(3..5)), barrier(1, BarrierKind::Checkpoint)]);
    assert_eq!(driven.said(), ["barrier"]);
    let (_, state) = driven.snapshot().operators.pop().expect("timers");
    let mut restored = Delaying::default();
    restored.restore(state.gather().expect("rows")).expect("its own");
    let (mut driven, now) = self::driven(restored);
    now.store(3, Ordering::Relaxed);
    assert_eq!(driven.said(), ["-3"]);
    driven.send(0, [at(9)]);
    assert_eq!(driven.said(), ["3", "4", "at 9"]);
}

#[test]
fn no_timer_fires_behind_a_stop_or_the_end_of_the_input() {
    let (mut driven, now) = driven(Delaying::default());
    driven.send(0, [Element::Data(numbers(3..5)), barrier(1, BarrierKind::Savepoint { stop: true })]);
    assert_eq!(driven.said(), ["barrier"]);
    now.store(3, Ordering::Relaxed);
    assert!(driven.said().is_empty(), "no rows may follow a stop");
    driven.send(0, [at(1)]);
    assert_eq!(driven.said(), ["at 1", "-3"], "the stop was canceled");
    driven.send(0, [Element::EndOfInput]);
    assert_eq!(driven.said(), ["3", "4", "end"]);
    now.store(9, Ordering::Relaxed);
    assert!(driven.said().is_empty(), "what is open by the clock is dropped at the end");
}
