//! Which replica acts: the one that holds the Lease.
//!
//! A holder that cannot renew in time stops acting before another one may take over: its time counts from before the
//! request. The others measure, by their own clock, how long ago they saw the Lease change. So clocks need not agree.
//!
//! Each release has its own Lease. Its holder writes into it which namespaces it serves, and looks for older releases
//! in its namespace that serve the same ones ([`Claims`]).

use std::collections::BTreeMap;
use std::time::Duration;

use eddyline_api::message;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use tracing::{info, warn};

use crate::claims::Claims;
use crate::clock::{Clock, Timestamp, since};
use crate::names;
use crate::settings::Settings;

/// How long a Lease counts as held without being renewed.
const LEASE: Duration = Duration::from_secs(15);
/// How long a holder that cannot renew keeps acting.
const RENEW_MAX: Duration = Duration::from_secs(10);
/// The time between two attempts.
const RETRY: Duration = Duration::from_secs(2);
/// The number of renewals between two searches for other releases.
const CLAIMS_EVERY: u32 = 5;
/// How long one attempt may take.
const TRY_MAX: Duration = Duration::from_secs(5);

/// A replica's turn at the Lease.
pub struct Leadership<'a> {
    api: Api<Lease>,
    lease: String,
    namespaces: Vec<String>,
    identity: String,
    clock: &'a dyn Clock,
    seen: Option<Seen>,
    /// When the last successful attempt began.
    renewed: Option<Timestamp>,
}

/// A Lease as it was last seen, and since when it has not changed.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    version: Option<String>,
    since: Timestamp,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Renew,
    Take,
    Wait,
}

impl<'a> Leadership<'a> {
    /// A replica that does not lead yet.
    pub fn new(client: Client, settings: &Settings, clock: &'a dyn Clock) -> Self {
        Self {
            api: Api::namespaced(client, &settings.namespace),
            lease: settings.lease.clone(),
            namespaces: settings.watch_namespaces.clone(),
            identity: settings.identity.clone(),
            clock,
            seen: None,
            renewed: None,
        }
    }

    /// Waits until this replica holds the Lease.
    pub async fn acquire(&mut self, claims: &Claims) {
        let mut ticks = tokio::time::interval(RETRY);
        loop {
            ticks.tick().await;
            match self.attempt().await {
                Ok(true) => {
                    info!(identity = self.identity, lease = self.lease, "leading");
                    self.look_for_claims(claims).await;
                    return;
                }
                Ok(false) => {}
                Err(error) => warn!(error = message::chain_of(&error), "cannot read the lease"),
            }
        }
    }

    /// Keeps the Lease. Ends when it is lost.
    pub async fn keep(&mut self, claims: &Claims) {
        let mut ticks = tokio::time::interval(RETRY);
        let mut renewals = 0_u32;
        while let Some(left) = self.left() {
            let renewed = async {
                ticks.tick().await;
                self.attempt().await
            };
            match tokio::time::timeout(left, renewed).await {
                Ok(Ok(true)) => {
                    renewals = renewals.wrapping_add(1);
                    if renewals.is_multiple_of(CLAIMS_EVERY) {
                        self.look_for_claims(claims).await;
                    }
                }
                Ok(Ok(false)) => {
                    warn!(identity = self.identity, "another replica leads");
                    return;
                }
                Ok(Err(error)) => warn!(error = message::chain_of(&error), "cannot renew the lease"),
                Err(_) => break,
            }
        }
        warn!(identity = self.identity, "the lease could not be renewed in time");
    }

    /// How long this replica may still act without renewing. None if it must not act.
    fn left(&self) -> Option<Duration> {
        let left = RENEW_MAX.checked_sub(since(self.renewed?, self.clock.now()))?;
        (!left.is_zero()).then_some(left)
    }

    /// Looks for older releases of this namespace that serve the same namespaces.
    async fn look_for_claims(&self, claims: &Claims) {
        match tokio::time::timeout(RETRY, self.api.list(&ListParams::default())).await {
            Ok(Ok(leases)) => claims.update(&leases.items, &self.lease, &self.namespaces, self.clock.now()),
            Ok(Err(error)) => warn!(error = message::chain_of(&error), "cannot look for other releases"),
            Err(_) => warn!("cannot look for other releases in time"),
        }
    }

    /// Releases the Lease for the next replica.
    pub async fn release(&mut self) {
        let released = async {
            let Some(mut lease) = self.api.get_opt(&self.lease).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            self.api.replace(&self.lease, &PostParams::default(), &lease).await.map(|_| ())
        };
        match tokio::time::timeout(TRY_MAX, released).await {
            Ok(Ok(())) => info!(identity = self.identity, "lease released"),
            Ok(Err(error)) => warn!(error = message::chain_of(&error), "cannot release the lease"),
            Err(_) => warn!("cannot release the lease in time"),
        }
    }

