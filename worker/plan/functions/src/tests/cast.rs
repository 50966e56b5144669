//! Casts.

use arrow::array::StructArray;
use arrow::datatypes::TimeUnit;

use super::*;
use crate::flink_cast;

const TEXT: DataType = DataType::Utf8;
const DATE: DataType = DataType::Date32;

fn timestamp_type() -> DataType {
    crate::moments::timestamp_type()
}

fn instant_type() -> DataType {
    crate::moments::instant_type()
}

fn cast(value: &Scalar, to: &DataType, try_: bool, context: &FunctionContext) -> Result<String> {
    let udf = flink_cast(&value.data_type(), to, try_, context)
        .unwrap_or_else(|| panic!("Arrow's cast is used for {} to {to}", value.data_type()));
    let outcome = call(&udf, vec![value.clone()])?;
    assert_eq!(outcome.data_type, *to);
    Ok(outcome.text)
}

fn expect_casts(context: &FunctionContext, table: Vec<(Scalar, DataType, &str)>) {
    for (value, to, expected) in table {
        assert_eq!(cast(&value, &to, false, context).expect("a cast"), expected, "{value:?} to {to}");
    }
}

#[test]
fn values_print_as_flink_prints_them() {
    let utf8 = |value: Scalar, expected: &'static str| (value, TEXT, expected);
    expect_casts(
        &utc(),
        vec![
            utf8(true.into(), "TRUE"),
            utf8(false.into(), "FALSE"),
            utf8(1.0.into(), "1.0"),
            utf8(1e10.into(), "1.0E10"),
            utf8(1e7.into(), "1.0E7"),
            utf8(1_234_567.5.into(), "1234567.5"),
            utf8(9_999_999.0.into(), "9999999.0"),
            utf8(0.001.into(), "0.001"),
            utf8(0.000_12.into(), "1.2E-4"),
            utf8((-0.0).into(), "-0.0"),
            utf8(123_456.789.into(), "123456.789"),
            utf8(f64::NEG_INFINITY.into(), "-Infinity"),
            utf8(0.1_f32.into(), "0.1"),
            utf8(timestamp("2026-03-01 23:59:00.123"), "2026-03-01 23:59:00.123"),
            utf8(timestamp("2026-03-01 23:59:00"), "2026-03-01 23:59:00.000"),
            utf8(Scalar::TimestampMicrosecond(Some(-1), None), "1969-12-31 23:59:59.999999"),
            utf8(date("2026-03-01"), "2026-03-01"),
            utf8(time("12:34:56"), "12:34:56"),
            utf8(bytes("añ"), "añ"),
            utf8(Scalar::Boolean(None), "NULL"),
        ],
    );
    expect_casts(&in_zone("Asia/Shanghai"), vec![utf8(instant("2026-03-01 20:00:00"), "2026-03-02 04:00:00.000")]);
}

#[test]
fn strings_are_read_without_the_blanks_around_them() {
    let from = |text: &str| Scalar::from(text);
    expect_casts(
        &utc(),
        vec![
            (from(" 42 "), DataType::Int32, "42"),
            (from("-1.9"), DataType::Int64, "-1"),
            (from("127"), DataType::Int8, "127"),
            (from("+7"), DataType::Int16, "7"),
            (from(" 1.5e3 "), DataType::Float64, "1500.0"),
            (from("\r\t1.5\n"), DataType::Float64, "1.5"),
            (from("\t1.5\n"), DataType::Decimal128(5, 2), "1.50"),
            (from("NaN"), DataType::Float32, "NaN"),
            (from("yes"), DataType::Boolean, "TRUE"),
            (from("F"), DataType::Boolean, "FALSE"),
            (from("1.005"), DataType::Decimal128(5, 2), "1.01"),
            (from("1e2"), DataType::Decimal128(5, 2), "100.00"),
            (from("123456"), DataType::Decimal128(5, 2), "NULL"),
            (from("-0.004"), DataType::Decimal128(5, 2), "0.00"),
            (from("2026-03-01"), DATE, "2026-03-01"),
            (from("2026-3-1 10:00:00"), DATE, "2026-03-01"),
            (from("12:34:56.789"), DataType::Time32(TimeUnit::Millisecond), "12:34:56.789"),
            (from(" 2026-03-01 10:00:00.1239 "), timestamp_type(), "2026-03-01 10:00:00.123"),
            (from("2026-03-01"), timestamp_type(), "2026-03-01 00:00:00.000"),
            (Scalar::Utf8(None), DataType::Int32, "NULL"),
        ],
    );
    expect_casts(
        &in_zone("Asia/Shanghai"),
        vec![(from("2026-03-01 10:00:00"), instant_type(), "2026-03-01 02:00:00.000")],
    );
}

