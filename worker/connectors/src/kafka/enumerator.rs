//! Finds partitions, and turns "earliest", "latest", a timestamp or a group into offsets.
//!
//! A mode is resolved once, when a partition is first seen: from then on its position is a number, so that a job that
//! fails before its first record starts where it would have started.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eddyline_stream::SplitId;
use futures::future::BoxFuture;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tracing::{info, warn};

use super::client::{REQUEST_TIMEOUT, TableConsumer, asking_consumer, take_events, unavailable, wait_for_answer};
use super::config::{SourceConfig, Topics};
use super::modes::{BoundedMode, StartupMode};
use super::split::{Position, split, split_id};
use crate::Error;
use crate::source::{Discovery, Split, SplitEnumerator};

/// How long the first discovery waits when no broker answers.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// The wait between two attempts.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// A partition: topic and number.
type Partition = (String, i32);

/// Finds the partitions of a Kafka source.
pub struct PartitionEnumerator {
    io: tokio::runtime::Handle,
    finder: Arc<Mutex<Finder>>,
}

impl PartitionEnumerator {
    /// An enumerator of the partitions that `config` describes.
    pub fn new(config: Arc<SourceConfig>, table: String, io: tokio::runtime::Handle) -> Self {
        let finder =
            Finder { config, table, consumer: None, restored: BTreeSet::new(), known: BTreeMap::new(), begun: false };
        Self { io, finder: Arc::new(Mutex::new(finder)) }
    }
}

impl SplitEnumerator for PartitionEnumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<Discovery, Error>> {
        let finder = Arc::clone(&self.finder);
        let found = self.io.spawn_blocking(move || finder.lock().unwrap_or_else(PoisonError::into_inner).discover());
        Box::pin(async move {
            found.await.unwrap_or_else(|error| {
                Err(Error::Unavailable {
                    what: "partition discovery was interrupted".to_owned(),
                    source: Some(Box::new(error)),
                    retryable: true,
                })
            })
        })
    }

    fn restored(&mut self, known: &[SplitId]) {
        let mut finder = self.finder.lock().unwrap_or_else(PoisonError::into_inner);
        finder.restored.extend(known.iter().cloned());
    }
}

/// The work of the enumerator, on a thread that may block.
struct Finder {
    config: Arc<SourceConfig>,
    table: String,

    consumer: Option<TableConsumer>,
    /// The splits of the checkpoint this job continues from.
    restored: BTreeSet<SplitId>,
    known: BTreeMap<Partition, Split>,
    /// Whether a discovery has succeeded.
    begun: bool,
}

impl Finder {
    fn discover(&mut self) -> Result<Discovery, Error> {
        let deadline = Instant::now() + FIRST_ANSWER_LIMIT;
        loop {
            let error = match self.find() {
                Ok(()) => break,
                Err(error) => error,
            };
            let Error::Unavailable { retryable: true, .. } = &error else { return Err(error) };
            warn!(table = self.table, %error, "partition discovery failed and will be repeated");
            if self.begun {
                break;
            }
            if Instant::now() >= deadline {
                return Err(error);
            }
            std::thread::sleep(RETRY_AFTER);
        }
        self.begun = true;
        let complete = self.config.is_bounded() || self.config.discovery_interval.is_none();
        Ok(Discovery { splits: self.known.values().cloned().collect(), complete })
    }

