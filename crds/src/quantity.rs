//! Durations as manifests spell them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A duration such as `10s`, `500ms`, `2m`, `6h` or `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(std::time::Duration);

/// The text is not a duration.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no duration; write for example 500ms, 10s, 2m, 6h or 7d")]
pub struct InvalidDuration(String);

const UNITS: [(&str, u64); 5] = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// What is longer than ten thousand years is taken for that, so that no sum of a time and a duration overflows.
const LONGEST_MS: u64 = 3_650_000 * 86_400_000;

impl Duration {
    /// The duration with this many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// The duration with this many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// The value in whole milliseconds.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// The value.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl TryFrom<String> for Duration {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parsed = UNITS.iter().find_map(|(unit, unit_ms)| {
            let number: u64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
            let millis = number.saturating_mul(*unit_ms).min(LONGEST_MS);
            Some(std::time::Duration::from_millis(millis))
        });
        parsed.map(Self).ok_or(InvalidDuration(text))
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> String {
        duration.to_string()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (unit, unit_ms) = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
            .into_iter()
            .find(|(_, unit_ms)| millis != 0 && millis.is_multiple_of(*unit_ms))
            .unwrap_or(("ms", 1));
        write!(f, "{}{unit}", millis / unit_ms)
    }
}

impl schemars::JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(ms|s|m|h|d)$",
            "maxLength": 12,
            "description": "A duration such as 500ms, 10s, 2m, 6h or 7d.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_and_written_in_its_largest_whole_unit() {
        for (text, shown) in
            [("10s", "10s"), ("120s", "2m"), ("500ms", "500ms"), ("7d", "7d"), ("24h", "1d"), ("0s", "0ms")]
        {
            let duration = Duration::try_from(text.to_owned()).expect(text);
            assert_eq!(duration.to_string(), shown);
        }
        for text in ["999999999999d", "18446744073709551615h"] {
            assert_eq!(Duration::try_from(text.to_owned()).expect(text).to_string(), "3650000d");
        }
        for text in ["", "10", "s", "-1s", "1.5h", "99999999999999999999d"] {
            assert!(Duration::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