#[test]
fn a_string_that_cannot_be_read_fails_cast_and_is_null_for_try_cast() {
    for (text, to, name) in [
        ("abc", DataType::Int32, "INT"),
        ("", DataType::Int64, "BIGINT"),
        ("2147483648", DataType::Int32, "INT"),
        ("1x", DataType::Float64, "DOUBLE"),
        // The white space that is allowed around a number depends on its type.
        ("\t42", DataType::Int32, "INT"),
        ("42\n", DataType::Int64, "BIGINT"),
        ("\r1.5", DataType::Decimal128(5, 2), "DECIMAL(5, 2)"),
        ("\u{a0}1.5", DataType::Float64, "DOUBLE"),
        ("maybe", DataType::Boolean, "BOOLEAN"),
        ("1.2.3", DataType::Decimal128(5, 2), "DECIMAL(5, 2)"),
        ("2026-02-30", DATE, "DATE"),
        ("25:00:00", DataType::Time32(TimeUnit::Millisecond), "TIME"),
        ("2026-03-01T10:00:00", timestamp_type(), "TIMESTAMP(3)"),
    ] {
        let error = cast(&text.into(), &to, false, &utc()).expect_err("a refusal").to_string();
        assert!(
            error.contains(&format!("cannot cast '{}' to {name}; TRY_CAST gives NULL", text.escape_debug())),
            "{error}"
        );
        assert_eq!(cast(&text.into(), &to, true, &utc()).expect("a NULL"), "NULL", "{text}");
    }
}

#[test]
fn numbers_narrow_as_in_java() {
    let double = |value: f64| Scalar::from(value);
    expect_casts(
        &utc(),
        vec![
            (4_294_967_297_i64.into(), DataType::Int32, "1"),
            (128.into(), DataType::Int8, "-128"),
            (double(1.9), DataType::Int32, "1"),
            (double(-1.9), DataType::Int64, "-1"),
            (double(1e10), DataType::Int32, "2147483647"),
            (double(300.0), DataType::Int8, "44"),
            (double(1e10), DataType::Int16, "-1"),
            (double(f64::NAN), DataType::Int64, "0"),
            (decimal("-1.99", 5, 2), DataType::Int32, "-1"),
            (decimal("1.5", 5, 2), DataType::Float64, "1.5"),
            (decimal("0.00", 5, 2), DataType::Boolean, "FALSE"),
            (decimal("1.005", 5, 3), DataType::Decimal128(5, 2), "1.01"),
            (decimal("-1.005", 5, 3), DataType::Decimal128(5, 2), "-1.01"),
            (decimal("123.45", 5, 2), DataType::Decimal128(4, 2), "NULL"),
            (12_345.into(), DataType::Decimal128(4, 0), "NULL"),
            (12.into(), DataType::Decimal128(5, 2), "12.00"),
            (double(2.675), DataType::Decimal128(5, 2), "2.68"),
            (true.into(), DataType::Decimal128(5, 2), "1.00"),
        ],
    );
}

