use eddyline_expression::Scalar;

use super::compare_as_multisets;
use crate::row::Row;

fn row(id: i64, value: f64) -> Row {
    vec![Scalar::Int64(Some(id)), Scalar::Float64(Some(value))]
}

#[test]
fn order_does_not_matter_but_number_does() {
    let rows = [row(1, 0.5), row(2, 0.5), row(1, 0.5)];
    assert_eq!(compare_as_multisets(&rows, &[row(1, 0.5), row(1, 0.5), row(2, 0.5)]), Ok(()));
    let report = compare_as_multisets(&rows, &[row(1, 0.5), row(2, 0.5), row(2, 0.5)]).expect_err("one is missing");
    assert!(report.contains("1 missing:\n  1 BIGINT"), "{report}");
    assert!(report.contains("1 not expected:\n  2 BIGINT"), "{report}");
}

#[test]
fn floats_may_differ_by_rounding_but_not_by_more() {
    assert_eq!(compare_as_multisets(&[row(1, 0.1 + 0.2)], &[row(1, 0.3)]), Ok(()));
    assert!(compare_as_multisets(&[row(1, 0.3)], &[row(1, 0.300_001)]).is_err());
}

#[test]
fn values_of_another_type_are_not_equal() {
    let narrow = vec![Scalar::Int32(Some(1))];
    let wide = vec![Scalar::Int64(Some(1))];
    assert!(compare_as_multisets(&[narrow], &[wide]).is_err());
}
