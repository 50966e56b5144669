//! The live line of a running job, and the table at its end.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_stream::Watermark;

use crate::coordinator::job::View;
use crate::runtime::metrics::Totals;

/// Draws the live line until it is aborted.
pub async fn draw(view: Arc<View>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    let mut before = (Instant::now(), Totals::default());
    loop {
        ticks.tick().await;
        let now = (Instant::now(), Totals::of(&view.operators()));
        let line = line(&view, &before.1, &now.1, now.0.duration_since(before.0));
        eprint!("\r\x1b[2K{line}");
        // A terminal that is gone is no reason to stop the job.
        let _closed = std::io::stderr().flush();
        before = now;
    }
}

/// Removes the live line.
pub fn clear_line() {
    eprint!("\r\x1b[2K");
}

fn line(view: &View, before: &Totals, now: &Totals, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = |before: u64, now: u64| count((now.saturating_sub(before) as f64 / seconds) as u64);
    let mut line = format!("in {}/s  out {}/s", rate(before.rows_in, now.rows_in), rate(before.rows_out, now.rows_out));
    match now.watermark {
        Some(Watermark::MAX) => line.push_str("  watermark: end of input"),
        Some(watermark) => {
            let lag = chrono::Utc::now().timestamp_millis().saturating_sub(watermark.time_ms()).max(0);
            let _ = write!(
                line,
                "  watermark {} (lag {})",
                time(watermark),
                duration_text(Duration::from_millis(lag.unsigned_abs()))
            );
        }
        None => {}
    }
    if let Some(lag) = now.source_lag {
        let _ = write!(line, "  behind {}", count(lag));
    }
    let _ = write!(line, "  late {}", count(now.late_rows));
    if let Some(last) = view.status.last_checkpoint() {
        let age = duration_text(last.at.elapsed());
        let _ = write!(line, "  checkpoint {} ({}, {age} ago)", last.status.id, bytes(last.status.bytes));
    }
    line
}

/// The table that ends a bounded job.
pub fn summary(job: &str, totals: &Totals, elapsed: Duration) -> String {
    let mut text = format!("{job} finished in {}\n", duration_text(elapsed));
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value:>12}");
    };
    row("rows in", count(totals.rows_in));
    row("rows out", count(totals.rows_out));
    row("bytes in", bytes(totals.bytes_in));
    row("bytes out", bytes(totals.bytes_out));
    row("late rows", count(totals.late_rows));
    row("bad records", count(totals.bad_records));
    text
}

fn time(watermark: Watermark) -> String {
    chrono::DateTime::from_timestamp_millis(watermark.time_ms())
        .map_or_else(|| watermark.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_shows_every_total() {
        let totals = Totals { rows_in: 1_234_567, rows_out: 10, bytes_in: 5 << 20, late_rows: 3, ..Totals::default() };
        let text = summary("sample", &totals, Duration::from_millis(1500));
        assert!(text.starts_with("sample finished in 1.5 s\n"), "{text}");
        assert!(text.contains("rows in         1 234 567"), "{text}");
        assert!(text.contains("bytes in          5.0 MiB"), "{text}");
        assert!(text.contains("late rows               3"), "{text}");
    }
}
