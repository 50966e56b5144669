//! Converts aggregate calls to accumulator slots, and slots to result columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float32Array, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use eddyline_job_graph::{AggregateCall, AggregateFunction};
use eddyline_operators::decimals::divide_half_up;
use eddyline_state::{fixed, input_column};
use eddyline_stream::cast::cast;

use crate::Error;
use crate::accumulator::{Kind, Sides, Slot, View, wide};
use crate::distinct;

/// A set of distinct values that some slots depend on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distinct {
    pub(crate) argument: usize,
    pub(crate) filter: Option<usize>,
    pub(crate) data_type: DataType,
}

impl Distinct {
    /// What the column of values holds. `inputs` describes the columns of the input.
    pub(crate) fn content(&self, inputs: &[String]) -> String {
        let filter = self.filter.map_or("*".to_owned(), |filter| input_column(inputs, filter));
        format!("value of {} if {filter}", input_column(inputs, self.argument))
    }
}

/// How a result column is computed from a slot.
#[derive(Clone, Debug, PartialEq)]
enum Finish {
    Count,
    Sum,
    Average,
    Value,
    Variance { sample: bool, root: bool },
}

#[derive(Clone, Debug)]
struct Output {
    slot: usize,
    finish: Finish,
    result_type: DataType,
}

/// The state of a group for all aggregates.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) slots: Vec<Slot>,
    pub(crate) distinct: Vec<Distinct>,
    /// The accumulators of a new group.
    pub(crate) initial: Vec<u64>,
    /// The slot that counts all rows of a group, if there is one.
    pub(crate) rows_slot: Option<usize>,
    outputs: Vec<Output>,
    sides: usize,
}

impl Layout {
    /// Makes the layout for these calls over input columns of this schema. With `count_rows` it has a slot that counts
    /// rows.
    pub(crate) fn new(calls: &[AggregateCall], input: &SchemaRef, count_rows: bool) -> Result<Self, Error> {
        let mut layout = Self {
            slots: Vec::new(),
            distinct: Vec::new(),
            initial: Vec::new(),
            rows_slot: None,
            outputs: Vec::new(),
            sides: 0,
        };
        for call in calls {
            layout.add_call(call, input)?;
        }
        if count_rows {
            layout.rows_slot = Some(layout.add_slot(Kind::Count, None, None, None, None));
        }
        Ok(layout)
    }

    fn add_call(&mut self, call: &AggregateCall, input: &SchemaRef) -> Result<(), Error> {
        let column = |position: usize| {
            let columns = input.fields().len();
            input.fields().get(position).map(|field| field.data_type()).ok_or(Error::NoSuchColumn { position, columns })
        };
        if let Some(filter) = call.filter {
            column(filter)?;
        }
        let argument_type = call.argument.map(column).transpose()?.cloned();
        let (kind, finish) = kind_of(call, argument_type.as_ref())?;
        let by_value = matches!(call.function, AggregateFunction::Min | AggregateFunction::Max);
        let distinct = match (call.distinct && !by_value, call.argument, &argument_type) {
            (true, Some(argument), Some(data_type)) => {
                if !is_value(data_type) {
                    return Err(unsupported(call, data_type));
                }
                let set = Distinct { argument, filter: call.filter, data_type: data_type.clone() };
                let known = self.distinct.iter().position(|known| *known == set);
                Some(known.unwrap_or_else(|| {
                    self.distinct.push(set);
                    self.distinct.len() - 1
                }))
            }
            _ => None,
        };
        let slot = self.add_slot(kind, call.argument, argument_type, call.filter, distinct);
        self.outputs.push(Output { slot, finish, result_type: call.result_type.clone() });
        Ok(())
    }

    fn add_slot(
        &mut self,
        kind: Kind,
        argument: Option<usize>,
        argument_type: Option<DataType>,
        filter: Option<usize>,
        distinct: Option<usize>,
    ) -> usize {
        let same = |slot: &Slot| {
            slot.kind == kind && slot.argument == argument && slot.filter == filter && slot.distinct == distinct
        };
        if let Some(known) = self.slots.iter().position(same) {
            return known;
        }
        let (offset, side) = (self.initial.len(), self.sides);
        self.initial.resize(offset + kind.words(), 0);
        self.sides += usize::from(kind.is_beside());
        self.slots.push(Slot { kind, argument, argument_type, filter, distinct, offset, side });
        self.slots.len() - 1
    }

    /// The [`Sides`] of an empty table.
    pub(crate) fn sides(&self) -> Sides {
        distinct::sides(self.sides, self.distinct.len())
    }

    /// Whether groups can be aggregated in parts before the exchange: parts in any order give the same result.
    pub(crate) fn is_mergeable(&self) -> bool {
        self.distinct.is_empty() && !self.is_ordered()
    }

