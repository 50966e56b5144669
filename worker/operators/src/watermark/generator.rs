//! Watermarks of one split, exact to the row.
//!
//! Flink advances the watermark after every row. To do the same with a batch would cut it into single rows. But a
//! watermark changes the treatment of a row only if it has reached the row's own time. So a batch is cut only before a
//! row that earlier rows of the same batch have made late. Otherwise it is passed on whole, followed by its last
//! watermark. Ordered and slightly unordered input is never cut. A cut never separates the two rows of an update: the
//! watermark advances after both.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use eddyline_job_graph::WatermarkSpec;
use eddyline_stream::cast::cast;
use eddyline_stream::{Batch, Element, Watermark};

use crate::calc::failed;
use crate::{Error, Result};

type Times = PrimitiveArray<TimestampMillisecondType>;

/// Generates the watermarks of one split from its rows.
#[derive(Debug)]
pub struct WatermarkGenerator {
    spec: WatermarkSpec,
    /// The highest watermark of any row so far, in milliseconds.
    watermark_ms: i64,
}

impl WatermarkGenerator {
    /// A generator that has seen no rows.
    pub fn new(spec: WatermarkSpec) -> Self {
        Self { spec, watermark_ms: Watermark::MIN.time_ms() }
    }

    /// The watermark after the last row.
    pub fn watermark(&self) -> Watermark {
        Watermark::new(self.watermark_ms)
    }

    /// Processes the next rows of the split. Appends them to `elements` in one or more parts, each followed by the
    /// watermark if it has advanced. `batch` has the output columns of the source. A row with a NULL watermark does not
    /// advance the watermark. Neither does a row whose time is further ahead of `now_ms` (the clock, in milliseconds
    /// since the Unix epoch) than the table allows.
    ///
    /// # Errors
    /// When the watermark expression fails on a row, or its columns are not timestamps.
    pub fn process(&mut self, mut batch: Batch, now_ms: i64, elements: &mut Vec<Element>) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rows = batch.rows();
        let times = milliseconds(rows.columns().get(self.spec.column), "the event-time column")?;
        let time_max = self
            .spec
            .future_skew_max
            .map_or(i64::MAX, |skew| now_ms.saturating_add(i64::try_from(skew.as_millis()).unwrap_or(i64::MAX)));
        let time_of = |row: usize| times.is_valid(row).then(|| times.values()[row]);
        let cuts = match self.spec.delay_ms {
            Some(delay_ms) => {
                if let Some(last) = ordered_enough(&times, delay_ms, time_max) {
                    self.pass_whole(batch, last, elements);
                    return Ok(());
                }
                let watermark_of = |row| time_of(row).map(|time: i64| time.saturating_sub(delay_ms));
                scan(self.watermark_ms, &batch, time_max, time_of, watermark_of)
            }
            None => {
                let expression = &self.spec.expression;
                let value = expression.evaluate(rows).and_then(|value| value.into_array(rows.num_rows()));
                let value = value.map_err(|source| failed(expression, source))?;
                let watermarks = milliseconds(Some(&value), "the watermark")?;
                let watermark_of = |row: usize| watermarks.is_valid(row).then(|| watermarks.values()[row]);
                scan(self.watermark_ms, &batch, time_max, time_of, watermark_of)
            }
        };
        let mut start = 0;
        for (row, watermark_ms) in cuts.before {
            elements.push(Element::Data(batch.split_to(row - start)));
            elements.push(Element::Watermark(Watermark::new(watermark_ms)));
            self.watermark_ms = watermark_ms;
            start = row;
        }
        self.pass_whole(batch, cuts.last, elements);
        Ok(())
    }

    fn pass_whole(&mut self, batch: Batch, last: i64, elements: &mut Vec<Element>) {
        elements.push(Element::Data(batch));
        let last = last.min(LATEST);
        if last > self.watermark_ms {
            self.watermark_ms = last;
            elements.push(Element::Watermark(Watermark::new(last)));
        }
    }
}

/// The largest watermark of a row: [`Watermark::MAX`] is the end of the input.
const LATEST: i64 = Watermark::MAX.time_ms() - 1;

/// The cuts of a batch.
struct Cuts {
    /// The rows before which the watermark must be sent, with that watermark.
    before: Vec<(usize, i64)>,
    /// The watermark after the last row.
    last: i64,
}

/// Runs the per-row generator over a batch. Receivers already have the watermark `sent`.
fn scan(
    mut sent: i64,
    batch: &Batch,
    time_max: i64,
    time_of: impl Fn(usize) -> Option<i64>,
    watermark_of: impl Fn(usize) -> Option<i64>,
) -> Cuts {
    let mut before = Vec::new();
    let mut current = sent;
    let mut row = 0;
    while row < batch.num_rows() {
        // One row, or the two of an update.
        let together = row..batch.cut_at(row + 1);
        if current > sent && together.clone().any(|row| time_of(row).is_some_and(|time| time <= current)) {
            before.push((row, current));
            sent = current;
        }
        row = together.end;
        for row in together {
            if let Some(watermark) = watermark_of(row)
                && watermark > current
                && time_of(row).is_none_or(|time| time <= time_max)
            {
                current = watermark.min(LATEST);
            }
        }
    }
    Cuts { before, last: current }
}

/// The watermark after a batch in which no row makes another one late, because all times differ by less than the delay.
/// Found from the minimum and maximum, without a loop over rows; `None` if this is not the case.
fn ordered_enough(times: &Times, delay_ms: i64, time_max: i64) -> Option<i64> {
    let (first, last) = (min(times)?, max(times)?);
    let watermark = last.saturating_sub(delay_ms);
    (first > watermark && last <= time_max).then_some(watermark)
}

fn milliseconds(column: Option<&ArrayRef>, what: &str) -> Result<Times> {
    let column = column.ok_or_else(|| Error::InvalidRow(format!("{what} is not among the columns of the source")))?;
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => Ok(column.as_primitive::<TimestampMillisecondType>().clone()),
        DataType::Timestamp(..) => {
            let milliseconds = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
            Ok(milliseconds.as_primitive::<TimestampMillisecondType>().clone())
        }
        other => Err(Error::InvalidRow(format!("{what} is of type {other}, not a timestamp"))),
    }
}

#[cfg(test)]
mod tests;
