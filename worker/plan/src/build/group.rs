//! GROUP BY without a window, and SELECT DISTINCT.

use arrow::datatypes::SchemaRef;
use eddyline_job_graph::{GroupAggregate, NodeId, NodeKind};
use eddyline_state::Meaning;
use eddyline_state::meaning::{Fact, Rule};

use super::meaning::{Rows, stateful, unique};
use super::uid::Path;
use super::{Builder, by_key};
use crate::bind::relation::Rel;
use crate::diagnostics::Result;

const AGGREGATE: &str = "group-aggregate";

impl Builder {
    pub(super) fn add_group_aggregate(
        &mut self,
        input: Rel,
        aggregate: GroupAggregate,
        output: SchemaRef,
        path: &mut Path,
    ) -> Result<NodeId> {
        let from = self.add(input, path)?;
        let uid = self.uids.operator(path, AGGREGATE);
        let label = if aggregate.aggregates.is_empty() { "GroupAggregate DISTINCT" } else { "GroupAggregate" };
        let inputs = by_key(from, &aggregate.keys);
        Ok(self.push(uid, label.to_owned(), inputs, NodeKind::GroupAggregate(aggregate), output))
    }
}

/// The meaning of an aggregation over all rows, and its result rows.
pub(super) fn aggregated(aggregate: &GroupAggregate, input: &Rows) -> (Option<Meaning>, Rows) {
    let calls = aggregate.aggregates.iter().map(|call| input.call(call));
    let keys = input.all(&aggregate.keys);
    let [from, conditions] = input.facts();
    let facts = vec![
        Fact::of("keys", keys.clone(), Rule::Same),
        from,
        conditions,
        Fact::of("aggregates", unique(calls.clone()), Rule::Fewer),
    ];
    let columns = keys.into_iter().chain(calls).collect();
    stateful(AGGREGATE, "over all rows", facts, input, columns)
}
