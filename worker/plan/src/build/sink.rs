//! Sinks: the end of an insert, with the columns exactly as the table declares them.

use eddyline_connectors::config::SinkConfig;
use eddyline_job_graph::{NodeKind, SinkNode};

use super::{Builder, forward, unchecked};
use crate::bind::catalog::Catalog;
use crate::bind::insert::BoundInsert;
use crate::diagnostics::Result;

impl Builder {
    /// Adds all operators of an insert, and its sink.
    pub(super) fn add_insert(&mut self, tables: &Catalog, insert: BoundInsert) -> Result<()> {
        let table = tables.table(&insert.table, insert.span)?;
        let config = SinkConfig::parse(&table.descriptor).map_err(|error| unchecked(&error, insert.span))?;
        let mut path = self.uids.path(&insert.table);
        let first = self.graph.nodes.len();
        let last = self.add(insert.rel, &mut path)?;
        let last = self.with_schema(last, &insert.output, &mut path);
        let uid = self.uids.sink(&path);
        let (table, constraints) = (table.descriptor.clone(), insert.constraints);
        let node = SinkNode { table, parallelism: config.parallelism(), constraints };
        let label = format!("Sink {}", insert.table);
        self.push(uid, label, forward(last), NodeKind::Sink(Box::new(node)), insert.output);
        self.tables.extend((first..self.graph.nodes.len()).map(|id| (id, insert.table.clone())));
        Ok(())
    }
}
