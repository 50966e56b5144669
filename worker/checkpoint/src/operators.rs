//! What a job says about its operators: what a checkpoint notes beside their state, and what a restore compares with.

use eddyline_state::{Meaning, StateTable};
use eddyline_stream::OperatorUid;

/// An operator of a job.
#[derive(Clone, Debug)]
pub struct JobOperator {
    /// Its name.
    pub uid: OperatorUid,
    /// The name that it has in checkpoints which do not say what operators compute.
    pub former_uid: OperatorUid,
    /// What it computes, if it has state.
    pub meaning: Option<Meaning>,
    /// The tables of keyed state that it keeps.
    pub tables: Vec<StateTable>,
}

impl JobOperator {
    /// An operator that is known by its name alone.
    pub fn named(uid: OperatorUid, tables: Vec<StateTable>) -> Self {
        Self { former_uid: uid.clone(), uid, meaning: None, tables }
    }
}
