//! Where reading a table begins and where it ends.

use std::collections::BTreeMap;

use crate::{OptionError, Options};

/// Where a partition begins that is in no checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartupMode {
    /// At the oldest record.
    Earliest,
    /// After the newest record.
    Latest,
    /// At the offset of the group `properties.group.id`. If there is none, as `properties.auto.offset.reset` says.
    #[default]
    GroupOffsets,
    /// At the first record with this timestamp or a later one, in milliseconds since 1970.
    Timestamp(i64),
    /// At these offsets. Other partitions begin at the oldest record.
    SpecificOffsets(BTreeMap<i32, i64>),
}

/// Where a partition ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BoundedMode {
    /// Nowhere.
    #[default]
    Unbounded,
    /// After the record that is the newest when the job starts.
    Latest,
    /// At the offset of the group `properties.group.id` when the job starts.
    GroupOffsets,
    /// Before the first record with this timestamp or a later one, in milliseconds since 1970.
    Timestamp(i64),
    /// Before these offsets. Other partitions are not read.
    SpecificOffsets(BTreeMap<i32, i64>),
}

impl StartupMode {
    /// Reads `scan.startup.*`.
    ///
    /// # Errors
    /// Names the option that is wrong or missing.
    pub fn parse(options: &mut Options<'_>) -> Result<Self, OptionError> {
        let timestamp = options.number("scan.startup.timestamp-millis");
        let offsets = options.parsed("scan.startup.specific-offsets", specific_offsets);
        match options.get("scan.startup.mode").unwrap_or("group-offsets") {
            "earliest-offset" => Ok(StartupMode::Earliest),
            "latest-offset" => Ok(StartupMode::Latest),
            "group-offsets" => Ok(StartupMode::GroupOffsets),
            "timestamp" => needed(timestamp, "scan.startup.timestamp-millis").map(StartupMode::Timestamp),
            "specific-offsets" => needed(offsets, "scan.startup.specific-offsets").map(StartupMode::SpecificOffsets),
            other => Err(OptionError::of(
                "scan.startup.mode",
                format!(
                    "'scan.startup.mode' = '{other}': expected earliest-offset, latest-offset, group-offsets, timestamp or \
                 specific-offsets"
                ),
            )),
        }
    }
}

impl BoundedMode {
    /// Reads `scan.bounded.*`.
    ///
    /// # Errors
    /// Names the option that is wrong or missing.
    pub fn parse(options: &mut Options<'_>) -> Result<Self, OptionError> {
        let timestamp = options.number("scan.bounded.timestamp-millis");
        let offsets = options.parsed("scan.bounded.specific-offsets", specific_offsets);
        match options.get("scan.bounded.mode").unwrap_or("unbounded") {
            "unbounded" => Ok(BoundedMode::Unbounded),
            "latest-offset" => Ok(BoundedMode::Latest),
            "group-offsets" => Ok(BoundedMode::GroupOffsets),
            "timestamp" => needed(timestamp, "scan.bounded.timestamp-millis").map(BoundedMode::Timestamp),
            "specific-offsets" => needed(offsets, "scan.bounded.specific-offsets").map(BoundedMode::SpecificOffsets),
            other => Err(OptionError::of(
                "scan.bounded.mode",
                format!(
                    "'scan.bounded.mode' = '{other}': expected unbounded, latest-offset, group-offsets, timestamp or \
                 specific-offsets"
                ),
            )),
        }
    }
}

fn needed<T>(value: Option<T>, key: &str) -> Result<T, OptionError> {
    value.ok_or_else(|| OptionError::missing(key, format!("option '{key}' is missing")))
}

/// `partition:0,offset:42;partition:1,offset:300`
fn specific_offsets(text: &str) -> Result<BTreeMap<i32, i64>, String> {
    let expected = || "expected partition:0,offset:42;partition:1,offset:300".to_owned();
    let mut offsets = BTreeMap::new();
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (partition, offset) = pair.split_once(',').ok_or_else(expected)?;
        let partition: i32 = value_of(partition, "partition").ok_or_else(expected)?;
        let offset: i64 = value_of(offset, "offset").ok_or_else(expected)?;
        if partition < 0 || offset < 0 || offsets.insert(partition, offset).is_some() {
            return Err(expected());
        }
    }
    if offsets.is_empty() { Err(expected()) } else { Ok(offsets) }
}

fn value_of<T: std::str::FromStr>(text: &str, name: &str) -> Option<T> {
    text.trim().strip_prefix(name)?.trim().strip_prefix(':')?.trim().parse().ok()
}
