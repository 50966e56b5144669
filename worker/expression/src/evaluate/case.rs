//! `CASE … END`.
//!
//! A condition is computed only for rows for which no earlier condition was true, and a result only for rows whose
//! condition was true. If neither can fail, all rows are computed at once, which is cheaper than a selection.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::interleave;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;

use super::compare::compare;
use super::equal_where;
use crate::{Case, Comparison, Expr, Result, Rows, Value};

/// The results of one branch.
struct Part {
    value: Value,
    /// Whether there are only results of rows that take the branch.
    is_dense: bool,
    /// The rows that take it.
    rows: BooleanBuffer,
}

impl Case {
    pub(super) fn of_rows(&self, data_type: &DataType, rows: Rows<'_>) -> Result<Value> {
        let operand = self.operand.as_ref().map(|operand| operand.evaluate(rows)).transpose()?;
        let mut left = BooleanBuffer::new_set(rows.len);
        let mut left_count = rows.len;
        let mut parts = Vec::with_capacity(self.branches.len() + 1);
        for (when, then) in &self.branches {
            if left_count == 0 {
                break;
            }
            let is_careful = left_count < rows.len && when.can_fail();
            let undecided = || BooleanArray::new(left.clone(), None);
            let condition = match &operand {
                Some(operand) if is_careful => equal_where(operand, when, rows, &undecided())?,
                Some(operand) => compare(Comparison::Eq, operand, &when.evaluate(rows)?)?,
                None if is_careful => when.evaluate_where(rows, &undecided())?,
                None => when.evaluate(rows)?,
            };
            let taken = match &condition {
                Value::Constant(constant) if is_true(constant.as_boolean(), 0) => left.clone(),
                Value::Constant(_) => continue,
                Value::Array(array) => &left & &trues(array.as_boolean()),
            };
            let count = taken.count_set_bits();
            if count == 0 {
                continue;
            }
            left = &left & &!&taken;
            left_count -= count;
            parts.push(part(then, taken, count, rows)?);
        }
        if left_count > 0 {
            parts.push(match &self.otherwise {
                Some(otherwise) => part(otherwise, left, left_count, rows)?,
                None => Part { value: Value::Constant(new_null_array(data_type, 1)), is_dense: false, rows: left },
            });
        }
        merged(parts, data_type, rows.len)
    }
}

fn part(then: &Expr, taken: BooleanBuffer, count: usize, rows: Rows<'_>) -> Result<Part> {
    if count < rows.len && then.can_fail() {
        let value = then.of_selected(rows, &BooleanArray::new(taken.clone(), None))?;
        return Ok(Part { is_dense: !value.is_constant(), value, rows: taken });
    }
    Ok(Part { value: then.evaluate(rows)?, is_dense: false, rows: taken })
}

fn is_true(condition: &BooleanArray, row: usize) -> bool {
    condition.is_valid(row) && condition.value(row)
}

/// Where a condition is true.
fn trues(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        Some(nulls) => condition.values() & nulls.inner(),
        None => condition.values().clone(),
    }
}

/// The value of each row, from the branch that it takes.
fn merged(mut parts: Vec<Part>, data_type: &DataType, rows: usize) -> Result<Value> {
    if parts.len() <= 1 {
        return Ok(match parts.pop() {
            Some(part) => part.value,
            // There are no rows.
            None => Value::Array(arrow::array::new_empty_array(data_type)),
        });
    }
    if let [first, second] = parts.as_slice()
        && !first.is_dense
        && !second.is_dense
    {
        let mask = BooleanArray::new(first.rows.clone(), None);
        return Ok(Value::Array(zip(&mask, &first.value, &second.value)?));
    }
    let mut picks = vec![(0, 0); rows];
    for (index, part) in parts.iter().enumerate() {
        for (nth, row) in part.rows.set_indices().enumerate() {
            let place = match (&part.value, part.is_dense) {
                (Value::Constant(_), _) => 0,
                (Value::Array(_), true) => nth,
                (Value::Array(_), false) => row,
            };
            picks[row] = (index, place);
        }
    }
    let arrays: Vec<&ArrayRef> = parts.iter().map(|part| part.value.array()).collect();
    if *data_type == DataType::Boolean {
        let conditions: Vec<&BooleanArray> = arrays.iter().map(|array| array.as_boolean()).collect();
        let value =
            |(part, place): (usize, usize)| conditions[part].is_valid(place).then(|| conditions[part].value(place));
        return Ok(Value::Array(Arc::new(picks.into_iter().map(value).collect::<BooleanArray>())));
    }
    let arrays: Vec<&dyn Array> = arrays.into_iter().map(AsRef::as_ref).collect();
    Ok(Value::Array(interleave(&arrays, &picks)?))
}
