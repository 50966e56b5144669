//! The note in the staging folder of a sink. It records which commits have begun.
//!
//! Before the first part of a checkpoint is made visible, all its parts are found in the staging folder, and the note
//! records the checkpoint. If a commit is repeated and a part does not exist, the note says that the part existed when
//! the commit began: it was made visible, and a reader has removed it. Without the note, the part is lost.
//!
//! Checkpoints of one history are committed in the order of their numbers, so the note has only the newest one of a
//! history. A job can return to a savepoint of an earlier history, so the latest few histories are kept.

use std::iter;

use eddyline_stream::CheckpointId;
use serde::{Deserialize, Serialize};

use super::store::Store;
use crate::Error;

/// The number of histories that are kept in addition to that of the last commit. If a part of a forgotten history does
/// not exist, it counts as lost.
const EARLIER_MAX: usize = 16;

/// The note of a sink. It is stored beside output: extend it, never change a meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CommitNote {
    /// The last commit that has begun.
    #[serde(flatten)]
    last: Begun,
    /// Whether nothing is left of releases that staged in the folders of partitions.
    #[serde(default)]
    pub(super) is_tidy: bool,
    /// The last commits that have begun in other histories, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Begun>,
}

/// The newest checkpoint of a history whose commit has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    /// The history of the checkpoint's number. Empty before the first commit.
    history: String,
    checkpoint: u64,
}

impl CommitNote {
    /// Reads the note at a path. A note that cannot be read counts as none.
    pub(super) async fn read(store: &Store, path: &str) -> Result<Self, Error> {
        let Some(file) = store.head(path).await? else { return Ok(Self::default()) };
        let bytes = store.read(path, 0..file.size).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Stores the note durably.
    pub(super) async fn write(&self, store: &Store, path: &str) -> Result<(), Error> {
        store.replace(path, serde_json::to_vec(self).expect("plain data")).await
    }

    /// Whether the commit of a checkpoint had begun. Commits of one history come in order.
    pub(super) fn has_begun(&self, history: &str, checkpoint: CheckpointId) -> bool {
        let mut all = iter::once(&self.last).chain(&self.earlier);
        all.any(|begun| begun.history == history && begun.checkpoint >= checkpoint.number())
    }

    /// Records that the commit of a checkpoint begins.
    pub(super) fn begin(&mut self, history: &str, checkpoint: CheckpointId) {
        let begun = Begun { history: history.to_owned(), checkpoint: checkpoint.number() };
        let before = std::mem::replace(&mut self.last, begun);
        if !before.history.is_empty() {
            self.earlier.insert(0, before);
        }
        self.earlier.retain(|earlier| earlier.history != history);
        self.earlier.truncate(EARLIER_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> CheckpointId {
        CheckpointId::new(number)
    }

    #[test]
    fn numbers_are_compared_within_their_history_only() {
        let mut note = CommitNote::default();
        assert!(!note.has_begun("", id(1)));
        for (history, checkpoint) in [("a", 1), ("a", 7), ("b", 9), ("c", 12), ("b", 14)] {
            note.begin(history, id(checkpoint));
        }
        for (history, begun) in [("a", 7), ("b", 14), ("c", 12)] {
            assert!(note.has_begun(history, id(begun)) && note.has_begun(history, id(begun - 1)), "{history}");
            assert!(!note.has_begun(history, id(begun + 1)), "{history}");
        }
        assert!(!note.has_begun("d", id(1)));
    }

    #[test]
    fn the_histories_that_are_forgotten_are_the_oldest() {
        let mut note = CommitNote::default();
        let name = |number: u64| format!("h{number}");
        for number in 0..100 {
            note.begin(&name(number), id(number + 1));
        }
        let known = (0..100).filter(|number| note.has_begun(&name(*number), id(1)));
        assert_eq!(known.collect::<Vec<_>>(), (100 - 17..100).collect::<Vec<_>>());
    }

    /// Notes are kept beside output for longer than a release.
    #[test]
    fn notes_of_the_first_form_are_read_and_the_first_form_can_read_what_is_written() {
        let first: CommitNote =
            serde_json::from_str(r#"{"history":"1b2c3d4e","checkpoint":7,"is_tidy":true}"#).expect("the first form");
        assert!(first.is_tidy && first.has_begun("1b2c3d4e", id(7)) && !first.has_begun("1b2c3d4e", id(8)));
        let mut next = first;
        next.begin("5f60718a", id(9));
        assert_eq!(
            serde_json::to_string(&next).expect("plain data"),
            r#"{"history":"5f60718a","checkpoint":9,"is_tidy":true,"earlier":[{"history":"1b2c3d4e","checkpoint":7}]}"#
        );
    }
}
