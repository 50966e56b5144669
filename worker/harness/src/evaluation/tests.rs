//! Cases in which engine and reference once differed, and tests of the reference itself.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field};
use eddyline_expression::{Arithmetic, Expr, Rows, Scalar};
use eddyline_functions::{Clock, FunctionContext, flink_cast, scalar_function, scalar_functions};

use super::calendar::{Date, date_of, day_of, iso_week, plus_months};
use super::functions::body;
use super::pattern::{is_like, is_similar};
use super::{NOT_JUDGED, Value, evaluate};

fn context() -> FunctionContext {
    FunctionContext { time_zone: "UTC".parse().expect("a zone"), clock: Clock::Fixed { epoch_ms: 0 } }
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::call(scalar_function(name, &context()).expect("a function"), arguments).expect("a call")
}

fn cast(value: Expr, to: &DataType, or_null: bool) -> Expr {
    let function = flink_cast(value.data_type(), to, or_null, &context()).expect("a cast");
    Expr::call(function, vec![value]).expect("a call")
}

fn column(index: usize, array: &ArrayRef) -> Expr {
    Expr::column(index, &Field::new("c", array.data_type().clone(), true))
}

/// The values for the rows as texts, from the engine and from the reference; `None` where the evaluation fails.
fn both(expression: &Expr, columns: &[ArrayRef], rows: usize) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let text = |value: Value| format!("{value:?}");
    let engine = expression.evaluate(Rows { columns, len: rows }).and_then(|value| value.into_array(rows)).ok();
    let engine =
        engine.map(|array| (0..rows).map(|row| text(Value::of(array.as_ref(), row).expect("a value"))).collect());
    let reference = (0..rows).map(|row| {
        let row: Vec<Value> = columns.iter().map(|column| Value::of(column.as_ref(), row).expect("a value")).collect();
        evaluate(expression, &row).map(text).ok()
    });
    (engine, reference.collect())
}

fn assert_both(expression: &Expr, columns: &[ArrayRef], rows: usize, expected: Option<&[&str]>) {
    let expected = expected.map(|values| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>());
    assert_eq!(both(expression, columns, rows), (expected.clone(), expected), "{expression}");
}

#[test]
fn in_computes_no_item_behind_the_one_that_is_found() {
    let (a, b): (ArrayRef, ArrayRef) =
        (Arc::new(Int64Array::from(vec![7, 2, 1])), Arc::new(Int64Array::from(vec![0, 2, 1])));
    let (value, divisor) = (column(0, &a), column(1, &b));
    let quotient = Expr::calculate(Arithmetic::Divide, Expr::literal(4_i64), divisor).expect("a quotient");
    for negated in [false, true] {
        let list = vec![Expr::literal(7_i64), quotient.clone()];
        let expression = Expr::one_of(value.clone(), list, negated).expect("a list");
        let (yes, no) = if negated { ("Boolean(false)", "Boolean(true)") } else { ("Boolean(true)", "Boolean(false)") };
        assert_both(&expression, &[Arc::clone(&a), Arc::clone(&b)], 3, Some(&[yes, yes, no]));
    }
    // The item after one that is not equal divides by zero.
    let late = Expr::one_of(value, vec![Expr::literal(8_i64), quotient], false).expect("a list");
    assert_both(&late, &[a, b], 3, None);
}

#[test]
fn timestampdiff_counts_milliseconds() {
    let times = |micros| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![micros])) };
    let (from, to) = (times(999), times(1_000_000));
    let arguments = vec![Expr::literal("SECOND"), column(0, &from), column(1, &to)];
    assert_both(&call("timestampdiff", arguments), &[from, to], 1, Some(&["Whole(1)"]));
}

#[test]
fn a_point_without_digits_is_the_whole_number_0() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![".", "-.", "-.5", "+.5", "5."]));
    let zero = "Whole(0)";
    let expected: &[&str] = &[zero, zero, zero, zero, "Whole(5)"];
    assert_both(&cast(column(0, &texts), &DataType::Int32, false), &[texts], 5, Some(expected));
    for text in ["", "-", "+"] {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![text]));
        assert_both(&cast(column(0, &texts), &DataType::Int32, false), &[texts], 1, None);
    }
}

#[test]
fn nan_and_the_infinities_are_no_decimal() {
    let decimal = DataType::Decimal128(10, 2);
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![number]));
        assert_both(&cast(column(0, &numbers), &decimal, false), &[Arc::clone(&numbers)], 1, None);
        assert_both(&cast(column(0, &numbers), &decimal, true), &[numbers], 1, Some(&["Null"]));
    }
}

