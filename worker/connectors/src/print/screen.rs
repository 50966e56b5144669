//! The bottom of the terminal, where a running job shows its progress while rows and log lines scroll above it.
//!
//! While something is shown, everything else is written to the terminal through [`above`], so that rows and progress do
//! not break into each other.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The lines at the bottom now. Each fits into one row of the terminal. Empty if nothing is shown.
static SHOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Shows these lines at the bottom of standard error, in place of those shown before.
pub fn show(lines: Vec<String>) {
    let mut shown = lock();
    let text = erasure(shown.len()) + &lines.join("\n");
    *shown = lines;
    write(&text);
}

/// Clears the bottom.
pub fn clear() {
    let mut shown = lock();
    write(&erasure(shown.len()));
    shown.clear();
}

/// Runs `print` while the bottom is erased, then draws it again. The output of `print` must end with a line break.
///
/// # Errors
/// Those of `print`.
pub fn above<T>(print: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let shown = lock();
    if shown.is_empty() {
        return print();
    }
    write(&erasure(shown.len()));
    let printed = print();
    write(&shown.join("\n"));
    printed
}

fn lock() -> MutexGuard<'static, Vec<String>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The control sequence that erases this number of lines. The cursor is in the last of them.
fn erasure(lines: usize) -> String {
    match lines {
        0 => String::new(),
        lines => format!("\r\x1b[2K{}", "\x1b[1A\x1b[2K".repeat(lines - 1)),
    }
}

/// Writes to standard error. An error is ignored, because a missing terminal must not stop the job.
fn write(text: &str) {
    let mut terminal = io::stderr().lock();
    let _gone = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_erased_and_the_cursor_ends_in_the_first() {
        assert_eq!(erasure(0), "");
        assert_eq!(erasure(1), "\r\x1b[2K");
        assert_eq!(erasure(3), "\r\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2K");
    }
}
