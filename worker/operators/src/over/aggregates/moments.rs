//! Sums and averages of floating-point numbers; variance and standard deviation of all numbers.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use eddyline_job_graph::{AggregateCall, AggregateFunction};
use eddyline_stream::cast::cast;

use super::{kept_of, of_key};
use crate::Result;

/// Moments for every key, and the results of the current rows.
pub struct Moments {
    // Fixed at start.
    function: AggregateFunction,
    result_type: DataType,
    /// Whether sums are rounded to FLOAT, as for a SUM of FLOAT.
    single: bool,

    // Changing.
    totals: Vec<Moment>,
    results: Vec<Option<f64>>,
}

/// The moments of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// The number of values.
    pub count: i64,
    /// Their sum; for a variance, their mean.
    pub sum_or_mean: f64,
    /// For a variance, the sum of squared distances from the mean.
    pub squares: f64,
}

impl Moments {
    /// The state of a call.
    pub fn new(call: &AggregateCall) -> Self {
        Self {
            function: call.function.clone(),
            result_type: call.result_type.clone(),
            single: call.function == AggregateFunction::Sum && call.argument_type == Some(DataType::Float32),
            totals: Vec::new(),
            results: Vec::new(),
        }
    }

    /// Adds a value.
    #[inline]
    pub fn add(&mut self, key: u32, value: f64) {
        let total = of_key(&mut self.totals, key);
        total.count += 1;
        if matches!(self.function, AggregateFunction::Sum | AggregateFunction::Avg) {
            let sum = total.sum_or_mean + value;
            total.sum_or_mean = if self.single { f64::from(sum as f32) } else { sum };
        } else {
            let distance = value - total.sum_or_mean;
            total.sum_or_mean += distance / total.count as f64;
            total.squares += distance * (value - total.sum_or_mean);
        }
    }

    /// Resets the moments of a key.
    pub fn reset(&mut self, key: u32) {
        *of_key(&mut self.totals, key) = Moment::default();
    }

    /// The moments of a key.
    pub fn total(&self, key: u32) -> Moment {
        self.totals.get(key as usize).copied().unwrap_or_default()
    }

    /// Restores the moments of a key.
    pub fn restore(&mut self, key: u32, total: Moment) {
        *of_key(&mut self.totals, key) = total;
    }

    /// Keeps these keys, in order, which get the numbers from 0 on.
    pub fn renumber(&mut self, kept: &[u32]) {
        self.totals = kept_of(&mut self.totals, kept);
    }

    /// Adds the result of a row.
    pub fn push_result(&mut self, key: u32) {
        use AggregateFunction::{Avg, StddevPop, StddevSamp, Sum, VarSamp};
        let Moment { count, sum_or_mean, squares } = *of_key(&mut self.totals, key);
        let is_sample = matches!(self.function, StddevSamp | VarSamp);
        let divisor = if is_sample { count - 1 } else { count };
        let result = match self.function {
            Sum => (count > 0).then_some(sum_or_mean),
            Avg => (count > 0).then(|| sum_or_mean / count as f64),
            _ if divisor <= 0 => None,
            StddevPop | StddevSamp => Some((squares / divisor as f64).sqrt()),
            _ => Some(squares / divisor as f64),
        };
        // NaN is made canonical. The NaN of summed infinities has a sign, which would affect its order in Arrow.
        self.results.push(result.map(|value| if value.is_nan() { f64::NAN } else { value }));
    }

    /// The results as a column.
    pub fn finish_results(&mut self) -> Result<ArrayRef> {
        let results: ArrayRef = Arc::new(Float64Array::from(std::mem::take(&mut self.results)));
        Ok(cast(&results, &self.result_type)?)
    }
}
