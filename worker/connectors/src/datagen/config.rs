//! The options of datagen: how many rows, how fast, and a rule for each column.

use std::num::NonZeroU16;

use arrow::datatypes::{DataType, TimeUnit};

use crate::{OptionError, OptionErrors, Options, TableDescriptor};

/// The default of rows per second.
const ROWS_PER_SECOND: u64 = 10_000;
/// The default number of characters of a string and of bytes of a binary.
const TEXT_LENGTH: usize = 100;
/// The default number of elements of an array and of entries of a map.
const COLLECTION_LENGTH: usize = 3;
/// The largest `length`: a batch of such values must stay far below 2 GiB.
const LENGTH_MAX: usize = 100_000;

/// A datagen table.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `rows-per-second`: the rate of all readers together.
    pub rows_per_second: u64,
    /// The number of rows: the least of `number-of-rows` and the lengths of the sequences. `None`: no end.
    pub rows: Option<u64>,
    /// `seed` (Eddyline's own): another seed gives other rows. The default is 0.
    pub seed: u64,
    /// `clock.start` (Eddyline's own), in milliseconds since 1970: the timestamp of the first row. Later timestamps
    /// follow from `rows-per-second`. Without it timestamps come from the machine's clock, as in Flink.
    pub clock_start_ms: Option<i64>,
    /// `scan.parallelism`: the maximum number of readers.
    pub parallelism: Option<NonZeroU16>,
    /// The rules, one for each physical column.
    pub columns: Vec<Rule>,
}

/// How the values of a column are generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The column's path in the row, such as `person.name`. It is part of the seed.
    pub path: String,
    /// The share of NULLs, 0 to 1.
    pub null_rate: f64,
    /// The other values.
    pub values: Values,
}

/// The kind of values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// `start`, `start + 1`, …, `end`; as decimal text in a string column.
    Sequence {
        /// The value of the first row.
        start: i64,
        /// The value of the last row.
        end: i64,
    },
    /// Uniform, true or false.
    Boolean,
    /// Uniform whole numbers, both ends included. Decimals are these numbers without their point.
    Integer {
        /// The smallest value.
        min: i128,
        /// The largest value.
        max: i128,
    },
    /// Uniform floating-point numbers.
    Float {
        /// The smallest value.
        min: f64,
        /// The limit of the values, which none of them reaches.
        max: f64,
    },
    /// Text of hexadecimal digits, or bytes.
    Text {
        /// The number of characters or bytes.
        length: usize,
        /// Whether `length` is the maximum instead of the exact length. The minimum is 1.
        variable: bool,
    },
    /// Now, or up to this many milliseconds earlier.
    Time {
        /// `max-past`.
        past_ms_max: i64,
    },
    /// An array.
    List {
        /// The number of elements.
        length: usize,
        /// Their rule.
        element: Box<Rule>,
    },
    /// A map.
    Map {
        /// The number of entries. There are fewer if keys are equal.
        length: usize,
        /// The rule of the keys.
        key: Box<Rule>,
        /// The rule of the values.
        value: Box<Rule>,
    },
    /// A row of these fields.
    Row(Vec<Rule>),
}

impl Config {
    /// Reads the options of a table.
    ///
    /// # Errors
    /// Names the option or the column that is wrong.
    pub fn parse(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        Options::read(&table.options, |options| Self::of(options, table))
    }

    fn of(options: &mut Options<'_>, table: &TableDescriptor) -> Result<Self, OptionError> {
        if let Some(column) = table.metadata.first() {
            return Err(OptionError::table(format!("datagen has no metadata columns, but '{}' is one", column.name)));
        }
        let rows_per_second = options.number("rows-per-second").unwrap_or(ROWS_PER_SECOND);
        if rows_per_second == 0 {
            return Err(OptionError::of("rows-per-second", "'rows-per-second' = '0': expected 1 or more"));
        }
        let number_of_rows: Option<u64> = options.number("number-of-rows");
        let seed = options.number("seed").unwrap_or_default();
        let clock_start_ms = options.parsed("clock.start", parse_timestamp);
        let parallelism = options.parallelism("scan.parallelism");
        let columns = table
            .schema
            .fields()
            .iter()
            .map(|field| rule(options, field.name(), field.data_type()))
            .collect::<Result<Vec<_>, _>>()?;
        for (field, column) in table.schema.fields().iter().zip(&columns) {
            if column.null_rate > 0.0 && !field.is_nullable() {
                return Err(OptionError::table(format!("column '{}' is NOT NULL, but has a null-rate", field.name())));
            }
        }
        let rows = columns.iter().filter_map(Rule::sequence_rows).chain(number_of_rows).min();
        Ok(Self { rows_per_second, rows, seed, clock_start_ms, parallelism, columns })
    }
}

