//! The topic for records that cannot be read.
//!
//! A dead letter has the record's key, value and headers, and further headers with its origin and its error. It is
//! acknowledged before a position after it becomes part of a checkpoint.

use std::time::Duration;

use super::client::producer_config;
use super::config::SourceConfig;
use super::partition_queue::Message;
use super::producer::Outbox;
use super::records::Record;
use crate::Error;

/// The longest wait for acknowledgements, at a barrier and only if there are dead letters.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// Sends records to the dead-letter topic.
pub struct DeadLetters {
    topic: String,
    outbox: Outbox,
    unacknowledged: bool,
}

impl DeadLetters {
    /// The dead letters of a source. `None` if the table has no topic for them.
    ///
    /// # Errors
    /// Names the property that the producer does not accept.
    pub fn open(config: &SourceConfig, table: &str) -> Result<Option<Self>, Error> {
        let Some(topic) = &config.dead_letter_topic else { return Ok(None) };
        let fixed = [("enable.idempotence", "true"), ("delivery.report.only.error", "true")];
        let producer = producer_config(&config.properties, &fixed);
        let outbox = Outbox::open(&producer, &format!("source {table}, dead letters"), topic)?;
        Ok(Some(Self { topic: topic.clone(), outbox, unacknowledged: false }))
    }

    /// Sends one record.
    ///
    /// # Errors
    /// Says why the dead-letter topic does not accept it.
    pub fn send(&mut self, topic: &str, partition: i32, message: &Message, reason: &str) -> Result<(), Error> {
        let mut headers = Vec::new();
        message.each_header(|name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
        headers.push(("eddyline.error".to_owned(), Some(reason.as_bytes().to_vec())));
        headers.push(("eddyline.topic".to_owned(), Some(topic.as_bytes().to_vec())));
        headers.push(("eddyline.partition".to_owned(), Some(partition.to_string().into_bytes())));
        headers.push(("eddyline.offset".to_owned(), Some(message.offset().to_string().into_bytes())));
        let record = Record {
            key: message.key(),
            value: message.value(),
            partition: None,
            timestamp: None,
            headers: headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect(),
        };
        self.unacknowledged = true;
        if !self.outbox.send(&record)? {
            self.flush()?;
            self.unacknowledged = true;
            if !self.outbox.send(&record)? {
                return Err(self.stuck());
            }
        }
        Ok(())
    }

    /// Waits until all dead letters are acknowledged.
    ///
    /// # Errors
    /// Names one that was lost, or the topic if it takes too long.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.unacknowledged {
            if !self.outbox.flush(FLUSH_LIMIT)? {
                return Err(self.stuck());
            }
            self.unacknowledged = false;
        }
        Ok(())
    }

    fn stuck(&self) -> Error {
        Error::Unavailable {
            what: format!("dead-letter topic {} took no records for {FLUSH_LIMIT:?}", self.topic),
            source: None,
            retryable: true,
        }
    }
}
