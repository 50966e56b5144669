//! Whether the brokers that hold what a client reads answer it, as librdkafka's statistics tell (its `STATISTICS.md`).
//!
//! librdkafka goes on trying for ever and says so only in its log. A job whose broker is away must not look healthy.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// How often librdkafka gives its statistics, in milliseconds.
pub const INTERVAL_MS: &str = "2000";

/// States of a connection over which requests are answered.
const ANSWERING: [&str; 3] = ["UP", "UPDATE", "REAUTH"];

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    /// Negative for addresses that are only for a start.
    nodeid: i32,
    /// Host and port; empty for brokers that are only a role.
    nodename: String,
    state: String,
    /// The partitions that are read from it.
    #[serde(default)]
    toppars: BTreeMap<String, IgnoredAny>,
}

/// Which brokers do not answer.
#[derive(Debug, Default)]
pub struct Reachability {
    silent: BTreeSet<String>,
    trouble: Option<String>,
}

impl Reachability {
    /// Takes statistics. A broker that is silent twice in a row is trouble: a new connection takes its moment.
    pub fn take(&mut self, statistics: &[u8]) {
        // What is not understood says nothing about brokers.
        let Ok(Statistics { brokers }) = serde_json::from_slice(statistics) else { return };
        let is_silent = |broker: &Broker| {
            broker.nodeid >= 0 && !broker.toppars.is_empty() && !ANSWERING.contains(&broker.state.as_str())
        };
        let silent: BTreeMap<String, usize> =
            brokers.into_values().filter(is_silent).map(|broker| (broker.nodename, broker.toppars.len())).collect();
        let told: Vec<String> = silent
            .iter()
            .filter(|(broker, _)| self.silent.contains(*broker))
            .map(|(broker, partitions)| format!("broker {broker} does not answer, {partitions} partitions wait for it"))
            .collect();
        self.trouble = (!told.is_empty()).then(|| told.join("; "));
        self.silent = silent.into_keys().collect();
    }

    /// What is wrong, if something is.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(state: &str) -> String {
        format!(
            r#"{{"name": "eddyline", "brokers": {{
                "kafka:9092/bootstrap": {{"nodeid": -1, "nodename": "kafka:9092", "state": "DOWN", "toppars": {{}}}},
                "GroupCoordinator": {{"nodeid": -1, "nodename": "", "state": "INIT", "toppars": {{}}}},
                "kafka:9092/1": {{"nodeid": 1, "nodename": "kafka:9092", "state": "{state}",
                    "toppars": {{"orders-0": {{"topic": "orders", "partition": 0}}}}}},
                "spare:9092/2": {{"nodeid": 2, "nodename": "spare:9092", "state": "INIT", "toppars": {{}}}}
            }}}}"#
        )
    }

    #[test]
    fn a_broker_with_partitions_that_stays_silent_is_named_until_it_answers() {
        let mut reachability = Reachability::default();
        let mut after = |state: &str| {
            reachability.take(statistics(state).as_bytes());
            reachability.trouble().map(str::to_owned)
        };
        assert_eq!(after("UP"), None);
        assert_eq!(after("DOWN"), None, "it may be back in a moment");
        let told = after("TRY_CONNECT").expect("trouble");
        assert_eq!(told, "broker kafka:9092 does not answer, 1 partitions wait for it");
        assert!(after("CONNECT").is_some());
        assert_eq!(after("UP"), None);
    }

    #[test]
    fn statistics_that_are_not_understood_change_nothing() {
        let mut reachability = Reachability::default();
        (0..2).for_each(|_| reachability.take(statistics("DOWN").as_bytes()));
        reachability.take(b"{\"brokers\": 3}");
        assert!(reachability.trouble().is_some());
    }
}
