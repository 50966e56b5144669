//! The progress of a running job on a terminal, and the table at its end.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use eddyline_connectors::print::screen;
use eddyline_stream::{OperatorUid, Watermark};
use terminal_size::{Width, terminal_size_of};

use crate::coordinator::job::View;
use crate::runtime::metrics::{OperatorMetrics, Role, Totals};

/// The width of a terminal that does not report it.
const WIDTH_DEFAULT: usize = 120;
/// The maximum width of an operator's name.
const LABEL_MAX: usize = 40;

/// What is shown while a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Nothing.
    None,
    /// One line for the job.
    Line,
    /// One line for the job, and one for each operator: rows, busy, back-pressure, state, watermark.
    Full,
}

/// Shows the progress until it is aborted.
pub async fn draw(view: Arc<View>, progress: Progress, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    let mut before = Sample::of(&view);
    loop {
        ticks.tick().await;
        let now = Sample::of(&view);
        let mut lines = match progress {
            Progress::None => return,
            Progress::Line => Vec::new(),
            Progress::Full => table(&before, &now),
        };
        lines.extend(troubles(&view.operators()));
        lines.push(job_line(&view, &before, &now));
        let width = terminal_size_of(std::io::stderr()).map_or(WIDTH_DEFAULT, |(Width(width), _)| usize::from(width));
        screen::show(lines.into_iter().map(|line| cut(&line, width)).collect());
        before = now;
    }
}

/// The counters at one moment.
struct Sample {
    at: Instant,
    totals: Totals,
    operators: Vec<Counts>,
}

/// The counters of an operator, added up over its subtasks.
#[derive(Clone, Debug)]
struct Counts {
    uid: OperatorUid,
    label: String,
    role: Role,
    subtasks: u32,
    rows_in: u64,
    rows_out: u64,
    busy_ns: u64,
    backpressured_ns: u64,
    state_bytes: u64,
    spilled_bytes: u64,
    watermark: Watermark,
}

impl Sample {
    fn of(view: &View) -> Self {
        let metrics = view.operators();
        Self { at: Instant::now(), totals: Totals::of(&metrics), operators: counts(&metrics) }
    }
}

/// The operators, each once: first sources, then other operators, then sinks.
fn counts(metrics: &[Arc<OperatorMetrics>]) -> Vec<Counts> {
    let mut counts: Vec<Counts> = Vec::new();
    let mut places: HashMap<&OperatorUid, usize> = HashMap::new();
    for subtask in metrics {
        let place = *places.entry(&subtask.uid).or_insert_with(|| {
            counts.push(Counts {
                uid: subtask.uid.clone(),
                label: subtask.label.clone(),
                role: subtask.role,
                subtasks: 0,
                rows_in: 0,
                rows_out: 0,
                busy_ns: 0,
                backpressured_ns: 0,
                state_bytes: 0,
                spilled_bytes: 0,
                watermark: Watermark::MAX,
            });
            counts.len() - 1
        });
        let operator = &mut counts[place];
        operator.subtasks += 1;
        operator.rows_in += subtask.rows_in.get();
        operator.rows_out += subtask.rows_out.get();
        operator.busy_ns += subtask.busy_ns.get();
        operator.backpressured_ns += subtask.backpressured_ns.get();
        operator.state_bytes += subtask.state_bytes.get();
        operator.spilled_bytes += subtask.spilled_bytes.get();
        operator.watermark = operator.watermark.min(subtask.watermark());
    }
    counts.sort_by_key(|operator| match operator.role {
        Role::Source => 0,
        Role::Operator => 1,
        Role::Sink => 2,
    });
    counts
}

/// A line of titles, and a line for each operator. State on the local disk has a column if there is some.
fn table(before: &Sample, now: &Sample) -> Vec<String> {
    let label_width = now.operators.iter().map(|operator| operator.label.chars().count()).max().unwrap_or(0);
    let label_width = label_width.clamp("operator".len(), LABEL_MAX);
    let has_spilled = now.operators.iter().any(|operator| operator.spilled_bytes > 0);
    let line = |cells: [&str; 8]| {
        let [label, rows_in, rows_out, busy, pressure, state, on_disk, watermark] = cells;
        let label = cut(label, label_width);
        let on_disk = if has_spilled { format!(" {on_disk:>10}") } else { String::new() };
        format!(
            "{label:label_width$}  {rows_in:>11} {rows_out:>11} {busy:>5} {pressure:>13} {state:>10}{on_disk}  {watermark}"
        )
    };
    let titles = line(["operator", "in/s", "out/s", "busy", "back-pressure", "state", "on disk", "watermark"]);
    let size = |of: u64| if of == 0 { String::new() } else { bytes(of) };
    let elapsed = now.at.duration_since(before.at).as_secs_f64().max(0.001);
    let rows = now.operators.iter().map(|operator| {
        let earlier = before.operators.iter().find(|earlier| earlier.uid == operator.uid);
        let rise = |of: fn(&Counts) -> u64| of(operator).saturating_sub(earlier.map_or(0, of)) as f64;
        let rate = |of| count((rise(of) / elapsed) as u64);
        let share = |of| {
            let share = rise(of) / (elapsed * 1e9 * f64::from(operator.subtasks.max(1)));
            format!("{:.0} %", (share * 100.0).clamp(0.0, 100.0))
        };
        let rows_in = if operator.role == Role::Source { String::new() } else { rate(|counts| counts.rows_in) };
        let rows_out = match operator.role {
            Role::Source => rate(|counts| counts.rows_in),
            Role::Operator => rate(|counts| counts.rows_out),
            Role::Sink => String::new(),
        };
        let (state, on_disk) = (size(operator.state_bytes), size(operator.spilled_bytes));
        let watermark = match operator.watermark {
            Watermark::MIN => "-".to_owned(),
            Watermark::MAX => "end of input".to_owned(),
            watermark => time(watermark),
        };
        let (busy, pressure) = (share(|counts| counts.busy_ns), share(|counts| counts.backpressured_ns));
        line([&operator.label, &rows_in, &rows_out, &busy, &pressure, &state, &on_disk, &watermark])
    });
    std::iter::once(titles).chain(rows).collect()
}

