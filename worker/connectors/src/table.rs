//! A table as its DDL describes it, and its WITH options while they are being read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU16;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

/// The most slots of a job.
const PARALLELISM_MAX: NonZeroU16 = NonZeroU16::new(1 << 15).expect("it is not 0");

/// A table as its DDL describes it: what a connector needs to know to read or write it.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDescriptor {
    /// The table's name in the SQL.
    pub name: String,
    /// The physical columns: those the format reads or writes, in DDL order, without computed and metadata columns.
    pub schema: SchemaRef,
    /// Metadata columns, in DDL order. A reader appends them to the physical columns. A writer also gets them there,
    /// except virtual ones.
    pub metadata: Vec<MetadataColumn>,
    /// Columns of `PRIMARY KEY (…) NOT ENFORCED`.
    pub primary_key: Vec<String>,
    /// Columns of `PARTITIONED BY (…)`.
    pub partition_keys: Vec<String>,
    /// The WITH options as written.
    pub options: BTreeMap<String, String>,
}

/// `name TYPE METADATA [FROM 'key'] [VIRTUAL]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataColumn {
    /// The column's name.
    pub name: String,
    /// The connector's name for it, such as `timestamp`.
    pub key: String,
    /// The declared type.
    pub data_type: arrow::datatypes::DataType,
    /// Whether it can only be read.
    pub is_virtual: bool,
}

/// An error of a WITH option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OptionError {
    /// The option's key, so that the planner can point at it. `None` for an error of the whole table.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
    /// The missing option, if one is missing.
    missing: Option<String>,
}

impl OptionError {
    /// An error about one option.
    pub fn of(key: &str, message: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), message: message.into(), missing: None }
    }

    /// An error about a missing option.
    pub fn missing(key: &str, message: impl Into<String>) -> Self {
        Self { key: None, message: message.into(), missing: Some(key.to_owned()) }
    }

    /// An error about the table as a whole.
    pub fn table(message: impl Into<String>) -> Self {
        Self { key: None, message: message.into(), missing: None }
    }
}

/// All errors of the WITH options of a table. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionErrors(Vec<OptionError>);

impl OptionErrors {
    /// The errors one by one.
    pub fn iter(&self) -> impl Iterator<Item = &OptionError> {
        self.0.iter()
    }
}

impl From<OptionError> for OptionErrors {
    fn from(error: OptionError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for OptionErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for OptionErrors {}

/// The WITH options of a table while a connector reads them.
///
/// Each read marks its key. [`Options::read`] refuses the keys that nobody read, so a misspelt option never passes
/// silently.
#[derive(Debug)]
pub struct Options<'a> {
    values: &'a BTreeMap<String, String>,
    known: BTreeSet<String>,
    errors: Vec<OptionError>,
}

impl<'a> Options<'a> {
    /// Reads the options of a table with `read`. `connector` itself is known.
    ///
    /// # Errors
    /// All errors at once: values that cannot be parsed, what `read` returns, and options that `read` did not ask for.
    pub fn read<T>(
        values: &'a BTreeMap<String, String>,
        read: impl FnOnce(&mut Self) -> Result<T, OptionError>,
    ) -> Result<T, OptionErrors> {
        let mut options = Self { values, known: BTreeSet::from(["connector".to_owned()]), errors: Vec::new() };
        let result = read(&mut options);
        let unknown = options.unknown(result.is_ok());
        let Self { errors, .. } = options;
        // A required option that is misspelt is also missing: that is one error.
        // An option whose value is wrong is not missing.
        let is_consequence = |error: &OptionError| {
            let means = |missing: &String| {
                values.contains_key(missing) || unknown.iter().any(|(_, meant)| meant.as_ref() == Some(missing))
            };
            error.missing.as_ref().is_some_and(means)
        };
        let (read, failed) = match result {
            Ok(read) => (Some(read), None),
            Err(error) => (None, Some(error)),
        };
        let mut all: Vec<OptionError> =
            errors.into_iter().chain(failed).filter(|error| !is_consequence(error)).collect();
        all.extend(unknown.into_iter().map(|(error, _)| error));
        match read {
            Some(read) if all.is_empty() => Ok(read),
            _ => Err(OptionErrors(all)),
        }
    }

