//! Savepoints by schedule: when one is due, and which ones are kept.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use croner::Cron;
use eddyline_crds::Savepoint;
use eddyline_crds::savepoint::SavepointPhase;
use eddyline_crds::stream_job::Savepoints;

use crate::clock::{Timestamp, since};

/// A cron expression, in UTC.
#[derive(Clone, Debug)]
pub struct Schedule(Cron);

/// The text is not a schedule.
#[derive(Debug, thiserror::Error)]
#[error("savepoints.schedule '{text}' is no cron expression: {reason}")]
pub struct Error {
    text: String,
    reason: String,
}

impl Schedule {
    /// Reads a cron expression.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Cron::from_str(text).map(Self).map_err(|error| Error { text: text.to_owned(), reason: error.to_string() })
    }

    /// The latest time of the schedule after `last` and not after `now`. Earlier missed times are skipped.
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let latest = self.0.find_previous_occurrence(&to_chrono(now)?, true).ok()?;
        let latest = Timestamp::from_second(latest.timestamp()).ok()?;
        (latest > last).then_some(latest)
    }

    /// The next time of the schedule.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.0.find_next_occurrence(&to_chrono(now)?, false).ok()?;
        Timestamp::from_second(next.timestamp()).ok()
    }
}

fn to_chrono(time: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.as_second(), 0)
}

/// The name of the savepoint for a time of the schedule. Every controller gives it the same name.
pub fn savepoint_name(job: &str, at: Timestamp) -> String {
    format!("{job}-{}", at.as_second())
}

/// The names of the expired scheduled savepoints of a job.
pub fn expired(scheduled: &[Savepoint], rules: &Savepoints, now: Timestamp) -> Vec<String> {
    let created = |savepoint: &Savepoint| savepoint.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let phase = |savepoint: &Savepoint| savepoint.status.as_ref().map(|status| status.phase).unwrap_or_default();
    let mut ended: Vec<&Savepoint> = scheduled
        .iter()
        .filter(|savepoint| savepoint.metadata.deletion_timestamp.is_none())
        .filter(|savepoint| matches!(phase(savepoint), SavepointPhase::Completed | SavepointPhase::Failed))
        .collect();
    ended.sort_by_key(|savepoint| std::cmp::Reverse(created(savepoint)));
    let newest_good = ended.iter().position(|savepoint| phase(savepoint) == SavepointPhase::Completed);
    let mut good = 0;
    let mut expired = Vec::new();
    for (index, savepoint) in ended.into_iter().enumerate() {
        let is_good = phase(savepoint) == SavepointPhase::Completed;
        good += usize::from(is_good);
        let is_surplus = rules.keep.is_some_and(|keep| good > usize::from(keep.max(1)));
        let is_old = rules.max_age.zip(created(savepoint)).is_some_and(|(age, at)| since(at, now) > age.get());
        // A failed savepoint is of use until a newer one completes.
        let is_superseded = !is_good && newest_good.is_some_and(|newest| newest < index);
        // The newest completed savepoint stays, however old it is: a failing schedule must not delete the last one.
        if newest_good != Some(index) && (is_surplus || is_old || is_superseded) {
            expired.extend(savepoint.metadata.name.clone());
        }
    }
    expired
}

#[cfg(test)]
mod tests {
    use eddyline_crds::Duration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_time_of_the_schedule_is_due_once_and_missed_ones_are_skipped() {
        let schedule = Schedule::parse("0 */6 * * *").expect("a schedule");
        assert_eq!(schedule.due(at("2026-05-01T06:00:01Z"), at("2026-05-01T11:59:59Z")), None);
        let due = schedule.due(at("2026-05-01T06:00:01Z"), at("2026-05-02T12:00:00Z"));
        assert_eq!(due, Some(at("2026-05-02T12:00:00Z")));
        assert_eq!(schedule.due(at("2026-05-02T12:00:00Z"), at("2026-05-02T12:00:05Z")), None);
        assert_eq!(schedule.next(at("2026-05-02T12:00:00Z")), Some(at("2026-05-02T18:00:00Z")));
        assert!(Schedule::parse("every day").is_err());
    }

    fn savepoint(name: &str, created: &str, phase: SavepointPhase) -> Savepoint {
        let mut savepoint = crate::testing::savepoint(name, "orders");
        savepoint.metadata.creation_timestamp = Some(Time(at(created)));
        savepoint.status = Some(eddyline_crds::SavepointStatus { phase, ..Default::default() });
        savepoint
    }

    #[test]
    fn as_many_good_savepoints_as_said_are_kept_and_the_newest_always() {
        let scheduled = [
            savepoint("a", "2026-05-01T00:00:00Z", SavepointPhase::Completed),
            savepoint("b", "2026-05-02T00:00:00Z", SavepointPhase::Failed),
            savepoint("c", "2026-05-03T00:00:00Z", SavepointPhase::Completed),
            savepoint("d", "2026-05-04T00:00:00Z", SavepointPhase::Completed),
            savepoint("e", "2026-05-05T00:00:00Z", SavepointPhase::Failed),
            savepoint("f", "2026-05-06T00:00:00Z", SavepointPhase::InProgress),
        ];
        let rules = |keep, max_age| Savepoints { keep, max_age, ..Savepoints::default() };
        let now = at("2026-05-06T00:00:00Z");
        assert_eq!(expired(&scheduled, &rules(Some(2), None), now), ["b", "a"]);
        assert_eq!(expired(&scheduled, &rules(None, None), now), ["b"]);
        let hour = Duration::from_secs(3600);
        assert_eq!(expired(&scheduled, &rules(None, Some(hour)), now), ["e", "c", "b", "a"], "but not d");
    }
}
