//! The conditions of a savepoint, for tools that wait for it.

use eddyline_crds::SavepointStatus;
use eddyline_crds::savepoint::SavepointPhase;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::clock::Timestamp;
use crate::status::conditions::{FALSE, TRUE, Type, listed, said};

/// The conditions of a savepoint. The reason of each is its phase.
pub(crate) fn conditions(status: &SavepointStatus, now: Timestamp) -> Vec<Condition> {
    let is = |holds: bool| if holds { TRUE } else { FALSE };
    let phase = status.phase;
    let message = match phase {
        SavepointPhase::Completed => status.uri.clone(),
        SavepointPhase::InProgress => Some("the job is taking the savepoint".to_owned()),
        SavepointPhase::Pending | SavepointPhase::Failed => status.message.clone(),
    };
    let all = [
        (Type::Ready, phase == SavepointPhase::Completed),
        (Type::Stalled, phase == SavepointPhase::Failed),
        (Type::Reconciling, matches!(phase, SavepointPhase::Pending | SavepointPhase::InProgress)),
    ];
    let all = all
        .into_iter()
        .map(|(kind, holds)| (kind.as_str(), said(is(holds), phase.as_str(), message.clone().unwrap_or_default())));
    listed(all, &status.conditions, status.observed_generation, now)
}