    /// Whether slices can be subtracted from a running total.
    pub(crate) fn is_invertible(&self) -> bool {
        self.distinct.is_empty() && self.slots.iter().all(|slot| slot.kind.is_invertible())
    }

    /// Whether a result depends on the order in which the values of a distinct set arrive.
    pub(crate) fn has_ordered_sets(&self) -> bool {
        self.slots.iter().any(|slot| slot.distinct.is_some() && slot.kind.is_ordered())
    }

    /// Whether a result depends on the order in which rows arrive.
    pub(crate) fn is_ordered(&self) -> bool {
        self.slots.iter().any(|slot| slot.kind.is_ordered())
    }

    /// The columns of all slots.
    pub(crate) fn fields(&self) -> Vec<Field> {
        self.slots.iter().enumerate().flat_map(|(index, slot)| slot.fields(index)).collect()
    }

    /// The index of the column that counts rows among the columns of all slots, if there is one.
    pub(crate) fn rows_column(&self) -> Option<usize> {
        let before = &self.slots[..self.rows_slot?];
        Some(before.iter().map(|slot| slot.fields(0).len()).sum())
    }

    /// What the columns of all slots hold. `inputs` describes the columns of the input.
    pub(crate) fn contents(&self, inputs: &[String]) -> Vec<String> {
        self.slots.iter().flat_map(|slot| slot.contents(inputs)).collect()
    }

    /// The state of these groups as columns.
    pub(crate) fn columns(&self, view: View<'_>, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut columns = Vec::new();
        for slot in &self.slots {
            slot.columns(view, groups, &mut columns)?;
        }
        Ok(columns)
    }

    /// The results of these groups.
    pub(crate) fn results(&self, view: View<'_>, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        self.outputs.iter().map(|output| result(output, &self.slots[output.slot], view, groups)).collect()
    }
}

fn unsupported(call: &AggregateCall, argument_type: &DataType) -> Error {
    Error::UnsupportedArgument { name: call.name.clone(), argument_type: argument_type.clone() }
}

fn is_value(data_type: &DataType) -> bool {
    fixed::width(data_type).is_some()
        || matches!(data_type, DataType::Decimal128(..) | DataType::Utf8 | DataType::Binary)
}

fn kind_of(call: &AggregateCall, argument_type: Option<&DataType>) -> Result<(Kind, Finish), Error> {
    if call.function == AggregateFunction::CountStar {
        return Ok((Kind::Count, Finish::Count));
    }
    let argument_type = argument_type.ok_or_else(|| Error::MissingArgument { name: call.name.clone() })?;
    let unsupported = || unsupported(call, argument_type);
    let by_form = |fixed_kind, decimal, bytes| match argument_type {
        DataType::Decimal128(..) => Ok((decimal, Finish::Value)),
        DataType::Utf8 | DataType::Binary => Ok((bytes, Finish::Value)),
        other if fixed::width(other).is_some() => Ok((fixed_kind, Finish::Value)),
        _ => Err(unsupported()),
    };
    let variance = |sample, root| match argument_type {
        DataType::Decimal128(..) | DataType::Float32 | DataType::Float64 => {
            Ok((Kind::Moments, Finish::Variance { sample, root }))
        }
        other if other.is_signed_integer() => Ok((Kind::Moments, Finish::Variance { sample, root })),
        _ => Err(unsupported()),
    };
    match &call.function {
        AggregateFunction::CountStar | AggregateFunction::Count => Ok((Kind::Count, Finish::Count)),
        AggregateFunction::Sum | AggregateFunction::Avg => {
            let is_sum = call.function == AggregateFunction::Sum;
            let kind = match argument_type {
                DataType::Decimal128(..) => Kind::SumDecimal,
                DataType::Float32 if is_sum => Kind::SumFloat,
                DataType::Float32 | DataType::Float64 => Kind::SumDouble,
                other if other.is_signed_integer() => Kind::SumInt,
                _ => return Err(unsupported()),
            };
            Ok((kind, if is_sum { Finish::Sum } else { Finish::Average }))
        }
        AggregateFunction::Min | AggregateFunction::Max => {
            let max = call.function == AggregateFunction::Max;
            by_form(Kind::Extreme { max }, Kind::ExtremeDecimal { max }, Kind::ExtremeBytes { max })
        }
        AggregateFunction::FirstValue | AggregateFunction::LastValue => {
            let last = call.function == AggregateFunction::LastValue;
            by_form(Kind::Edge { last }, Kind::EdgeDecimal { last }, Kind::EdgeBytes { last })
        }
        AggregateFunction::StddevPop => variance(false, true),
        AggregateFunction::StddevSamp => variance(true, true),
        AggregateFunction::VarPop => variance(false, false),
        AggregateFunction::VarSamp => variance(true, false),
        AggregateFunction::ListAgg { separator } if *argument_type == DataType::Utf8 => {
            Ok((Kind::Join { separator: separator.clone() }, Finish::Value))
        }
        AggregateFunction::ListAgg { .. } => Err(unsupported()),
    }
}