    /// The options that nothing has read, with suggestions. When the reading ended early (`whole` is false), the
    /// options that come later are not known. Then only those are returned that resemble a known one.
    fn unknown(&self, whole: bool) -> Vec<(OptionError, Option<String>)> {
        let mut found = Vec::new();
        for key in self.values.keys().filter(|key| !self.known.contains(*key)) {
            let absent = self.known.iter().filter(|known| !self.values.contains_key(*known));
            let nearest = absent.map(|known| (edit_distance(known, key), known)).min();
            let meant = nearest
                .filter(|(distance, _)| *distance <= (key.len() / 2).clamp(1, 3))
                .map(|(_, known)| known.clone());
            let hint = match &meant {
                Some(meant) => format!(", did you mean '{meant}'?"),
                None if whole => {
                    format!("; known here: {}", self.known.iter().cloned().collect::<Vec<_>>().join(", "))
                }
                None => continue,
            };
            found.push((OptionError::of(key, format!("unknown option '{key}'{hint}")), meant));
        }
        found
    }

    /// The value of a result. Records an error and returns the default, so that reading continues and finds more
    /// errors.
    pub fn check<T: Default>(&mut self, result: Result<T, OptionError>) -> T {
        result.unwrap_or_else(|error| {
            self.errors.push(error);
            T::default()
        })
    }

    /// The text of an option.
    pub fn get(&mut self, key: &str) -> Option<&'a str> {
        self.known.insert(key.to_owned());
        self.values.get(key).map(String::as_str)
    }

    /// The text of a required option.
    pub fn required(&mut self, key: &str) -> Result<&'a str, OptionError> {
        self.get(key).ok_or_else(|| OptionError::missing(key, format!("option '{key}' is missing")))
    }

    /// Reads an option with `parse`. The key and the value are added to its error. After an error the option counts as
    /// absent, and the reading continues.
    pub fn parsed<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.get(key)?;
        let parsed = parse(text).map(Some);
        self.check(parsed.map_err(|reason| OptionError::of(key, format!("'{key}' = '{text}': {reason}"))))
    }

    /// A whole number.
    pub fn number<T: std::str::FromStr>(&mut self, key: &str) -> Option<T> {
        self.parsed(key, |text| text.trim().parse().map_err(|_| "expected a whole number".to_owned()))
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        self.parsed(key, |text| match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        })
    }

    /// A duration in Flink's notation, such as `10 s` or `500ms`.
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        self.parsed(key, parse_duration)
    }

    /// The maximum number of readers or writers of a table: `scan.parallelism` and `sink.parallelism`.
    pub fn parallelism(&mut self, key: &str) -> Option<NonZeroU16> {
        self.parsed(key, |text| {
            let parallelism = text.trim().parse().ok().filter(|number| *number <= PARALLELISM_MAX);
            parallelism.ok_or_else(|| format!("expected a whole number from 1 to {PARALLELISM_MAX}"))
        })
    }

    /// All options whose key starts with `prefix`, without the prefix.
    pub fn with_prefix(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let found: BTreeMap<_, _> = self
            .values
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())))
            .collect();
        self.known.extend(found.keys().map(|key| format!("{prefix}{key}")));
        found
    }
}

/// Reads a duration in Flink's notation: a whole number and a unit (`ms`, `s`, `min`, `h`, `d` and their long forms);
/// milliseconds without a unit.
///
/// # Errors
/// Says what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let expected = || "expected a duration such as 500 ms, 10 s, 5 min, 1 h".to_owned();
    let number: u64 = text[..digits].parse().map_err(|_| expected())?;
    let unit_ms = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return Err(expected()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(expected)
}

/// The number of characters to insert, remove or replace to turn one text into the other (Levenshtein's distance).
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