#[test]
fn a_decimal_of_up_to_18_digits_is_divided_to_become_a_double() {
    // For 18 digits, Flink's DOUBLE is not the nearest one.
    for (precision, expected) in [(18, "Double(407058226200.1104)"), (19, "Double(407058226200.11035)")] {
        let value = Expr::literal(Scalar::Decimal128(Some(407_058_226_200_110_381), precision, 6));
        assert_both(&cast(value, &DataType::Float64, false), &[], 1, Some(&[expected]));
    }
}

#[test]
fn a_rounded_decimal_with_a_digit_too_many_is_null() {
    let nines = Expr::literal(Scalar::Decimal128(Some(10_i128.pow(38) - 1), 38, 0));
    let rounded = call("round", vec![nines, Expr::literal(-1_i32)]);
    assert_both(&rounded, &[], 1, Some(&["Null"]));
}

#[test]
fn the_least_position_to_look_from_is_beyond_the_end() {
    for (from, expected) in
        [(i32::MIN, "Whole(0)"), (i32::MIN + 1, "Whole(1)"), (0, "Whole(1)"), (i32::MAX, "Whole(0)")]
    {
        let arguments = vec![Expr::literal("a"), Expr::literal("aa"), Expr::literal(from)];
        assert_both(&call("locate", arguments), &[], 1, Some(&[expected]));
    }
}

#[test]
fn case_computes_its_operand_once() {
    let rows = 200;
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
    let drawn = call("rand_integer", vec![Expr::literal(2_i32)]);
    // The operand is one of these, so ELSE is never used. The second condition can fail, so it sees only the remaining
    // rows.
    let one = Expr::calculate(Arithmetic::Divide, column(0, &numbers), column(0, &numbers)).expect("a quotient");
    let branches = vec![(Expr::literal(0_i32), Expr::literal("zero")), (one, Expr::literal("one"))];
    let case = Expr::case(Some(drawn), branches, Some(Expr::literal("none"))).expect("a CASE");
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(1..=rows));
    let (engine, _) = both(&case, &[numbers], rows as usize);
    assert!(!engine.expect("values").contains(&"Text(\"none\")".to_owned()));
}

#[test]
fn days_and_dates_are_those_of_the_calendar() {
    let date = |year, month, day| Date { year, month, day };
    for (day, expected) in [
        (0, date(1970, 1, 1)),
        (-1, date(1969, 12, 31)),
        (-719_162, date(1, 1, 1)),
        (-719_163, date(0, 12, 31)),
        (2_932_896, date(9999, 12, 31)),
        (19_782, date(2024, 2, 29)),
    ] {
        assert_eq!(date_of(day), expected, "{day}");
        assert_eq!(day_of(expected), day, "{expected:?}");
    }
    assert_eq!(date_of(plus_months(day_of(date(2024, 1, 31)), 1)), date(2024, 2, 29));
    assert_eq!(iso_week(day_of(date(2027, 1, 1))), (2026, 53));
}

#[test]
fn patterns_match_what_they_say() {
    for (text, pattern, expected) in [
        ("", "%", true),
        ("", "_", false),
        ("a%c", "a\\%c", true),
        ("abc", "a\\%c", false),
        ("a\nb", "a_b", true),
        ("日本", "_本", true),
        ("abcabc", "%b%c", true),
    ] {
        assert_eq!(is_like(text, pattern), expected, "{text} LIKE {pattern}");
    }
    for (text, pattern, expected) in [
        ("abbb", "ab*", true),
        ("a", "ab+", false),
        ("ac", "(ab|ac)", true),
        ("acac", "(ab|ac){2}", true),
        ("x.y", "x.y", true),
        ("xzy", "x.y", false),
        ("b", "[^a]", true),
        ("", "(a*)*", true),
    ] {
        assert_eq!(is_similar(text, pattern), Ok(expected), "{text} SIMILAR TO {pattern}");
    }
}

#[test]
fn every_function_is_judged_or_listed_as_not_judged() {
    // Functions that only the planner creates are not registered.
    let made = ["enforce", "is_whole", "pack", "unpack"];
    let known: Vec<String> = scalar_functions(&context()).iter().map(|function| function.name().to_owned()).collect();
    for name in &known {
        let is_listed = NOT_JUDGED.contains(&name.as_str());
        assert_ne!(body(name).is_some(), is_listed, "{name}: judged or listed, and not both");
    }
    for name in NOT_JUDGED {
        assert!(known.iter().any(|known| known == name) || made.contains(name), "{name} is not a function");
        assert!(body(name).is_none(), "{name} is judged");
    }
}
