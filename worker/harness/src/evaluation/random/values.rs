//! Random values, with a preference for edge cases of their types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};

use crate::evaluation::Value;
use crate::evaluation::arithmetic::{one_nan, one_nan_f32};
use crate::evaluation::calendar::{Date, day_of};
use crate::evaluation::value::DAY;

pub(super) const INTEGERS: [DataType; 4] = [DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64];
pub(super) const TEXT: DataType = DataType::Utf8;
pub(super) const DECIMALS: [DataType; 5] = [
    DataType::Decimal128(10, 2),
    DataType::Decimal128(38, 18),
    DataType::Decimal128(5, 0),
    DataType::Decimal128(38, 0),
    DataType::Decimal128(18, 6),
];
pub(super) const SPAN: DataType = DataType::Duration(TimeUnit::Millisecond);
pub(super) const MONTHS: DataType = DataType::Interval(IntervalUnit::YearMonth);

pub(super) fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

pub(super) fn map(key: DataType, value: DataType) -> DataType {
    let fields = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields), false)), false)
}

pub(super) fn row(fields: &[DataType]) -> DataType {
    let field = |(index, data_type): (usize, &DataType)| Field::new(format!("EXPR${index}"), data_type.clone(), true);
    DataType::Struct(fields.iter().enumerate().map(field).collect())
}

pub(super) fn moments() -> Vec<DataType> {
    let zone = || Some(Arc::from("UTC"));
    vec![
        DataType::Date32,
        DataType::Time32(TimeUnit::Millisecond),
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Millisecond, zone()),
        DataType::Timestamp(TimeUnit::Microsecond, zone()),
    ]
}

pub(super) fn types() -> Vec<DataType> {
    let mut types = vec![DataType::Boolean, DataType::Float32, DataType::Float64, TEXT, DataType::Binary, SPAN, MONTHS];
    types.extend(INTEGERS);
    types.extend(DECIMALS);
    types.extend(moments());
    types.extend([
        list(DataType::Int32),
        list(DataType::Float64),
        list(TEXT),
        map(TEXT, DataType::Int32),
        map(TEXT, TEXT),
        map(DataType::Float64, TEXT),
        row(&[DataType::Int32, TEXT]),
        row(&[DataType::Float64, list(DataType::Int32)]),
    ]);
    types
}

