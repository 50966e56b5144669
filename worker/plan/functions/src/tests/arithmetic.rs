//! Arithmetic, rounding, randomness and conditions.

use eddyline_expression::Arithmetic;

use super::*;
use crate::decimal_operator;

#[test]
fn numbers_are_computed_as_in_flink() {
    expect(vec![
        ("abs", args![-5], "5"),
        ("abs", args![i32::MIN], "-2147483648"),
        ("abs", args![-1.5], "1.5"),
        ("abs", args![decimal("-1.50", 5, 2)], "1.50"),
        ("abs", args![NULL], "NULL"),
        ("sign", args![-7_i64], "-1"),
        ("sign", args![0.0], "0.0"),
        ("sign", args![decimal("-3.25", 5, 2)], "-1.00"),
        ("mod", args![-7, 3], "-1"),
        ("mod", args![7_i64, -3], "1"),
        ("mod", args![decimal("7.5", 3, 1), 2], "1.5"),
        ("mod", args![7.5, 2.0], "1.5"),
        ("mod", args![5, None::<i32>], "NULL"),
        ("power", args![2, 10], "1024.0"),
        ("power", args![1.0, f64::NAN], "NaN"),
        ("sqrt", args![16], "4.0"),
        ("sqrt", args![-1.0], "NaN"),
        ("ln", args![0], "-Infinity"),
        ("log", args![2.0, 8.0], "3.0"),
        ("log", args![1.0], "0.0"),
        ("log10", args![1000], "3.0"),
        ("log2", args![8], "3.0"),
        ("exp", args![0], "1.0"),
        ("sin", args![0], "0.0"),
        ("cos", args![0], "1.0"),
        ("tan", args![0], "0.0"),
        ("cot", args![1.0], "0.6420926159343306"),
        ("asin", args![0], "0.0"),
        ("acos", args![1], "0.0"),
        ("atan", args![0], "0.0"),
        ("atan2", args![0.0, 1.0], "0.0"),
        ("sinh", args![0], "0.0"),
        ("cosh", args![0], "1.0"),
        ("tanh", args![0], "0.0"),
        ("degrees", args![std::f64::consts::PI], "180.0"),
        ("radians", args![decimal("180", 3, 0)], "3.141592653589793"),
        ("pi", args![], "3.141592653589793"),
        ("e", args![], "2.718281828459045"),
        ("bin", args![12], "1100"),
        ("bin", args![-1_i64], "1111111111111111111111111111111111111111111111111111111111111111"),
        ("hex", args![100], "64"),
        ("hex", args!["hello,world"], "68656C6C6F2C776F726C64"),
    ]);
}

#[test]
fn rounding_drops_halves_away_from_zero() {
    expect(vec![
        ("round", args![2.5], "3.0"),
        ("round", args![-2.5], "-3.0"),
        ("round", args![1.005, 2], "1.01"),
        ("round", args![1.0e300, 2], "1.0E300"),
        ("round", args![-0.0], "0.0"),
        ("round", args![-0.4], "0.0"),
        ("round", args![None::<f64>, 2], "NULL"),
        // A FLOAT is widened. This one becomes 2.674999952316284.
        ("round", args![2.675_f32, 2], "2.67"),
        ("round", args![646.646, -2], "600.0"),
        ("round", args![1549, -2], "1500"),
        ("round", args![1550_i64, -2], "1600"),
        ("round", args![decimal("3.14159", 6, 5), 2], "3.14"),
        ("round", args![decimal("-2.345", 6, 3), 2], "-2.35"),
        ("round", args![decimal("155", 3, 0), -1], "160"),
        ("round", args![2.5_f32], "3.0"),
        ("truncate", args![42.324, 2], "42.32"),
        ("truncate", args![42.324], "42.0"),
        ("truncate", args![-42.999], "-42.0"),
        ("truncate", args![decimal("42.329", 5, 3), 1], "42.3"),
        ("truncate", args![1.5, None::<i32>], "NULL"),
        ("ceil", args![1.2], "2.0"),
        ("ceil", args![-1.2], "-1.0"),
        ("ceil", args![decimal("-1.2", 3, 1)], "-1"),
        ("ceil", args![decimal("1.2", 3, 1)], "2"),
        ("floor", args![-1.2], "-2.0"),
        ("floor", args![decimal("-1.2", 3, 1)], "-2"),
        ("floor", args![7], "7"),
        ("ceiling", args![NULL], "NULL"),
    ]);
}

#[test]
fn what_has_no_digits_is_not_rounded() {
    expect_refusal(vec![
        ("round", args![f64::NAN, 2], "ROUND of NaN"),
        ("round", args![f64::NEG_INFINITY], "ROUND of -inf"),
        ("round", args![f32::NAN], "ROUND of NaN"),
        ("truncate", args![f64::INFINITY, 1], "TRUNCATE of inf"),
    ]);
}