impl Rule {
    fn sequence_rows(&self) -> Option<u64> {
        match &self.values {
            Values::Sequence { start, end } => Some(end.abs_diff(*start).saturating_add(1)),
            Values::Row(fields) => fields.iter().filter_map(Rule::sequence_rows).min(),
            _ => None,
        }
    }
}

fn rule(options: &mut Options<'_>, path: &str, data_type: &DataType) -> Result<Rule, OptionError> {
    let option = |name: &str| format!("fields.{path}.{name}");
    let null_rate = options.parsed(&option("null-rate"), parse_rate).unwrap_or(0.0);
    let kind = options.get(&option("kind")).unwrap_or("random");
    let values = match kind {
        "random" => random(options, path, data_type)?,
        "sequence" => sequence(options, path, data_type)?,
        _ => {
            let key = option("kind");
            return Err(OptionError::of(&key, format!("'{key}' = '{kind}': expected random or sequence")));
        }
    };
    Ok(Rule { path: path.to_owned(), null_rate, values })
}

fn sequence(options: &mut Options<'_>, path: &str, data_type: &DataType) -> Result<Values, OptionError> {
    use DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Utf8};
    if !matches!(data_type, Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Decimal128(..) | Utf8) {
        return Err(OptionError::table(format!("column '{path}' cannot be a sequence: its type is {data_type}")));
    }
    let mut end_of = |name: &str| {
        let key = format!("fields.{path}.{name}");
        let value: Option<i64> = options.number(&key);
        value.ok_or_else(|| OptionError::table(format!("option '{key}' is missing: column '{path}' is a sequence")))
    };
    let (start, end) = (end_of("start")?, end_of("end")?);
    let key = format!("fields.{path}.end");
    if end < start {
        return Err(OptionError::of(&key, format!("'{key}' = '{end}' is below the start, {start}")));
    }
    if let Some((min, max)) = integer_bounds(data_type)
        && (i128::from(start) < min || i128::from(end) > max)
    {
        return Err(OptionError::of(&key, format!("the sequence {start} to {end} does not fit '{path}', {data_type}")));
    }
    Ok(Values::Sequence { start, end })
}