#[test]
fn points_in_time_are_cast_by_the_session_zone() {
    expect_casts(
        &in_zone("Asia/Shanghai"),
        vec![
            (instant("2026-03-01 20:00:00"), timestamp_type(), "2026-03-02 04:00:00.000"),
            (timestamp("2026-03-02 04:00:00"), instant_type(), "2026-03-01 20:00:00.000"),
            (instant("2026-03-01 20:00:00"), DATE, "2026-03-02"),
            (date("2026-03-02"), instant_type(), "2026-03-01 16:00:00.000"),
            (timestamp("1969-12-31 23:00:00"), DATE, "1969-12-31"),
            (timestamp("1969-12-31 23:00:00"), DataType::Time32(TimeUnit::Millisecond), "23:00:00"),
            (date("2026-03-02"), timestamp_type(), "2026-03-02 00:00:00.000"),
            (Scalar::TimestampMicrosecond(Some(-1), None), timestamp_type(), "1969-12-31 23:59:59.999"),
        ],
    );
}

#[test]
fn arrow_casts_where_it_does_the_same() {
    for (from, to) in [
        (DataType::Int32, DataType::Int64),
        (DataType::Int32, TEXT),
        (DataType::Decimal128(5, 2), TEXT),
        (DataType::Int64, DataType::Float64),
        (DataType::Float64, DataType::Float32),
        (DataType::Boolean, DataType::Int32),
        (DataType::Int32, DataType::Boolean),
        (TEXT, DataType::Binary),
        (TEXT, TEXT),
        (DataType::Null, DataType::Int32),
    ] {
        assert!(flink_cast(&from, &to, false, &utc()).is_none(), "{from} to {to}");
    }
}

#[test]
fn rows_are_cast_field_by_field_in_their_order_whatever_the_names_are() {
    let row = |fields: &[(&str, DataType)]| {
        DataType::Struct(fields.iter().map(|(name, to)| Field::new(*name, to.clone(), true)).collect())
    };
    let column = |value: Scalar| value.to_array();
    let fields = |columns: Vec<(&str, ArrayRef)>| {
        let field =
            |(name, column): (&str, ArrayRef)| (Arc::new(Field::new(name, column.data_type().clone(), true)), column);
        StructArray::from(columns.into_iter().map(field).collect::<Vec<_>>())
    };
    let inner: ArrayRef = Arc::new(fields(vec![("EXPR$0", column(" 1.5 ".into()))]));
    let outer = fields(vec![("a", column(1.into())), ("EXPR$1", inner)]);
    let value = Scalar::Nested(Arc::new(outer));
    let to = row(&[("b", TEXT), ("a", row(&[("x", DataType::Float64)]))]);
    assert_eq!(cast(&value, &to, false, &utc()).expect("a cast"), "(1, (1.5))");
    let null = Scalar::null(&value.data_type()).expect("a NULL");
    assert_eq!(cast(&null, &to, false, &utc()).expect("a cast"), "NULL");
}

#[test]
fn nan_and_the_infinities_are_no_decimal() {
    let decimal = DataType::Decimal128(5, 2);
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(cast(&number.into(), &decimal, false, &utc()).is_err(), "{number}");
        assert_eq!(cast(&number.into(), &decimal, true, &utc()).expect("a cast"), "NULL", "{number}");
    }
}

#[test]
fn elements_are_cast_one_by_one() {
    let list = |element: DataType| DataType::List(Arc::new(Field::new("element", element, true)));
    let strings = |texts: [&str; 2]| {
        let texts = texts.map(Expr::literal).to_vec();
        Expr::call(named("array", &utc()), texts).expect("a call").constant().expect("an array")
    };
    let to = list(DataType::Int64);
    assert_eq!(cast(&strings([" 1", "2"]), &to, false, &utc()).expect("a cast"), "[1, 2]");
    assert!(cast(&strings(["one", "2"]), &to, false, &utc()).is_err());
    assert_eq!(cast(&strings(["one", "2"]), &to, true, &utc()).expect("a cast"), "[NULL, 2]");
}
