//! Lengths of time as text.

/// An interval in milliseconds as EXPLAIN and messages show it.
pub(crate) fn display(milliseconds: i64) -> String {
    for (size, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")] {
        if milliseconds != 0 && milliseconds % size == 0 {
            return format!("{} {unit}", milliseconds / size);
        }
    }
    format!("{milliseconds} ms")
}
