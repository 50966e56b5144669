//! Partitions as splits, with their positions.

use eddyline_stream::SplitId;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::source::Split;

/// The position in a partition. Part of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The offset of the next record.
    pub offset: i64,
    /// The offset before which the partition ends for this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<i64>,
    /// The leader epoch of the last record read. It shows brokers whether the log was truncated meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_epoch: Option<i32>,
}

impl Position {
    /// Whether there is nothing left to read.
    pub fn is_at_stop(&self) -> bool {
        self.stop.is_some_and(|stop| self.offset >= stop)
    }
}

/// The name of a partition among the splits of a source.
pub fn split_id(topic: &str, partition: i32) -> SplitId {
    SplitId::new(format!("{topic}/{partition}"))
}

/// A partition as a split.
pub fn split(topic: &str, partition: i32, position: Position) -> Split {
    Split { id: split_id(topic, partition), position: serde_json::json!(position), finished: false }
}

/// Topic, partition and position of a split.
///
/// # Errors
/// Names a split that is not one of a Kafka source.
pub fn parse(split: &Split) -> Result<(String, i32, Position), Error> {
    let foreign = |reason: String| Error::Restore { split: split.id.to_string(), reason };
    let (topic, partition) = split
        .id
        .as_str()
        .rsplit_once('/')
        .and_then(|(topic, partition)| Some((topic.to_owned(), partition.parse().ok()?)))
        .ok_or_else(|| foreign("expected the name of a Kafka partition, such as orders/0".to_owned()))?;
    let position = serde_json::from_value(split.position.clone())
        .map_err(|error| foreign(format!("its position is not one of a Kafka source: {error}")))?;
    Ok((topic, partition, position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_keeps_its_partition_and_position() {
        let position = Position { offset: 7, stop: Some(9), leader_epoch: None };
        let (topic, partition, read) = parse(&split("a-b.c_d", 3, position)).unwrap();
        assert_eq!((topic.as_str(), partition, read), ("a-b.c_d", 3, position));
    }

    #[test]
    fn a_foreign_split_is_refused_by_name() {
        let foreign = Split { id: SplitId::new("part-0.json"), position: serde_json::json!({}), finished: false };
        assert!(parse(&foreign).unwrap_err().to_string().contains("part-0.json"));
        let foreign = Split { id: SplitId::new("t/0"), position: serde_json::json!({"line": 1}), finished: false };
        assert!(parse(&foreign).unwrap_err().to_string().contains("t/0"));
    }
}
