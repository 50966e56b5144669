//! Conditions: `IF`, `IFNULL`, `NULLIF`, `COALESCE`, `GREATEST`, `LEAST`.
//!
//! Conventions: the arguments take their common type, which is the result's. `IF`, `IFNULL` and `COALESCE` compute only
//! the arguments that a row needs. `GREATEST` and `LEAST` are NULL if an argument is NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cmp;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_not_null, nullif, prep_null_mask_filter};
use arrow::datatypes::DataType;
use eddyline_expression::{Expr, Result, ScalarFunction, internal_err};

use crate::arguments::Arguments;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::{Boolean, Common};
    vec![
        function("if", &[&[Boolean, Common, Common]], Returns::Argument(1), |_| {
            internal_err!("IF is computed by CASE")
        })
        .rewrite(|args| match args {
            [condition, yes, no] => Expr::case(None, vec![(condition.clone(), yes.clone())], Some(no.clone())).ok(),
            _ => None,
        })
        .build(),
        function("ifnull", &[&[Common, Common]], Returns::Argument(0), first_valid).rewrite(case_first_valid).build(),
        function("coalesce", &[&[Common]], Returns::Argument(0), first_valid)
            .repeats_last()
            .rewrite(case_first_valid)
            .build(),
        function("nullif", &[&[Common, Common]], Returns::Argument(0), |args| {
            let (value, other) = (args.spread(0)?, args.spread(1)?);
            Ok(nullif(&value, &prep_null_mask(cmp::eq(&value, &other)?))?)
        })
        .build(),
        function("greatest", &[&[Common]], Returns::Argument(0), |args| extreme(args, true)).repeats_last().build(),
        function("least", &[&[Common]], Returns::Argument(0), |args| extreme(args, false)).repeats_last().build(),
    ]
}

/// A mask in which NULL counts as FALSE.
fn prep_null_mask(mask: BooleanArray) -> BooleanArray {
    if mask.null_count() > 0 { prep_null_mask_filter(&mask) } else { mask }
}

fn first_valid(args: &Arguments) -> Result<ArrayRef> {
    let mut result = args.spread(0)?;
    for position in 1..args.len() {
        if result.null_count() == 0 {
            break;
        }
        result = zip(&is_not_null(&result)?, &result, &args.spread(position)?)?;
    }
    Ok(result)
}

/// `CASE WHEN first IS NOT NULL THEN first … ELSE last END`. `None` if it makes no difference that later arguments are
/// not computed.
fn case_first_valid(args: &[Expr]) -> Option<Expr> {
    let (last, before) = args.split_last()?;
    let matters = args.iter().skip(1).any(Expr::can_fail) && !before.iter().any(Expr::is_volatile);
    if !matters {
        return None;
    }
    let branches = before.iter().map(|value| (Expr::is_not_null(value.clone()), value.clone())).collect();
    Expr::case(None, branches, Some(last.clone())).ok()
}

fn extreme(args: &Arguments, greatest: bool) -> Result<ArrayRef> {
    let mut result = args.spread(0)?;
    let mut valid = result.logical_nulls();
    for position in 1..args.len() {
        let next = args.spread(position)?;
        valid = NullBuffer::union(valid.as_ref(), next.logical_nulls().as_ref());
        let better = if greatest { cmp::gt(&next, &result)? } else { cmp::lt(&next, &result)? };
        result = zip(&prep_null_mask(better), &next, &result)?;
    }
    match valid {
        Some(valid) if *result.data_type() != DataType::Null => {
            Ok(nullif(&result, &BooleanArray::new(!valid.inner(), None))?)
        }
        _ => Ok(result),
    }
}
