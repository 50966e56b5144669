//! DISTINCT: which values have been taken in, and how often.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::row::{RowConverter, SortField};
use eddyline_job_graph::AggregateCall;

use super::of_key;
use crate::over::operand::Operand;
use crate::{Error, Result};

/// The values of every key.
pub struct Distinct {
    converter: RowConverter,
    counts: Vec<BTreeMap<Box<[u8]>, u64>>,
}

impl Distinct {
    /// No values of a call's argument.
    pub fn new(call: &AggregateCall) -> Result<Self> {
        let data_type = call.argument_type.clone();
        let data_type = data_type.ok_or_else(|| Error::Unsupported(format!("{} has no argument", call.name)))?;
        Ok(Self { converter: RowConverter::new(vec![SortField::new(data_type)])?, counts: Vec::new() })
    }

    /// Takes a value in; whether it is the first of its kind.
    pub fn add(&mut self, key: u32, operand: &Operand, row: u32) -> bool {
        let Some(identity) = &operand.identity else { return true };
        let counts = of_key(&mut self.counts, key);
        let value = identity.row(row as usize);
        if let Some(count) = counts.get_mut(value.data()) {
            *count += 1;
            return false;
        }
        counts.insert(value.data().into(), 1);
        true
    }

    /// Takes a value out; whether it was the last of its kind.
    pub fn remove(&mut self, key: u32, operand: &Operand, row: u32) -> bool {
        let Some(identity) = &operand.identity else { return true };
        let counts = of_key(&mut self.counts, key);
        let value = identity.row(row as usize);
        if let Some(count) = counts.get_mut(value.data())
            && *count > 1
        {
            *count -= 1;
            return false;
        }
        counts.remove(value.data()).is_some()
    }

    /// Back to no values.
    pub fn reset(&mut self, key: u32) {
        of_key(&mut self.counts, key).clear();
    }

    /// The values of some keys: for each value the position of its key in `keys`, and the values as a column.
    pub fn values(&self, keys: &[u32]) -> Result<(Vec<usize>, ArrayRef)> {
        let parser = self.converter.parser();
        let of_key = |key: u32| self.counts.get(key as usize).into_iter().flat_map(BTreeMap::keys);
        let positions = keys.iter().enumerate().flat_map(|(i, key)| of_key(*key).map(move |_| i)).collect();
        let rows = keys.iter().flat_map(|key| of_key(*key)).map(|value| parser.parse(value));
        let column = self.converter.convert_rows(rows)?.pop();
        Ok((positions, column.ok_or_else(|| Error::Unsupported("DISTINCT without a value".to_owned()))?))
    }

    /// Takes back values of keys, one for each row.
    pub fn restore(&mut self, rows: &[(usize, u32)], values: &ArrayRef) -> Result<()> {
        let encoded = self.converter.convert_columns(std::slice::from_ref(values))?;
        for (row, key) in rows {
            of_key(&mut self.counts, *key).insert(encoded.row(*row).data().into(), 1);
        }
        Ok(())
    }
}
