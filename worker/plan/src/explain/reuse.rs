//! Operators whose rows go to several places, as Flink's EXPLAIN shows them: `(reuse_id=[1])` where the operator stands, and
//! `Reused(reference_id=[1])` at each place that takes its rows, but for the first.

use eddyline_job_graph::{JobGraph, NodeId};

/// Numbers operators with several receivers, and knows which of them have been met.
pub(super) struct Reuse {
    /// For each node its number, and whether the first receiver has been met.
    nodes: Vec<Option<(usize, bool)>>,
}

impl Reuse {
    pub(super) fn of(graph: &JobGraph) -> Self {
        let mut numbers = 1..;
        let number = |receivers| if receivers > 1 { numbers.next().map(|number| (number, false)) } else { None };
        Self { nodes: graph.consumers().into_iter().map(number).collect() }
    }

    /// The text after the label of an operator.
    pub(super) fn declared(&self, node: NodeId) -> String {
        self.nodes[node].map_or_else(String::new, |(number, _)| format!("(reuse_id=[{number}])"))
    }

    /// The text after the next place that takes the rows of an operator.
    pub(super) fn referred(&mut self, node: NodeId) -> String {
        match &mut self.nodes[node] {
            Some((number, true)) => format!(" Reused(reference_id=[{number}])"),
            Some((_, is_met)) => {
                *is_met = true;
                String::new()
            }
            None => String::new(),
        }
    }
}
