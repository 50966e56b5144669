//! The values of an expression for the rows of a batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, NullArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::boolean;
use arrow::compute::{FilterBuilder, filter, is_not_null, is_null, like, nlike};
use eddyline_stream::cast::{cast, cast_or_null};

use crate::{Call, Comparison, Expr, Invocation, Kind, Result, Rows, Value};

pub(crate) mod arithmetic;
mod case;
mod compare;
pub(crate) mod equality;
pub(crate) mod membership;
pub(crate) mod nested;

/// If the right side of AND or OR cannot fail, it is still computed only for the undecided rows if these are at most
/// one in this many.
const RARE: usize = 5;

impl Expr {
    /// The values for the rows.
    ///
    /// # Errors
    /// When a row has no value.
    pub fn evaluate<'a>(&self, rows: impl Into<Rows<'a>>) -> Result<Value> {
        self.of_rows(rows.into())
    }

    /// The values of a condition for the selected rows, and NULL for the others, for which it is not computed.
    ///
    /// # Errors
    /// When a selected row has no value.
    pub fn evaluate_where<'a>(&self, rows: impl Into<Rows<'a>>, selection: &BooleanArray) -> Result<Value> {
        let rows = rows.into();
        if selection.null_count() == 0 && selection.false_count() == 0 {
            return self.of_rows(rows);
        }
        Ok(match self.of_selected(rows, selection)? {
            Value::Constant(value) => Value::Constant(value),
            Value::Array(values) => Value::Array(Arc::new(spread(values.as_boolean(), selection))),
        })
    }

    /// The values for only the selected rows.
    fn of_selected(&self, rows: Rows<'_>, selection: &BooleanArray) -> Result<Value> {
        let read = self.columns();
        let mut filter = FilterBuilder::new(selection);
        if read.len() > 1 {
            filter = filter.optimize();
        }
        let filter = filter.build();
        let columns: Vec<ArrayRef> = rows
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                if read.contains(&index) {
                    Ok(filter.filter(column.as_ref())?)
                } else {
                    // Nobody reads it.
                    Ok(Arc::new(NullArray::new(filter.count())) as ArrayRef)
                }
            })
            .collect::<Result<_>>()?;
        self.of_rows(Rows { columns: &columns, len: filter.count() })
    }

    fn of_rows(&self, rows: Rows<'_>) -> Result<Value> {
        match self.kind() {
            Kind::Column { index, name } => match rows.columns.get(*index) {
                Some(column) => Ok(Value::Array(Arc::clone(column))),
                None => crate::internal_err!("there is no column {index} ({name})"),
            },
            Kind::Literal(literal) => Ok(Value::Constant(Arc::clone(&literal.array))),
            Kind::Compare { operator, left, right } => {
                compare::compare(*operator, &left.of_rows(rows)?, &right.of_rows(rows)?)
            }
            Kind::Calculate { operator, left, right } => {
                arithmetic::calculate(*operator, &left.of_rows(rows)?, &right.of_rows(rows)?)
            }
            Kind::Negate(value) => value.of_rows(rows)?.mapped(arithmetic::negate),
            Kind::And(left, right) => both(left, right, rows),
            Kind::Or(left, right) => either(left, right, rows),
            Kind::Not(value) => value.of_rows(rows)?.mapped(|array| Ok(Arc::new(boolean::not(array.as_boolean())?))),
            Kind::Case(case) => case.of_rows(self.data_type(), rows),
            Kind::In(one_of) => one_of.of_rows(rows),
            Kind::Like { value, pattern, negated } => {
                let (value, pattern) = (value.of_rows(rows)?, pattern.of_rows(rows)?);
                let matches = if *negated { nlike(&value, &pattern)? } else { like(&value, &pattern)? };
                Ok(Value::condition(&[&value, &pattern], matches))
            }
            Kind::Similar(similar) => similar.value.of_rows(rows)?.mapped(|array| {
                let texts = array.as_string::<i32>();
                let of = |text: &str| similar.regex.is_match(text) != similar.negated;
                Ok(Arc::new(texts.iter().map(|text| text.map(of)).collect::<BooleanArray>()))
            }),
            Kind::IsNull(value) => value.of_rows(rows)?.mapped(|array| Ok(Arc::new(is_null(array)?))),
            Kind::IsNotNull(value) => value.of_rows(rows)?.mapped(|array| Ok(Arc::new(is_not_null(array)?))),
            Kind::Cast { value, or_null } => {
                let cast = if *or_null { cast_or_null } else { cast };
                value.of_rows(rows)?.mapped(|array| Ok(cast(array, self.data_type())?))
            }
            Kind::Field { row, index, .. } => row.of_rows(rows)?.mapped(|array| nested::field(array, *index)),
            Kind::Element { of, at } => nested::element(&of.of_rows(rows)?, &at.of_rows(rows)?),
            Kind::Call(call) => call.of_rows(self, rows),
        }
    }
}

