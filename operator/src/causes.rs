//! Errors as one line: what failed, and why, down to the last cause.

use std::error::Error;

/// An error with all its causes.
pub fn of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors have their cause in their own text already.
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to write")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_last_cause_is_in_the_line() {
        assert_eq!(of(&Outer(std::io::Error::other("disk full"))), "failed to write: disk full");
    }
}
