//! Values as literals of SQL.

use std::fmt::{self, Write};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use eddyline_stream::sql_type;

use super::Scalar;

const DAY_MS: i64 = 86_400_000;

impl fmt::Display for Scalar {
    /// The value as a literal of SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() {
            return f.write_str("NULL");
        }
        match self {
            Self::Boolean(Some(true)) => f.write_str("TRUE"),
            Self::Boolean(Some(false)) => f.write_str("FALSE"),
            Self::Float32(Some(value)) if value.is_finite() => write!(f, "{value:E}"),
            Self::Float64(Some(value)) if value.is_finite() => write!(f, "{value:E}"),
            Self::Utf8(Some(text)) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Binary(Some(bytes)) => {
                f.write_str("X'")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))?;
                f.write_char('\'')
            }
            Self::Date32(_) => write!(f, "DATE '{}'", self.plain()),
            Self::Time32Millisecond(_) => write!(f, "TIME '{}'", self.plain()),
            Self::TimestampMillisecond(_, None) | Self::TimestampMicrosecond(_, None) => {
                write!(f, "TIMESTAMP '{}'", self.plain())
            }
            Self::TimestampMillisecond(value, Some(_)) => {
                write!(f, "TIMESTAMP_LTZ '{}Z'", Self::TimestampMillisecond(*value, None).plain())
            }
            Self::TimestampMicrosecond(value, Some(_)) => {
                write!(f, "TIMESTAMP_LTZ '{}Z'", Self::TimestampMicrosecond(*value, None).plain())
            }
            Self::IntervalYearMonth(Some(months)) if months % 12 == 0 => write!(f, "INTERVAL '{}' YEAR", months / 12),
            Self::IntervalYearMonth(Some(months)) => write!(f, "INTERVAL '{months}' MONTH"),
            Self::DurationMillisecond(Some(value)) => write_interval(f, *value),
            Self::DurationMicrosecond(Some(value)) if value % 1_000 == 0 => write_interval(f, value / 1_000),
            Self::DurationMicrosecond(Some(value)) => write!(f, "INTERVAL '{}' SECOND", *value as f64 / 1e6),
            Self::Nested(array) => write_nested(f, array),
            other => f.write_str(&other.plain()),
        }
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {}", sql_type(&self.data_type()))
    }
}

impl Scalar {
    /// The value as Arrow prints it, with a blank between date and time.
    fn plain(&self) -> String {
        let options = FormatOptions::new().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
        let array = self.to_array();
        let formatter = ArrayFormatter::try_new(array.as_ref(), &options);
        formatter.map_or_else(|_| "?".to_owned(), |formatter| formatter.value(0).to_string())
    }
}

/// Milliseconds in the largest unit that they are a multiple of.
fn write_interval(f: &mut fmt::Formatter<'_>, milliseconds: i64) -> fmt::Result {
    for (size, unit) in [(DAY_MS, "DAY"), (3_600_000, "HOUR"), (60_000, "MINUTE"), (1_000, "SECOND")] {
        if milliseconds % size == 0 && (milliseconds != 0 || unit == "SECOND") {
            return write!(f, "INTERVAL '{}' {unit}", milliseconds / size);
        }
    }
    write!(f, "INTERVAL '{}' SECOND", milliseconds as f64 / 1e3)
}

fn write_nested(f: &mut fmt::Formatter<'_>, array: &ArrayRef) -> fmt::Result {
    let write = |f: &mut fmt::Formatter<'_>, values: &ArrayRef, row: usize| match Scalar::try_from_array(values, row) {
        Ok(value) => write!(f, "{value}"),
        Err(_) => f.write_str("?"),
    };
    match array.data_type() {
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(0);
            f.write_str("ARRAY[")?;
            for row in 0..elements.len() {
                f.write_str(if row > 0 { ", " } else { "" })?;
                write(f, &elements, row)?;
            }
            f.write_char(']')
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(0);
            f.write_str("MAP[")?;
            for row in 0..entries.len() {
                f.write_str(if row > 0 { ", " } else { "" })?;
                write(f, entries.column(0), row)?;
                f.write_str(", ")?;
                write(f, entries.column(1), row)?;
            }
            f.write_char(']')
        }
        _ => {
            f.write_str("ROW(")?;
            for (position, column) in array.as_struct().columns().iter().enumerate() {
                f.write_str(if position > 0 { ", " } else { "" })?;
                write(f, column, 0)?;
            }
            f.write_char(')')
        }
    }
}
