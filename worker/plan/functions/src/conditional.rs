//! Conditions: `IF`, `IFNULL`, `NULLIF`, `COALESCE`, `GREATEST`, `LEAST`.
//!
//! Conventions: the arguments take their common type, which is the result's. `IF`, `IFNULL` and `COALESCE` are rewritten to
//! CASE by DataFusion's simplifier, so that a branch that is not taken is not computed; without the simplifier all branches
//! are. `GREATEST` and `LEAST` are NULL when an argument is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cmp;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_not_null, nullif, prep_null_mask_filter};
use arrow::datatypes::DataType;
use datafusion_common::{Result, internal_err};
use datafusion_expr::{Expr, ScalarUDF, lit, when};

use crate::arguments::Arguments;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    use Parameter::{Boolean, Common};
    vec![
        function("if", &[&[Boolean, Common, Common]], Returns::Argument(1), choose)
            .rewrite(|args| match args {
                [condition, yes, no] => when(condition.clone(), yes.clone()).otherwise(no.clone()),
                _ => internal_err!("IF takes three arguments"),
            })
            .into_udf(),
        function("ifnull", &[&[Common, Common]], Returns::Argument(0), first_valid)
            .rewrite(case_first_valid)
            .into_udf(),
        function("coalesce", &[&[Common]], Returns::Argument(0), first_valid)
            .repeats_last()
            .rewrite(case_first_valid)
            .into_udf(),
        function("nullif", &[&[Common, Common]], Returns::Argument(0), |args| {
            let (value, other) = (args.spread(0)?, args.spread(1)?);
            Ok(nullif(&value, &prep_null_mask(cmp::eq(&value, &other)?))?)
        })
        .into_udf(),
        function("greatest", &[&[Common]], Returns::Argument(0), |args| extreme(args, true)).repeats_last().into_udf(),
        function("least", &[&[Common]], Returns::Argument(0), |args| extreme(args, false)).repeats_last().into_udf(),
    ]
}

/// NULL answers count as FALSE.
fn prep_null_mask(mask: BooleanArray) -> BooleanArray {
    if mask.null_count() > 0 { prep_null_mask_filter(&mask) } else { mask }
}

fn choose(args: &Arguments) -> Result<ArrayRef> {
    let condition = args.spread(0)?;
    let (yes, no) = (args.spread(1)?, args.spread(2)?);
    Ok(zip(&prep_null_mask(condition.as_boolean().clone()), &yes, &no)?)
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

fn case_first_valid(args: &[Expr]) -> Result<Expr> {
    let Some((last, before)) = args.split_last() else { return internal_err!("COALESCE takes arguments") };
    let mut branches = before.iter();
    let Some(first) = branches.next() else { return Ok(last.clone()) };
    let mut case = when(first.clone().is_not_null(), first.clone());
    for branch in branches {
        case = case.when(branch.clone().is_not_null(), branch.clone());
    }
    case.when(lit(true), last.clone()).end()
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
