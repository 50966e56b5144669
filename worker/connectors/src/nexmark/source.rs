//! Generates the batches of a nexmark table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use super::columns::Columns;
use super::config::{AUCTION, BID, Config, PERSON};
use super::generator::{Events, Kind};
use crate::generated::{Extent, GeneratedSource, Generator};
use crate::source::Source;
use crate::{Error, TableDescriptor};

/// Opens a nexmark table.
pub(crate) fn open(config: &Config, table: &TableDescriptor, projection: &[usize]) -> Box<dyn Source> {
    let schema = Arc::new(table.schema.project(projection).expect("the planner projects columns that exist"));
    let extent = Extent { rows: config.events, rows_per_second: config.rate_limited.then_some(config.rate) };
    let config = config.clone();
    Box::new(GeneratedSource::new(extent, move || {
        Box::new(Site { schema: Arc::clone(&schema), events: Events::new(config.clone()) })
    }))
}

struct Site {
    schema: SchemaRef,
    events: Events,
}

impl Generator for Site {
    fn rows(&mut self, first: u64, step: u64, count: usize) -> Result<RecordBatch, Error> {
        self.batch(first, step, count)
            .map_err(|error| Error::BadRecord { place: format!("nexmark, event {first}"), reason: error.to_string() })
    }
}

impl Site {
    fn batch(&self, first: u64, step: u64, count: usize) -> Result<RecordBatch, ArrowError> {
        let kinds: Vec<Kind> = (0..count as u64).map(|row| self.events.kind(first + row * step)).collect();
        let columns = self.schema.fields().iter().map(|field| {
            let (wanted, names) = match field.name().as_str() {
                "person" => (Kind::Person, PERSON),
                "auction" => (Kind::Auction, AUCTION),
                "bid" => (Kind::Bid, BID),
                _ => {
                    return Ok(
                        Arc::new(Int32Array::from_iter_values(kinds.iter().map(|kind| *kind as i32))) as ArrayRef
                    );
                }
            };
            let mut columns = Columns::new(names, count);
            for (row, _) in kinds.iter().enumerate().filter(|(_, kind)| **kind == wanted) {
                let number = first + row as u64 * step;
                match wanted {
                    Kind::Person => self.events.write_person(number, row, &mut columns),
                    Kind::Auction => self.events.write_auction(number, row, &mut columns),
                    Kind::Bid => self.events.write_bid(number, row, &mut columns),
                }
            }
            let DataType::Struct(fields) = field.data_type() else {
                return Err(ArrowError::SchemaError(format!("column '{}' is not a ROW", field.name())));
            };
            columns.finish(fields, count)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}
