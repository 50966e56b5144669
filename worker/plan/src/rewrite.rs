//! The third stage: rewrites trees into cheaper trees that produce the same rows.

use crate::bind::insert::BoundInsert;

mod prune;

pub(crate) use prune::Usage;
use prune::prune;

/// INSERTs that read only the columns they need.
pub(crate) struct Rewritten {
    /// The INSERTs, in the order of the script.
    pub inserts: Vec<BoundInsert>,
    /// The columns that they read of each table.
    pub usage: Usage,
}

/// Rewrites all INSERTs of a job.
pub(crate) fn rewrite(inserts: Vec<BoundInsert>) -> Rewritten {
    let mut usage = Usage::new();
    let rewritten = inserts.into_iter().map(|insert| {
        let all: Vec<usize> = (0..insert.rel.schema.fields().len()).collect();
        BoundInsert { rel: prune(insert.rel, &all, &mut usage), ..insert }
    });
    Rewritten { inserts: rewritten.collect(), usage }
}
