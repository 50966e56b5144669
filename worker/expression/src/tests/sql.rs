use super::*;

#[test]
fn parts_stand_in_parentheses_where_they_must() {
    use Arithmetic::{Minus, Multiply, Plus};
    let a = || column("a");
    let sum = || calculate(Plus, a(), lit(1));
    for (expr, text) in [
        (calculate(Multiply, sum(), lit(2)), "(a + 1) * 2"),
        (calculate(Plus, a(), calculate(Multiply, lit(2), a())), "a + 2 * a"),
        (calculate(Minus, a(), calculate(Minus, a(), lit(-1))), "a - (a - -1)"),
        (calculate(Minus, sum(), a()), "a + 1 - a"),
        (Expr::negate(sum()).expect("a number"), "-(a + 1)"),
    ] {
        assert_eq!(expr.to_string(), text);
    }
    let less = || compare(Comparison::Lt, column("a"), lit(1));
    let b = || column("b");
    let or = || Expr::or(less(), b()).expect("conditions");
    for (expr, text) in [
        (Expr::and(or(), b()), "(a < 1 OR b) AND b"),
        (Expr::or(Expr::and(less(), b()).expect("conditions"), b()), "a < 1 AND b OR b"),
        (Expr::not(or()), "NOT (a < 1 OR b)"),
        (Expr::not(less()), "NOT a < 1"),
        (Ok(compare(Comparison::Eq, less(), b())), "(a < 1) = b"),
        (Ok(compare(Comparison::Distinct, b(), lit(true))), "b IS NOT TRUE"),
        (Ok(compare(Comparison::NotDistinct, b(), lit(Scalar::Boolean(None)))), "b IS UNKNOWN"),
        (Ok(Expr::is_not_null(less())), "(a < 1) IS NOT NULL"),
    ] {
        assert_eq!(expr.expect("conditions").to_string(), text);
    }
}

#[test]
fn nodes_are_written_as_sql() {
    let s = || column("s");
    let named = |name: &str| Expr::column(0, &Field::new(name, DataType::Int32, true));
    let case = Expr::case(Some(column("a")), vec![(lit(1), lit("it's"))], Some(s()));
    for (expr, text) in [
        (case, "CASE a WHEN 1 THEN 'it''s' ELSE s END"),
        (Expr::one_of(column("a"), vec![lit(1), lit(2)], true), "a NOT IN (1, 2)"),
        (Expr::like(s(), lit("a%"), false), "s LIKE 'a%'"),
        (Expr::like(s(), lit("a\\%"), true), "s NOT LIKE 'a\\%' ESCAPE '\\'"),
        (Expr::similar(s(), "a|b".to_owned(), "^(?s:a|b)$", false), "s SIMILAR TO 'a|b'"),
        (Expr::cast(column("a"), &DataType::Int64, true), "TRY_CAST(a AS BIGINT)"),
        (Ok(probe().1), "PROBE(a)"),
        (Ok(named("two words")), "`two words`"),
        (Ok(named("COUNT(*)")), "COUNT(*)"),
    ] {
        assert_eq!(expr.expect("an expression").to_string(), text);
    }
}

#[test]
fn values_are_written_as_literals() {
    let utc = Some("UTC".into());
    for (value, text) in [
        (Scalar::Null, "NULL"),
        (Scalar::Int32(None), "NULL"),
        (Scalar::from(true), "TRUE"),
        (Scalar::from(1.5), "1.5E0"),
        (Scalar::Decimal128(Some(908), 4, 3), "0.908"),
        (Scalar::Binary(Some(vec![0, 255])), "X'00FF'"),
        (Scalar::Date32(Some(0)), "DATE '1970-01-01'"),
        (Scalar::Time32Millisecond(Some(1_500)), "TIME '00:00:01.500'"),
        (Scalar::TimestampMillisecond(Some(0), None), "TIMESTAMP '1970-01-01 00:00:00'"),
        (Scalar::TimestampMillisecond(Some(1_500), utc), "TIMESTAMP_LTZ '1970-01-01 00:00:01.500Z'"),
        (Scalar::DurationMillisecond(Some(5_000)), "INTERVAL '5' SECOND"),
        (Scalar::DurationMillisecond(Some(0)), "INTERVAL '0' SECOND"),
        (Scalar::DurationMillisecond(Some(-86_400_000)), "INTERVAL '-1' DAY"),
        (Scalar::DurationMillisecond(Some(1_250)), "INTERVAL '1.25' SECOND"),
        (Scalar::IntervalYearMonth(Some(14)), "INTERVAL '14' MONTH"),
        (Scalar::IntervalYearMonth(Some(24)), "INTERVAL '2' YEAR"),
    ] {
        assert_eq!(value.to_string(), text);
    }
}
