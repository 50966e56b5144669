//! Counts, and sums and averages of whole numbers and decimals.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int8Array, Int16Array, Int32Array, Int64Array};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use eddyline_job_graph::{AggregateCall, AggregateFunction};

use super::{kept_of, of_key};
use crate::decimals::divide_half_up;
use crate::{Error, Result};

/// Counts and sums for every key, and the results of the current rows.
pub struct Exact {
    // Fixed at start.
    outcome: Outcome,
    result_type: DataType,
    /// The scale of the result minus the scale of the argument.
    added_digits: u32,
    name: String,

    // Changing.
    totals: Vec<Total>,
    results: Vec<Option<i128>>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Count,
    WholeSum,
    WholeAverage,
    DecimalSum,
    DecimalAverage,
}

/// The total of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// The number of values.
    pub count: i64,
    /// Their sum, unscaled for decimals, without its overflow.
    pub sum: i128,
    /// The number of overflows of `sum` upward minus those downward. Sums of decimals can overflow, and return into the
    /// range when rows leave the frame.
    pub carry: i64,
}

impl Total {
    #[inline]
    fn add(&mut self, value: i128) {
        let (sum, overflows) = self.sum.overflowing_add(value);
        self.sum = sum;
        self.carry += if overflows { value.signum() as i64 } else { 0 };
    }

    #[inline]
    fn subtract(&mut self, value: i128) {
        let (sum, overflows) = self.sum.overflowing_sub(value);
        self.sum = sum;
        self.carry -= if overflows { value.signum() as i64 } else { 0 };
    }

    /// The sum, if it fits in a DECIMAL of the maximum precision.
    fn decimal(&self) -> Option<i128> {
        (self.carry == 0).then_some(self.sum).filter(is_decimal)
    }
}

/// The smallest positive number that a DECIMAL of the maximum precision cannot hold.
const DECIMAL_END: i128 = 10i128.pow(DECIMAL128_MAX_PRECISION as u32);

/// Whether a DECIMAL of the maximum precision can hold a number.
fn is_decimal(value: &i128) -> bool {
    (1 - DECIMAL_END..DECIMAL_END).contains(value)
}

impl Exact {
    /// The state of a call.
    pub fn new(call: &AggregateCall) -> Self {
        let is_decimal = matches!(call.argument_type, Some(DataType::Decimal128(..)));
        let outcome = match call.function {
            AggregateFunction::Sum if is_decimal => Outcome::DecimalSum,
            AggregateFunction::Sum => Outcome::WholeSum,
            AggregateFunction::Avg if is_decimal => Outcome::DecimalAverage,
            AggregateFunction::Avg => Outcome::WholeAverage,
            _ => Outcome::Count,
        };
        let scale =
            |data_type: &DataType| if let DataType::Decimal128(_, scale) = data_type { i32::from(*scale) } else { 0 };
        let added = scale(&call.result_type) - call.argument_type.as_ref().map_or(0, scale);
        Self {
            outcome,
            result_type: call.result_type.clone(),
            added_digits: u32::try_from(added).unwrap_or(0),
            name: call.name.clone(),
            totals: Vec::new(),
            results: Vec::new(),
        }
    }

    /// Adds a value.
    #[inline]
    pub fn add(&mut self, key: u32, value: i128) {
        let total = of_key(&mut self.totals, key);
        total.count += 1;
        total.add(value);
    }

    /// Subtracts a value.
    #[inline]
    pub fn remove(&mut self, key: u32, value: i128) {
        let total = of_key(&mut self.totals, key);
        total.count -= 1;
        total.subtract(value);
    }

    /// Resets the total of a key.
    pub fn reset(&mut self, key: u32) {
        *of_key(&mut self.totals, key) = Total::default();
    }

    /// The total of a key.
    pub fn total(&self, key: u32) -> Total {
        self.totals.get(key as usize).copied().unwrap_or_default()
    }

    /// Restores the total of a key.
    pub fn restore(&mut self, key: u32, total: Total) {
        *of_key(&mut self.totals, key) = total;
    }

    /// Keeps these keys, in order, which get the numbers from 0 on.
    pub fn renumber(&mut self, kept: &[u32]) {
        self.totals = kept_of(&mut self.totals, kept);
    }

    /// Adds the result of a row. A decimal with too many digits becomes NULL.
    pub fn push_result(&mut self, key: u32) {
        let total = *of_key(&mut self.totals, key);
        self.results.push(match self.outcome {
            Outcome::Count => Some(i128::from(total.count)),
            _ if total.count == 0 => None,
            // Flink sums whole numbers as BIGINT, which wraps around.
            Outcome::WholeSum => Some(total.sum),
            Outcome::WholeAverage => Some(i128::from(total.sum as i64 / total.count)),
            Outcome::DecimalSum => total.decimal(),
            Outcome::DecimalAverage => total
                .decimal()
                .and_then(|sum| divide_half_up(sum, i128::from(total.count), self.added_digits))
                .filter(is_decimal),
        });
    }

    /// The results as a column. Whole numbers wrap around to the type, as in Flink.
    pub fn finish_results(&mut self) -> Result<ArrayRef> {
        let results = std::mem::take(&mut self.results).into_iter();
        Ok(match &self.result_type {
            DataType::Int8 => Arc::new(Int8Array::from_iter(results.map(|result| result.map(|value| value as i8)))),
            DataType::Int16 => Arc::new(Int16Array::from_iter(results.map(|result| result.map(|value| value as i16)))),
            DataType::Int32 => Arc::new(Int32Array::from_iter(results.map(|result| result.map(|value| value as i32)))),
            DataType::Int64 => Arc::new(Int64Array::from_iter(results.map(|result| result.map(|value| value as i64)))),
            DataType::Decimal128(precision, scale) => {
                Arc::new(Decimal128Array::from_iter(results).with_precision_and_scale(*precision, *scale)?)
            }
            other => return Err(Error::Unsupported(format!("{} does not give {other}", self.name))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{DECIMAL_END, Total};

    #[test]
    fn a_sum_that_was_too_large_comes_back_when_values_leave() {
        let largest = DECIMAL_END - 1;
        let mut total = Total::default();
        (0..5).for_each(|_| total.add(largest));
        assert_eq!(total.decimal(), None);
        (0..4).for_each(|_| total.subtract(largest));
        assert_eq!(total.decimal(), Some(largest));
        (0..5).for_each(|_| total.subtract(largest));
        (0..3).for_each(|_| total.add(largest));
        assert_eq!(total.decimal(), Some(-largest));
    }
}