#[test]
fn results_have_the_types_of_flink() {
    expect_types(vec![
        ("mod", args![7_i64, 3], DataType::Int32),
        ("mod", args![7, 3_i64], DataType::Int64),
        ("mod", args![decimal("7.5", 5, 2), decimal("2", 3, 0)], DataType::Decimal128(5, 2)),
        ("round", args![decimal("3.14159", 10, 5), 2], DataType::Decimal128(8, 2)),
        ("round", args![decimal("3.14159", 10, 5), 7], DataType::Decimal128(10, 5)),
        ("round", args![decimal("3.14159", 10, 5)], DataType::Decimal128(6, 0)),
        ("round", args![1_i64, 2], DataType::Int64),
        ("ceil", args![decimal("1.25", 10, 2)], DataType::Decimal128(10, 0)),
        ("floor", args![1.5_f32], DataType::Float32),
        ("power", args![2, 2], DataType::Float64),
        ("sign", args![1_i64], DataType::Int64),
        ("abs", args![1_i16], DataType::Int16),
        ("rand", args![], DataType::Float64),
        ("rand_integer", args![10], DataType::Int32),
        ("greatest", args![1, 2_i64], DataType::Int64),
    ]);
}

#[test]
fn impossible_calls_are_refused_with_the_reason() {
    expect_refusal(vec![
        ("mod", args![1, 0], "division by zero"),
        ("abs", args!["a"], "ABS takes a number as argument 1, not STRING"),
        ("power", args![1], "POWER does not take 1 arguments"),
        ("rand_integer", args![0], "bound must be positive"),
    ]);
}

#[test]
fn random_functions_are_volatile_and_differ_by_row() {
    for name in ["rand", "rand_integer", "uuid", "now", "proctime", "localtime", "unix_timestamp", "current_date"] {
        assert!(named(name, &utc()).is_volatile(), "{name}");
    }
    let uuid = Expr::call(named("uuid", &utc()), Vec::new()).expect("a call");
    let result =
        uuid.evaluate(Rows { columns: &[], len: 2 }).and_then(|value| value.into_array(2)).expect("uuid works");
    assert_ne!(printed(&result, 0), printed(&result, 1));
    assert_eq!(printed(&result, 0).len(), 36);
}

#[test]
fn conditions_choose_among_their_arguments() {
    expect(vec![
        ("if", args![true, 5, 3], "5"),
        ("if", args![false, "a", "b"], "b"),
        ("if", args![None::<bool>, 5, 3_i64], "3"),
        ("ifnull", args![None::<i32>, 5], "5"),
        ("ifnull", args![4, 5], "4"),
        ("coalesce", args![NULL, None::<&str>, "x"], "x"),
        ("coalesce", args![NULL, None::<i32>], "NULL"),
        ("nullif", args![5, 5], "NULL"),
        ("nullif", args![5, None::<i32>], "5"),
        ("greatest", args![1, 3, 2], "3"),
        ("greatest", args![1, None::<i32>, 2], "NULL"),
        ("greatest", args!["a", "b"], "b"),
        ("least", args![1.5, 3], "1.5"),
        ("least", args![decimal("1.5", 3, 1), 1], "1.0"),
    ]);
}

#[test]
fn decimals_are_computed_exactly_and_are_null_when_they_do_not_fit() {
    let wide = |text: &str| decimal(text, 38, 18);
    let apply = |operator, left: Scalar, right: Scalar, result: (u8, i8)| {
        let of = |value: &Scalar| match value.data_type() {
            DataType::Decimal128(precision, scale) => (precision, scale),
            other => panic!("{other} is no decimal"),
        };
        let udf = decimal_operator(operator, of(&left), of(&right), result);
        call(&udf, vec![left, right]).map(|outcome| outcome.text)
    };
    let nines = "99999999999999999999";
    for (operator, left, right, result, expected) in [
        (Arithmetic::Divide, wide("5"), wide("2"), (38, 6), "2.500000"),
        (Arithmetic::Divide, wide("2"), wide("-3"), (38, 6), "-0.666667"),
        (Arithmetic::Multiply, wide("123.5"), wide("123.5"), (38, 6), "15252.250000"),
        (Arithmetic::Plus, decimal("0.5", 2, 1), decimal("-1", 3, 0), (5, 1), "-0.5"),
        (Arithmetic::Minus, wide("0.5"), decimal(nines, 38, 0), (38, 17), "-99999999999999999998.50000000000000000"),
        (Arithmetic::Modulo, wide("-7.5"), decimal("2", 38, 0), (38, 18), "-1.500000000000000000"),
        (Arithmetic::Multiply, decimal(nines, 38, 0), decimal(nines, 38, 0), (38, 0), "NULL"),
        (Arithmetic::Divide, decimal(nines, 38, 0), wide("0.000000000000000001"), (38, 6), "NULL"),
    ] {
        let text = apply(operator, left.clone(), right.clone(), result).expect("a number or NULL");
        assert_eq!(text, expected, "{operator:?} {left} {right}");
    }
    let error = apply(Arithmetic::Divide, wide("1"), wide("0"), (38, 6)).expect_err("no result");
    assert!(error.to_string().contains("/: division by zero"), "{error}");
}
