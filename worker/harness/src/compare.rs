//! Compares rows without regard to their order.

use std::collections::BTreeMap;
use std::fmt::Write;

use eddyline_expression::Scalar;

use crate::row::Row;

/// The maximum number of rows of either side that a difference shows.
const ROWS_SHOWN_MAX: usize = 10;

/// Checks that two lists have the same rows, each equally often, in any order. Values must have the same type.
/// Floating-point numbers may differ relatively by a billionth (DOUBLE) or a hundred-thousandth (FLOAT), because the
/// order of additions may differ.
///
/// # Errors
/// The rows that are missing, and those that are not expected.
pub fn compare_as_multisets(expected: &[Row], actual: &[Row]) -> Result<(), String> {
    let mut counts: BTreeMap<String, (&Row, i64)> = BTreeMap::new();
    expected.iter().for_each(|row| counts.entry(text(row)).or_insert((row, 0)).1 += 1);
    actual.iter().for_each(|row| counts.entry(text(row)).or_insert((row, 0)).1 -= 1);
    let mut missing = Vec::new();
    let mut surplus = Vec::new();
    for (row, count) in counts.into_values() {
        let rows = if count > 0 { &mut missing } else { &mut surplus };
        rows.extend((0..count.abs()).map(|_| row));
    }
    missing.retain(|row| match surplus.iter().position(|other| is_close(row, other)) {
        Some(position) => {
            surplus.remove(position);
            false
        }
        None => true,
    });
    if missing.is_empty() && surplus.is_empty() {
        return Ok(());
    }
    let mut report = format!("{} rows were expected, there are {}", expected.len(), actual.len());
    describe(&mut report, "missing", &missing);
    describe(&mut report, "not expected", &surplus);
    Err(report)
}

fn describe(report: &mut String, what: &str, rows: &[&Row]) {
    if rows.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _ = write!(report, "\n{} {what}:", rows.len());
    for row in rows.iter().take(ROWS_SHOWN_MAX) {
        let _ = write!(report, "\n  {}", text(row));
    }
    if rows.len() > ROWS_SHOWN_MAX {
        let _ = write!(report, "\n  …");
    }
}

fn text(row: &Row) -> String {
    row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" | ")
}

fn is_close(a: &Row, b: &Row) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_value_close(a, b))
}

fn is_value_close(a: &Scalar, b: &Scalar) -> bool {
    let within = |a: f64, b: f64, part: f64| (a - b).abs() <= part * a.abs().max(b.abs());
    match (a, b) {
        (Scalar::Float64(Some(a)), Scalar::Float64(Some(b))) => within(*a, *b, 1e-9),
        (Scalar::Float32(Some(a)), Scalar::Float32(Some(b))) => within(f64::from(*a), f64::from(*b), 1e-5),
        // Compared by their text too, like the exact comparison above.
        _ => a == b && format!("{a:?}") == format!("{b:?}"),
    }
}

#[cfg(test)]
mod tests;
