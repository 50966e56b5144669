//! Points in time as arguments and results: DATE, TIME, TIMESTAMP and TIMESTAMP_LTZ, all as microseconds.

use arrow::array::{
    ArrayRef, Date32Array, Time32MillisecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use eddyline_expression::{Result, internal_err};

use crate::arguments::{Arguments, Column};
use crate::time::zone::{Overlap, Zone};
use crate::time::{DAY, MILLISECOND};

enum Values<'a> {
    Date(Column<'a, Date32Array>),
    Time(Column<'a, Time32MillisecondArray>),
    Milliseconds(Column<'a, TimestampMillisecondArray>),
    Microseconds(Column<'a, TimestampMicrosecondArray>),
}

/// A column of points in time.
pub(crate) struct Moments<'a> {
    values: Values<'a>,
    /// Whether the values are instants (TIMESTAMP_LTZ) rather than wall-clock times.
    pub(crate) is_instant: bool,
}

impl Moments<'_> {
    /// The value as stored: wall-clock microseconds, or an instant for TIMESTAMP_LTZ.
    pub(crate) fn raw(&self, row: usize) -> Option<i64> {
        Some(match &self.values {
            Values::Date(days) => i64::from(days.get(row)?).saturating_mul(DAY),
            Values::Time(milliseconds) => i64::from(milliseconds.get(row)?) * MILLISECOND,
            Values::Milliseconds(milliseconds) => milliseconds.get(row)?.saturating_mul(MILLISECOND),
            Values::Microseconds(microseconds) => microseconds.get(row)?,
        })
    }

    /// The wall-clock time in a zone.
    pub(crate) fn local(&self, row: usize, zone: Zone) -> Option<i64> {
        let raw = self.raw(row)?;
        Some(if self.is_instant { zone.local(raw) } else { raw })
    }

    /// The instant. A wall-clock time is read in `zone`.
    pub(crate) fn instant(&self, row: usize, zone: Zone) -> Option<i64> {
        let raw = self.raw(row)?;
        Some(if self.is_instant { raw } else { zone.instant(raw, Overlap::Earlier) })
    }
}

impl Arguments<'_> {
    /// A DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ argument.
    pub(crate) fn moments(&self, position: usize) -> Result<Moments<'_>> {
        let values = match self.data_type(position) {
            DataType::Date32 => Values::Date(self.primitive::<Date32Type>(position)?),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time(self.primitive::<Time32MillisecondType>(position)?),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Values::Milliseconds(self.primitive::<TimestampMillisecondType>(position)?)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Values::Microseconds(self.primitive::<TimestampMicrosecondType>(position)?)
            }
            other => return internal_err!("{other} is not a point in time"),
        };
        Ok(Moments { values, is_instant: is_instant(self.data_type(position)) })
    }

    /// A result of the declared DATE, TIME or TIMESTAMP type, from microseconds. Finer digits are cut.
    pub(crate) fn write_moments(&self, mut compute: impl FnMut(usize) -> Option<i64>) -> Result<ArrayRef> {
        self.try_write_moments(|row| Ok(compute(row)))
    }

    /// [`Self::write_moments`] for functions that can fail.
    pub(crate) fn try_write_moments(&self, mut compute: impl FnMut(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
        match self.return_type {
            DataType::Date32 => self
                .try_write::<Date32Type>(|row| Ok(compute(row)?.and_then(|us| i32::try_from(us.div_euclid(DAY)).ok()))),
            DataType::Time32(TimeUnit::Millisecond) => self.try_write::<Time32MillisecondType>(|row| {
                Ok(compute(row)?.and_then(|us| i32::try_from(us.div_euclid(MILLISECOND)).ok()))
            }),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                self.try_write::<TimestampMillisecondType>(|row| Ok(compute(row)?.map(|us| us.div_euclid(MILLISECOND))))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => self.try_write::<TimestampMicrosecondType>(compute),
            ref other => internal_err!("{other} is not a point in time"),
        }
    }
}

/// Whether a type is TIMESTAMP_LTZ.
pub(crate) fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

/// TIMESTAMP(3).
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// TIMESTAMP_LTZ(3).
pub(crate) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}
