//! Durations and sizes as manifests spell them.

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

/// The units of sizes. Those with `i` are powers of 1024, the others of 1000.
const BYTES: [(&str, u64); 10] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

/// The number of bytes of a size such as `512Mi`, `1.5Gi` or `1000000`, rounded down. `None` if the text is no size.
pub fn bytes(text: &str) -> Option<u64> {
    let with_unit = BYTES.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = with_unit.unwrap_or((text, 1));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if [whole, fraction].iter().any(|digits| digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    // Further digits are less than a byte of any unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = (0..fraction.len()).fold(1u128, |scale, _| scale * 10);
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / scale;
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit);
    Some(whole.saturating_add(u64::try_from(part).ok()?))
}

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
    fn a_size_is_read_as_kubernetes_reads_it() {
        let read = |text: &str| bytes(text);
        assert_eq!((read("0"), read("17"), read("1k"), read("1Ki")), (Some(0), Some(17), Some(1000), Some(1024)));
        assert_eq!((read("5Gi"), read("1.5Gi"), read("0.25M")), (Some(5 << 30), Some(3 << 29), Some(250_000)));
        assert_eq!(read("1.0000000000000000000001Ki"), Some(1024));
        assert_eq!(read("0.3Ki"), Some(307), "rounded down");
        assert_eq!(read("99999999999999999999Pi"), Some(u64::MAX));
        for text in ["", "Gi", "-1Gi", "1.Gi", ".5Gi", "1.2.3", "1e3", "5 Gi", "5GB", "\u{661}k"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

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
