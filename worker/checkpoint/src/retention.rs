//! Decides what no kept checkpoint needs. [`crate::collector`] removes it.
//!
//! [`doomed`] and [`doomed_staged`] are pure functions of a listing. The order is staged output, data, manifests, each
//! oldest first. A crash at any point therefore leaves only files that the next removal finds.

use std::collections::BTreeSet;

use eddyline_stream::{Attempt, CheckpointId};

use crate::paths;
use crate::storage::Entry;

/// Files of dead attempts are kept for this long, in milliseconds by the store's clock, because a process may still
/// read or write one.
pub const AGE_MS: i64 = 3_600_000;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Run files and manifests, and unfinished files of any kind that a dead process has left.
    pub files: usize,
    /// Staged output that is published, or that no checkpoint refers to.
    pub staged: usize,
    /// Control records.
    pub records: usize,
}

/// What a leader knows about the files that are needed.
#[derive(Clone, Debug)]
pub(crate) struct Needed {
    pub current: Attempt,
    pub latest: CheckpointId,
    /// The kept manifests and the run files that they name.
    pub names: BTreeSet<String>,
}

/// The listed manifests and run files that may be removed, in the order in which to do it.
pub(crate) fn doomed(listed: &[Entry], needed: &Needed, now_ms: i64) -> Vec<String> {
    let mut doomed: Vec<(bool, CheckpointId, &str)> = listed
        .iter()
        .filter(|entry| !needed.names.contains(&entry.name))
        .filter_map(|entry| {
            let (checkpoint, attempt) = paths::writer_of(&entry.name)?;
            let is_old = entry.modified_ms.saturating_add(AGE_MS) <= now_ms;
            let may_go = match attempt.cmp(&needed.current) {
                // A newer attempt has taken over: this process must not remove its files.
                std::cmp::Ordering::Greater => false,
                // Those above the latest are in flight.
                std::cmp::Ordering::Equal => checkpoint <= needed.latest,
                std::cmp::Ordering::Less => is_old,
            };
            let is_manifest = entry.name.starts_with(paths::CHECKPOINTS);
            may_go.then_some((is_manifest, checkpoint, entry.name.as_str()))
        })
        .collect();
    doomed.sort_unstable();
    doomed.into_iter().map(|(_, _, name)| name.to_owned()).collect()
}

/// What is known about staged output: names in committables, and the running attempt.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub current: Attempt,
    /// Named by checkpoints whose commits may have to be repeated.
    pub open: BTreeSet<String>,
    /// Named by checkpoints whose commits are done.
    pub done: BTreeSet<String>,
}

/// The listed staged output that no commit needs. That is output which a commit has published, and old output of a dead
/// attempt to which no checkpoint refers. A part `attempt-{number}` of the name says which attempt has staged it;
/// without that part, the output is removed only when it is known to be published.
pub(crate) fn doomed_staged(listed: &[Entry], staged: &Staged, now_ms: i64) -> Vec<String> {
    let may_go = |entry: &&Entry| {
        let Some(name) = entry.name.strip_prefix(paths::STAGED).and_then(|name| name.strip_prefix('/')) else {
            return false;
        };
        let is_old = entry.modified_ms.saturating_add(AGE_MS) <= now_ms;
        let is_dead = attempt_of(name).is_some_and(|attempt| attempt < staged.current);
        !staged.open.contains(name) && (staged.done.contains(name) || (is_dead && is_old))
    };
    listed.iter().filter(may_go).map(|entry| entry.name.clone()).collect()
}

fn attempt_of(name: &str) -> Option<Attempt> {
    name.split('/').find_map(|part| part.strip_prefix("attempt-")?.parse().ok()).map(Attempt::new)
}

/// All texts in a value. The names of staged objects are among them, wherever the connector has put them.
pub(crate) fn texts(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) => {
            found.insert(text.clone());
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, modified_ms: i64) -> Entry {
        Entry { name: name.to_owned(), bytes: 1, modified_ms }
    }

    #[test]
    fn data_goes_before_manifests_and_what_is_needed_stays() {
        let needed = Needed {
            current: Attempt::new(3),
            latest: CheckpointId::new(9),
            names: ["chk/0000000009-3/manifest", "state/0000000003/leader/0000000007.run"].map(str::to_owned).into(),
        };
        let listed = [
            entry("chk/0000000009-3/manifest", 0),
            entry("chk/0000000008-3/manifest", 0),
            entry("chk/0000000007-3/manifest", 0),
            entry("chk/0000000010-3/manifest", 0),
            entry("chk/0000000007-4/manifest", 0),
            entry("state/0000000003/leader/0000000006.run", 0),
            entry("state/0000000003/leader/0000000007.run", 0),
            entry("state/0000000002/leader/0000000004.run", AGE_MS),
            entry("state/0000000002/leader/0000000003.run", 0),
            entry("state/notes.txt", 0),
        ];
        let gone = doomed(&listed, &needed, AGE_MS);
        assert_eq!(
            gone,
            [
                "state/0000000002/leader/0000000003.run",
                "state/0000000003/leader/0000000006.run",
                "chk/0000000007-3/manifest",
                "chk/0000000008-3/manifest",
            ]
        );
    }

    #[test]
    fn staged_output_stays_until_its_commit_is_done() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let staged = Staged {
            current: Attempt::new(3),
            open: names(&["sink/attempt-2/open", "sink/attempt-3/open", "both"]),
            done: names(&["sink/attempt-3/done", "done", "both"]),
        };
        let listed = [
            entry("staged/both", 0),
            entry("staged/done", AGE_MS),
            entry("staged/other", 0),
            entry("staged/sink/attempt-2/left", 0),
            entry("staged/sink/attempt-2/left-lately", 1),
            entry("staged/sink/attempt-2/open", 0),
            entry("staged/sink/attempt-3/done", AGE_MS),
            entry("staged/sink/attempt-3/open", 0),
            entry("staged/sink/attempt-3/on-its-way", 0),
        ];
        let gone = doomed_staged(&listed, &staged, AGE_MS);
        assert_eq!(gone, ["staged/done", "staged/sink/attempt-2/left", "staged/sink/attempt-3/done"]);
    }
}
