//! A model of Flink's OVER functions: keeps every row, and computes every result from the rows.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_job_graph::OverFrame;

#[derive(Clone, Debug)]
pub struct Row {
    pub id: i64,
    pub key: u8,
    pub time: i64,
    pub value: Option<i32>,
}

/// The model, with all keys.
pub struct Model {
    frame: OverFrame,
    watermark: i64,
    keys: BTreeMap<u8, Key>,
    pub output: Vec<(i64, Vec<String>)>,
}

#[derive(Default)]
struct Key {
    pending: BTreeMap<i64, Vec<Row>>,
    fired: Vec<Row>,
    last_fired: Option<i64>,
    timers: BTreeSet<i64>,
    cleanup: Option<i64>,
}

impl Model {
    pub fn new(frame: OverFrame) -> Self {
        Self { frame, watermark: i64::MIN, keys: BTreeMap::new(), output: Vec::new() }
    }

    pub fn row(&mut self, row: Row) {
        let key = self.keys.entry(row.key).or_default();
        let late = match self.frame {
            OverFrame::RowsUnbounded | OverFrame::RangeUnbounded => row.time <= self.watermark,
            _ => key.last_fired.is_some_and(|last| row.time <= last),
        };
        if late {
            return;
        }
        key.timers.insert(row.time);
        if let OverFrame::Range(interval) = self.frame
            && key.cleanup.is_none_or(|cleanup| cleanup < row.time + interval + 1)
        {
            let cleanup = row.time + interval * 3 / 2 + 1;
            key.cleanup = Some(cleanup);
            key.timers.insert(cleanup);
        }
        key.pending.entry(row.time).or_default().push(row);
    }

    pub fn watermark(&mut self, watermark: i64) {
        self.watermark = watermark;
        for key in self.keys.values_mut() {
            while let Some(time) = key.timers.first().copied().filter(|time| *time <= watermark) {
                key.timers.remove(&time);
                if key.cleanup.is_some_and(|cleanup| cleanup <= time) {
                    *key = Key { timers: std::mem::take(&mut key.timers), ..Key::default() };
                    continue;
                }
                let rows = key.pending.remove(&time).unwrap_or_default();
                for (place, row) in rows.iter().enumerate() {
                    let mut frame: Vec<&Row> = key.fired.iter().collect();
                    match self.frame {
                        OverFrame::RowsUnbounded => frame.extend(&rows[..=place]),
                        OverFrame::Rows(preceding) => {
                            frame.extend(&rows[..=place]);
                            frame.drain(..frame.len().saturating_sub(preceding as usize + 1));
                        }
                        OverFrame::RangeUnbounded => frame.extend(&rows),
                        OverFrame::Range(interval) => {
                            frame.extend(&rows);
                            frame.retain(|other| time - other.time <= interval);
                        }
                    }
                    self.output.push((row.id, results(&frame)));
                }
                key.fired.extend(rows);
                key.last_fired = Some(time);
            }
        }
    }
}

/// The results, in the order of the aggregates in the tests.
fn results(frame: &[&Row]) -> Vec<String> {
    let values: Vec<i32> = frame.iter().filter_map(|row| row.value).collect();
    let reals: Vec<f64> = values.iter().map(|value| f64::from(*value) / 4.0).collect();
    let texts: Vec<String> = values.iter().map(i32::to_string).collect();
    let sum: i32 = values.iter().sum();
    let count = values.len();
    let variance = |values: &[f64], divisor: usize| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (divisor > 0).then(|| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / divisor as f64)
    };
    let wholes: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    let some = |is: bool, text: String| if is { text } else { "NULL".to_owned() };
    let any = count > 0;
    let real = |value: Option<f64>| value.map_or("NULL".to_owned(), |value| format!("{:.6}", value + 1e-9));
    let text = |value: Option<String>| value.unwrap_or("NULL".to_owned());
    let real_sum = any.then(|| reals.iter().sum::<f64>());
    vec![
        frame.len().to_string(),
        count.to_string(),
        some(any, sum.to_string()),
        some(any, sum.checked_div(count as i32).unwrap_or(0).to_string()),
        text(values.iter().min().map(i32::to_string)),
        text(texts.iter().max().cloned()),
        text(texts.first().cloned()),
        text(texts.last().cloned()),
        real(real_sum),
        real(real_sum.map(|sum| sum / count as f64)),
        real(variance(&reals, count)),
        real(variance(&wholes, count.saturating_sub(1)).map(f64::sqrt)),
        some(any, texts.join("-")),
        values.iter().filter(|value| *value % 2 == 0).count().to_string(),
    ]
}