fn result(output: &Output, slot: &Slot, view: View<'_>, groups: &[u32]) -> Result<ArrayRef, ArrowError> {
    let count_word = slot.kind.words().saturating_sub(1);
    let counted = || {
        let count = |group: &u32| slot.word(view, *group, count_word);
        let has_empty = groups.iter().any(|group| count(group) == 0);
        has_empty.then(|| groups.iter().map(|group| count(group) != 0).collect::<NullBuffer>())
    };
    let column: ArrayRef = match (&output.finish, &slot.kind) {
        (Finish::Count, _) => {
            Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| slot.word(view, *group, 0) as i64)))
        }
        (Finish::Sum, Kind::SumInt) => {
            let sums = groups.iter().map(|group| slot.word(view, *group, 0) as i64).collect();
            integers(sums, counted(), &output.result_type)
        }
        (Finish::Average, Kind::SumInt) => {
            let average = |group: &u32| {
                let [sum, count]: [u64; 2] = *view.cell(*group, slot.offset);
                (sum as i64).checked_div(count as i64).unwrap_or(0)
            };
            integers(groups.iter().map(average).collect(), counted(), &output.result_type)
        }
        (Finish::Sum, Kind::SumFloat) => {
            let sum = |group: &u32| f32::from_bits(slot.word(view, *group, 0) as u32);
            let sums = groups.iter().map(sum).map(|sum| if sum.is_nan() { f32::NAN } else { sum });
            Arc::new(Float32Array::new(sums.collect::<Vec<_>>().into(), counted()))
        }
        (Finish::Sum | Finish::Average, Kind::SumDouble) => {
            let value = |group: &u32| {
                let [sum, count]: [u64; 2] = *view.cell(*group, slot.offset);
                one_nan(f64::from_bits(sum) / if output.finish == Finish::Average { count as f64 } else { 1.0 })
            };
            Arc::new(Float64Array::new(groups.iter().map(value).collect::<Vec<_>>().into(), counted()))
        }
        (Finish::Sum | Finish::Average, Kind::SumDecimal) => decimals(output, slot, view, groups)?,
        (Finish::Variance { sample, root }, _) => {
            let value = |group: &u32| {
                let [count, _, squares]: [u64; 3] = *view.cell(*group, slot.offset);
                let divisor = count.checked_sub(u64::from(*sample)).filter(|divisor| *divisor > 0)?;
                let variance = f64::from_bits(squares) / divisor as f64;
                Some(one_nan(if *root { variance.sqrt() } else { variance }))
            };
            Arc::new(groups.iter().map(value).collect::<Float64Array>())
        }
        _ => slot.values(view, groups)?,
    };
    cast(&column, &output.result_type)
}

/// The value, with every NaN replaced by the same NaN. The NaN of a sum of infinities has a sign, by which Arrow would
/// order it.
fn one_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

/// Whole numbers as the result type. They wrap around as in Java.
fn integers(values: Vec<i64>, nulls: Option<NullBuffer>, result_type: &DataType) -> ArrayRef {
    if result_type.is_signed_integer() {
        fixed::column(values, nulls, result_type)
    } else {
        Arc::new(Int64Array::new(values.into(), nulls))
    }
}

fn decimals(output: &Output, slot: &Slot, view: View<'_>, groups: &[u32]) -> Result<ArrayRef, ArrowError> {
    let argument_scale = match slot.argument_type {
        Some(DataType::Decimal128(_, scale)) => scale,
        _ => 0,
    };
    let (precision, scale) = match output.result_type {
        DataType::Decimal128(precision, scale) => (precision, scale),
        _ => (38, argument_scale),
    };
    let largest = 10i128.pow(u32::from(precision)) - 1;
    // The results of SUM and AVG have at least as many digits after the point as the argument.
    let added_digits = u32::try_from(i32::from(scale) - i32::from(argument_scale)).unwrap_or(0);
    let value = |group: &u32| {
        let cell: &[u64; 4] = view.cell(*group, slot.offset);
        let count = i128::from(cell[3]);
        let divisor = if output.finish == Finish::Average { count } else { 1 };
        (count > 0)
            .then(|| wide::value(cell))
            .flatten()
            .and_then(|sum| divide_half_up(sum, divisor, added_digits))
            .filter(|value| (-largest..=largest).contains(value))
    };
    let column: Decimal128Array = groups.iter().map(value).collect();
    Ok(Arc::new(column.with_precision_and_scale(precision, scale)?))
}
