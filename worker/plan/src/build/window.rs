//! Windows: assigning rows to windows, and aggregating over windows.

use arrow::datatypes::SchemaRef;
use eddyline_job_graph::{NodeId, NodeKind, TimeColumn, WindowAggregate, WindowAssign, WindowAssigner, WindowColumn};
use eddyline_state::Meaning;
use eddyline_state::meaning::{Fact, Rule};
use sqlparser::tokenizer::Span;

use super::canonical::short;
use super::meaning::{Rows, stateful, unique};
use super::uid::Path;
use super::{Builder, by_key, forward};
use crate::bind::relation::Rel;
use crate::diagnostics::{Diagnostic, Result};
use crate::duration::display;

const AGGREGATE: &str = "window-aggregate";

impl Builder {
    pub(super) fn add_window(
        &mut self,
        input: Rel,
        assigner: WindowAssigner,
        time: TimeColumn,
        place: Span,
        output: SchemaRef,
        path: &mut Path,
    ) -> Result<NodeId> {
        if matches!(assigner, WindowAssigner::Session { .. }) {
            return Err(Diagnostic::at(place, "SESSION without GROUP BY window_start, window_end is not supported")
                .help("aggregate its rows; expressions in front of it must not use window_start, window_end or window_time"));
        }
        let from = self.add(input, path)?;
        let uid = self.uids.operator(path, "window-assign");
        let label = format!("WindowAssign {}", label(&assigner));
        let kind = NodeKind::WindowAssign(WindowAssign { assigner, time });
        Ok(self.push(uid, label, forward(from), kind, output))
    }

    pub(super) fn add_window_aggregate(
        &mut self,
        input: Rel,
        aggregate: WindowAggregate,
        output: SchemaRef,
        path: &mut Path,
    ) -> Result<NodeId> {
        let from = self.add(input, path)?;
        let uid = self.uids.operator(path, AGGREGATE);
        let label = format!("WindowAggregate {}", label(&aggregate.assigner));
        let inputs = by_key(from, &aggregate.keys);
        Ok(self.push(uid, label, inputs, NodeKind::WindowAggregate(aggregate), output))
    }
}

/// The label of an assigner. Meanings contain it too, and are kept in checkpoints: never change it.
pub(super) fn label(assigner: &WindowAssigner) -> String {
    let offset =
        |offset_ms: i64| if offset_ms == 0 { String::new() } else { format!(", offset {}", display(offset_ms)) };
    match assigner {
        WindowAssigner::Tumble { size_ms, offset_ms } => format!("TUMBLE({}{})", display(*size_ms), offset(*offset_ms)),
        WindowAssigner::Hop { size_ms, slide_ms, offset_ms } => {
            format!("HOP({} every {}{})", display(*size_ms), display(*slide_ms), offset(*offset_ms))
        }
        WindowAssigner::Cumulate { size_ms, step_ms, offset_ms } => {
            format!("CUMULATE({} by {}{})", display(*size_ms), display(*step_ms), offset(*offset_ms))
        }
        WindowAssigner::Session { gap_ms } => format!("SESSION(gap {})", display(*gap_ms)),
        WindowAssigner::Attached { .. } => "windows of the rows".to_owned(),
    }
}

/// The rows after an assigner.
pub(super) fn assigned(assign: &WindowAssign, input: Rows) -> Rows {
    let window = format!("{} by {}", label(&assign.assigner), input.time(&assign.time));
    let mut rows = input;
    // An assigner repeats a row for each of its windows, so these are other rows.
    rows.from = rows.from.iter().map(|from| short(format!("{from} in {window}"))).collect();
    let added = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];
    rows.columns.extend(added.map(|column| format!("{} of {window}", column_name(column))));
    rows
}

fn column_name(column: WindowColumn) -> &'static str {
    match column {
        WindowColumn::Start => "window_start",
        WindowColumn::End => "window_end",
        WindowColumn::Time => "window_time",
    }
}

/// The meaning of a window aggregation, and its result rows.
pub(super) fn aggregated(aggregate: &WindowAggregate, input: &Rows) -> (Option<Meaning>, Rows) {
    let window = match &aggregate.assigner {
        WindowAssigner::Attached { start, end } => {
            format!("from {} to {}", input.column(*start), input.column(*end))
        }
        cut => label(cut),
    };
    let calls = aggregate.aggregates.iter().map(|call| input.call(call));
    // A hopping window keeps its accumulators in another form if rows can be retracted from all of its aggregates. So
    // the set of aggregates must be the same.
    let rule = if matches!(aggregate.assigner, WindowAssigner::Hop { .. }) { Rule::AnyOrder } else { Rule::Fewer };
    let keys = input.all(&aggregate.keys);
    let [from, conditions] = input.facts();
    let facts = vec![
        Fact::one("window", &window),
        Fact::of("time", aggregate.time.iter().map(|time| input.time(time)).collect(), Rule::Same),
        Fact::of("keys", keys.clone(), Rule::Same),
        from,
        conditions,
        Fact::of("aggregates", unique(calls.clone()), rule),
    ];
    let windows = aggregate.window_columns.iter().map(|column| column_name(*column).to_owned());
    let columns = keys.into_iter().chain(calls).chain(windows).collect();
    stateful(AGGREGATE, &window, facts, input, columns)
}
