//! The columns of one kind of event while a batch is made. Rows of other kinds are NULL and are filled in by runs.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, Int64Array, StringArray, StructArray, TimestampMillisecondArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Fields;
use arrow::error::ArrowError;

use super::config::Kind;

/// One field.
enum Column {
    Number(Vec<i64>),
    Text { ends: Vec<i32>, bytes: Vec<u8> },
    Time(Vec<i64>),
}

/// The fields of one kind of event.
pub(super) struct Columns {
    columns: Vec<Column>,
    valid: BooleanBufferBuilder,
}

impl Columns {
    pub(super) fn new(fields: &[(&str, Kind)], rows: usize) -> Self {
        let column = |(_, kind): &(&str, Kind)| match kind {
            Kind::Number => Column::Number(Vec::with_capacity(rows)),
            Kind::Text => {
                let mut ends = Vec::with_capacity(rows + 1);
                ends.push(0);
                Column::Text { ends, bytes: Vec::with_capacity(rows * 16) }
            }
            Kind::Time => Column::Time(Vec::with_capacity(rows)),
        };
        Self { columns: fields.iter().map(column).collect(), valid: BooleanBufferBuilder::new(rows) }
    }

    /// Starts an event in row `row`. The rows since the last event are NULL.
    pub(super) fn event(&mut self, row: usize) -> Event<'_> {
        self.fill(row);
        self.valid.append(true);
        Event { columns: self.columns.iter_mut() }
    }

    fn fill(&mut self, rows: usize) {
        let missing = rows - self.valid.len();
        if missing == 0 {
            return;
        }
        self.valid.append_n(missing, false);
        for column in &mut self.columns {
            match column {
                Column::Number(values) | Column::Time(values) => values.resize(rows, 0),
                Column::Text { ends, bytes } => ends.resize(rows + 1, bytes.len() as i32),
            }
        }
    }

    /// The column of a batch of `rows` rows.
    pub(super) fn finish(mut self, fields: &Fields, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.fill(rows);
        let nulls = Some(NullBuffer::new(self.valid.finish()));
        let arrays = self.columns.into_iter().map(|column| {
            Ok(match column {
                Column::Number(values) => Arc::new(Int64Array::new(values.into(), nulls.clone())) as ArrayRef,
                Column::Time(values) => Arc::new(TimestampMillisecondArray::new(values.into(), nulls.clone())),
                Column::Text { ends, bytes } => {
                    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                    Arc::new(StringArray::try_new(offsets, bytes.into(), nulls.clone())?)
                }
            })
        });
        let arrays = arrays.collect::<Result<Vec<_>, ArrowError>>()?;
        Ok(Arc::new(StructArray::try_new(fields.clone(), arrays, nulls)?))
    }
}

/// Writes the fields of one event, in order.
pub(super) struct Event<'a> {
    columns: std::slice::IterMut<'a, Column>,
}

impl Event<'_> {
    pub(super) fn number(&mut self, value: u64) -> &mut Self {
        if let Some(Column::Number(values)) = self.columns.next() {
            values.push(value as i64);
        }
        self
    }

    pub(super) fn time(&mut self, ms: i64) -> &mut Self {
        if let Some(Column::Time(values)) = self.columns.next() {
            values.push(ms);
        }
        self
    }

    /// Adds the text that `write` appends. Returns its length in bytes.
    pub(super) fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let Some(Column::Text { ends, bytes }) = self.columns.next() else { return 0 };
        let begin = bytes.len();
        write(bytes);
        ends.push(bytes.len() as i32);
        (bytes.len() - begin) as u64
    }
}
