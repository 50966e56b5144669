//! Filters rows, then computes columns.
//!
//! The conjuncts of the filter are evaluated from left to right. A conjunct that can fail is evaluated only for rows
//! that passed those before it, so `s <> '' AND CAST(s AS INT) > 5` does not fail on an empty string. Results have
//! exactly the declared types. Rows keep their kinds. If only one row of an update passes the filter, it becomes a
//! delete or an insert.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{and, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;
use eddyline_expression::{Expr, Value};
use eddyline_job_graph::Calc;
use eddyline_stream::Batch;
use eddyline_stream::cast::cast;

use crate::{Collector, Error, InputIndex, Operator, Progress, Result};

/// The operator of [`Calc`]. It has no state, and ignores watermarks.
pub struct CalcOperator {
    /// The conjuncts of the filter.
    conjuncts: Vec<Expr>,
    /// The input columns that `columns` read, in order. The filter copies only these.
    needed: Vec<usize>,
    /// The output columns, over the `needed` columns.
    columns: Vec<Expr>,
    output: SchemaRef,
    keeps_key: bool,
}

/// The rows of a batch that pass the filter.
enum Kept {
    All,
    None,
    Some(BooleanArray),
}

impl CalcOperator {
    /// The operator for a planned [`Calc`]; `input` and `output` are the schemas of its input and of its node.
    pub fn new(config: Calc, input: SchemaRef, output: SchemaRef) -> Self {
        let conjuncts = config.filter.iter().flat_map(Expr::conjuncts).cloned().collect();
        let read: BTreeSet<usize> = config.columns.iter().flat_map(|column| column.expression.columns()).collect();
        let needed: Vec<usize> = read.into_iter().filter(|index| *index < input.fields().len()).collect();
        let positions: BTreeMap<usize, usize> = needed.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let columns = config.columns.iter().map(|column| column.expression.remap(&positions)).collect();
        Self { conjuncts, needed, columns, output, keeps_key: false }
    }

    /// Sets whether the output keeps the key hashes of the input. It can if the key columns are among the output
    /// columns.
    pub fn keeping_key(self, keeps_key: bool) -> Self {
        Self { keeps_key, ..self }
    }

    fn filter(&self, rows: &RecordBatch) -> Result<Kept> {
        let mut mask: Option<BooleanArray> = None;
        for conjunct in &self.conjuncts {
            let value = match &mask {
                Some(mask) if conjunct.can_fail() => conjunct.evaluate_where(rows, mask),
                _ => conjunct.evaluate(rows),
            };
            let value = value.map_err(|source| failed(conjunct, source))?;
            let passed = only_true(value.array(), conjunct)?;
            let passed = match value {
                Value::Constant(_) if passed.has_true() => continue,
                Value::Constant(_) => return Ok(Kept::None),
                Value::Array(_) => passed,
            };
            let both = match mask {
                Some(mask) => and(&mask, &passed)?,
                None => passed,
            };
            if !both.has_true() {
                return Ok(Kept::None);
            }
            mask = Some(both);
        }
        Ok(match mask {
            Some(mask) if mask.has_false() => Kept::Some(mask),
            _ => Kept::All,
        })
    }

    fn project(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.columns.iter().zip(self.output.fields()).map(|(expression, field)| {
            let value = expression.evaluate(rows).and_then(|value| value.into_array(rows.num_rows()));
            let array = value.map_err(|source| failed(expression, source))?;
            cast(&array, field.data_type()).map_err(|source| failed(expression, source.into()))
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?)
    }
}

impl Operator for CalcOperator {
    fn process(&mut self, _input: InputIndex, batch: Batch, out: &mut Collector) -> Result<Progress> {
        if batch.num_rows() == 0 {
            return Ok(Progress::Done);
        }
        let kept = self.filter(batch.rows())?;
        let all = batch.project(&self.needed)?;
        // Attached before the filter, which then selects the hashes too.
        let all = match batch.into_key_hashes().filter(|_| self.keeps_key) {
            Some(hashes) => all.with_key_hashes(hashes),
            None => all,
        };
        let kept = match kept {
            Kept::None => return Ok(Progress::Done),
            Kept::All => all,
            Kept::Some(mask) => all.filter(&mask)?,
        };
        let columns = self.project(kept.rows())?;
        let keyed = kept.clone().into_key_hashes();
        let computed = kept.with_columns(columns);
        out.emit(match keyed {
            Some(hashes) => computed.with_key_hashes(hashes),
            None => computed,
        });
        Ok(Progress::Done)
    }
}

/// The result of a condition as a mask without NULL: NULL counts as false.
fn only_true(array: &ArrayRef, expression: &Expr) -> Result<BooleanArray> {
    let condition = array.as_boolean_opt().ok_or_else(|| {
        let text = format!("a filter must be BOOLEAN, not {}", array.data_type());
        failed(expression, eddyline_expression::Error::Internal(text))
    })?;
    Ok(if condition.null_count() == 0 { condition.clone() } else { prep_null_mask_filter(condition) })
}

/// The error of an expression, with the text of the expression.
pub(crate) fn failed(expression: &Expr, source: eddyline_expression::Error) -> Error {
    Error::Evaluate { expression: expression.to_string(), source }
}

#[cfg(test)]
mod tests;
