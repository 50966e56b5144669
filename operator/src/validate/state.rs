//! Whether the state of the running job fits the wanted SQL. This is checked before the old revision stops, with the
//! same comparison as a worker uses when it restores.

use eddyline_crds::stream_job::UpgradeMode;

use super::planning::{Planned, Planner};
use crate::observed::Observed;
use crate::revision::Record;

/// Why the wanted spec, whose fingerprint is `hash`, cannot resume from the current state. None if it can.
pub(super) async fn objection(seen: &Observed, hash: &str, wanted: &Planned, planner: &Planner) -> Option<String> {
    let upgrade = &seen.job.spec.upgrade;
    if upgrade.mode == UpgradeMode::Stateless {
        return None;
    }
    let record = state_of(seen, hash)?;
    // SQL that an older version accepted may no longer plan. Then only the worker can compare.
    let before = planner.plan(record.sql(), &record.spec.config).await.ok()?;
    eddyline_plan::objection_to_state(&before.state, &wanted.state, &upgrade.allow_non_restored_state)
}

/// Why a rollback to the revision that is being replaced cannot use the state that its successor writes. None if it
/// can. SQL that no longer plans is not compared here: the worker compares when it restores.
pub async fn objection_to_return(seen: &Observed, planner: &Planner) -> Option<String> {
    let (old, new) = (seen.previous.as_deref()?, seen.record.as_deref()?);
    let written = planner.plan(new.sql(), &new.spec.config).await.ok()?;
    let wanted = planner.plan(old.sql(), &old.spec.config).await.ok()?;
    let objection =
        eddyline_plan::objection_to_state(&written.state, &wanted.state, &old.spec.upgrade.allow_non_restored_state)?;
    // The first line is advice for the author of new SQL, which does not apply here.
    Some(objection.lines().skip(1).map(str::trim).collect::<Vec<_>>().join("; "))
}

/// The revision whose state a new one would resume from, if there is any.
fn state_of<'a>(seen: &'a Observed, hash: &str) -> Option<&'a Record> {
    let status = seen.job.status.as_ref()?;
    let revision = status.revision.as_ref()?;
    if revision.hash == hash {
        return None;
    }
    let completed_at = status.checkpoint.as_ref().map(|checkpoint| checkpoint.completed_at.0);
    let has_own = revision.was_ready || completed_at.is_some_and(|at| at > revision.started_at.0);
    // A revision without a completed checkpoint has left no state. What it started from belongs to the previous
    // revision.
    let record = if has_own { seen.record.as_deref() } else { seen.previous.as_deref() };
    record.filter(|record| record.storage.is_some())
}
