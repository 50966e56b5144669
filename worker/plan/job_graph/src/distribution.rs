//! By which columns the rows of a stream are distributed: which of them are in the slot that owns their key group.
//!
//! An operator whose rows come by key gives rows that are distributed by the same key, as long as its columns are among those
//! that it gives. Another operator that wants them by that key, with the columns in that order, needs no exchange in front.

use crate::{Edge, Node, NodeKind, Partitioning};

/// The columns of a node's output by whose key hash its rows are distributed, in the order of the key; none if they are not
/// distributed by key. No columns: all rows are in one slot. `inputs` says the same of the nodes that its edges come from.
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
