//! Operators of numbers where Arrow's kernels are not Java's.
//!
//! - Comparisons of FLOAT and DOUBLE, also inside ARRAY and ROW, follow IEEE 754: `-0.0` equals `0.0`, NaN equals nothing and
//!   is neither less nor greater. Arrow orders all bit patterns instead.
//! - Whole numbers wrap: the least one divided by -1 is itself. Only a division by zero is an error.
//! - FLOAT and DOUBLE have one NaN, whatever the processor made of `0.0 / 0.0`: as a key it is one key.

use std::ops::Neg;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::{SortOptions, binary, try_binary, unary};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use datafusion_common::{Result, internal_err};
use datafusion_expr::{Operator, ScalarUDF};

use crate::arguments::Arguments;
use crate::function::{Returns, function};

/// The function of two arguments that compares values of a type as Java does, or `None` where Arrow's kernel does so.
pub fn comparison(operator: Operator, data_type: &DataType) -> Option<Arc<ScalarUDF>> {
    if !has_floats(data_type) {
        return None;
    }
    let name = match operator {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        Operator::IsDistinctFrom => "IS DISTINCT FROM",
        Operator::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
        _ => return None,
    };
    let body = move |args: &Arguments| match args.data_type(0) {
        DataType::Float32 => compare_floats::<Float32Type>(args, operator),
        DataType::Float64 => compare_floats::<Float64Type>(args, operator),
        _ => compare_nested(args, operator),
    };
    Some(of_two(name, data_type, DataType::Boolean, body))
}

/// The function of two arguments of a type that computes as Java does, or `None` where Arrow's kernel does so.
pub fn calculation(operator: Operator, data_type: &DataType) -> Option<Arc<ScalarUDF>> {
    let name = match operator {
        Operator::Plus => "+",
        Operator::Minus => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::Modulo => "%",
        _ => return None,
    };
    let body: fn(&Arguments, Operator) -> Result<ArrayRef> = match (data_type, operator) {
        (DataType::Float32, _) => |args, operator| calculate_floats::<Float32Type>(args, operator),
        (DataType::Float64, _) => |args, operator| calculate_floats::<Float64Type>(args, operator),
        (DataType::Int8, Operator::Divide) => |args, _| divide::<Int8Type>(args, i8::wrapping_div),
        (DataType::Int16, Operator::Divide) => |args, _| divide::<Int16Type>(args, i16::wrapping_div),
        (DataType::Int32, Operator::Divide) => |args, _| divide::<Int32Type>(args, i32::wrapping_div),
        (DataType::Int64, Operator::Divide) => |args, _| divide::<Int64Type>(args, i64::wrapping_div),
        _ => return None,
    };
    Some(of_two(name, data_type, data_type.clone(), move |args| body(args, operator)))
}

/// The function of one argument that gives the opposite number; the least whole one and NaN are their own.
pub fn negation(data_type: &DataType) -> Option<Arc<ScalarUDF>> {
    let body: fn(&Arguments) -> Result<ArrayRef> = match data_type {
        DataType::Int8 => |args| of_one::<Int8Type>(args, i8::wrapping_neg),
        DataType::Int16 => |args| of_one::<Int16Type>(args, i16::wrapping_neg),
        DataType::Int32 => |args| of_one::<Int32Type>(args, i32::wrapping_neg),
        DataType::Int64 => |args| of_one::<Int64Type>(args, i64::wrapping_neg),
        DataType::Float32 => |args| of_one::<Float32Type>(args, |value| (-value).canonical()),
        DataType::Float64 => |args| of_one::<Float64Type>(args, |value| (-value).canonical()),
        _ => return None,
    };
    let negation = function("-", &[], Returns::Argument(0), body);
    Some(negation.exactly(vec![data_type.clone()], data_type.to_string()).into_udf())
}

/// Whether a call of this function can fail on some values: that of an operator can only by a division.
pub fn never_fails(name: &str) -> bool {
    let comparisons = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
    comparisons.contains(&name) || ["+", "-", "*", "is_whole"].contains(&name)
}

fn of_two(
    name: &'static str,
    operands: &DataType,
    result: DataType,
    body: impl Fn(&Arguments) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    let operator = function(name, &[], Returns::Type(result), body);
    operator.exactly(vec![operands.clone(), operands.clone()], operands.to_string()).into_udf()
}

