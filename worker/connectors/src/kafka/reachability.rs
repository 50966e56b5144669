//! Whether the brokers of a client's partitions answer it, from librdkafka's statistics (its `STATISTICS.md`).
//!
//! librdkafka tries for ever, and reports that only in its log. A job whose broker is down must not look healthy.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// The time between two statistics of librdkafka, in milliseconds.
pub const INTERVAL_MS: &str = "2000";

/// States of a connection over which requests are answered.
const ANSWERING: [&str; 3] = ["UP", "UPDATE", "REAUTH"];

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
}

#[derive(Deserialize)]
struct Broker {
    nodeid: i32,
    /// Host and port.
    nodename: String,
    state: String,
}

#[derive(Deserialize)]
struct Topic {
    partitions: BTreeMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    /// The broker that holds it. -1 if the client does not know.
    leader: i32,
    /// Whether the client reads it.
    desired: bool,
}

/// Which brokers do not answer.
#[derive(Debug, Default)]
pub struct Reachability {
    silent: BTreeSet<i32>,
    trouble: Option<String>,
}

impl Reachability {
    /// Evaluates statistics. Only a broker that is silent twice in a row counts, because a new connection takes a
    /// moment.
    pub fn take(&mut self, statistics: &[u8]) {
        // Statistics that cannot be read say nothing about brokers.
        let Ok(Statistics { brokers, topics }) = serde_json::from_slice(statistics) else { return };
        // Negative numbers are those of bootstrap addresses, and of an unknown leader.
        let known = brokers.into_values().filter(|broker| broker.nodeid >= 0);
        let brokers: BTreeMap<i32, Broker> = known.map(|broker| (broker.nodeid, broker)).collect();
        let answers =
            |leader: &i32| brokers.get(leader).is_some_and(|broker| ANSWERING.contains(&broker.state.as_str()));
        let mut waiting: BTreeMap<i32, usize> = BTreeMap::new();
        for partition in topics.into_values().flat_map(|topic| topic.partitions.into_values()) {
            if partition.desired && !answers(&partition.leader) {
                *waiting.entry(partition.leader).or_default() += 1;
            }
        }
        let reported: Vec<String> = waiting
            .iter()
            .filter(|(leader, _)| self.silent.contains(*leader))
            .map(|(leader, partitions)| match brokers.get(leader) {
                Some(broker) => {
                    format!("broker {} does not answer; {partitions} partitions wait for it", broker.nodename)
                }
                None => format!("no broker with partitions of this reader answers; {partitions} partitions wait"),
            })
            .collect();
        self.trouble = (!reported.is_empty()).then(|| reported.join("; "));
        self.silent = waiting.into_keys().collect();
    }

    /// What is wrong, if something is.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(state: &str, leader: i32) -> String {
        format!(
            r#"{{"name": "eddyline",
            "brokers": {{
                "kafka:9092/bootstrap": {{"nodeid": -1, "nodename": "kafka:9092", "state": "UP"}},
                "GroupCoordinator": {{"nodeid": -1, "nodename": "", "state": "INIT"}},
                "kafka:9092/1": {{"nodeid": 1, "nodename": "kafka:9092", "state": "{state}"}},
                "spare:9092/2": {{"nodeid": 2, "nodename": "spare:9092", "state": "INIT"}}
            }},
            "topics": {{"orders": {{"partitions": {{
                "0": {{"leader": {leader}, "desired": true}},
                "1": {{"leader": 2, "desired": false}},
                "-1": {{"leader": -1, "desired": false}}
            }}}}}}}}"#
        )
    }

    fn after(reachability: &mut Reachability, state: &str, leader: i32) -> Option<String> {
        reachability.take(statistics(state, leader).as_bytes());
        reachability.trouble().map(str::to_owned)
    }

    #[test]
    fn a_broker_that_stays_silent_is_named_until_it_answers() {
        let mut reachability = Reachability::default();
        assert_eq!(after(&mut reachability, "UP", 1), None);
        assert_eq!(after(&mut reachability, "DOWN", 1), None, "it may be back in a moment");
        let reported = after(&mut reachability, "TRY_CONNECT", 1).expect("trouble");
        assert_eq!(reported, "broker kafka:9092 does not answer; 1 partitions wait for it");
        assert!(after(&mut reachability, "CONNECT", 1).is_some());
        assert_eq!(after(&mut reachability, "UP", 1), None);
    }

    #[test]
    fn partitions_whose_broker_has_been_forgotten_are_trouble_too() {
        let mut reachability = Reachability::default();
        assert_eq!(after(&mut reachability, "UP", -1), None);
        assert!(after(&mut reachability, "UP", -1).is_some());
        assert_eq!(after(&mut reachability, "UP", 1), None);
    }

    #[test]
    fn statistics_that_are_not_understood_change_nothing() {
        let mut reachability = Reachability::default();
        (0..2).for_each(|_| reachability.take(statistics("DOWN", 1).as_bytes()));
        reachability.take(b"{\"brokers\": 3}");
        assert!(reachability.trouble().is_some());
    }
}
