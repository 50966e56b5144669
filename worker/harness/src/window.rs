//! Windows: assignment of rows to windows, and the rows of each window until it fires.

use arrow::datatypes::{DataType, SchemaRef};
use eddyline_expression::Scalar;
use eddyline_job_graph::{TimeColumn, WindowAggregate, WindowAssign, WindowAssigner, WindowColumn};

use crate::aggregate::aggregate;
use crate::local_time::LocalClock;
use crate::row::{Row, cast, milliseconds};

/// A window in local time: start inclusive, end exclusive, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    start: i64,
    end: i64,
}

/// The windows of a local time, or of a row that has window columns.
fn windows_of(assigner: &WindowAssigner, time: Option<i64>, row: &Row) -> Result<Vec<Window>, String> {
    if let WindowAssigner::Attached { start, end } = assigner {
        let (start, end) = (milliseconds(&row[*start])?, milliseconds(&row[*end])?);
        let window = start.zip(end).map(|(start, end)| Window { start, end });
        return Ok(vec![window.ok_or("a row carries no window")?]);
    }
    let time = time.ok_or("the time attribute of a window is NULL")?;
    let start_of = |length: i64, offset: i64| time - (time - offset).rem_euclid(length);
    Ok(match *assigner {
        WindowAssigner::Tumble { size_ms, offset_ms } => {
            let start = start_of(size_ms, offset_ms);
            vec![Window { start, end: start + size_ms }]
        }
        WindowAssigner::Hop { size_ms, slide_ms, offset_ms } => {
            let last = start_of(slide_ms, offset_ms);
            let starts = (0..).map(|n| last - n * slide_ms).take_while(|start| *start > time - size_ms);
            starts.map(|start| Window { start, end: start + size_ms }).collect()
        }
        WindowAssigner::Cumulate { size_ms, step_ms, offset_ms } => {
            let start = start_of(size_ms, offset_ms);
            let ends = (1..=size_ms / step_ms).map(|n| start + n * step_ms).filter(|end| *end > time);
            ends.map(|end| Window { start, end }).collect()
        }
        WindowAssigner::Session { gap_ms } => vec![Window { start: time, end: time + gap_ms }],
        WindowAssigner::Attached { .. } => Vec::new(),
    })
}

/// The local time of a row.
fn local_time(time: &TimeColumn, row: &Row, clock: LocalClock) -> Result<Option<i64>, String> {
    Ok(milliseconds(&row[time.column])?.map(|instant| clock.local(instant)))
}

fn clock_of(time: Option<&TimeColumn>) -> Result<LocalClock, String> {
    LocalClock::new(time.and_then(|time| time.time_zone.as_deref()))
}

/// The value of a window column, of the type in the plan.
fn window_column(
    column: WindowColumn,
    window: Window,
    clock: LocalClock,
    data_type: &DataType,
) -> Result<Scalar, String> {
    let time = match column {
        WindowColumn::Start => window.start,
        WindowColumn::End => window.end,
        WindowColumn::Time => clock.instant(window.end - 1),
    };
    match data_type {
        DataType::Timestamp(_, zone) => cast(&Scalar::TimestampMillisecond(Some(time), zone.clone()), data_type),
        other => Err(format!("a window column is a timestamp, not {other}")),
    }
}

/// Repeats a row for each of its windows.
pub fn assign(config: &WindowAssign, row: &Row, schema: &SchemaRef) -> Result<Vec<Row>, String> {
    let clock = clock_of(Some(&config.time))?;
    let windows = windows_of(&config.assigner, local_time(&config.time, row, clock)?, row)?;
    let columns = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];
    let repeated = windows.into_iter().map(|window| {
        let mut result = row.clone();
        for column in columns {
            result.push(window_column(column, window, clock, schema.field(result.len()).data_type())?);
        }
        Ok(result)
    });
    repeated.collect()
}

/// A window that has not fired, with its rows in order of arrival.
struct OpenWindow {
    key: Row,
    window: Window,
    rows: Vec<(u64, Row)>,
}

/// An aggregation per key and window, with its open windows.
pub struct Windows {
    config: WindowAggregate,
    schema: SchemaRef,
    clock: LocalClock,
    watermark: i64,
    arrived: u64,
    open: Vec<OpenWindow>,
}

