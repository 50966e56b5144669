//! UNION ALL.

use arrow::datatypes::SchemaRef;
use eddyline_job_graph::{Edge, NodeId, NodeKind, Partitioning};

use super::Builder;
use super::canonical::short;
use super::meaning::{Rows, unique};
use super::uid::Path;
use crate::bind::relation::Rel;
use crate::diagnostics::Result;

impl Builder {
    pub(super) fn add_union(&mut self, inputs: Vec<Rel>, output: SchemaRef, path: &mut Path) -> Result<NodeId> {
        let mut edges = Vec::with_capacity(inputs.len());
        for input in inputs {
            let from = self.add_as(input, &output, path)?;
            edges.push(Edge { from, partitioning: Partitioning::Forward });
        }
        let uid = self.uids.operator(path, "union");
        Ok(self.push(uid, "Union".to_owned(), edges, NodeKind::Union, output))
    }
}

/// The rows of all inputs. The order of the inputs plays no part.
pub(super) fn rows(inputs: &mut Vec<&Rows>) -> Rows {
    let branch = |rows: &Rows| {
        let mut text = rows.from.join(" and ");
        if !rows.conditions.is_empty() {
            text.push_str(&format!(" where {}", unique(rows.conditions.clone()).join(" and ")));
        }
        short(text)
    };
    inputs.sort_by_cached_key(|rows| (branch(rows), rows.columns.clone(), rows.sources.clone()));
    let width = inputs.first().map_or(0, |rows| rows.columns.len());
    let column = |index: usize| {
        let of_branches: Vec<String> = inputs.iter().map(|rows| rows.column(index)).collect();
        let is_one = of_branches.iter().all(|text| *text == of_branches[0]);
        if is_one { of_branches[0].clone() } else { short(of_branches.join(" | ")) }
    };
    Rows {
        from: inputs.iter().map(|rows| branch(rows)).collect(),
        conditions: Vec::new(),
        sources: inputs.iter().flat_map(|rows| rows.sources.clone()).collect(),
        columns: (0..width).map(column).collect(),
    }
}