    /// Adds new partitions.
    fn find(&mut self) -> Result<(), Error> {
        if self.begun && self.config.is_bounded() {
            return Ok(());
        }
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => {
                let purpose = format!("source {}, discovery", self.table);
                asking_consumer(&self.config.properties, &self.table, &purpose)?
            }
        };
        let answered = if self.begun { Ok(()) } else { wait_for_answer(&consumer, self.config.topics.first()) };
        let found = answered.and_then(|()| self.find_with(&consumer));
        take_events(&consumer);
        self.consumer = Some(consumer);
        found
    }

    fn find_with(&mut self, consumer: &TableConsumer) -> Result<(), Error> {
        let present = partitions(consumer, &self.config.topics, self.begun)?;
        let new: Vec<Partition> = present.into_iter().filter(|partition| !self.known.contains_key(partition)).collect();
        if new.is_empty() {
            return Ok(());
        }
        // Partitions in the checkpoint continue from their offsets, whatever the options say. Newer ones are read in
        // full.
        let late = |(topic, partition): &Partition| {
            self.begun || (!self.restored.is_empty() && !self.restored.contains(&split_id(topic, *partition)))
        };
        let (late, first): (Vec<_>, Vec<_>) = new.into_iter().partition(late);
        let mut starts = offsets_at(consumer, &late, Offset::Beginning)?;
        starts.extend(self.starts(consumer, &first)?);
        let all: Vec<Partition> = starts.keys().cloned().collect();
        let stops = self.stops(consumer, &all, &starts)?;
        for ((topic, partition), offset) in starts {
            let stop = stops.get(&(topic.clone(), partition)).copied();
            info!(table = self.table, topic, partition, offset, stop, "found a partition");
            let found = split(&topic, partition, Position { offset, stop, leader_epoch: None });
            self.known.insert((topic, partition), found);
        }
        Ok(())
    }

    fn starts(&self, consumer: &TableConsumer, partitions: &[Partition]) -> Result<BTreeMap<Partition, i64>, Error> {
        match &self.config.startup {
            StartupMode::Earliest => offsets_at(consumer, partitions, Offset::Beginning),
            StartupMode::Latest => offsets_at(consumer, partitions, Offset::End),
            StartupMode::Timestamp(timestamp) => offsets_from(consumer, partitions, *timestamp),
            StartupMode::GroupOffsets => self.group_offsets(consumer, partitions),
            StartupMode::SpecificOffsets(offsets) => {
                let mut starts = offsets_at(consumer, partitions, Offset::Beginning)?;
                for ((_, partition), start) in &mut starts {
                    *start = offsets.get(partition).copied().unwrap_or(*start);
                }
                Ok(starts)
            }
        }
    }

    fn stops(
        &self,
        consumer: &TableConsumer,
        partitions: &[Partition],
        starts: &BTreeMap<Partition, i64>,
    ) -> Result<BTreeMap<Partition, i64>, Error> {
        match &self.config.bounded {
            BoundedMode::Unbounded => Ok(BTreeMap::new()),
            BoundedMode::Latest => offsets_at(consumer, partitions, Offset::End),
            BoundedMode::Timestamp(timestamp) => offsets_from(consumer, partitions, *timestamp),
            BoundedMode::GroupOffsets => self.group_offsets(consumer, partitions),
            BoundedMode::SpecificOffsets(offsets) => {
                let stop =
                    |(at, start): (&Partition, &i64)| (at.clone(), offsets.get(&at.1).copied().unwrap_or(*start));
                Ok(starts.iter().map(stop).collect())
            }
        }
    }

    fn group_offsets(
        &self,
        consumer: &TableConsumer,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, i64>, Error> {
        let properties = &self.config.properties.consumer;
        let group = properties.get("group.id").map_or("", String::as_str);
        let committed = consumer
            .committed_offsets(list(partitions, Offset::Invalid)?, REQUEST_TIMEOUT)
            .map_err(|error| unavailable(format!("group {group}: cannot read its offsets"), error))?;
        let (mut offsets, missing) = concrete(&committed, &format!("group {group}"))?;
        if missing.is_empty() {
            return Ok(offsets);
        }
        let reset = match properties.get("auto.offset.reset").map(String::as_str) {
            Some("earliest" | "smallest" | "beginning") => Offset::Beginning,
            Some("latest" | "largest" | "end") => Offset::End,
            _ => {
                let (topic, partition) = &missing[0];
                return Err(Error::Unavailable {
                    what: format!(
                        "group {group} has no offset for topic {topic}, partition {partition}: set \
                         'properties.auto.offset.reset' to 'earliest' or 'latest', or choose another 'scan.startup.mode'"
                    ),
                    source: None,
                    retryable: false,
                });
            }
        };
        offsets.extend(offsets_at(consumer, &missing, reset)?);
        Ok(offsets)
    }
}

