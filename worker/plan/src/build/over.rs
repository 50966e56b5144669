//! Aggregates with OVER.

use arrow::datatypes::SchemaRef;
use eddyline_job_graph::{NodeId, NodeKind, Over, OverFrame};
use eddyline_state::Meaning;
use eddyline_state::meaning::{Fact, Rule};

use super::meaning::{Rows, stateful, unique};
use super::uid::Path;
use super::{Builder, by_key};
use crate::bind::relation::Rel;
use crate::diagnostics::Result;
use crate::duration::display;

const OVER: &str = "over";

impl Builder {
    pub(super) fn add_over(&mut self, input: Rel, over: Over, output: SchemaRef, path: &mut Path) -> Result<NodeId> {
        let from = self.add(input, path)?;
        let uid = self.uids.operator(path, OVER);
        let label = format!("Over {}", label(over.frame));
        let inputs = by_key(from, &over.keys);
        Ok(self.push(uid, label, inputs, NodeKind::Over(over), output))
    }
}

/// The label of a frame. Meanings contain it too, and are kept in checkpoints: never change it.
fn label(frame: OverFrame) -> String {
    match frame {
        OverFrame::RowsUnbounded => "ROWS UNBOUNDED PRECEDING".to_owned(),
        OverFrame::Rows(rows) => format!("ROWS {rows} PRECEDING"),
        OverFrame::RangeUnbounded => "RANGE UNBOUNDED PRECEDING".to_owned(),
        OverFrame::Range(length) => format!("RANGE {} PRECEDING", display(length)),
    }
}

/// The meaning of an OVER aggregation, and its result rows.
pub(super) fn aggregated(over: &Over, input: &Rows) -> (Option<Meaning>, Rows) {
    let frame = label(over.frame);
    let calls = over.aggregates.iter().map(|call| input.call(call));
    let [from, conditions] = input.facts();
    let facts = vec![
        Fact::one("frame", &frame),
        Fact::one("order by", input.time(&over.time)),
        Fact::of("partition by", input.all(&over.keys), Rule::Same),
        from,
        conditions,
        Fact::of("aggregates", unique(calls.clone()), Rule::Fewer),
        // The state keeps all columns of the rows that wait for the watermark.
        Fact::of("columns", unique(input.columns.clone()), Rule::Fewer),
    ];
    let columns = input.columns.iter().cloned().chain(calls).collect();
    stateful(OVER, &frame, facts, input, columns)
}
