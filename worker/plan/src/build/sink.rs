//! Sinks: the end of an INSERT, with exactly the columns that the table declares.

use eddyline_job_graph::{NodeKind, SinkNode};

use super::{Builder, forward, unchecked};
use crate::bind::catalog::Catalog;
use crate::bind::insert::BoundInsert;
use crate::diagnostics::Result;

impl Builder {
    /// Adds all operators of an INSERT, including its sink.
    pub(super) fn add_insert(&mut self, tables: &Catalog, insert: BoundInsert) -> Result<()> {
        let table = tables.table(&insert.table, insert.span)?;
        let config = table.sink().map_err(|error| unchecked(error, insert.span))?;
        let mut path = self.uids.path(&insert.table);
        let last = self.add_as(insert.rel, &insert.output, &mut path)?;
        let uid = self.uids.sink(&path);
        let (table, constraints) = (table.descriptor.clone(), insert.constraints);
        let node = SinkNode { table, parallelism: config.parallelism(), constraints };
        let label = format!("Sink {}", insert.table);
        let id = self.push(uid, label, forward(last), NodeKind::Sink(Box::new(node)), insert.output);
        self.at(insert.span, id);
        Ok(())
    }
}
