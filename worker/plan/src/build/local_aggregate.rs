//! The first phase of a window aggregation, before its exchange.

use eddyline_job_graph::{Edge, JobGraph, Node, NodeId, NodeKind, Partitioning, WindowAggregate};
use eddyline_stream::OperatorUid;

use super::window;

/// Adds a local aggregation before each exchange whose aggregation can have two phases. A local aggregation has no
/// state, so a checkpoint fits a job with and without it.
pub(super) fn add_to(graph: JobGraph) -> JobGraph {
    if !graph.settings.two_phase_aggregation {
        return graph;
    }
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    // The new index of each node of the graph.
    let mut places: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    for mut node in graph.nodes {
        for edge in &mut node.inputs {
            edge.from = places[edge.from];
        }
        if let (NodeKind::WindowAggregate(aggregate), [edge]) = (&node.kind, node.inputs.as_mut_slice())
            && aggregate.has_two_phases()
            && edge.partitioning != Partitioning::Forward
        {
            let local = local(aggregate, &node.uid, &nodes[edge.from], edge.from);
            nodes.push(local);
            edge.from = nodes.len() - 1;
        }
        places.push(nodes.len());
        nodes.push(node);
    }
    JobGraph { nodes, ..graph }
}

fn local(aggregate: &WindowAggregate, uid: &OperatorUid, input: &Node, from: NodeId) -> Node {
    let uid = OperatorUid::new(format!("{uid}/local"));
    Node {
        former_uid: uid.clone(),
        uid,
        label: format!("LocalWindowAggregate {}", window::label(&aggregate.assigner)),
        inputs: vec![Edge { from, partitioning: Partitioning::Forward }],
        kind: NodeKind::LocalWindowAggregate(aggregate.clone()),
        schema: input.schema.clone(),
        changelog: input.changelog,
        origins: input.origins.clone(),
        meaning: None,
    }
}
