//! Arguments of aggregates, converted to the few forms that aggregates process.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use std::sync::Arc;

use eddyline_job_graph::{AggregateCall, AggregateFunction};
use eddyline_state::RowLog;
use eddyline_state::row_log::Beside;
use eddyline_stream::cast::cast;

use crate::{Error, Result};

/// The rows that frames and aggregates refer to, with the operand of each aggregate beside them.
pub type KeptRows = RowLog<OperandColumns>;

/// Computes the operands of all aggregates from blocks of kept rows.
pub struct OperandColumns(pub Vec<OperandColumn>);

impl Beside for OperandColumns {
    type Of = Vec<Operand>;
    type Error = Error;

    fn of(&self, rows: &RecordBatch) -> Result<Vec<Operand>> {
        self.0.iter().map(|column| column.of(rows)).collect()
    }
}

/// Computes the operand of one aggregate from blocks of kept rows.
#[derive(Clone)]
pub struct OperandColumn {
    form: Form,
    /// Positions among the kept columns.
    argument: Option<usize>,
    filter: Option<usize>,
}

#[derive(Clone)]
enum Form {
    /// Only whether there is a value.
    Presence,
    Whole,
    Decimal,
    Float,
    Text,
    Ordered(Arc<RowConverter>),
}

/// The argument of one aggregate for the rows of a block.
pub struct Operand {
    /// The rows that are aggregated; `None` for all. NULL and the FILTER exclude rows.
    included: Option<BooleanBuffer>,
    /// The values.
    pub values: Values,
}

/// Values of an argument.
pub enum Values {
    /// No values: only their presence matters.
    Presence,
    /// Whole numbers.
    Whole(Int64Array),
    /// Decimals, all of one scale.
    Decimal(Decimal128Array),
    /// Floating-point numbers.
    Float(Float64Array),
    /// Strings.
    Text(StringArray),
    /// Values of any type, encoded as bytes with the same order.
    Ordered(Rows),
}

impl OperandColumn {
    /// The operand of a call. `position` maps an input column to its index among the kept columns.
    ///
    /// # Errors
    /// When the function does not accept the argument's type.
    pub fn new(call: &AggregateCall, position: impl Fn(usize) -> usize) -> Result<Self> {
        let data_type = call.argument_type.as_ref();
        let converter = |data_type: &DataType| RowConverter::new(vec![SortField::new(data_type.clone())]).map(Arc::new);
        let number = || match data_type {
            Some(DataType::Decimal128(..)) => Ok(Form::Decimal),
            Some(data_type) if data_type.is_signed_integer() => Ok(Form::Whole),
            Some(data_type) if data_type.is_floating() => Ok(Form::Float),
            other => Err(Error::Unsupported(format!("{} adds up numbers, not {other:?}", call.name))),
        };
        let form = match (&call.function, data_type) {
            (AggregateFunction::Sum | AggregateFunction::Avg, _) => number()?,
            (AggregateFunction::Min | AggregateFunction::Max, Some(data_type)) => Form::Ordered(converter(data_type)?),
            (AggregateFunction::ListAgg { .. }, _) => Form::Text,
            (function, _) if is_variance(function) => number().map(|_| Form::Float)?,
            _ => Form::Presence,
        };
        Ok(Self { form, argument: call.argument.map(&position), filter: call.filter.map(&position) })
    }

    /// The operand for a block.
    pub fn of(&self, rows: &RecordBatch) -> Result<Operand> {
        let argument = self.argument.map(|column| rows.column(column));
        let mut included = argument.and_then(|argument| argument.nulls()).map(|nulls| nulls.inner().clone());
        if let Some(filter) = self.filter {
            let filter = rows.column(filter).as_boolean();
            let is_true = match filter.nulls() {
                Some(nulls) => filter.values() & nulls.inner(),
                None => filter.values().clone(),
            };
            included = Some(included.map_or_else(|| is_true.clone(), |included| &included & &is_true));
        }
        let values = match argument {
            Some(argument) => self.form.of(argument)?,
            None => Values::Presence,
        };
        Ok(Operand { included, values })
    }
}

impl Form {
    fn of(&self, argument: &ArrayRef) -> Result<Values> {
        Ok(match self {
            Form::Presence => Values::Presence,
            Form::Whole => Values::Whole(cast(argument, &DataType::Int64)?.as_primitive::<Int64Type>().clone()),
            Form::Decimal => Values::Decimal(argument.as_primitive::<Decimal128Type>().clone()),
            Form::Float => Values::Float(cast(argument, &DataType::Float64)?.as_primitive::<Float64Type>().clone()),
            Form::Text => Values::Text(cast(argument, &DataType::Utf8)?.as_string::<i32>().clone()),
            Form::Ordered(converter) => Values::Ordered(converter.convert_columns(std::slice::from_ref(argument))?),
        })
    }
}

impl Operand {
    /// Whether a row is aggregated: its argument is not NULL, and it passes the FILTER.
    #[inline]
    pub fn takes(&self, row: u32) -> bool {
        self.included.as_ref().is_none_or(|included| included.value(row as usize))
    }

    /// A whole number or the unscaled value of a decimal; 0 for others.
    #[inline]
    pub fn exact(&self, row: u32) -> i128 {
        match &self.values {
            Values::Whole(values) => i128::from(values.value(row as usize)),
            Values::Decimal(values) => values.value(row as usize),
            _ => 0,
        }
    }

    /// A floating-point number; 0 for others.
    #[inline]
    pub fn float(&self, row: u32) -> f64 {
        match &self.values {
            Values::Float(values) => values.value(row as usize),
            _ => 0.0,
        }
    }

    /// A string; empty for others.
    pub fn text(&self, row: u32) -> &str {
        match &self.values {
            Values::Text(values) => values.value(row as usize),
            _ => "",
        }
    }

    /// The encoded value, whose bytes have the order of the values; empty for others.
    #[inline]
    pub fn ordered(&self, row: u32) -> &[u8] {
        match &self.values {
            Values::Ordered(values) => values.row(row as usize).data(),
            _ => &[],
        }
    }
}

/// Whether a function is a variance or a standard deviation.
pub fn is_variance(function: &AggregateFunction) -> bool {
    use AggregateFunction::{StddevPop, StddevSamp, VarPop, VarSamp};
    matches!(function, StddevPop | StddevSamp | VarPop | VarSamp)
}