/// A generator of random numbers: splitmix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    pub(super) fn value_or_null(&mut self, data_type: &DataType) -> Value {
        if self.one_in(5) { Value::Null } else { self.value(data_type) }
    }

    /// A random value, often an edge case.
    pub(super) fn value(&mut self, data_type: &DataType) -> Value {
        let small = self.below(21) as i64 - 10;
        match data_type {
            DataType::Boolean => Value::Boolean(self.one_in(2)),
            DataType::Int8 => Value::Whole(*self.pick(&[i8::MIN.into(), i8::MAX.into(), -1, 0, 1, small])),
            DataType::Int16 => Value::Whole(*self.pick(&[i16::MIN.into(), i16::MAX.into(), -1, 0, 1, small, 1_000])),
            DataType::Int32 => Value::Whole(*self.pick(&[i32::MIN.into(), i32::MAX.into(), -1, 0, 1, small, 100_000])),
            DataType::Int64 => Value::Whole(*self.pick(&[i64::MIN, i64::MAX, -1, 0, 1, small, 1 << 53, 1 << 32])),
            DataType::Float32 => Value::Float(self.float()),
            DataType::Float64 => Value::Double(self.double()),
            DataType::Decimal128(precision, scale) => {
                let most = 10_i128.pow(u32::from(*precision)) - 1;
                let half = 5 * 10_i128.pow(u32::from(scale.unsigned_abs()).saturating_sub(1));
                let one = 10_i128.pow(scale.unsigned_abs().into()).min(most);
                let any = (i128::from(self.next()) << 60 | i128::from(self.next())) % (most + 1);
                let any = if self.one_in(2) { -any } else { any };
                Value::Decimal(*self.pick(&[0, 1, -1, half.min(most), -half.min(most), one, most, -most, any]))
            }
            DataType::Utf8 => Value::Text((*self.pick(TEXTS)).to_owned()),
            DataType::Binary => Value::Bytes(self.pick(&[vec![], vec![0], vec![0xff, 0xfe], b"abc".to_vec()]).clone()),
            DataType::Date32 => Value::Moment(i128::from(self.day()) * DAY),
            DataType::Time32(_) => {
                let any = i128::from(self.below(86_400_000)) * 1_000;
                Value::Moment(*self.pick(&[0, 1_000, DAY - 1_000, DAY / 2, any]))
            }
            DataType::Timestamp(unit, _) => {
                let of_day = i128::from(self.below(86_400_000_000));
                let of_day = *self.pick(&[0, 1, 999, 1_000, DAY - 1, DAY / 8, of_day]);
                let moment = i128::from(self.day()) * DAY + of_day;
                Value::Moment(if *unit == TimeUnit::Millisecond { moment - moment.rem_euclid(1_000) } else { moment })
            }
            DataType::Interval(_) => Value::Months(*self.pick(&[0, 1, -1, 11, 12, -13, small as i32])),
            DataType::Duration(_) => {
                let milliseconds = *self.pick(&[0, 1, -1, 999, 86_400_000, -86_400_000, 3_600_000, small]);
                Value::Span(i128::from(milliseconds) * 1_000)
            }
            DataType::List(field) => {
                Value::Array((0..self.below(4)).map(|_| self.value_or_null(field.data_type())).collect())
            }
            DataType::Map(field, _) => {
                let DataType::Struct(fields) = field.data_type() else { unreachable!("a map has entries") };
                let mut entries: Vec<(Value, Value)> = Vec::new();
                for _ in 0..self.below(4) {
                    let key = self.value(fields[0].data_type());
                    if !entries.iter().any(|(known, _)| known.is_same(&key)) {
                        entries.push((key, self.value_or_null(fields[1].data_type())));
                    }
                }
                Value::Map(entries)
            }
            DataType::Struct(fields) => {
                Value::Row(fields.iter().map(|field| self.value_or_null(field.data_type())).collect())
            }
            other => unreachable!("no values of {other}"),
        }
    }

    fn double(&mut self) -> f64 {
        let any = one_nan(f64::from_bits(self.next()));
        let edges = [
            f64::NAN,
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            1.0,
            -1.0,
            0.5,
            2.5,
            -2.5,
            0.1,
            1e7,
            9_999_999.0,
            1e-3,
            9.99e-4,
            9_007_199_254_740_993.0,
            2_147_483_648.0,
            1e300,
        ];
        if self.one_in(4) { any } else { *self.pick(&edges) }
    }

    fn float(&mut self) -> f32 {
        let any = one_nan_f32(f32::from_bits(self.next() as u32));
        let edges = [
            f32::NAN,
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            1e-45,
            1.0,
            -1.0,
            0.5,
            2.5,
            0.1,
            1e7,
            16_777_217.0,
            1e-3,
        ];
        if self.one_in(4) { any } else { *self.pick(&edges) }
    }

    fn day(&mut self) -> i64 {
        let any = self.below(3_652_059) as i64 - 719_162;
        let date = |year, month, day| day_of(Date { year, month, day });
        let edges = [
            date(1, 1, 1),
            date(9999, 12, 31),
            date(1969, 12, 31),
            0,
            date(2024, 2, 29),
            date(2024, 3, 31),
            date(2023, 3, 26),
            date(2023, 10, 29),
            date(1900, 2, 28),
            any,
        ];
        *self.pick(&edges)
    }
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "abc",
    "a%c",
    "a_c",
    "\\",
    "ß",
    "日本",
    "x𝄞y",
    "e\u{301}",
    "a\nb",
    "1",
    "-1",
    "+7",
    " 12 ",
    "\t12",
    "12\n",
    "\r12",
    "\u{a0}12",
    "1.5",
    "-0.5",
    ".5",
    "5.",
    "1e3",
    "NaN",
    "-Infinity",
    "true",
    "no",
    "-.5",
    ".",
    "128",
    "2147483648",
    "9223372036854775808",
    "99999.995",
    "2024-02-29",
    "2023-02-29",
    "0001-01-01",
    "9999-12-31 23:59:59.999",
    "2024-2-3",
    "2024-03-31 02:30:00",
    "2023-10-29 02:30:00.123456",
    "12:34:56.789",
    "7:5",
    "24:00:00",
    "x",
    "½",
    "Ⅷ",
    "٣",
    "aab aa",
    "a=1,b=2,,a",
    "hello wORLD-x1y",
    "YWJj",
    "YR",
    "YQ=",
    "0fF",
    "61zz",
    "a%20b+c%E6%97%A5",
    "%4",
    "\u{1c}a\u{a0}b\u{2028}",
    "http://user:secret@host:80/a/../b/./c?k=v&a=b=c#ref",
    "HTTPS://[::1]:8443",
    "ftp://a@b@c/x?k",
    "http://host:port/",
    "mailto:x@y",
    "nosuch://x",
    "{\"a\": {\"b\": [1, 2.50, null]}, \"k\": \"v\", \"a\": [true, {\"a\": 7}]}",
    "[[], {\"a\": 1e2}, \"é\"]",
    "{\"a\":null}",
    "{\"a\":}",
    "\"\u{7}\"",
];
