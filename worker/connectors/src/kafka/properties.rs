//! `properties.*`: the names of Kafka's Java clients, as users of Flink write them, in librdkafka's terms.
//!
//! Most names are the same. Those that differ are translated, those that only tune a Java client are dropped, and those
//! that would override a decision of the connector are refused. TLS and SASL are in [`security`](super::security).

use std::collections::BTreeMap;

use super::security;
use crate::OptionError;
use crate::table::edit_distance;

/// Client properties in librdkafka's terms. Consumers and producers have different ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientProperties {
    /// For consumers.
    pub consumer: BTreeMap<String, String>,
    /// For producers.
    pub producer: BTreeMap<String, String>,
}

/// Java's name, and librdkafka's if it differs.
const RENAMED_CONSUMER: [(&str, &str); 4] = [
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("request.timeout.ms", "socket.timeout.ms"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
];
const RENAMED_PRODUCER: [(&str, &str); 3] = [
    ("max.request.size", "message.max.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
];

/// Tunes something that only the Java clients have. No effect here.
const WITHOUT_EFFECT: [&str; 14] = [
    "auto.include.jmx.reporter",
    "client.id.prefix",
    "default.api.timeout.ms",
    "enable.metrics.push",
    "max.block.ms",
    "max.poll.records",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "ssl.enabled.protocols",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
];

/// Only consumers know these.
const CONSUMER_ONLY: [&str; 15] = [
    "auto.offset.reset",
    "check.crcs",
    "exclude.internal.topics",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// Only producers know these.
const PRODUCER_ONLY: [&str; 13] = [
    "acks",
    "batch.size",
    "compression.type",
    "delivery.timeout.ms",
    "enable.idempotence",
    "linger.ms",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "request.timeout.ms",
    "retries",
    "transaction.timeout.ms",
];

impl ClientProperties {
    /// Translates the options after `properties.`.
    ///
    /// # Errors
    /// Names a property that the connector sets itself or that cannot work here, and what to use instead.
    pub fn of(java: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut translated = Self::default();
        for (name, value) in java {
            translated.take(name, value)?;
        }
        let effective = java.iter().filter(|(name, _)| !WITHOUT_EFFECT.contains(&name.as_str()));
        let effective = effective.map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, value) in security::translate(&effective)? {
            translated.both(&name, &value);
        }
        if !translated.consumer.contains_key("bootstrap.servers") {
            let is_meant = |name: &&String| edit_distance(name, "bootstrap.servers") <= 3;
            return Err(match java.keys().find(is_meant) {
                Some(misspelt) => {
                    let key = format!("properties.{misspelt}");
                    let message = format!("unknown option '{key}', did you mean 'properties.bootstrap.servers'?");
                    OptionError::of(&key, message)
                }
                None => OptionError::table("option 'properties.bootstrap.servers' is missing"),
            });
        }
        Ok(translated)
    }

    /// Whether TLS or SASL is in use, so that brokers and client may refuse each other.
    pub fn is_guarded(&self) -> bool {
        self.consumer.get("security.protocol").is_some_and(|protocol| protocol != "PLAINTEXT")
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        if let Some(instead) = refusal(name, value) {
            let key = format!("properties.{name}");
            return Err(OptionError::of(&key, format!("'{key}' cannot be set: {instead}")));
        }
        match name {
            _ if WITHOUT_EFFECT.contains(&name) => {}
            "enable.auto.commit" | "commit.offsets.on.checkpoint" => {}
            _ if security::is_security(name) => {}
            "buffer.memory" => {
                let bytes: u64 = value.trim().parse().map_err(|_| {
                    OptionError::of(
                        "properties.buffer.memory",
                        "'properties.buffer.memory': expected a number of bytes",
                    )
                })?;
                self.producer.insert("queue.buffering.max.kbytes".to_owned(), (bytes / 1024).max(1).to_string());
            }
            "auto.offset.reset" => {
                let reset = if value.eq_ignore_ascii_case("none") { "error" } else { value };
                self.consumer.insert(name.to_owned(), reset.to_ascii_lowercase());
            }
            _ => {
                if !PRODUCER_ONLY.contains(&name) || name == "request.timeout.ms" {
                    self.consumer.insert(renamed(name, &RENAMED_CONSUMER).to_owned(), value.to_owned());
                }
                if !CONSUMER_ONLY.contains(&name) && name != "fetch.max.wait.ms" {
                    self.producer.insert(renamed(name, &RENAMED_PRODUCER).to_owned(), value.to_owned());
                }
            }
        }
        Ok(())
    }

    fn both(&mut self, name: &str, value: &str) {
        self.consumer.insert(name.to_owned(), value.to_owned());
        self.producer.insert(name.to_owned(), value.to_owned());
    }
}

fn renamed<'a>(name: &'a str, names: &[(&str, &'a str)]) -> &'a str {
    names.iter().find(|(java, _)| *java == name).map_or(name, |(_, own)| own)
}

/// Why a property is not accepted, and what to use instead.
fn refusal(name: &str, value: &str) -> Option<&'static str> {
    match name {
        "key.serializer" | "value.serializer" | "key.deserializer" | "value.deserializer" => {
            Some("'key.format' and 'value.format' decide how records are read and written")
        }
        "transactional.id" => Some("the sink names its transactions itself; see 'sink.transactional-id-prefix'"),
        "enable.auto.commit" if value.trim().eq_ignore_ascii_case("true") => {
            Some("group offsets are committed when a checkpoint is complete")
        }
        "enable.auto.offset.store" | "enable.partition.eof" | "delivery.report.only.error" => {
            Some("the connector depends on its value")
        }
        "interceptor.classes"
        | "metric.reporters"
        | "partition.assignment.strategy"
        | "partitioner.class"
        | "sasl.login.callback.handler.class"
        | "sasl.client.callback.handler.class"
        | "security.providers"
        | "ssl.engine.factory.class"
        | "ssl.provider" => Some("it names Java classes, and Eddyline has no JVM"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(properties: &[(&str, &str)]) -> Result<ClientProperties, OptionError> {
        let mut all = BTreeMap::from([("bootstrap.servers".to_owned(), "localhost:9092".to_owned())]);
        all.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        ClientProperties::of(&all)
    }

    #[test]
    fn java_names_become_those_of_librdkafka() {
        let got = of(&[("fetch.max.wait.ms", "7"), ("request.timeout.ms", "9"), ("buffer.memory", "4096")]).unwrap();
        assert_eq!(got.consumer["fetch.wait.max.ms"], "7");
        assert_eq!(got.consumer["socket.timeout.ms"], "9");
        assert_eq!(got.producer["request.timeout.ms"], "9");
        assert_eq!(got.producer["queue.buffering.max.kbytes"], "4");
        assert!(!got.producer.contains_key("fetch.wait.max.ms"));
    }

    #[test]
    fn a_login_module_becomes_user_and_password() {
        let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a\" password='b c';";
        let got = of(&[("sasl.jaas.config", jaas), ("sasl.mechanism", "PLAIN")]).unwrap();
        assert_eq!(got.producer["sasl.username"], "a");
        assert_eq!(got.consumer["sasl.password"], "b c");
        assert_eq!(got.consumer["sasl.mechanisms"], "PLAIN");
    }

    #[test]
    fn tls_is_the_same_for_both_kinds_of_clients() {
        let got = of(&[("security.protocol", "SSL"), ("ssl.protocol", "TLSv1.3")]).unwrap();
        for client in [&got.consumer, &got.producer] {
            assert_eq!(client["security.protocol"], "SSL");
            assert_eq!(client["ssl.ca.location"], "probe");
            assert!(!client.contains_key("ssl.protocol"));
        }
    }

    #[test]
    fn what_the_connector_decides_is_refused_by_name() {
        for name in ["key.deserializer", "value.serializer", "transactional.id", "partitioner.class"] {
            let error = of(&[(name, "x")]).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(format!("properties.{name}").as_str()));
        }
        assert!(of(&[("enable.auto.commit", "false")]).is_ok());
        assert!(of(&[("enable.auto.commit", "true")]).is_err());
    }
}
