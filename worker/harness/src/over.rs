//! OVER, like Flink's functions: per key, rows wait for timers, and every result is computed from the rows of its
//! frame.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_job_graph::{Over, OverFrame};

use crate::aggregate::aggregate;
use crate::row::{Row, milliseconds};
use crate::window::canonical;

/// An OVER aggregation with all its keys.
pub struct Overs {
    config: Over,
    watermark: i64,
    arrived: u64,
    keys: Vec<(Row, Key)>,
}

/// The state of one key.
#[derive(Default)]
struct Key {
    /// Waiting rows by time, with their order of arrival.
    pending: BTreeMap<i64, Vec<(u64, Row)>>,
    timers: BTreeSet<i64>,
    /// Rows that have fired, with their times.
    fired: Vec<(i64, Row)>,
    last_fired: Option<i64>,
    cleanup: Option<i64>,
}

impl Overs {
    /// An aggregation without rows.
    pub fn new(config: Over) -> Self {
        Self { config, watermark: i64::MIN, arrived: 0, keys: Vec::new() }
    }

    /// Adds a row, unless it is late.
    pub fn row(&mut self, row: Row) -> Result<(), String> {
        self.arrived += 1;
        let time = milliseconds(&row[self.config.time.column])?.ok_or("the time attribute of an OVER is NULL")?;
        let name: Row = self.config.keys.iter().map(|column| canonical(&row[*column])).collect();
        let index = self.keys.iter().position(|(other, _)| *other == name).unwrap_or(self.keys.len());
        if index == self.keys.len() {
            self.keys.push((name, Key::default()));
        }
        let key = &mut self.keys[index].1;
        let is_late = match self.config.frame {
            OverFrame::RowsUnbounded | OverFrame::RangeUnbounded => time <= self.watermark,
            OverFrame::Rows(_) | OverFrame::Range(_) => key.last_fired.is_some_and(|last| time <= last),
        };
        if is_late {
            return Ok(());
        }
        key.timers.insert(time);
        key.pending.entry(time).or_default().push((self.arrived, row));
        if let OverFrame::Range(interval_ms) = self.config.frame
            && key.cleanup.is_none_or(|cleanup| cleanup < time + interval_ms + 1)
        {
            let cleanup = time + interval_ms + interval_ms / 2 + 1;
            key.cleanup = Some(cleanup);
            key.timers.insert(cleanup);
        }
        Ok(())
    }

    /// Fires the timers that the watermark has reached, in order of time, then of arrival.
    pub fn watermark(&mut self, watermark: i64) -> Result<Vec<Row>, String> {
        self.watermark = self.watermark.max(watermark);
        let mut results = Vec::new();
        for (_, key) in &mut self.keys {
            while let Some(time) = key.timers.first().copied().filter(|time| *time <= self.watermark) {
                key.timers.remove(&time);
                if key.cleanup.is_some_and(|cleanup| cleanup <= time) {
                    *key = Key { timers: std::mem::take(&mut key.timers), ..Key::default() };
                } else {
                    fire(&self.config, key, time, &mut results)?;
                }
            }
        }
        results.sort_by_key(|(time, arrived, _)| (*time, *arrived));
        Ok(results.into_iter().map(|(_, _, row)| row).collect())
    }
}

fn fire(config: &Over, key: &mut Key, time: i64, results: &mut Vec<(i64, u64, Row)>) -> Result<(), String> {
    let rows = key.pending.remove(&time).unwrap_or_default();
    for (place, (arrived, row)) in rows.iter().enumerate() {
        let shares_frame = matches!(config.frame, OverFrame::RangeUnbounded | OverFrame::Range(_));
        let taken = if shares_frame { rows.len() } else { place + 1 };
        let same_time = rows[..taken].iter().map(|(_, row)| (time, row));
        let mut frame: Vec<(i64, &Row)> = key.fired.iter().map(|(time, row)| (*time, row)).chain(same_time).collect();
        match config.frame {
            OverFrame::RowsUnbounded | OverFrame::RangeUnbounded => {}
            OverFrame::Rows(preceding) => {
                let size = usize::try_from(preceding).unwrap_or(usize::MAX).saturating_add(1);
                frame.drain(..frame.len().saturating_sub(size));
            }
            OverFrame::Range(interval_ms) => frame.retain(|(other, _)| time - other <= interval_ms),
        }
        let frame: Vec<&Row> = frame.into_iter().map(|(_, row)| row).collect();
        let mut result = row.clone();
        for call in &config.aggregates {
            result.push(aggregate(call, &frame)?);
        }
        results.push((time, *arrived, result));
    }
    key.fired.extend(rows.into_iter().map(|(_, row)| (time, row)));
    key.last_fired = Some(time);
    Ok(())
}