impl Call {
    fn of_rows(&self, this: &Expr, rows: Rows<'_>) -> Result<Value> {
        if let Some(instead) = &self.instead {
            return instead.of_rows(rows);
        }
        let values = self.arguments.iter().map(|argument| argument.of_rows(rows)).collect::<Result<Vec<_>>>()?;
        let is_constant = !self.function.is_volatile() && values.iter().all(Value::is_constant);
        let array = self.function.invoke(Invocation {
            values,
            rows: if is_constant { 1 } else { rows.len },
            return_type: this.data_type(),
            arguments: &self.arguments,
        })?;
        Ok(if is_constant { Value::Constant(array) } else { Value::Array(array) })
    }
}

impl Value {
    /// The result of a kernel.
    fn mapped(self, kernel: impl FnOnce(&ArrayRef) -> Result<ArrayRef>) -> Result<Self> {
        Ok(match self {
            Self::Array(array) => Self::Array(kernel(&array)?),
            Self::Constant(array) => Self::Constant(kernel(&array)?),
        })
    }
}

fn both(left: &Expr, right: &Expr, rows: Rows<'_>) -> Result<Value> {
    let decided = left.of_rows(rows)?;
    let undecided = match rest(&decided, false) {
        Rest::Nothing => return Ok(decided),
        Rest::All => None,
        Rest::Some(rows) => Some(rows),
    };
    let other = on_rest(right, undecided, rows)?;
    combine(decided, other, rows, boolean::and_kleene)
}

fn either(left: &Expr, right: &Expr, rows: Rows<'_>) -> Result<Value> {
    let decided = left.of_rows(rows)?;
    let undecided = match rest(&decided, true) {
        Rest::Nothing => return Ok(decided),
        Rest::All => None,
        Rest::Some(rows) => Some(rows),
    };
    let other = on_rest(right, undecided, rows)?;
    combine(decided, other, rows, boolean::or_kleene)
}

/// The rows that the left side does not decide.
enum Rest {
    All,
    Some(BooleanArray),
    Nothing,
}

/// The rows for which a condition is not `deciding`.
fn rest(condition: &Value, deciding: bool) -> Rest {
    let values = condition.array().as_boolean();
    let decided = if deciding { values.true_count() } else { values.false_count() };
    if decided == 0 {
        Rest::All
    } else if decided == values.len() {
        Rest::Nothing
    } else {
        let is_left = if deciding { !values.values() } else { values.values().clone() };
        let is_left = match values.nulls() {
            // NULL does not decide.
            Some(nulls) => &is_left | &!nulls.inner(),
            None => is_left,
        };
        Rest::Some(BooleanArray::new(is_left, None))
    }
}

/// The right side. If it can fail, or if few rows are left, it is computed only for those.
fn on_rest(right: &Expr, rest: Option<BooleanArray>, rows: Rows<'_>) -> Result<Value> {
    match rest {
        Some(rest) if right.can_fail() || rest.true_count() * RARE <= rows.len => right.evaluate_where(rows, &rest),
        _ => right.of_rows(rows),
    }
}

fn combine(
    left: Value,
    right: Value,
    rows: Rows<'_>,
    kernel: fn(&BooleanArray, &BooleanArray) -> std::result::Result<BooleanArray, arrow::error::ArrowError>,
) -> Result<Value> {
    if left.is_constant() && right.is_constant() {
        let both = kernel(left.array().as_boolean(), right.array().as_boolean())?;
        return Ok(Value::Constant(Arc::new(both)));
    }
    let (left, right) = (left.into_array(rows.len)?, right.into_array(rows.len)?);
    Ok(Value::Array(Arc::new(kernel(left.as_boolean(), right.as_boolean())?)))
}

/// Whether values equal those of an expression, which is computed only for the selected rows. NULL for the others.
fn equal_where(values: &Value, other: &Expr, rows: Rows<'_>, selection: &BooleanArray) -> Result<Value> {
    let selected = match values {
        Value::Array(array) => Value::Array(filter(array, selection)?),
        constant => constant.clone(),
    };
    Ok(match compare::compare(Comparison::Eq, &selected, &other.of_selected(rows, selection)?)? {
        Value::Constant(value) => Value::Constant(value),
        Value::Array(values) => Value::Array(Arc::new(spread(values.as_boolean(), selection))),
    })
}

/// The values of selected rows at their places, NULL at the others.
fn spread(values: &BooleanArray, selection: &BooleanArray) -> BooleanArray {
    let selected = match selection.nulls() {
        Some(nulls) => selection.values() & nulls.inner(),
        None => selection.values().clone(),
    };
    let at_their_places = |bits: &BooleanBuffer| {
        let mut spread = BooleanBufferBuilder::new(selected.len());
        spread.append_n(selected.len(), false);
        for (nth, row) in selected.set_indices().enumerate() {
            if bits.value(nth) {
                spread.set_bit(row, true);
            }
        }
        spread.finish()
    };
    let known = values.nulls().map(|nulls| at_their_places(nulls.inner()));
    let truths = at_their_places(values.values());
    BooleanArray::new(truths, Some(known.unwrap_or(selected).into()))
}