/// The present partitions.
fn partitions(consumer: &TableConsumer, topics: &Topics, begun: bool) -> Result<Vec<Partition>, Error> {
    let mut found = Vec::new();
    match topics {
        Topics::Named(names) => {
            for name in names {
                let metadata = consumer
                    .fetch_metadata(Some(name), REQUEST_TIMEOUT)
                    .map_err(|error| unavailable(format!("topic {name}: cannot read its partitions"), error))?;
                for topic in metadata.topics() {
                    match topic.error().map(RDKafkaErrorCode::from) {
                        None => found.extend(topic.partitions().iter().map(|p| (name.clone(), p.id()))),
                        // The reader of a deleted topic reports that itself.
                        Some(RDKafkaErrorCode::UnknownTopicOrPartition) if begun => {}
                        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                            return Err(Error::Unavailable {
                                what: format!("topic {name} does not exist: create it, or correct 'topic'"),
                                source: None,
                                retryable: false,
                            });
                        }
                        Some(code) => {
                            let what = format!("topic {name}: cannot read its partitions");
                            return Err(unavailable(what, KafkaError::MetadataFetch(code)));
                        }
                    }
                }
            }
        }
        Topics::Pattern(pattern) => {
            let metadata = consumer
                .fetch_metadata(None, REQUEST_TIMEOUT)
                .map_err(|error| unavailable("cannot list topics", error))?;
            for topic in metadata.topics().iter().filter(|topic| pattern.is_match(topic.name())) {
                found.extend(topic.partitions().iter().map(|p| (topic.name().to_owned(), p.id())));
            }
            if found.is_empty() && !begun {
                warn!(pattern = pattern.as_str(), "no topic matches yet");
            }
        }
    }
    Ok(found)
}

fn list(partitions: &[Partition], offset: Offset) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, offset)
            .map_err(|error| unavailable(format!("topic {topic}, partition {partition}: offset {offset:?}"), error))?;
    }
    Ok(list)
}

/// The offsets in a broker's answer, and the partitions without one.
fn concrete(answer: &TopicPartitionList, asked: &str) -> Result<(BTreeMap<Partition, i64>, Vec<Partition>), Error> {
    let (mut offsets, mut missing) = (BTreeMap::new(), Vec::new());
    for element in answer.elements() {
        let at = (element.topic().to_owned(), element.partition());
        element.error().map_err(|error| {
            unavailable(format!("topic {}, partition {}: no offset for {asked}", at.0, at.1), error)
        })?;
        match element.offset() {
            Offset::Offset(offset) => {
                offsets.insert(at, offset);
            }
            _ => missing.push(at),
        }
    }
    Ok((offsets, missing))
}

/// The first or the next offset of each partition.
fn offsets_at(
    consumer: &TableConsumer,
    partitions: &[Partition],
    end: Offset,
) -> Result<BTreeMap<Partition, i64>, Error> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    // In this request, -2 and -1 mean the two ends of the log.
    let asked = if end == Offset::Beginning { "the oldest record" } else { "the newest record" };
    let answer = consumer
        .offsets_for_times(list(partitions, end)?, REQUEST_TIMEOUT)
        .map_err(|error| unavailable(format!("cannot look up the offset of {asked}"), error))?;
    let (offsets, missing) = concrete(&answer, asked)?;
    match missing.first() {
        None => Ok(offsets),
        Some((topic, partition)) => Err(Error::Unavailable {
            what: format!("topic {topic}, partition {partition}: the broker returns no offset for {asked}"),
            source: None,
            retryable: true,
        }),
    }
}

/// The first offset of each partition whose record is not older than `timestamp`. The end of the partition if there is
/// none.
fn offsets_from(
    consumer: &TableConsumer,
    partitions: &[Partition],
    timestamp: i64,
) -> Result<BTreeMap<Partition, i64>, Error> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked = format!("timestamp {timestamp}");
    let answer = consumer
        .offsets_for_times(list(partitions, Offset::Offset(timestamp))?, REQUEST_TIMEOUT)
        .map_err(|error| unavailable(format!("cannot look up the offset of {asked}"), error))?;
    let (mut offsets, missing) = concrete(&answer, &asked)?;
    offsets.extend(offsets_at(consumer, &missing, Offset::End)?);
    Ok(offsets)
}
