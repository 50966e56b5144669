//! Stable names of operators: state is found again by them, so they follow from the insert's table and the place of
//! the operator on the way to it, and from nothing else in the script.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_stream::OperatorUid;

/// Gives out the uids of a job.
#[derive(Debug, Default)]
pub(crate) struct Uids {
    taken: BTreeSet<String>,
}

impl Uids {
    /// The uid of the source of a table.
    pub(crate) fn source(&mut self, table: &str) -> OperatorUid {
        self.unique(format!("source/{table}"))
    }

    /// The name under which the operators of an insert stand: that of its table, with a number behind it for the second
    /// insert and those after it.
    pub(crate) fn path(&mut self, table: &str) -> Path {
        let mut name = table.to_owned();
        let mut number = 1;
        while !self.taken.insert(format!("path/{name}")) {
            number += 1;
            name = format!("{table}-{number}");
        }
        Path { name, counts: BTreeMap::new() }
    }

    /// The uid of the sink at the end of a path.
    pub(crate) fn sink(&mut self, path: &Path) -> OperatorUid {
        self.unique(format!("sink/{}", path.name))
    }

    /// The uid of the next operator of a kind on a path.
    pub(crate) fn operator(&mut self, path: &mut Path, kind: &'static str) -> OperatorUid {
        let count = path.counts.entry(kind).or_insert(0);
        *count += 1;
        let text = format!("{}/{kind}-{count}", path.name);
        self.unique(text)
    }

    fn unique(&mut self, text: String) -> OperatorUid {
        let mut candidate = text.clone();
        let mut number = 1;
        while !self.taken.insert(candidate.clone()) {
            number += 1;
            candidate = format!("{text}#{number}");
        }
        OperatorUid::new(candidate)
    }
}

/// The operators of one insert, counted by kind from the sources to the sink.
#[derive(Debug)]
pub(crate) struct Path {
    name: String,
    counts: BTreeMap<&'static str, usize>,
}
