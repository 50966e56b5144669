//! `value IN (…)`.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat;
use arrow::compute::kernels::boolean::{not, or_kleene};
use arrow::datatypes::{ArrowNativeType, DataType};
use hashbrown::HashSet;

use super::compare::compare;
use super::{Rest, equal_where, rest};
use crate::expr::In;
use crate::{Comparison, Expr, Kind, Result, Rows, Value};

/// A list of more constants than this is a set. The items of a shorter list are compared one by one, by kernels.
const COMPARED_MAX: usize = 8;

/// Which values of an array, including NULL, are in the set.
type Lookup = dyn Fn(&dyn Array) -> BooleanBuffer + Send + Sync;

/// The constants of a list.
#[derive(Clone)]
pub(crate) struct Set {
    holds: Arc<Lookup>,
    has_null: bool,
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("set")
    }
}

impl Set {
    /// The set of a list, if it is long, has only constants, and its type has equal bytes for equal values.
    pub(crate) fn of(list: &[Expr]) -> Option<Self> {
        if list.len() <= COMPARED_MAX {
            return None;
        }
        let constants = list.iter().map(|item| match item.kind() {
            Kind::Literal(literal) => Some(literal.array.as_ref()),
            _ => None,
        });
        let constants = constants.collect::<Option<Vec<_>>>()?;
        let all = concat(&constants).ok()?;
        let holds: Arc<Lookup> = match all.data_type() {
            DataType::Utf8 => {
                let known: HashSet<Box<str>> = all.as_string::<i32>().iter().flatten().map(Into::into).collect();
                Arc::new(move |array| {
                    let texts = array.as_string::<i32>();
                    BooleanBuffer::collect_bool(texts.len(), |row| known.contains(texts.value(row)))
                })
            }
            DataType::Float32 | DataType::Float64 => return None,
            data_type => match data_type.primitive_width()? {
                1 => of_width::<i8>(&all),
                2 => of_width::<i16>(&all),
                4 => of_width::<i32>(&all),
                8 => of_width::<i64>(&all),
                16 => of_width::<i128>(&all),
                _ => return None,
            },
        };
        Some(Self { holds, has_null: all.null_count() > 0 })
    }
}

/// A set by the bytes of values of a fixed width.
fn of_width<T: ArrowNativeType + std::hash::Hash + Eq>(all: &ArrayRef) -> Arc<Lookup> {
    let values = |array: &dyn Array| array.to_data().buffers()[0].clone();
    let bytes = values(all.as_ref());
    let all_values = &bytes.typed_data::<T>()[all.offset()..all.offset() + all.len()];
    let known: HashSet<T> = (0..all.len()).filter(|row| all.is_valid(*row)).map(|row| all_values[row]).collect();
    Arc::new(move |array| {
        let bytes = values(array);
        let values = &bytes.typed_data::<T>()[array.offset()..array.offset() + array.len()];
        BooleanBuffer::collect_bool(values.len(), |row| known.contains(&values[row]))
    })
}

impl In {
    pub(super) fn of_rows(&self, rows: Rows<'_>) -> Result<Value> {
        let value = self.value.evaluate(rows)?;
        let found = match &self.set {
            Some(set) => {
                let array = value.array();
                let holds = (set.holds)(array.as_ref());
                // If the list has a NULL, a value that is not found gives NULL.
                let known = if set.has_null { Some(holds.clone()) } else { None };
                let valid = array.logical_nulls().map(|nulls| nulls.inner().clone());
                let known = match (known, valid) {
                    (Some(known), Some(valid)) => Some(&known & &valid),
                    (known, valid) => known.or(valid),
                };
                Value::condition(&[&value], BooleanArray::new(holds, known.map(Into::into)))
            }
            None => {
                let mut found: Option<Value> = None;
                for item in &self.list {
                    // As with OR, a value that is already found needs no further item.
                    let left = found.as_ref().map_or(Rest::All, |found| rest(found, true));
                    let equal = match left {
                        Rest::Nothing => break,
                        Rest::Some(left) if item.can_fail() => equal_where(&value, item, rows, &left)?,
                        _ => compare(Comparison::Eq, &value, &item.evaluate(rows)?)?,
                    };
                    found = Some(match found {
                        None => equal,
                        Some(before) => super::combine(before, equal, rows, or_kleene)?,
                    });
                }
                found.map_or_else(|| crate::internal_err!("IN takes a list"), Ok)?
            }
        };
        if self.negated { found.mapped(|array| Ok(Arc::new(not(array.as_boolean())?))) } else { Ok(found) }
    }
}
