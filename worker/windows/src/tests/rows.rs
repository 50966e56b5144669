//! The rows of the tests, and batches of them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use eddyline_job_graph::TimeColumn;
use proptest::prelude::*;

pub(super) const WINDOW_MS: i64 = 12;

pub(super) const KEY: usize = 0;
pub(super) const NAME: usize = 1;
pub(super) const TIME: usize = 2;
pub(super) const INT: usize = 3;
pub(super) const LONG: usize = 4;
pub(super) const DOUBLE: usize = 5;
pub(super) const DECIMAL: usize = 6;
pub(super) const TEXT: usize = 7;
pub(super) const FLAG: usize = 8;
pub(super) const START: usize = 9;
pub(super) const END: usize = 10;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) key: Option<i64>,
    pub(super) time: i64,
    pub(super) value: Option<i64>,
    pub(super) text: Option<String>,
    pub(super) flag: Option<bool>,
}

impl Row {
    /// The key as a string. Some strings are too long for a packed row.
    pub(super) fn name(&self) -> Option<String> {
        self.key.map(|key| if key % 2 == 0 { format!("k{key}") } else { format!("a key of more than 12 bytes {key}") })
    }

    /// The start of the row's tumbling window, for rows that already have a window.
    pub(super) fn start(&self) -> i64 {
        self.time.div_euclid(WINDOW_MS) * WINDOW_MS
    }
}

pub(super) fn time_column() -> TimeColumn {
    TimeColumn { column: TIME, time_zone: None }
}

pub(super) fn schema() -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("ts", timestamp.clone(), true),
        Field::new("int", DataType::Int32, true),
        Field::new("long", DataType::Int64, true),
        Field::new("double", DataType::Float64, true),
        Field::new("decimal", DataType::Decimal128(10, 2), true),
        Field::new("text", DataType::Utf8, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("window_start", timestamp.clone(), false),
        Field::new("window_end", timestamp, false),
    ]))
}

pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let values = || rows.iter().map(|row| row.value);
    let decimals = Decimal128Array::from_iter(values().map(|value| value.map(|value| i128::from(value) * 25)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.key))),
        Arc::new(StringArray::from_iter(rows.iter().map(Row::name))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.time))),
        Arc::new(Int32Array::from_iter(values().map(|value| value.map(|value| value as i32)))),
        Arc::new(Int64Array::from_iter(values().map(|value| value.map(|value| value * 1_000_000_007)))),
        Arc::new(Float64Array::from_iter(values().map(|value| value.map(|value| value as f64 / 2.0)))),
        Arc::new(decimals.with_precision_and_scale(10, 2).expect("fits")),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.text.clone()))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.flag))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(Row::start))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.start() + WINDOW_MS))),
    ];
    RecordBatch::try_new(schema(), columns).expect("columns fit the schema")
}

/// An event for an operator.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Rows(Vec<Row>),
    Watermark(i64),
}

/// Batches of rows around an advancing time, with watermarks that are later than some of the rows.
pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let row = (
        prop::option::weighted(0.9, 0i64..6),
        -30i64..8,
        prop::option::weighted(0.8, -9i64..10),
        prop::option::of("[a-c]{1,2}"),
        prop::option::of(any::<bool>()),
    );
    let step = (prop::collection::vec(row, 0..40), 0i64..14, prop::option::weighted(0.7, 0i64..16));
    (prop::collection::vec(step, 1..12), -50i64..50).prop_map(|(steps, mut now)| {
        let mut events = Vec::new();
        let mut watermark = i64::MIN;
        for (rows, advance, delay) in steps {
            now += advance;
            let row = |(key, jitter, value, text, flag)| Row { key, time: now + jitter, value, text, flag };
            events.push(Event::Rows(rows.into_iter().map(row).collect()));
            if let Some(next) = delay.map(|delay| now - delay).filter(|next| *next > watermark) {
                watermark = next;
                events.push(Event::Watermark(next));
            }
        }
        events
    })
}
