//! Conversions between types: numbers as Java narrows and widens them, times, texts, and elements of ARRAY, MAP and
//! ROW.

use arrow::datatypes::{DataType, TimeUnit};

use super::arithmetic::{Exact, cut};
use super::compare::equal_or_both_null;
use super::text::{print, read};
use super::value::{DAY, Value};
use super::zone::Zone;

/// The options of a CAST.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// As in TRY_CAST, a value that cannot be converted becomes NULL.
    pub or_null: bool,
    /// The time zone in which TIMESTAMP_LTZ is read and printed.
    pub zone: Zone,
}

impl Cast {
    /// Converts a value of type `from` to type `to`.
    pub fn convert(self, value: &Value, from: &DataType, to: &DataType) -> Result<Value, String> {
        match (value, to) {
            (Value::Null, _) => Ok(Value::Null),
            (Value::Array(elements), DataType::List(field)) => {
                let DataType::List(own) = from else { return no_cast(from, to) };
                let convert = |element| self.convert(element, own.data_type(), field.data_type());
                Ok(Value::Array(elements.iter().map(convert).collect::<Result<_, _>>()?))
            }
            (Value::Map(entries), DataType::Map(field, _)) => {
                let ((from_key, from_value), (to_key, to_value)) = match (from, field.data_type()) {
                    (DataType::Map(own, _), DataType::Struct(fields)) => match own.data_type() {
                        DataType::Struct(own) => {
                            ((own[0].data_type(), own[1].data_type()), (fields[0].data_type(), fields[1].data_type()))
                        }
                        _ => return no_cast(from, to),
                    },
                    _ => return no_cast(from, to),
                };
                let mut converted = Vec::new();
                for (key, value) in entries {
                    let key = self.convert(key, from_key, to_key)?;
                    if key.is_null() {
                        return Err("a key of a map became NULL".to_owned());
                    }
                    converted.push((key, self.convert(value, from_value, to_value)?));
                }
                Ok(Value::Map(one_of_each_key(converted)))
            }
            (Value::Row(parts), DataType::Struct(fields)) => {
                let DataType::Struct(own) = from else { return no_cast(from, to) };
                let parts = parts.iter().zip(own.iter().zip(fields));
                let convert =
                    |(part, (own, field)): (&Value, (&arrow::datatypes::FieldRef, &arrow::datatypes::FieldRef))| {
                        self.convert(part, own.data_type(), field.data_type())
                    };
                Ok(Value::Row(parts.map(convert).collect::<Result<_, _>>()?))
            }
            _ if from == to => Ok(value.clone()),
            (_, DataType::Utf8) => Ok(Value::Text(print(value, from, self.zone)?)),
            (Value::Text(text), _) => match read(text, to, self.zone) {
                Ok(value) => Ok(value.unwrap_or(Value::Null)),
                Err(_) if self.or_null => Ok(Value::Null),
                Err(error) => Err(error),
            },
            (Value::Moment(moment), _) if is_moment(to) => self.moment(*moment, from, to),
            _ => match number(value, from, to) {
                Err(_) if self.or_null => Ok(Value::Null),
                result => result,
            },
        }
    }

    fn moment(self, moment: i128, from: &DataType, to: &DataType) -> Result<Value, String> {
        let is_instant = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
        let moved = match (is_instant(from), is_instant(to)) {
            (true, false) => self.zone.local(moment),
            (false, true) => self.zone.instant(moment),
            _ => moment,
        };
        let unit = match to {
            DataType::Date32 => DAY,
            DataType::Timestamp(TimeUnit::Microsecond, _) => 1,
            _ => 1_000,
        };
        let of_day = if matches!(to, DataType::Time32(_)) { moved.rem_euclid(DAY) } else { moved };
        Ok(Value::Moment(of_day - of_day.rem_euclid(unit)))
    }
}

fn no_cast<T>(from: &DataType, to: &DataType) -> Result<T, String> {
    Err(format!("there is no cast from {from} to {to}"))
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..))
}

/// Removes duplicate keys: keeps the position of the first entry and the value of the last.
pub fn one_of_each_key(entries: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    let mut kept: Vec<(Value, Value)> = Vec::new();
    for (key, value) in entries {
        match kept.iter_mut().find(|(known, _)| is_one_key(known, &key)) {
            Some((_, known)) => *known = value,
            None => kept.push((key, value)),
        }
    }
    kept
}

/// Whether two keys are equal by Java's `equals`: NaN equals NaN, and `-0.0` differs from `0.0`.
pub fn is_one_key(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Float(_) | Value::Double(_), _) => left.is_same(right),
        _ => equal_or_both_null(left, right),
    }
}

