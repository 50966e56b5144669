//! Stable names of operators. A name follows from the table of the INSERT and the operator's place on the path to it,
//! and from nothing else in the script. An operator with state gets another name later, from its meaning.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_stream::OperatorUid;

/// Assigns the uids of a job.
#[derive(Debug, Default)]
pub(crate) struct Uids {
    taken: BTreeSet<String>,
}

impl Uids {
    /// The uid of the source of a table.
    pub(crate) fn source(&mut self, table: &str) -> OperatorUid {
        self.unique(format!("source/{table}"))
    }

    /// The common prefix of the operators of an INSERT: the name of its table, with a number from the second INSERT
    /// into that table on.
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

/// The operators of one INSERT, counted by kind from the sources to the sink.
#[derive(Debug)]
pub(crate) struct Path {
    name: String,
    counts: BTreeMap<&'static str, usize>,
}
