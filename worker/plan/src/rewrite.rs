//! The third stage: trees that give the same rows for less.

use crate::bind::insert::BoundInsert;

mod prune;

pub(crate) use prune::Usage;
use prune::prune;

/// Inserts that read only what they need.
pub(crate) struct Rewritten {
    /// The inserts, in the order of the script.
    pub inserts: Vec<BoundInsert>,
    /// What they read of tables.
    pub usage: Usage,
}

/// Rewrites all inserts of a job.
pub(crate) fn rewrite(inserts: Vec<BoundInsert>) -> Rewritten {
    let mut usage = Usage::new();
    let rewritten = inserts.into_iter().map(|insert| {
        let all: Vec<usize> = (0..insert.rel.schema.fields().len()).collect();
        BoundInsert { rel: prune(insert.rel, &all, &mut usage), ..insert }
    });
    Rewritten { inserts: rewritten.collect(), usage }
}