/// Why sources wait, each reason once.
fn troubles(operators: &[Arc<OperatorMetrics>]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for operator in operators {
        let line = operator.trouble().map(|trouble| format!("{}: {trouble}", operator.label));
        lines.extend(line.filter(|line| !lines.contains(line)));
    }
    lines
}

fn job_line(view: &View, before: &Sample, now: &Sample) -> String {
    let elapsed = now.at.duration_since(before.at).as_secs_f64().max(0.001);
    let rate = |of: fn(&Totals) -> u64| {
        let rise = of(&now.totals).saturating_sub(of(&before.totals)) as f64;
        count((rise / elapsed) as u64)
    };
    let mut line = format!("in {}/s  out {}/s", rate(|totals| totals.rows_in), rate(|totals| totals.rows_out));
    match now.totals.watermark {
        Some(Watermark::MAX) => line.push_str("  watermark: end of input"),
        Some(watermark) => {
            let lag = chrono::Utc::now().timestamp_millis().saturating_sub(watermark.time_ms()).max(0);
            let lag = duration_text(Duration::from_millis(lag.unsigned_abs()));
            let _ = write!(line, "  watermark {} (lag {lag})", time(watermark));
        }
        None => {}
    }
    if let Some(lag) = now.totals.source_lag {
        let _ = write!(line, "  behind {}", count(lag));
    }
    let _ = write!(line, "  late {}", count(now.totals.late_rows));
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

/// The text, cut to at most this number of characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
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
    use eddyline_stream::SlotIndex;

    use super::*;

    fn subtask(uid: &str, role: Role, slot: u16) -> Arc<OperatorMetrics> {
        OperatorMetrics::new(OperatorUid::new(uid), format!("The {uid}"), role, SlotIndex::new(slot))
    }

    fn sample(at: Instant, metrics: &[Arc<OperatorMetrics>]) -> Sample {
        Sample { at, totals: Totals::of(metrics), operators: counts(metrics) }
    }

    #[test]
    fn the_summary_shows_every_total() {
        let totals = Totals { rows_in: 1_234_567, rows_out: 10, bytes_in: 5 << 20, late_rows: 3, ..Totals::default() };
        let text = summary("sample", &totals, Duration::from_millis(1500));
        assert!(text.starts_with("sample finished in 1.5 s\n"), "{text}");
        assert!(text.contains("rows in         1 234 567"), "{text}");
        assert!(text.contains("bytes in          5.0 MiB"), "{text}");
        assert!(text.contains("late rows               3"), "{text}");
    }

    #[test]
    fn the_table_has_a_line_for_each_operator_over_all_of_its_subtasks() {
        let start = Instant::now();
        let tasks = [
            subtask("source", Role::Source, 0),
            subtask("window", Role::Operator, 0),
            subtask("sink", Role::Sink, 0),
            subtask("source", Role::Source, 1),
            subtask("window", Role::Operator, 1),
            subtask("sink", Role::Sink, 1),
        ];
        let before = sample(start, &tasks);
        for task in &tasks {
            task.rows_in.add(2_000);
            task.rows_out.add(500);
        }
        tasks[1].busy_ns.add_time(Duration::from_secs(2));
        tasks[4].busy_ns.add_time(Duration::from_secs(1));
        tasks[0].backpressured_ns.add_time(Duration::from_secs(1));
        tasks[1].state_bytes.set(1 << 20);
        tasks[1].set_watermark(Watermark::new(60_000));
        tasks[4].set_watermark(Watermark::new(0));
        let lines = table(&before, &sample(start + Duration::from_secs(2), &tasks));
        let cells: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[0], ["operator", "in/s", "out/s", "busy", "back-pressure", "state", "watermark"]);
        assert_eq!(cells[1], ["The", "source", "2", "000", "0", "%", "25", "%", "-"]);
        let window = ["The", "window", "2", "000", "500", "75", "%", "0", "%", "1.0", "MiB", "1970-01-01", "00:00:00"];
        assert_eq!(cells[2], window);
        assert_eq!(cells[3], ["The", "sink", "2", "000", "0", "%", "0", "%", "-"]);
        assert_eq!(lines.len(), 4);
        assert!(lines[2].find("1970") == lines[0].find("watermark"), "{lines:#?}");
        tasks[4].spilled_bytes.set(3 << 20);
        let lines = table(&before, &sample(start + Duration::from_secs(2), &tasks));
        assert!(lines[0].contains("state    on disk  watermark"), "{lines:#?}");
        assert!(lines[2].contains("1.0 MiB    3.0 MiB  1970"), "{lines:#?}");
    }

    #[test]
    fn a_new_attempt_begins_at_nothing() {
        let start = Instant::now();
        let old = [subtask("source", Role::Source, 0)];
        old[0].rows_in.add(1_000);
        let new = [subtask("source", Role::Source, 0)];
        let lines = table(&sample(start, &old), &sample(start + Duration::from_secs(1), &new));
        assert!(lines[1].contains(" 0 "), "{lines:?}");
    }

    #[test]
    fn a_line_is_no_wider_than_the_terminal() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("öäüß and more", 5), "öäüß…");
    }
}
