//! The watermark generators of all splits of one source reader.

use std::collections::BTreeMap;

use eddyline_job_graph::WatermarkSpec;
use eddyline_stream::{Batch, Element, SplitId, Watermark};

use super::WatermarkGenerator;
use crate::Result;

/// A part of what a source sends for a batch.
#[derive(Debug)]
pub enum Piece {
    /// Rows.
    Rows(Batch),
    /// The watermark of a split has risen after the preceding rows.
    Watermark(SplitId, Watermark),
}

/// Generates the watermarks of splits whose rows share batches.
#[derive(Debug)]
pub struct SplitGenerators {
    /// The watermark definition. `None` for a table without watermarks.
    spec: Option<WatermarkSpec>,
    generators: BTreeMap<SplitId, WatermarkGenerator>,
}

impl SplitGenerators {
    /// Makes generators without any split.
    pub fn new(spec: Option<WatermarkSpec>) -> Self {
        Self { spec, generators: BTreeMap::new() }
    }

    /// Whether the table has watermarks.
    pub fn has_watermarks(&self) -> bool {
        self.spec.is_some()
    }

    /// Adds a split that has had no rows.
    pub fn add(&mut self, split: SplitId) {
        if let Some(spec) = &self.spec {
            self.generators.insert(split, WatermarkGenerator::new(spec.clone()));
        }
    }

    /// Removes a split.
    pub fn remove(&mut self, split: &SplitId) {
        self.generators.remove(split);
    }

    /// Processes a batch with the next rows of some splits. `parts` has the splits in order, with the number of rows of
    /// each. If no split's own watermark makes one of its rows late, the batch stays whole and the watermarks follow
    /// it. Otherwise rows and watermarks come split by split, cut as in [`WatermarkGenerator::process`]. `now_ms` is
    /// the clock, in milliseconds since the epoch.
    ///
    /// # Errors
    /// When the watermark expression fails on a row, or its columns are not timestamps.
    pub fn process(&mut self, batch: Batch, parts: &[(SplitId, usize)], now_ms: i64) -> Result<Vec<Piece>> {
        let mut pieces = Vec::with_capacity(parts.len() + 1);
        let mut elements = Vec::new();
        let (mut rest, mut is_cut) = (batch.clone(), false);
        for (split, count) in parts {
            let own = rest.split_to(*count);
            let Some(generator) = self.generators.get_mut(split) else {
                pieces.push(Piece::Rows(own));
                continue;
            };
            generator.process(own, now_ms, &mut elements)?;
            is_cut |= elements.iter().filter(|element| matches!(element, Element::Data(_))).count() > 1;
            pieces.extend(elements.drain(..).filter_map(|element| match element {
                Element::Data(batch) => Some(Piece::Rows(batch)),
                Element::Watermark(watermark) => Some(Piece::Watermark(split.clone(), watermark)),
                Element::Idle | Element::Barrier(_) | Element::EndOfInput => None,
            }));
        }
        if !is_cut {
            pieces.retain(|piece| matches!(piece, Piece::Watermark(..)));
            pieces.insert(0, Piece::Rows(batch));
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, RecordBatch, TimestampMillisecondArray};
    use arrow::datatypes::{DataType, Field, TimeUnit, TimestampMillisecondType};
    use eddyline_expression::Expr;

    use super::*;

    /// Watermarks that equal the time of a row.
    fn spec() -> WatermarkSpec {
        let time = Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true);
        WatermarkSpec { column: 0, expression: Expr::column(0, &time), delay_ms: Some(0), future_skew_max: None }
    }

    /// The output for a batch with rows of these times of the splits `a` and `b`.
    fn pieces(spec: Option<WatermarkSpec>, a: &[i64], b: &[i64]) -> Vec<String> {
        let (a_split, b_split) = (SplitId::new("a"), SplitId::new("b"));
        let mut generators = SplitGenerators::new(spec);
        generators.add(a_split.clone());
        generators.add(b_split.clone());
        let times = TimestampMillisecondArray::from([a, b].concat());
        let rows = RecordBatch::try_from_iter([("ts", Arc::new(times) as _)]).expect("one column");
        let parts = [(a_split, a.len()), (b_split, b.len())];
        let text = |piece| match piece {
            Piece::Rows(batch) => {
                format!("{:?}", batch.rows().column(0).as_primitive::<TimestampMillisecondType>().values().to_vec())
            }
            Piece::Watermark(split, watermark) => format!("{split} at {}", watermark.time_ms()),
        };
        generators.process(Batch::new(rows), &parts, 0).expect("no failure").into_iter().map(text).collect()
    }

    #[test]
    fn rows_of_several_splits_stay_one_batch_with_the_watermarks_behind_it() {
        // The rows of `b` are older than those of `a` and not late, because each split has its own event time.
        assert_eq!(pieces(Some(spec()), &[7, 8], &[1, 2, 3]), ["[7, 8, 1, 2, 3]", "a at 8", "b at 3"]);
        assert_eq!(pieces(Some(spec()), &[7], &[]), ["[7]", "a at 7"]);
    }

    #[test]
    fn a_split_that_makes_its_own_rows_late_cuts_the_batch() {
        let cut = ["[7]", "a at 7", "[1, 9]", "b at 9", "[8]"];
        assert_eq!(pieces(Some(spec()), &[7], &[1, 9, 8]), cut);
        assert_eq!(pieces(Some(spec()), &[], &[9, 8]), ["[9]", "b at 9", "[8]"]);
    }

    #[test]
    fn a_table_without_watermarks_has_rows_only() {
        assert_eq!(pieces(None, &[7], &[9, 8]), ["[7, 9, 8]"]);
    }
}
