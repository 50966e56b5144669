//! Generates the rows of a datagen table.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::columns::{Rows, column};
use super::config::{Config, Rule};
use crate::generated::{Clock, Extent, GeneratedSource, Generator};
use crate::source::Source;
use crate::{Error, TableDescriptor};

/// Opens a datagen table. `clock` gives the present time, for timestamps without `clock.start`.
pub(crate) fn open(config: &Config, table: &TableDescriptor, projection: &[usize], clock: Clock) -> Box<dyn Source> {
    let schema = Arc::new(table.schema.project(projection).expect("the planner projects columns that exist"));
    let rules: Arc<[Rule]> = projection.iter().map(|index| config.columns[*index].clone()).collect();
    let extent = Extent { rows: config.rows, rows_per_second: Some(config.rows_per_second) };
    let (seed, start_ms, rate) = (config.seed, config.clock_start_ms, config.rows_per_second);
    Box::new(GeneratedSource::new(extent, move || {
        Box::new(MadeUp {
            schema: Arc::clone(&schema),
            rules: Arc::clone(&rules),
            seed,
            start_ms,
            rows_per_second: rate,
            clock: Arc::clone(&clock),
        })
    }))
}

struct MadeUp {
    schema: SchemaRef,
    rules: Arc<[Rule]>,
    seed: u64,
    start_ms: Option<i64>,
    rows_per_second: u64,
    clock: Clock,
}

impl MadeUp {
    fn clock_ms(&self, numbers: &[u64]) -> Vec<i64> {
        let Some(start_ms) = self.start_ms else { return vec![(self.clock)(); numbers.len()] };
        let since = |number: &u64| u128::from(*number) * 1000 / u128::from(self.rows_per_second);
        let at = |number| start_ms.saturating_add(i64::try_from(since(number)).unwrap_or(i64::MAX));
        numbers.iter().map(at).collect()
    }
}

impl Generator for MadeUp {
    fn rows(&mut self, first: u64, step: u64, count: usize) -> Result<RecordBatch, Error> {
        let numbers: Vec<u64> = (0..count as u64).map(|row| first + row * step).collect();
        let clock_ms = self.clock_ms(&numbers);
        let rows = Rows { seed: self.seed, numbers, clock_ms };
        let columns =
            self.rules.iter().zip(self.schema.fields()).map(|(rule, field)| column(rule, field.data_type(), &rows));
        let made = columns.collect::<Result<Vec<_>, _>>().and_then(|columns| {
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(count));
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
        });
        made.map_err(|error| Error::BadRecord { place: format!("datagen, row {first}"), reason: error.to_string() })
    }
}
