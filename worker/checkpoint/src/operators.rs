//! What a job declares about its operators. A checkpoint records it with their state, and a restore compares it.

use eddyline_state::{Meaning, StateTable};
use eddyline_stream::OperatorUid;

/// An operator of a job.
#[derive(Clone, Debug)]
pub struct JobOperator {
    /// Its name.
    pub uid: OperatorUid,
    /// Its name in checkpoints that do not record what operators compute.
    pub former_uid: OperatorUid,
    /// What it computes, if it has state.
    pub meaning: Option<Meaning>,
    /// The tables of keyed state that it keeps.
    pub tables: Vec<StateTable>,
}

impl JobOperator {
    /// An operator that is identified by its name only.
    pub fn named(uid: OperatorUid, tables: Vec<StateTable>) -> Self {
        Self { former_uid: uid.clone(), uid, meaning: None, tables }
    }
}
