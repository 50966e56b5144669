//! Which replica acts: the one that holds the Lease.
//!
//! A holder that cannot renew in time stops acting before another one may take over. Others measure by their own clock
//! since they have last seen the Lease change, so that clocks need not agree.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tracing::{info, warn};

use crate::clock::{Clock, Timestamp, since};
use crate::{causes, names};

/// How long a holder is believed to hold without renewing.
const LEASE: Duration = Duration::from_secs(15);
/// How long a holder that cannot renew goes on.
const RENEW_MAX: Duration = Duration::from_secs(10);
/// How often is tried.
const RETRY: Duration = Duration::from_secs(2);
/// How long one try may take.
const TRY_MAX: Duration = Duration::from_secs(5);

/// A replica's turn at the Lease.
pub struct Leadership<'a> {
    api: Api<Lease>,
    identity: String,
    clock: &'a dyn Clock,
    seen: Option<Seen>,
}

/// A Lease as it was seen, and since when it has not changed.
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
    pub fn new(client: Client, namespace: &str, identity: &str, clock: &'a dyn Clock) -> Self {
        Self { api: Api::namespaced(client, namespace), identity: identity.to_owned(), clock, seen: None }
    }

    /// Waits for the turn.
    pub async fn acquire(&mut self) {
        let mut ticks = tokio::time::interval(RETRY);
        loop {
            ticks.tick().await;
            match self.attempt().await {
                Ok(true) => {
                    info!(identity = self.identity, "leading");
                    return;
                }
                Ok(false) => {}
                Err(error) => warn!(error = causes::of(&error), "cannot ask for the lease"),
            }
        }
    }

    /// Keeps the turn; ends when it is lost.
    pub async fn keep(&mut self) {
        let mut renewed = self.clock.now();
        let mut ticks = tokio::time::interval(RETRY);
        loop {
            ticks.tick().await;
            match self.attempt().await {
                Ok(true) => renewed = self.clock.now(),
                Ok(false) => {
                    warn!(identity = self.identity, "another replica leads");
                    return;
                }
                Err(error) => warn!(error = causes::of(&error), "cannot renew the lease"),
            }
            if since(renewed, self.clock.now()) >= RENEW_MAX {
                warn!(identity = self.identity, "the lease could not be renewed in time");
                return;
            }
        }
    }

    /// Gives the turn to whoever comes next.
    pub async fn release(&mut self) {
        let released = async {
            let Some(mut lease) = self.api.get_opt(names::LEASE).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            self.api.replace(names::LEASE, &PostParams::default(), &lease).await.map(|_| ())
        };
        match tokio::time::timeout(TRY_MAX, released).await {
            Ok(Ok(())) => info!(identity = self.identity, "lease released"),
            Ok(Err(error)) => warn!(error = causes::of(&error), "cannot release the lease"),
            Err(_) => warn!("cannot release the lease in time"),
        }
    }

    /// Takes or renews the Lease if that is this replica's to do. Gives whether it holds it.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        match tokio::time::timeout(TRY_MAX, self.try_once()).await {
            Ok(result) => result,
            Err(_) => Err(kube::Error::Service(format!("no answer within {} s", TRY_MAX.as_secs()).into())),
        }
    }

    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let now = self.clock.now();
        let Some(mut lease) = self.api.get_opt(names::LEASE).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(names::LEASE.to_owned()), ..ObjectMeta::default() },
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
                lease.spec = Some(self.held(Some(spec), now));
                held(self.api.replace(names::LEASE, &PostParams::default(), &lease).await)
            }
        }
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

/// Who was faster holds it.
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
}
