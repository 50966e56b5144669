//! A simple model of windows: every row is added to each of its windows that has not fired.

use std::collections::BTreeMap;

use eddyline_job_graph::WindowAssigner;

use super::aggregates::Call;
use super::rows::{Event, Row};

/// The windows that contain a time.
fn windows_of(assigner: &WindowAssigner, time: i64) -> Vec<(i64, i64)> {
    let floor = |step: i64, offset: i64| (time - offset).div_euclid(step) * step + offset;
    match *assigner {
        WindowAssigner::Tumble { size_ms, offset_ms } => {
            let start = floor(size_ms, offset_ms);
            vec![(start, start + size_ms)]
        }
        WindowAssigner::Hop { size_ms, slide_ms, offset_ms } => {
            let last = floor(slide_ms, offset_ms);
            (0..size_ms / slide_ms).map(|i| last - i * slide_ms).map(|start| (start, start + size_ms)).collect()
        }
        WindowAssigner::Cumulate { size_ms, step_ms, offset_ms } => {
            let (start, first) = (floor(size_ms, offset_ms), floor(step_ms, offset_ms) + step_ms);
            (0..)
                .map(|i| first + i * step_ms)
                .take_while(|end| *end <= start + size_ms)
                .map(|end| (start, end))
                .collect()
        }
        WindowAssigner::Attached { .. } => {
            vec![(floor(super::rows::WINDOW_MS, 0), floor(super::rows::WINDOW_MS, 0) + super::rows::WINDOW_MS)]
        }
        WindowAssigner::Session { .. } => Vec::new(),
    }
}

/// Rows of open windows by window and key.
#[derive(Default)]
struct Model {
    open: BTreeMap<(i64, i64), BTreeMap<String, Vec<Row>>>,
    late: u64,
}

/// The sorted lines of output, and the number of late rows.
pub(super) fn run(
    assigner: &WindowAssigner,
    calls: &[Call],
    key_of: &dyn Fn(&Row) -> String,
    events: &[Event],
) -> (Vec<String>, u64) {
    let mut model = Model::default();
    let mut watermark = i64::MIN;
    let mut lines = Vec::new();
    let end_of_input = Event::Watermark(i64::MAX);
    for event in events.iter().chain([&end_of_input]) {
        match event {
            Event::Rows(rows) => rows.iter().for_each(|row| model.add(assigner, row, key_of(row), watermark)),
            Event::Watermark(time) => {
                watermark = *time;
                while let Some(entry) = model.open.first_entry() {
                    if entry.key().0 - 1 > watermark {
                        break;
                    }
                    let ((end, start), keys) = entry.remove_entry();
                    for (key, rows) in keys {
                        lines.push(line(assigner, &key, calls, rows, (start, end)));
                    }
                }
            }
        }
    }
    lines.sort();
    (lines, model.late)
}

fn line(assigner: &WindowAssigner, key: &str, calls: &[Call], mut rows: Vec<Row>, (start, end): (i64, i64)) -> String {
    // Slices are merged in order of time.
    if let WindowAssigner::Hop { slide_ms, offset_ms, .. } = assigner {
        rows.sort_by_key(|row| (row.time - offset_ms).div_euclid(*slide_ms));
    }
    let rows: Vec<&Row> = rows.iter().collect();
    let mut line = key.to_owned();
    for (_, naive) in calls {
        line += &format!("{}|", naive(&rows));
    }
    line + &format!("{start}|{end}|{}|", end - 1)
}

impl Model {
    fn add(&mut self, assigner: &WindowAssigner, row: &Row, key: String, watermark: i64) {
        if let WindowAssigner::Session { gap_ms } = assigner {
            return self.add_to_session(*gap_ms, row, key, watermark);
        }
        let windows = windows_of(assigner, row.time);
        let open: Vec<_> = windows.into_iter().filter(|(_, end)| end - 1 > watermark).collect();
        self.late += u64::from(open.is_empty());
        for (start, end) in open {
            self.open.entry((end, start)).or_default().entry(key.clone()).or_default().push(row.clone());
        }
    }

    fn add_to_session(&mut self, gap_ms: i64, row: &Row, key: String, watermark: i64) {
        let (mut start, mut end) = (row.time, row.time + gap_ms);
        let touches = |(other_end, other_start): &(i64, i64)| *other_start <= end && *other_end >= start;
        let mut windows: Vec<_> = self
            .open
            .iter()
            .filter(|(window, keys)| touches(window) && keys.contains_key(&key))
            .map(|(window, _)| *window)
            .collect();
        if windows.is_empty() && end - 1 <= watermark {
            self.late += 1;
            return;
        }
        windows.sort_by_key(|(_, start)| *start);
        let mut rows = Vec::new();
        for window in windows {
            let keys = self.open.get_mut(&window).expect("it is open");
            rows.extend(keys.remove(&key).expect("the key has it"));
            (start, end) = (start.min(window.1), end.max(window.0));
        }
        rows.push(row.clone());
        self.open.entry((end, start)).or_default().insert(key, rows);
    }
}
