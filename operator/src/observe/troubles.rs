//! What keeps pods from starting and is only in the events of Kubernetes' controllers and kubelets: a quota or an
//! admission rule that refuses a pod, a volume that cannot be attached or mounted.
//!
//! Events are read only while no pod runs. A single event may be over, so only trouble that has lasted counts.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use crate::clock::{Timestamp, since};
use crate::context::Context;
use crate::observed::{Pod, Trouble, TroubleKind};

/// How long trouble must have lasted before it is reported. A pod that is replaced at once often fails once.
const LASTS: Duration = Duration::from_secs(10);

/// Why the pods of a StatefulSet cannot be created, if they cannot.
///
/// # Errors
/// The API server does not answer.
pub(super) async fn of_set(
    context: &Context,
    namespace: &str,
    name: &str,
    uid: &str,
) -> Result<Option<Trouble>, kube::Error> {
    let events = events(context, namespace, uid).await?;
    Ok(lasting(&events, context.clock.now()).and_then(|event| {
        let kind = kind(event).filter(|kind| *kind == TroubleKind::FailedCreate)?;
        let note = event.note.as_deref().unwrap_or_default();
        let why = note.split_once("failed error: ").map_or(note, |(_, why)| why);
        Some(Trouble { kind, message: format!("no pod of the StatefulSet {name} can be created: {why}") })
    }))
}

/// Records what keeps a pod from starting, if the pod's own object does not say it.
///
/// # Errors
/// The API server does not answer.
pub(super) async fn note_of_pod(context: &Context, namespace: &str, pod: &mut Pod) -> Result<(), kube::Error> {
    let now = context.clock.now();
    let is_new = pod.created_at.is_none_or(|at| since(at, now) < LASTS);
    if pod.has_run || pod.trouble.is_some() || pod.going_since.is_some() || is_new {
        return Ok(());
    }
    let events = events(context, namespace, &pod.uid).await?;
    if let Some(event) = lasting(&events, now)
        && let Some(kind) = kind(event).filter(|kind| *kind != TroubleKind::FailedCreate)
    {
        let why = event.note.as_deref().unwrap_or_default();
        pod.trouble = Some(Trouble { kind, message: format!("{} waits for a volume: {why}", pod.name) });
    }
    Ok(())
}

/// The events about an object, the newest last. Empty if the controller may not read events.
async fn events(context: &Context, namespace: &str, uid: &str) -> Result<Vec<Event>, kube::Error> {
    let api: Api<Event> = Api::namespaced(context.client.clone(), namespace);
    let about = ListParams::default().fields(&format!("regarding.uid={uid}"));
    match api.list(&about).await {
        Ok(found) => {
            let mut events = found.items;
            events.sort_by_key(last_seen);
            Ok(events)
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The newest event, if it is about trouble that has lasted for some time.
fn lasting(events: &[Event], now: Timestamp) -> Option<&Event> {
    let newest = events.last()?;
    let in_a_row = events.iter().rev().take_while(|event| kind(event).is_some());
    let first = in_a_row.filter_map(first_seen).min()?;
    (since(first, now) >= LASTS).then_some(newest)
}

fn kind(event: &Event) -> Option<TroubleKind> {
    let reason = event.reason.as_deref()?;
    let kinds = [TroubleKind::FailedCreate, TroubleKind::FailedMount, TroubleKind::FailedAttachVolume];
    kinds.into_iter().find(|kind| kind.as_str() == reason)
}

/// The time of an event. It is in one of several fields, depending on who emitted the event.
fn first_seen(event: &Event) -> Option<Timestamp> {
    let deprecated = event.deprecated_first_timestamp.as_ref().map(|time| time.0);
    deprecated.or(event.event_time.as_ref().map(|time| time.0)).or(event
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|t| t.0))
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    series.or(event.deprecated_last_timestamp.as_ref().map(|time| time.0)).or_else(|| first_seen(event))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(testing::start().as_second() + seconds).expect("a time")
    }

    fn event(reason: &str, times: &Value) -> Event {
        let mut event = json!({"metadata": {"name": "e"}, "reason": reason, "note": "why"});
        for (key, value) in times.as_object().expect("times") {
            event[key.as_str()] = value.clone();
        }
        serde_json::from_value(event).expect("an event")
    }

    fn reported(mut events: Vec<Event>, now: i64) -> Option<TroubleKind> {
        events.sort_by_key(last_seen);
        lasting(&events, at(now)).and_then(kind)
    }

    #[test]
    fn what_lasts_is_reported_and_what_is_over_is_not() {
        let of_old = |reason: &str, first: i64, last: i64| {
            let times = json!({
                "deprecatedFirstTimestamp": at(first).to_string(), "deprecatedLastTimestamp": at(last).to_string(),
            });
            event(reason, &times)
        };
        let mount = TroubleKind::FailedMount;
        assert_eq!(reported(vec![], 60), None);
        assert_eq!(reported(vec![of_old("FailedMount", 0, 0)], 5), None, "it may have been too early once");
        assert_eq!(reported(vec![of_old("FailedMount", 0, 8)], 10), Some(mount));
        assert_eq!(reported(vec![of_old("FailedMount", 0, 8), of_old("Pulling", 9, 9)], 60), None, "it is mounted");
        let refused =
            vec![of_old("FailedCreate", 0, 50), of_old("SuccessfulCreate", 51, 51), of_old("FailedCreate", 58, 58)];
        assert_eq!(reported(refused, 60), None, "a pod was created meanwhile");
        let of_new = event(
            "FailedAttachVolume",
            &json!({"eventTime": "2026-05-01T12:00:00.000000Z",
            "series": {"count": 4, "lastObservedTime": "2026-05-01T12:00:30.000000Z"}}),
        );
        assert_eq!(reported(vec![of_new], 40), Some(TroubleKind::FailedAttachVolume));
    }
}
