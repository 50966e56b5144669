//! Namespaces that another release also serves. Of two releases that serve a namespace, the one with the older Lease
//! acts there. The other one does nothing with the namespace's jobs, and emits an event for each of them.
//!
//! Releases know of each other by the Leases in their own namespace: each Lease says which namespaces its holder
//! serves.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tracing::{info, warn};

use crate::clock::{Timestamp, since};
use crate::names;

/// How long a Lease that is not renewed counts as held. This is longer than it is held, because clocks may differ.
const HELD_MAX: Duration = Duration::from_secs(60);

/// The namespaces that older releases serve.
#[derive(Debug, Default)]
pub struct Claims(Mutex<Vec<Claim>>);

/// The namespaces that one older release serves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    lease: String,
    /// All if empty.
    namespaces: Vec<String>,
}

impl Claims {
    /// The Lease of the older release that serves a namespace, if there is one.
    pub fn of(&self, namespace: &str) -> Option<String> {
        let claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let serves =
            |claim: &&Claim| claim.namespaces.is_empty() || claim.namespaces.iter().any(|own| own == namespace);
        claims.iter().find(serves).map(|claim| claim.lease.clone())
    }

    /// Reads the Leases of a namespace, for the release that has the Lease `own` and serves the given namespaces, all
    /// if empty.
    pub fn update(&self, leases: &[Lease], own: &str, namespaces: &[String], now: Timestamp) {
        let next = claims(leases, own, namespaces, now);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for claim in next.iter().filter(|claim| !known.contains(claim)) {
            let namespaces = if claim.namespaces.is_empty() { "all".to_owned() } else { claim.namespaces.join(",") };
            warn!(
                lease = claim.lease,
                namespaces,
                "an older release serves the same namespaces and acts there: give the two releases different watchNamespaces"
            );
        }
        for claim in known.iter().filter(|claim| !next.contains(claim)) {
            info!(lease = claim.lease, "the older release no longer serves the same namespaces");
        }
        *known = next;
    }
}

/// The namespaces that both an older release and this one serve.
fn claims(leases: &[Lease], own: &str, namespaces: &[String], now: Timestamp) -> Vec<Claim> {
    // Of two Leases from the same second, the one with the lesser name counts as older.
    let age = |lease: &Lease| {
        let created = lease.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, lease.metadata.name.clone().unwrap_or_default())
    };
    let Some(own) = leases.iter().find(|lease| lease.metadata.name.as_deref() == Some(own)) else { return Vec::new() };
    let mut found = Vec::new();
    for lease in leases.iter().filter(|lease| age(lease) < age(own) && is_held(lease, now)) {
        let annotations = lease.metadata.annotations.as_ref();
        let Some(theirs) = annotations.and_then(|all| all.get(names::NAMESPACES_ANNOTATION)) else { continue };
        let theirs: Vec<String> = theirs.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if theirs.is_empty() || namespaces.is_empty() || theirs.iter().any(|name| namespaces.contains(name)) {
            found.push(Claim { lease: lease.metadata.name.clone().unwrap_or_default(), namespaces: theirs });
        }
    }
    found
}

fn is_held(lease: &Lease, now: Timestamp) -> bool {
    let Some(spec) = &lease.spec else { return false };
    let is_fresh = spec.renew_time.as_ref().is_some_and(|renewed| since(renewed.0, now) < HELD_MAX);
    is_fresh && spec.holder_identity.as_ref().is_some_and(|holder| !holder.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn lease(name: &str, created: i64, holder: &str, namespaces: &str) -> Lease {
        let at = |seconds: i64| Timestamp::from_second(testing::start().as_second() + seconds).expect("a time");
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "creationTimestamp": at(created).to_string(),
                "annotations": {names::NAMESPACES_ANNOTATION: namespaces},
            },
            "spec": {"holderIdentity": holder, "renewTime": format!("{:.6}", at(0))},
        }))
        .expect("a Lease")
    }

    #[test]
    fn of_two_releases_that_serve_a_namespace_the_older_one_acts() {
        let leases = [
            lease("own", -100, "me", "a,b"),
            lease("apart", -200, "x", "c"),
            lease("older", -200, "y", "b,c"),
            lease("younger", -50, "z", "a"),
            lease("gone", -200, "", "a"),
        ];
        let seen_by = |own: &str, namespaces: &[&str], later: i64| {
            let known = Claims::default();
            let now = Timestamp::from_second(testing::start().as_second() + later).expect("a time");
            let namespaces: Vec<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
            known.update(&leases, own, &namespaces, now);
            ["a", "b", "c"].map(|namespace| known.of(namespace))
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(seen_by("own", &["a", "b"], 10), [None, some("older"), some("older")]);
        assert_eq!(seen_by("older", &["b", "c"], 10), [None, None, some("apart")], "of the same second");
        assert_eq!(seen_by("younger", &["a"], 10), [some("own"), some("own"), None]);
        assert_eq!(seen_by("own", &["a", "b"], 70), [None, None, None], "nobody has renewed it since");
        assert_eq!(seen_by("not there yet", &[], 10), [None, None, None]);
        let all = [lease("all", -200, "x", ""), lease("own", 0, "me", "a")];
        assert_eq!(claims(&all, "own", &["a".to_owned()], testing::start()).len(), 1);
        assert_eq!(claims(&all, "all", &[], testing::start()), []);
    }
}
