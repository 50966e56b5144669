//! Filters rows, then computes columns.
//!
//! Expressions are DataFusion's; what is Flink's is around them. The parts of an AND are taken from left to right, and a
//! part that can fail sees only rows that passed the parts before it, so `s <> '' AND CAST(s AS INT) > 5` does not fail on
//! an empty text. Results get exactly the declared types.

use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, and, cast_with_options, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{ColumnarValue, Operator as Sign};
use datafusion_physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr::{PhysicalExpr, split_conjunction};
use eddyline_job_graph::Calc;
use eddyline_stream::Batch;

use crate::{Collector, Error, Operator, Result};

/// The operator of [`Calc`]. Has no state; watermarks pass it by.
pub struct CalcOperator {
    conjuncts: Vec<Conjunct>,
    /// The input columns that `columns` read, in order: only these are copied by the filter.
    needed: Vec<usize>,
    /// The output columns, over the `needed` columns.
    columns: Vec<Arc<dyn PhysicalExpr>>,
    output: SchemaRef,
}

/// One part of the filter's AND.
struct Conjunct {
    expression: Arc<dyn PhysicalExpr>,
    /// Whether a row could make it fail, so that only rows that passed the parts before may be shown to it.
    can_fail: bool,
}

/// What the filter leaves of a batch.
enum Kept {
    All,
    None,
    Some(BooleanArray),
}

impl CalcOperator {
    /// The operator for a planned [`Calc`]; `input` and `output` are the schemas of its input and of its node.
    pub fn new(config: Calc, input: SchemaRef, output: SchemaRef) -> Self {
        let conjuncts = config
            .filter
            .iter()
            .flat_map(split_conjunction)
            .map(|expression| Conjunct { expression: Arc::clone(expression), can_fail: can_fail(expression) });
        let mut needed: Vec<usize> = config
            .columns
            .iter()
            .flat_map(|column| collect_columns(&column.expression))
            .map(|column| column.index())
            .filter(|index| *index < input.fields().len())
            .collect();
        needed.sort_unstable();
        needed.dedup();
        let columns = config.columns.iter().map(|column| rebound(&column.expression, &needed)).collect();
        Self { conjuncts: conjuncts.collect(), needed, columns, output }
    }

    fn filter(&self, rows: &RecordBatch) -> Result<Kept> {
        let mut mask: Option<BooleanArray> = None;
        for conjunct in &self.conjuncts {
            let value = match &mask {
                Some(mask) if conjunct.can_fail => conjunct.expression.evaluate_selection(rows, mask),
                _ => conjunct.expression.evaluate(rows),
            };
            let passed = match value.map_err(|source| failed(&conjunct.expression, source))? {
                ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))) => continue,
                ColumnarValue::Scalar(_) => return Ok(Kept::None),
                ColumnarValue::Array(array) => only_true(&array, &conjunct.expression)?,
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
            if array.data_type() == field.data_type() {
                return Ok(array);
            }
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(&array, field.data_type(), &strict).map_err(|source| failed(expression, source.into()))
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?)
    }
}

impl Operator for CalcOperator {
    fn process_batch(&mut self, batch: Batch, out: &mut Collector) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let kept = self.filter(&batch.rows)?;
        let rows = match kept {
            Kept::None => return Ok(()),
            Kept::All => batch.rows.project(&self.needed)?,
            Kept::Some(mask) => filter_record_batch(&batch.rows.project(&self.needed)?, &mask)?,
        };
        out.emit_rows(self.project(&rows)?);
        Ok(())
    }
}

/// The filter's verdict as a mask without NULL: NULL is not true.
fn only_true(array: &ArrayRef, expression: &Arc<dyn PhysicalExpr>) -> Result<BooleanArray> {
    let verdict = array.as_boolean_opt().ok_or_else(|| {
        failed(expression, DataFusionError::Execution(format!("a filter must be BOOLEAN, not {}", array.data_type())))
    })?;
    Ok(if verdict.null_count() == 0 { verdict.clone() } else { prep_null_mask_filter(verdict) })
}

/// The same expression over the columns `needed` of its former input.
fn rebound(expression: &Arc<dyn PhysicalExpr>, needed: &[usize]) -> Arc<dyn PhysicalExpr> {
    let moved = Arc::clone(expression).transform_down(|node| {
        let column = node.downcast_ref::<Column>().map(|column| (column.name().to_owned(), column.index()));
        Ok(match column.and_then(|(name, index)| Some((name, needed.binary_search(&index).ok()?))) {
            Some((name, position)) => Transformed::yes(Arc::new(Column::new(&name, position)) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(node),
        })
    });
    moved.expect("exchanging columns cannot fail").data
}

/// Whether there can be a row for which the expression has no value. Errs on the side of yes.
fn can_fail(expression: &Arc<dyn PhysicalExpr>) -> bool {
    let safe = expression.is::<Column>()
        || expression.is::<Literal>()
        || expression.is::<IsNullExpr>()
        || expression.is::<IsNotNullExpr>()
        || expression.is::<NotExpr>()
        || expression.is::<LikeExpr>()
        || expression.is::<InListExpr>()
        || expression.downcast_ref::<BinaryExpr>().is_some_and(|binary| compares(*binary.op()));
    !safe || expression.children().into_iter().any(can_fail)
}

/// Whether an operator only compares, and so has a value for any operands.
fn compares(sign: Sign) -> bool {
    use Sign::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
    matches!(sign, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom | And | Or)
}

/// An expression in SQL.
struct Sql<'a>(&'a dyn PhysicalExpr);

impl fmt::Display for Sql<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_sql(f)
    }
}

/// The error of an expression, with the text of the expression.
pub(crate) fn failed(expression: &Arc<dyn PhysicalExpr>, source: DataFusionError) -> Error {
    let mut text = String::new();
    if write!(text, "{}", Sql(expression.as_ref())).is_err() {
        text = expression.to_string();
    }
    Error::Evaluate { expression: text, source: Box::new(source) }
}

#[cfg(test)]
mod tests;
