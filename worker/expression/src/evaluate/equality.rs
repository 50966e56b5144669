//! Equality as in Java: `-0.0` equals `0.0`, NaN equals nothing, even inside ARRAY and ROW.

use std::ops::Neg;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use crate::Result;

/// A FLOAT or DOUBLE with a single NaN. So NaN is one key, whatever bits the processor gives `0.0 / 0.0`.
pub trait Canonical: Copy + PartialOrd + Neg<Output = Self> {
    /// The value itself, or NaN with the bits Java gives it.
    fn canonical(self) -> Self;
}

impl Canonical for f32 {
    fn canonical(self) -> Self {
        if self.is_nan() { Self::NAN } else { self }
    }
}

impl Canonical for f64 {
    fn canonical(self) -> Self {
        if self.is_nan() { Self::NAN } else { self }
    }
}

/// Whether a type contains FLOAT or DOUBLE. Arrow orders all their bit patterns, IEEE 754 does not.
pub fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(element) => has_floats(element.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

/// Whether a value of one array equals a value of another.
type Equality<'a> = Box<dyn Fn(usize, usize) -> bool + 'a>;

/// Equality of the values of two arrays of one type. Inside values, a NULL equals a NULL.
///
/// # Errors
/// When values of the type cannot be compared.
pub fn equality<'a>(left: &'a ArrayRef, right: &'a ArrayRef) -> Result<Equality<'a>> {
    let equal: Equality<'a> = match left.data_type() {
        DataType::Float32 => of_floats::<Float32Type>(left, right),
        DataType::Float64 => of_floats::<Float64Type>(left, right),
        data_type @ DataType::List(_) if has_floats(data_type) => {
            let (left, right) = (left.as_list::<i32>(), right.as_list::<i32>());
            let elements = equality(left.values(), right.values())?;
            let (lefts, rights) = (left.value_offsets(), right.value_offsets());
            Box::new(move |l, r| {
                let (from, to) = (lefts[l] as usize, rights[r] as usize);
                let (length, other) = (lefts[l + 1] as usize - from, rights[r + 1] as usize - to);
                length == other && (0..length).all(|index| elements(from + index, to + index))
            })
        }
        data_type @ DataType::Struct(_) if has_floats(data_type) => {
            let columns = left.as_struct().columns().iter().zip(right.as_struct().columns());
            let fields = columns.map(|(left, right)| equality(left, right)).collect::<Result<Vec<_>>>()?;
            Box::new(move |l, r| fields.iter().all(|equal| equal(l, r)))
        }
        _ => {
            let comparator = arrow::array::make_comparator(left, right, SortOptions::default())?;
            Box::new(move |l, r| comparator(l, r).is_eq())
        }
    };
    let (lefts, rights) = (left.logical_nulls(), right.logical_nulls());
    Ok(Box::new(move |l, r| {
        let left_is_null = lefts.as_ref().is_some_and(|nulls| nulls.is_null(l));
        let right_is_null = rights.as_ref().is_some_and(|nulls| nulls.is_null(r));
        if left_is_null || right_is_null { left_is_null && right_is_null } else { equal(l, r) }
    }))
}

fn of_floats<'a, T: ArrowPrimitiveType>(left: &'a ArrayRef, right: &'a ArrayRef) -> Equality<'a> {
    let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
    Box::new(move |l, r| left.value(l) == right.value(r))
}
