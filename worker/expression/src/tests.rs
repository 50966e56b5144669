//! Results of nodes, the rows that they are computed for, and their SQL.

use std::sync::{Arc, Mutex};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int32Type};

use crate::{
    Arithmetic, Comparison, Error, Expr, Invocation, Result, Rows, Scalar, ScalarFunction, Syntax, Value, plan_err,
    value_err,
};

mod evaluate;
mod sql;
mod walk;

/// A function that returns its INT, fails on 13, and records its arguments.
#[derive(Debug, Default)]
struct Probe {
    seen: Mutex<Vec<i32>>,
    is_volatile: bool,
}

impl Probe {
    fn seen(&self) -> Vec<i32> {
        std::mem::take(&mut *self.seen.lock().expect("no panic"))
    }
}

impl ScalarFunction for Probe {
    fn name(&self) -> &str {
        "probe"
    }

    fn aliases(&self) -> &[String] {
        &[]
    }

    fn identity(&self) -> &str {
        ""
    }

    fn detail(&self) -> &str {
        ""
    }

    fn syntax(&self) -> &Syntax {
        &Syntax::Call
    }

    fn is_volatile(&self) -> bool {
        self.is_volatile
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() == 1 { Ok(vec![DataType::Int32]) } else { plan_err!("PROBE takes one argument") }
    }

    fn return_type(&self, _: &[Expr]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn instead(&self, _: &[Expr]) -> Option<Expr> {
        None
    }

    fn invoke(&self, invocation: Invocation<'_>) -> Result<ArrayRef> {
        let array = invocation.values[0].clone().into_array(invocation.rows)?;
        let numbers = array.as_primitive::<Int32Type>();
        self.seen.lock().expect("no panic").extend(numbers.iter().flatten());
        if numbers.iter().any(|number| number == Some(13)) { value_err!("unlucky") } else { Ok(array) }
    }
}

/// Columns `a INT`, `b BOOLEAN`, `x DOUBLE`, `s STRING`.
fn rows() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(Int32Array::from(vec![Some(1), Some(2), None, Some(13)]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(false)]))),
        ("x", Arc::new(Float64Array::from(vec![Some(0.0), Some(-0.0), Some(f64::NAN), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("a"), Some("b%"), None, Some("")]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("columns of one length")
}

fn column(name: &str) -> Expr {
    let schema = rows().schema();
    let index = schema.index_of(name).expect("a column");
    Expr::column(index, schema.field(index))
}

fn lit(value: impl Into<Scalar>) -> Expr {
    Expr::literal(value)
}

fn compare(operator: Comparison, left: Expr, right: Expr) -> Expr {
    Expr::compare(operator, left, right).expect("types that agree")
}

fn calculate(operator: Arithmetic, left: Expr, right: Expr) -> Expr {
    Expr::calculate(operator, left, right).expect("types that go together")
}

fn probe() -> (Arc<Probe>, Expr) {
    let function = Arc::new(Probe::default());
    let call = Expr::call(Arc::clone(&function) as Arc<dyn ScalarFunction>, vec![column("a")]);
    (function, call.expect("a call"))
}

/// The conditions of all rows.
fn truths(expr: &Expr) -> Vec<Option<bool>> {
    let value = expr.evaluate(&rows()).and_then(|value| value.into_array(4)).expect("a value for each row");
    value.as_boolean().iter().collect()
}

/// The numbers of all rows.
fn numbers(expr: &Expr) -> Vec<Option<i32>> {
    let value = expr.evaluate(&rows()).and_then(|value| value.into_array(4)).expect("a value for each row");
    value.as_primitive::<Int32Type>().iter().collect()
}
