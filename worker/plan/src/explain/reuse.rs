//! Operators with several consumers, in the notation of Flink's EXPLAIN. The operator itself is marked
//! `(reuse_id=[1])`. Each consumer but the first is marked `Reused(reference_id=[1])`.

use eddyline_job_graph::{JobGraph, NodeId};

/// Numbers the operators with several consumers, and records which of them EXPLAIN has already shown as an input.
pub(super) struct Reuse {
    /// For each node its number, and whether its first consumer has been shown.
    nodes: Vec<Option<(usize, bool)>>,
}

impl Reuse {
    pub(super) fn of(graph: &JobGraph) -> Self {
        let mut numbers = 1..;
        let number = |receivers| if receivers > 1 { numbers.next().map(|number| (number, false)) } else { None };
        Self { nodes: graph.consumers().into_iter().map(number).collect() }
    }

    /// The mark after the label of an operator.
    pub(super) fn declared(&self, node: NodeId) -> String {
        self.nodes[node].map_or_else(String::new, |(number, _)| format!("(reuse_id=[{number}])"))
    }

    /// The mark at the next consumer of an operator.
    pub(super) fn referred(&mut self, node: NodeId) -> String {
        match &mut self.nodes[node] {
            Some((number, true)) => format!(" Reused(reference_id=[{number}])"),
            Some((_, is_shown)) => {
                *is_shown = true;
                String::new()
            }
            None => String::new(),
        }
    }
}
