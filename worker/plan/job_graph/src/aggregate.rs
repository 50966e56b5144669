//! Aggregate calls, bound to columns.

use arrow::datatypes::DataType;

/// The aggregate functions, over a window, an OVER frame or a whole table. All but `CountStar` ignore NULL arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// `COUNT(*)`.
    CountStar,
    /// `COUNT(x)`: BIGINT, 0 for no rows.
    Count,
    /// `SUM(x)`: the type of x (whole numbers wrap as in Flink), DECIMAL(38, s) for decimals.
    Sum,
    /// `AVG(x)`: the type of x, truncated toward zero, for whole numbers; DECIMAL for decimals; DOUBLE for DOUBLE.
    Avg,
    /// `MIN(x)`.
    Min,
    /// `MAX(x)`.
    Max,
    /// `STDDEV_POP(x)`.
    StddevPop,
    /// `STDDEV_SAMP(x)`, `STDDEV(x)`.
    StddevSamp,
    /// `VAR_POP(x)`.
    VarPop,
    /// `VAR_SAMP(x)`, `VARIANCE(x)`.
    VarSamp,
    /// `FIRST_VALUE(x)`: the first value to arrive that is not NULL.
    FirstValue,
    /// `LAST_VALUE(x)`: the last value to arrive that is not NULL.
    LastValue,
    /// `LISTAGG(x, separator)`: strings in order of arrival.
    ListAgg {
        /// The text between two strings.
        separator: String,
    },
}

impl AggregateFunction {
    /// The function's name in SQL.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CountStar | Self::Count => "COUNT",
            Self::Sum => "SUM",
            Self::Avg => "AVG",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::StddevPop => "STDDEV_POP",
            Self::StddevSamp => "STDDEV_SAMP",
            Self::VarPop => "VAR_POP",
            Self::VarSamp => "VAR_SAMP",
            Self::FirstValue => "FIRST_VALUE",
            Self::LastValue => "LAST_VALUE",
            Self::ListAgg { .. } => "LISTAGG",
        }
    }
}

/// One aggregate of an aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateCall {
    /// The function.
    pub function: AggregateFunction,
    /// The input column of the argument; `None` for `COUNT(*)` only.
    pub argument: Option<usize>,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// `FILTER (WHERE …)`: a boolean input column; rows where it is not true are left out.
    pub filter: Option<usize>,
    /// The type of the argument column.
    pub argument_type: Option<DataType>,
    /// The type of the result column.
    pub result_type: DataType,
    /// The name of the result column.
    pub name: String,
}

/// Aggregates per key over all rows so far.
///
/// The result is a table with a row for each key. A batch inserts rows for new keys, updates those whose result has
/// changed, and deletes those of keys whose rows are all retracted. Without aggregates the result has the distinct keys. Without keys it is one row, which is there from the
/// first input row on.
///
/// Output columns: `keys` in order, then `aggregates` in order.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupAggregate {
    /// Input columns to group by. The edge into the node is hashed by the same columns.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub aggregates: Vec<AggregateCall>,
}

impl GroupAggregate {
    /// The aggregates that cannot retract a row.
    pub fn not_retractable(&self) -> impl Iterator<Item = &AggregateCall> {
        self.aggregates.iter().filter(|call| !call.is_retractable())
    }
}

impl AggregateCall {
    /// Whether the result without a row follows from the result with it.
    pub fn is_retractable(&self) -> bool {
        let is_exact = !matches!(self.argument_type, Some(DataType::Float32 | DataType::Float64));
        match self.function {
            AggregateFunction::CountStar => true,
            AggregateFunction::Count => !self.distinct,
            AggregateFunction::Sum | AggregateFunction::Avg => !self.distinct && is_exact,
            _ => false,
        }
    }

    /// Whether the results of parts of the rows can be merged in any order to the result of all rows.
    pub fn is_mergeable(&self) -> bool {
        match self.function {
            // A repeated argument does not change the result.
            AggregateFunction::Min | AggregateFunction::Max => true,
            AggregateFunction::FirstValue | AggregateFunction::LastValue | AggregateFunction::ListAgg { .. } => false,
            _ => !self.distinct,
        }
    }
}
