//! The argument columns of a batch, in the form in which accumulators read them.

use std::borrow::Cow;

use arrow::array::{Array, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type};
use eddyline_state::fixed;

use crate::accumulator::{Kind, Slot};

/// The values of a column.
pub(crate) enum Values<'a> {
    Absent,
    Images(Cow<'a, [i64]>),
    Doubles(Cow<'a, [f64]>),
    Decimals(&'a [i128]),
    Bytes { offsets: &'a [i32], bytes: &'a [u8] },
}

/// The values of a column, and the rows that are aggregated: those that are not NULL and pass the filter.
pub(crate) struct Argument<'a> {
    pub(crate) values: Values<'a>,
    pub(crate) mask: Option<BooleanBuffer>,
}

impl<'a> Argument<'a> {
    /// The argument of a slot in a batch with these columns.
    pub(crate) fn of_slot(slot: &Slot, columns: &'a [arrow::array::ArrayRef]) -> Self {
        let column = slot.argument.map(|argument| columns[argument].as_ref());
        let values = column.map_or(Values::Absent, |column| values(&slot.kind, column));
        Self { values, mask: mask(column, slot.filter.map(|filter| columns[filter].as_ref())) }
    }

    /// The argument of a slot from a column whose values are all aggregated.
    pub(crate) fn of_column(slot: &Slot, column: &'a dyn Array) -> Self {
        Self { values: values(&slot.kind, column), mask: mask(Some(column), None) }
    }

    /// The values that a distinct set of this column stores.
    pub(crate) fn of_distinct(column: &'a dyn Array, filter: Option<&dyn Array>) -> Self {
        Self { values: exact(column), mask: mask(Some(column), filter) }
    }
}

fn values<'a>(kind: &Kind, column: &'a dyn Array) -> Values<'a> {
    match kind {
        Kind::Count => Values::Absent,
        Kind::SumDouble | Kind::SumFloat | Kind::Moments => Values::Doubles(doubles(column)),
        _ => exact(column),
    }
}

fn exact(column: &dyn Array) -> Values<'_> {
    match column.data_type() {
        DataType::Decimal128(..) => Values::Decimals(column.as_primitive::<Decimal128Type>().values()),
        DataType::Utf8 => {
            let strings = column.as_string::<i32>();
            Values::Bytes { offsets: strings.value_offsets(), bytes: strings.value_data() }
        }
        DataType::Binary => {
            let strings = column.as_binary::<i32>();
            Values::Bytes { offsets: strings.value_offsets(), bytes: strings.value_data() }
        }
        _ => fixed::images(column).map_or(Values::Absent, Values::Images),
    }
}

fn doubles(column: &dyn Array) -> Cow<'_, [f64]> {
    match column.data_type() {
        DataType::Float64 => Cow::Borrowed(column.as_primitive::<Float64Type>().values()),
        DataType::Float32 => {
            column.as_primitive::<Float32Type>().values().iter().map(|value| f64::from(*value)).collect()
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10f64.powi(i32::from(*scale));
            column.as_primitive::<Decimal128Type>().values().iter().map(|value| *value as f64 / unit).collect()
        }
        _ => fixed::images(column).unwrap_or_default().iter().map(|value| *value as f64).collect(),
    }
}

fn mask(column: Option<&dyn Array>, filter: Option<&dyn Array>) -> Option<BooleanBuffer> {
    let valid = column.and_then(|column| column.logical_nulls()).filter(|nulls| nulls.null_count() > 0);
    let valid = valid.map(|nulls| nulls.inner().clone());
    let passed = filter.map(|filter| {
        let filter = filter.as_boolean();
        match filter.nulls() {
            Some(nulls) => filter.values() & nulls.inner(),
            None => filter.values().clone(),
        }
    });
    match (valid, passed) {
        (Some(valid), Some(passed)) => Some(&valid & &passed),
        (mask, None) | (None, mask) => mask,
    }
}