/// Converts between numbers and BOOLEAN.
fn number(value: &Value, from: &DataType, to: &DataType) -> Result<Value, String> {
    let scale_of = |data_type: &DataType| match data_type {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    };
    if let DataType::Duration(_) | DataType::Interval(_) = from {
        return interval(value, from, to);
    }
    Ok(match to {
        DataType::Boolean => Value::Boolean(match value {
            Value::Boolean(truth) => *truth,
            Value::Whole(number) => *number != 0,
            Value::Decimal(unscaled) => *unscaled != 0,
            Value::Float(number) => *number != 0.0,
            Value::Double(number) => *number != 0.0,
            _ => return no_cast(from, to),
        }),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Value::Whole(match value {
            Value::Boolean(truth) => i64::from(*truth),
            Value::Whole(number) => cut(i128::from(*number), to),
            // The fraction is dropped, then the excess bits.
            Value::Decimal(unscaled) => cut(unscaled / 10_i128.pow(scale_of(from).unsigned_abs().into()), to),
            // Java saturates at the largest number. To TINYINT and SMALLINT it converts by way of INT.
            Value::Float(number) if *to == DataType::Int64 => *number as i64,
            Value::Double(number) if *to == DataType::Int64 => *number as i64,
            Value::Float(number) => cut(i128::from(*number as i32), to),
            Value::Double(number) => cut(i128::from(*number as i32), to),
            Value::Moment(moment) if *from == DataType::Date32 => moment.div_euclid(DAY) as i64,
            _ => return no_cast(from, to),
        }),
        DataType::Float64 => Value::Double(match value {
            Value::Boolean(truth) => f64::from(u8::from(*truth)),
            Value::Whole(number) => *number as f64,
            Value::Decimal(unscaled) => as_double(*unscaled, from),
            Value::Float(number) => f64::from(*number),
            _ => return no_cast(from, to),
        }),
        DataType::Float32 => Value::Float(match value {
            Value::Boolean(truth) => f32::from(u8::from(*truth)),
            Value::Whole(number) => *number as f32,
            Value::Decimal(unscaled) => as_double(*unscaled, from) as f32,
            Value::Double(number) => *number as f32,
            _ => return no_cast(from, to),
        }),
        DataType::Decimal128(precision, scale) => {
            let exact = match value {
                Value::Boolean(truth) => Exact::new(i128::from(*truth), 0),
                Value::Whole(number) => Exact::new(i128::from(*number), 0),
                Value::Decimal(unscaled) => Exact::new(*unscaled, scale_of(from)),
                // Java converts the digits that it prints. FLOAT is widened first.
                Value::Float(number) => return of_double(f64::from(*number), *precision, *scale),
                Value::Double(number) => return of_double(*number, *precision, *scale),
                _ => return no_cast(from, to),
            };
            exact.as_decimal(*precision, *scale).map_or(Value::Null, Value::Decimal)
        }
        DataType::Date32 => match value {
            Value::Whole(days) => Value::Moment(i128::from(*days) * DAY),
            _ => return no_cast(from, to),
        },
        DataType::Duration(TimeUnit::Millisecond) => match value {
            Value::Whole(milliseconds) => Value::Span(i128::from(*milliseconds) * 1_000),
            _ => return no_cast(from, to),
        },
        DataType::Interval(_) => match value {
            Value::Whole(months) => Value::Months(i32::try_from(*months).map_err(|_| "too many months")?),
            _ => return no_cast(from, to),
        },
        _ => return no_cast(from, to),
    })
}

fn of_double(number: f64, precision: u8, scale: i8) -> Result<Value, String> {
    // For NaN and the infinities, `BigDecimal.valueOf` throws.
    let exact = Exact::of_text(&format!("{number:e}")).ok_or_else(|| format!("{number} is not a DECIMAL"))?;
    Ok(exact.as_decimal(precision, scale).map_or(Value::Null, Value::Decimal))
}

/// A DECIMAL as a DOUBLE. Flink stores a DECIMAL of up to 18 digits as a BIGINT and divides it. Any other one is
/// rounded once.
pub fn as_double(unscaled: i128, data_type: &DataType) -> f64 {
    let (precision, scale) = match data_type {
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => (38, 0),
    };
    match i64::try_from(unscaled) {
        Ok(whole) if precision <= 18 => whole as f64 / 10_i64.pow(scale.unsigned_abs().into()) as f64,
        _ => format!("{unscaled}e-{scale}").parse().unwrap_or(f64::NAN),
    }
}

fn interval(value: &Value, from: &DataType, to: &DataType) -> Result<Value, String> {
    match (value, from, to) {
        (Value::Span(micros), DataType::Duration(unit), DataType::Int64) => {
            let unit = if *unit == TimeUnit::Microsecond { 1 } else { 1_000 };
            i64::try_from(micros / unit).map(Value::Whole).map_err(|_| "an interval is out of range".to_owned())
        }
        (Value::Span(micros), _, DataType::Duration(TimeUnit::Microsecond)) => match i64::try_from(*micros) {
            Ok(_) => Ok(value.clone()),
            Err(_) => Err("an interval is out of range".to_owned()),
        },
        (Value::Months(months), _, DataType::Int32) => Ok(Value::Whole((*months).into())),
        _ => no_cast(from, to),
    }
}

impl Cast {
    /// The planner's casts without a function: those that lose nothing, and those between whole numbers, which fail if
    /// a number does not fit.
    pub fn convert_exactly(self, value: &Value, from: &DataType, to: &DataType) -> Result<Value, String> {
        let converted = self.convert(value, from, to)?;
        match (value, &converted) {
            (Value::Whole(before), Value::Whole(after)) if before != after && self.or_null => Ok(Value::Null),
            (Value::Whole(before), Value::Whole(after)) if before != after => Err(format!("{before} is not a {to}")),
            _ => Ok(converted),
        }
    }
}