fn random(options: &mut Options<'_>, path: &str, data_type: &DataType) -> Result<Values, OptionError> {
    let option = |name: &str| format!("fields.{path}.{name}");
    Ok(match data_type {
        DataType::Boolean => Values::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let (low, high) = integer_bounds(data_type).expect("these types have bounds");
            let min = bounded(options, &option("min"), low, high).unwrap_or(low);
            let max = bounded(options, &option("max"), low, high).unwrap_or(high);
            ordered(path, min <= max)?;
            Values::Integer { min, max }
        }
        DataType::Decimal128(precision, scale) => {
            let limit = 10_i128.pow(u32::from(*precision)) - 1;
            let unscaled = |text: &str| unscaled(text, *scale).filter(|value| value.abs() <= limit);
            let parse = |text: &str| unscaled(text).ok_or_else(|| format!("expected a number that fits {data_type}"));
            let min = options.parsed(&option("min"), parse).unwrap_or(-limit);
            let max = options.parsed(&option("max"), parse).unwrap_or(limit);
            ordered(path, min <= max)?;
            Values::Integer { min, max }
        }
        DataType::Float32 | DataType::Float64 => {
            // This keeps `max - min` finite.
            let limit = if *data_type == DataType::Float32 { f64::from(f32::MAX) } else { f64::MAX / 2.0 };
            let min = options.parsed(&option("min"), parse_finite).unwrap_or(0.0);
            let max = options.parsed(&option("max"), parse_finite).unwrap_or(limit);
            ordered(path, min <= max && (max - min).is_finite())?;
            Values::Float { min, max }
        }
        DataType::Utf8 | DataType::Binary => Values::Text {
            length: length(options, &option("length")).unwrap_or(TEXT_LENGTH),
            variable: options.boolean(&option("var-len")).unwrap_or(false),
        },
        DataType::Date32 | DataType::Time32(TimeUnit::Millisecond) => Values::Time { past_ms_max: 0 },
        DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, _) => {
            let past = options.duration(&option("max-past")).unwrap_or_default();
            Values::Time { past_ms_max: i64::try_from(past.as_millis()).unwrap_or(i64::MAX) }
        }
        DataType::List(element) => Values::List {
            length: length(options, &option("length")).unwrap_or(COLLECTION_LENGTH),
            element: Box::new(part(options, &format!("{path}.element"), element.data_type())?),
        },
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(OptionError::table(format!("column '{path}': a map without entries")));
            };
            Values::Map {
                length: length(options, &option("length")).unwrap_or(COLLECTION_LENGTH),
                key: Box::new(part(options, &format!("{path}.key"), fields[0].data_type())?),
                value: Box::new(part(options, &format!("{path}.value"), fields[1].data_type())?),
            }
        }
        DataType::Struct(fields) => Values::Row(
            fields
                .iter()
                .map(|field| rule(options, &format!("{path}.{}", field.name()), field.data_type()))
                .collect::<Result<_, _>>()?,
        ),
        other => return Err(OptionError::table(format!("datagen cannot make column '{path}' of type {other}"))),
    })
}

/// The rule of the values inside a collection. A sequence is refused, because its length would have no meaning there.
fn part(options: &mut Options<'_>, path: &str, data_type: &DataType) -> Result<Rule, OptionError> {
    let part = rule(options, path, data_type)?;
    if part.sequence_rows().is_some() {
        let key = format!("fields.{path}.kind");
        return Err(OptionError::of(&key, format!("'{key}': a collection cannot hold a sequence")));
    }
    Ok(part)
}

fn integer_bounds(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::Decimal128(precision, scale) => {
            let whole_digits = (i32::from(*precision) - i32::from(*scale)).max(0);
            let limit = 10_i128.pow(whole_digits.unsigned_abs()) - 1;
            (-limit, limit)
        }
        _ => return None,
    })
}

fn bounded(options: &mut Options<'_>, key: &str, low: i128, high: i128) -> Option<i128> {
    options.parsed(key, |text| {
        let value: i128 = text.trim().parse().map_err(|_| "expected a whole number".to_owned())?;
        if (low..=high).contains(&value) { Ok(value) } else { Err(format!("expected {low} to {high}")) }
    })
}

fn ordered(path: &str, ordered: bool) -> Result<(), OptionError> {
    if ordered {
        return Ok(());
    }
    let key = format!("fields.{path}.max");
    Err(OptionError::of(&key, format!("'{key}' must not be below 'fields.{path}.min'")))
}

fn length(options: &mut Options<'_>, key: &str) -> Option<usize> {
    options.parsed(key, |text| {
        let length = text.trim().parse().ok().filter(|length| (1..=LENGTH_MAX).contains(length));
        length.ok_or_else(|| format!("expected 1 to {LENGTH_MAX}"))
    })
}

fn parse_rate(text: &str) -> Result<f64, String> {
    text.trim().parse().ok().filter(|rate| (0.0..=1.0).contains(rate)).ok_or_else(|| "expected 0 to 1".to_owned())
}

fn parse_finite(text: &str) -> Result<f64, String> {
    text.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| "expected a number".to_owned())
}

/// A timestamp in SQL's form, in milliseconds since 1970.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, String> {
    chrono::NaiveDateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S%.f")
        .map(|time| time.and_utc().timestamp_millis())
        .map_err(|_| "expected a time such as 2026-03-01 00:00:00".to_owned())
}

/// A decimal number without its point, with `scale` digits after the point.
fn unscaled(text: &str, scale: i8) -> Option<i128> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::try_from(scale).ok()?;
    if fraction.len() > scale || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits = format!("{whole}{fraction:0<scale$}");
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i128>().ok().map(|value| sign * value)
}