    /// Takes or renews the Lease, if this replica may. Returns whether it holds the Lease.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        // The others count from the moment at which the server stores the Lease, which is not before now.
        let begun = self.clock.now();
        match tokio::time::timeout(TRY_MAX, self.try_once()).await {
            Ok(Ok(true)) => {
                self.renewed = Some(begun);
                Ok(true)
            }
            Ok(result) => result,
            Err(_) => Err(kube::Error::Service(format!("no answer within {} s", TRY_MAX.as_secs()).into())),
        }
    }

    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let now = self.clock.now();
        let Some(mut lease) = self.api.get_opt(&self.lease).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.lease.clone()),
                    annotations: Some(self.annotation()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.held(None, now)),
            };
            return held(self.api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone();
        if self.seen.as_ref().is_none_or(|seen| seen.version != version) {
            self.seen = Some(Seen { version, since: now });
        }
        let unchanged = self.seen.as_ref().map(|seen| since(seen.since, now)).unwrap_or_default();
        let spec = lease.spec.clone().unwrap_or_default();
        match decide(&spec, &self.identity, unchanged) {
            Decision::Wait => Ok(false),
            Decision::Renew | Decision::Take => {
                lease.metadata.annotations.get_or_insert_default().extend(self.annotation());
                lease.spec = Some(self.held(Some(spec), now));
                held(self.api.replace(&self.lease, &PostParams::default(), &lease).await)
            }
        }
    }

    fn annotation(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(names::NAMESPACES_ANNOTATION.to_owned(), self.namespaces.join(","))])
    }

    fn held(&self, before: Option<LeaseSpec>, now: Timestamp) -> LeaseSpec {
        let is_mine =
            before.as_ref().is_some_and(|spec| spec.holder_identity.as_deref() == Some(self.identity.as_str()));
        let before = before.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: if is_mine { before.acquire_time } else { Some(MicroTime(now)) },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!is_mine)),
            ..LeaseSpec::default()
        }
    }
}

/// Whoever was faster holds it.
fn held(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

fn decide(lease: &LeaseSpec, identity: &str, unchanged: Duration) -> Decision {
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let life = lease.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    if holder == identity {
        Decision::Renew
    } else if holder.is_empty() || unchanged >= life.map_or(LEASE, Duration::from_secs) {
        Decision::Take
    } else {
        Decision::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_when_it_is_free_or_has_not_changed_for_its_life() {
        let lease = |holder: &str| LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        let seconds = Duration::from_secs;
        assert_eq!(decide(&lease("a"), "a", seconds(99)), Decision::Renew);
        assert_eq!(decide(&lease("b"), "a", seconds(14)), Decision::Wait);
        assert_eq!(decide(&lease("b"), "a", seconds(15)), Decision::Take);
        assert_eq!(decide(&lease(""), "a", seconds(0)), Decision::Take);
    }

    use crate::testing::world::{LEASES, World};

    fn settings(lease: &str, namespaces: &[&str], replica: &str) -> Settings {
        Settings {
            lease: lease.to_owned(),
            watch_namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            identity: replica.to_owned(),
            ..Settings::of_a_test()
        }
    }

    #[tokio::test]
    async fn two_releases_of_one_namespace_both_lead() {
        let world = World::new();
        let (one, two) = (settings("one-operator", &["a"], "one-0"), settings("two-operator", &["b"], "two-0"));
        let standby = settings("one-operator", &["a"], "one-1");
        let mut first = Leadership::new(world.client(), &one, &world);
        let mut second = Leadership::new(world.client(), &two, &world);
        let mut waiting = Leadership::new(world.client(), &standby, &world);
        assert!(first.attempt().await.expect("an answer"));
        assert!(second.attempt().await.expect("an answer"));
        assert!(!waiting.attempt().await.expect("an answer"), "a replica of the same release waits");
        first.release().await;
        assert!(waiting.attempt().await.expect("an answer"));
        let holder = |name: &str| {
            let state = world.state();
            state.objects.get(LEASES, name).map(|lease| lease["spec"]["holderIdentity"].clone())
        };
        assert_eq!(holder("one-operator"), Some("one-1".into()));
        assert_eq!(holder("two-operator"), Some("two-0".into()), "its own namespaces are still served");
    }

    #[tokio::test]
    async fn the_time_of_a_holder_counts_from_before_it_asked() {
        let world = World::new();
        let one = settings("one-operator", &[], "one-0");
        let mut leadership = Leadership::new(world.client(), &one, &world);
        world.state().slowness = Duration::from_secs(4);
        assert!(leadership.attempt().await.expect("an answer"));
        // Read and created: eight seconds have passed, of which two are left.
        assert_eq!(leadership.left(), Some(Duration::from_secs(2)));
        world.state().slowness = Duration::from_secs(6);
        assert!(leadership.attempt().await.expect("an answer"));
        assert_eq!(leadership.left(), None, "another one may take it before this one would have stopped");
    }
}
