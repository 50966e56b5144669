//! Events that follow from the difference between a status and the previous one.

use eddyline_crds::StreamJobStatus;
use eddyline_crds::status::Phase;

use super::conditions::{self, Type};
use super::reasons::Warning;
use crate::events::{Event, Reason};
use crate::validate;

/// The events between two statuses. A plan itself reports what it does.
pub fn between(before: &StreamJobStatus, after: &StreamJobStatus) -> Vec<Event> {
    let mut events = Vec::new();
    refused(before, after, &mut events);
    failed(before, after, &mut events);
    started(before, after, &mut events);
    let health = |status: &StreamJobStatus| conditions::find(&status.conditions, Type::CheckpointHealthy).cloned();
    if let Some(now) = health(after)
        && now.status == "False"
        && health(before).is_none_or(|then| then.status != "False")
    {
        events.push(Event::new(Reason::CheckpointFailed, now.message));
    }
    let cut_off = |status: &StreamJobStatus| {
        conditions::find(&status.conditions, Type::Warning)
            .filter(|now| now.reason == Warning::SourceUnreachable.as_str())
            .cloned()
    };
    if let Some(now) = cut_off(after)
        && cut_off(before).is_none()
    {
        events.push(Event::new(Reason::SourceUnreachable, now.message));
    }
    events
}

fn refused(before: &StreamJobStatus, after: &StreamJobStatus, events: &mut Vec<Event>) {
    let accepted = |status: &StreamJobStatus| conditions::find(&status.conditions, Type::Accepted).cloned();
    if let Some(now) = accepted(after)
        && now.status == "False"
        && accepted(before).is_none_or(|then| then.status != "False" || then.message != now.message)
    {
        let known = validate::Reason::ALL.iter().find(|reason| reason.as_str() == now.reason);
        let reason = known.map_or(Reason::SpecInvalid, |known| Reason::of_refusal(*known));
        events.push(Event::new(reason, now.message));
    }
}

fn failed(before: &StreamJobStatus, after: &StreamJobStatus, events: &mut Vec<Event>) {
    let runs = |status: &StreamJobStatus| conditions::is_true(&status.conditions, Type::Running);
    let known = before.last_failure.as_ref();
    // A job that fails in the same way repeatedly is reported once.
    if let Some(failure) = after.last_failure.as_ref().filter(|failure| Some(*failure) != known)
        && (runs(before) || known.is_none_or(|known| known.reason != failure.reason))
    {
        let reason = match failure.reason.as_str() {
            "SourceUnreachable" => Reason::SourceUnreachable,
            "SinkUnreachable" => Reason::SinkUnreachable,
            "StorageUnreachable" => Reason::StorageUnreachable,
            _ => Reason::WorkerFailed,
        };
        events.push(Event::new(reason, format!("{}: {}", failure.reason, failure.message)));
    }
    let is_meant = after.operation.is_some()
        || matches!(after.phase, Phase::Suspended | Phase::Finished | Phase::Deleting | Phase::Failed);
    if runs(before) && !is_meant {
        let now = conditions::find(&after.conditions, Type::Running);
        // A worker that does not answer may still run the job.
        if let Some(now) = now.filter(|now| now.status == conditions::FALSE) {
            events.push(Event::new(Reason::Restarting, now.message.clone()));
        } else if after.restarts > before.restarts {
            events.push(Event::new(Reason::Restarting, format!("restarted ({} restarts so far)", after.restarts)));
        }
    }
}

fn started(before: &StreamJobStatus, after: &StreamJobStatus, events: &mut Vec<Event>) {
    let was_ready = |status: &StreamJobStatus| status.revision.as_ref().is_some_and(|revision| revision.was_ready);
    let is_first = after.revision.as_ref().is_some_and(|revision| revision.number == 1);
    if is_first && was_ready(after) && !was_ready(before) {
        let slots = match after.parallelism {
            // A job whose input has ended has no slots.
            0 => String::new(),
            1 => " on 1 slot".to_owned(),
            several => format!(" on {several} slots"),
        };
        let message = format!("runs{slots}, attempt {}", after.attempt);
        events.push(Event::new(Reason::Started, message));
    }
}
