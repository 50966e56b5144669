//! The distribution of streams: by which key columns rows are in the slot that owns their key group.
//!
//! A keyed operator produces rows that are distributed by the same key, if the key columns are among its output
//! columns. Another operator that needs rows by that key, with the columns in that order, needs no exchange before it.

use crate::{Edge, Node, NodeKind, Partitioning};

/// The columns of a node's output whose key hash distributes its rows, in the order of the key. `None` if the rows are
/// not distributed by key. An empty list: all rows are in one slot. `inputs` gives the same for the nodes that its
/// edges come from.
pub fn distribution<'a>(node: &Node, inputs: impl Fn(&Edge) -> Option<&'a [usize]>) -> Option<Vec<usize>> {
    let of_input = || {
        let edge = node.inputs.first()?;
        match &edge.partitioning {
            Partitioning::Forward => inputs(edge).map(<[usize]>::to_vec),
            Partitioning::Hash(keys) => Some(keys.clone()),
        }
    };
    match &node.kind {
        NodeKind::Source(_) | NodeKind::Sink(_) => None,
        NodeKind::Calc(calc) => {
            let place = |key: usize| calc.columns.iter().position(|column| column.expression.as_column() == Some(key));
            of_input()?.into_iter().map(place).collect()
        }
        NodeKind::WindowAggregate(aggregate) => Some((0..aggregate.keys.len()).collect()),
        NodeKind::GroupAggregate(aggregate) => Some((0..aggregate.keys.len()).collect()),
        // Their output begins with the columns of the input.
        NodeKind::WindowAssign(_) | NodeKind::LocalWindowAggregate(_) | NodeKind::Over(_) => of_input(),
        NodeKind::Union => {
            let first = of_input()?;
            let same =
                |edge: &Edge| edge.partitioning == Partitioning::Forward && inputs(edge) == Some(first.as_slice());
            node.inputs.iter().all(same).then_some(first)
        }
    }
}

/// [`distribution`] of every node of a graph; nodes come after their inputs.
pub fn distributions(nodes: &[Node]) -> Vec<Option<Vec<usize>>> {
    let mut known: Vec<Option<Vec<usize>>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let found = distribution(node, |edge| known[edge.from].as_deref());
        known.push(found);
    }
    known
}
