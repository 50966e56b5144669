//! What a sink notes in its staging folder: which commit it has begun.
//!
//! Before the first part of a checkpoint is made visible, all of them are found in the staging folder and the checkpoint is
//! noted. When a commit is repeated, a part that is nowhere was there when the commit began: it was made visible, and a
//! reader has taken it away since. Without the note it is lost.

use eddyline_stream::CheckpointId;
use serde::{Deserialize, Serialize};

use super::store::Store;
use crate::Error;

/// The note of a sink. Lies beside output: extend it, never change a meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CommitNote {
    /// The history that the checkpoint's number belongs to.
    pub(super) history: String,
    /// The checkpoint whose commit has begun.
    pub(super) checkpoint: u64,
    /// Nothing is left of releases that staged in the folders of partitions.
    #[serde(default)]
    pub(super) is_tidy: bool,
}

impl CommitNote {
    /// The note at a path. One that cannot be understood counts as none.
    pub(super) async fn read(store: &Store, path: &str) -> Result<Self, Error> {
        let Some(file) = store.head(path).await? else { return Ok(Self::default()) };
        let bytes = store.read(path, 0..file.size).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Makes it durable.
    pub(super) async fn write(&self, store: &Store, path: &str) -> Result<(), Error> {
        store.replace(path, serde_json::to_vec(self).expect("plain data")).await
    }

    /// Whether the commit of a checkpoint had begun: commits come in order.
    pub(super) fn has_begun(&self, history: &str, checkpoint: CheckpointId) -> bool {
        self.history == history && self.checkpoint >= checkpoint.number()
    }
}