/// Whether FLOAT or DOUBLE is in it.
fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(element) => has_floats(element.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

/// A FLOAT or DOUBLE with the one NaN that there is.
pub(crate) trait Canonical: Copy + PartialOrd + Neg<Output = Self> {
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

fn compare_floats<T: ArrowPrimitiveType>(args: &Arguments, operator: Operator) -> Result<ArrayRef>
where
    T::Native: PartialOrd,
{
    match operator {
        Operator::Eq => test::<T>(args, |left, right| left == right),
        Operator::NotEq => test::<T>(args, |left, right| left != right),
        Operator::Lt => test::<T>(args, |left, right| left < right),
        Operator::LtEq => test::<T>(args, |left, right| left <= right),
        Operator::Gt => test::<T>(args, |left, right| left > right),
        Operator::GtEq => test::<T>(args, |left, right| left >= right),
        _ => {
            let (left, right) = (args.primitive::<T>(0)?, args.primitive::<T>(1)?);
            let distinct = |row: usize| match (left.get(row), right.get(row)) {
                (Some(left), Some(right)) => left != right,
                (left, right) => left.is_some() != right.is_some(),
            };
            args.write_boolean(|row| Some(distinct(row) == (operator == Operator::IsDistinctFrom)))
        }
    }
}

fn test<T: ArrowPrimitiveType>(args: &Arguments, holds: impl Fn(T::Native, T::Native) -> bool) -> Result<ArrayRef> {
    let (left, right) = (&args.columns[0], &args.columns[1]);
    let (lefts, rights) = (left.array.as_primitive::<T>(), right.array.as_primitive::<T>());
    Ok(Arc::new(match (left.constant, right.constant) {
        (true, false) if lefts.is_null(0) => BooleanArray::new_null(args.rows),
        (false, true) if rights.is_null(0) => BooleanArray::new_null(args.rows),
        (true, false) => BooleanArray::from_unary(rights, |right| holds(lefts.value(0), right)),
        (false, true) => BooleanArray::from_unary(lefts, |left| holds(left, rights.value(0))),
        _ => BooleanArray::from_binary(lefts, rights, holds),
    }))
}

fn compare_nested(args: &Arguments, operator: Operator) -> Result<ArrayRef> {
    let (left, right) = (args.spread(0)?, args.spread(1)?);
    let equal = equality(&left, &right)?;
    let negated = match operator {
        Operator::Eq | Operator::IsNotDistinctFrom => false,
        Operator::NotEq | Operator::IsDistinctFrom => true,
        other => return internal_err!("{other} is not defined for {}", left.data_type()),
    };
    let knows_null = matches!(operator, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
    args.write_boolean(|row| {
        let is_known = knows_null || (left.is_valid(row) && right.is_valid(row));
        is_known.then(|| equal(row, row) != negated)
    })
}

/// Whether a value of one array equals a value of another.
type Equality<'a> = Box<dyn Fn(usize, usize) -> bool + 'a>;

/// Equality as Java has it; inside, a NULL equals a NULL.
pub(crate) fn equality<'a>(left: &'a ArrayRef, right: &'a ArrayRef) -> Result<Equality<'a>> {
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

fn calculate_floats<T: ArrowPrimitiveType>(args: &Arguments, operator: Operator) -> Result<ArrayRef>
where
    T::Native: Canonical
        + std::ops::Add<Output = T::Native>
        + std::ops::Sub<Output = T::Native>
        + std::ops::Mul<Output = T::Native>
        + std::ops::Div<Output = T::Native>
        + std::ops::Rem<Output = T::Native>,
{
    match operator {
        Operator::Plus => combined::<T>(args, |left, right| (left + right).canonical()),
        Operator::Minus => combined::<T>(args, |left, right| (left - right).canonical()),
        Operator::Multiply => combined::<T>(args, |left, right| (left * right).canonical()),
        Operator::Divide => combined::<T>(args, |left, right| (left / right).canonical()),
        _ => combined::<T>(args, |left, right| (left % right).canonical()),
    }
}

/// A number for each row, of two of its type.
fn combined<T: ArrowPrimitiveType>(
    args: &Arguments,
    compute: impl Fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let (left, right) = (&args.columns[0], &args.columns[1]);
    let (lefts, rights) = (left.array.as_primitive::<T>(), right.array.as_primitive::<T>());
    Ok(Arc::new(match (left.constant, right.constant) {
        (true, false) if lefts.is_null(0) => PrimitiveArray::<T>::new_null(args.rows),
        (false, true) if rights.is_null(0) => PrimitiveArray::<T>::new_null(args.rows),
        (true, false) => unary::<_, _, T>(rights, |right| compute(lefts.value(0), right)),
        (false, true) => unary::<_, _, T>(lefts, |left| compute(left, rights.value(0))),
        _ => binary::<_, _, _, T>(lefts, rights, compute)?,
    }))
}

fn divide<T: ArrowPrimitiveType>(
    args: &Arguments,
    quotient: fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let right = &args.columns[1];
    let zero = T::Native::default();
    if right.constant && right.array.is_valid(0) && right.array.as_primitive::<T>().value(0) != zero {
        return combined::<T>(args, quotient);
    }
    let (left, right) = (args.spread(0)?, args.spread(1)?);
    let divided = try_binary::<_, _, _, T>(left.as_primitive::<T>(), right.as_primitive::<T>(), |left, right| {
        if right == zero { Err(ArrowError::DivideByZero) } else { Ok(quotient(left, right)) }
    });
    Ok(Arc::new(divided?))
}

fn of_one<T: ArrowPrimitiveType>(args: &Arguments, compute: fn(T::Native) -> T::Native) -> Result<ArrayRef> {
    Ok(Arc::new(unary::<_, _, T>(args.columns[0].array.as_primitive::<T>(), compute)))
}