impl Windows {
    /// An aggregation without rows. `schema` is the output schema of the node.
    pub fn new(config: WindowAggregate, schema: SchemaRef) -> Result<Self, String> {
        let clock = clock_of(config.time.as_ref())?;
        Ok(Self { config, schema, clock, watermark: i64::MIN, arrived: 0, open: Vec::new() })
    }

    fn has_fired(&self, window: Window) -> bool {
        self.watermark >= self.clock.timer(window.end - 1)
    }

    /// Adds a row to those of its windows that have not fired.
    pub fn row(&mut self, row: Row) -> Result<(), String> {
        self.arrived += 1;
        let key: Row = self.config.keys.iter().map(|column| canonical(&row[*column])).collect();
        let is_attached = matches!(self.config.assigner, WindowAssigner::Attached { .. });
        let time = match &self.config.time {
            Some(time) if !is_attached => local_time(time, &row, self.clock)?,
            _ => None,
        };
        for window in windows_of(&self.config.assigner, time, &row)? {
            if matches!(self.config.assigner, WindowAssigner::Session { .. }) {
                self.session(key.clone(), window, row.clone());
            } else if !self.has_fired(window) {
                let same = |open: &&mut OpenWindow| open.window == window && open.key == key;
                match self.open.iter_mut().find(same) {
                    Some(open) => open.rows.push((self.arrived, row.clone())),
                    None => {
                        let rows = vec![(self.arrived, row.clone())];
                        self.open.push(OpenWindow { key: key.clone(), window, rows });
                    }
                }
            }
        }
        Ok(())
    }

    /// Merges a row into the sessions that it touches. Drops it if even the merged session has ended.
    fn session(&mut self, key: Row, window: Window, row: Row) {
        let touches =
            |open: &OpenWindow| open.key == key && open.window.start <= window.end && open.window.end >= window.start;
        let mut merged = OpenWindow { key: key.clone(), window, rows: vec![(self.arrived, row)] };
        for open in self.open.iter().filter(|open| touches(open)) {
            merged.window.start = merged.window.start.min(open.window.start);
            merged.window.end = merged.window.end.max(open.window.end);
            merged.rows.extend(open.rows.iter().cloned());
        }
        if !self.has_fired(merged.window) {
            merged.rows.sort_by_key(|(arrived, _)| *arrived);
            self.open.retain(|open| !touches(open));
            self.open.push(merged);
        }
    }

    /// Fires the windows whose last millisecond the watermark has reached, ordered by their ends.
    pub fn watermark(&mut self, watermark: i64) -> Result<Vec<Row>, String> {
        self.watermark = self.watermark.max(watermark);
        let (mut fired, open) =
            std::mem::take(&mut self.open).into_iter().partition::<Vec<_>, _>(|open| self.has_fired(open.window));
        self.open = open;
        fired.sort_by_key(|fired| (fired.window.end, fired.window.start));
        fired.iter().map(|fired| self.result(fired)).collect()
    }

    fn result(&self, fired: &OpenWindow) -> Result<Row, String> {
        let rows: Vec<&Row> = fired.rows.iter().map(|(_, row)| row).collect();
        let mut result = fired.key.clone();
        for call in &self.config.aggregates {
            result.push(aggregate(call, &rows)?);
        }
        for column in &self.config.window_columns {
            let data_type = self.schema.field(result.len()).data_type();
            result.push(window_column(*column, fired.window, self.clock, data_type)?);
        }
        Ok(result)
    }
}

/// A key value with one zero and one NaN.
pub fn canonical(value: &Scalar) -> Scalar {
    match value {
        Scalar::Float64(Some(value)) if value.is_nan() => Scalar::Float64(Some(f64::NAN)),
        Scalar::Float64(Some(value)) => Scalar::Float64(Some(value + 0.0)),
        Scalar::Float32(Some(value)) if value.is_nan() => Scalar::Float32(Some(f32::NAN)),
        Scalar::Float32(Some(value)) => Scalar::Float32(Some(value + 0.0)),
        other => other.clone(),
    }
}
