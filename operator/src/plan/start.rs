//! The first revision of a job.

use std::sync::Arc;

use eddyline_crds::savepoint::SavepointPhase;
use eddyline_crds::status::{Phase, Revision};

use super::pass::{Pass, UNREADY, WAITING};
use crate::events::Reason;
use crate::revision::From;

pub(super) fn decide(pass: &mut Pass<'_>) {
    pass.status.phase = Phase::Pending;
    let Some(accepted) = pass.verdict.accepted() else {
        pass.wait(if pass.seen.job.spec.sql_from.is_some() { UNREADY } else { WAITING });
        return;
    };
    if pass.seen.wants_suspension() {
        pass.status.phase = Phase::Suspended;
        pass.wait(WAITING);
        return;
    }
    // A batch job of the predecessor would treat this job's state as that one's.
    let is_free = pass.seen.predecessors.is_empty();
    let Some(from) = source(pass).ok().filter(|_| is_free) else {
        pass.wait(UNREADY);
        return;
    };
    let record = Arc::new(accepted.record.clone());
    pass.begin_revision(record, accepted.hash.clone(), pass.seen.generation(), &from);
    pass.status.phase = Phase::Starting;
    pass.apply_children();
}

/// What the job should start from, if it has never run and `restoreFrom` was corrected.
pub(super) fn corrected(pass: &Pass<'_>) -> Option<From> {
    let revision = pass.status.revision.as_ref()?;
    pass.wanted()?;
    if !is_untried(revision) || pass.status.checkpoint.is_some() || pass.seen.wants_suspension() {
        return None;
    }
    // Removing `restoreFrom` is not a correction: a start without state needs a clearer request.
    let from = source(pass).ok().filter(|from| matches!(from, From::Savepoint(_)))?;
    (from != From::of(revision)).then_some(from)
}

/// Whether neither the revision nor an earlier one was ever Ready.
pub(super) fn is_untried(revision: &Revision) -> bool {
    (revision.is_first || revision.number == 1) && !revision.was_ready
}

/// Starts again, from another state.
pub(super) fn again(pass: &mut Pass<'_>, from: &From) {
    let Some(accepted) = pass.verdict.accepted() else { return };
    let was = pass.status.revision.as_ref().map(|revision| revision.from.clone()).unwrap_or_default();
    let record = Arc::new(accepted.record.clone());
    pass.status.operation = None;
    pass.status.phase = Phase::Starting;
    pass.begin_revision(record, accepted.hash.clone(), pass.seen.generation(), from);
    pass.emit(Reason::Restarting, format!("starts from {from} instead of {was}, as restoreFrom says now"));
}

/// What the first revision starts from.
///
/// # Errors
/// What the revision has to wait for.
pub(crate) fn source(pass: &Pass<'_>) -> Result<From, String> {
    let restore = &pass.seen.job.spec.restore_from;
    if let Some(uri) = &restore.uri {
        return Ok(From::Savepoint(uri.clone()));
    }
    let Some(reference) = &restore.savepoint_ref else {
        return Ok(From::Empty);
    };
    let Some(savepoint) = &pass.seen.restore_from else {
        return Err(format!("waiting for the Savepoint {} of restoreFrom: it does not exist", reference.name));
    };
    let status = savepoint.status.clone().unwrap_or_default();
    match (status.phase, status.uri) {
        (SavepointPhase::Completed, Some(uri)) => Ok(From::Savepoint(uri)),
        (phase, _) => {
            Err(format!("waiting for the Savepoint {} of restoreFrom: it is {}", reference.name, phase.as_str()))
        }
    }
}
