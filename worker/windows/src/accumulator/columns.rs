//! Accumulators as columns: in snapshots, and between local and global aggregation.
//!
//! The columns are typed so that a savepoint can be read with any Arrow tool. They are part of the savepoint format.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int64Type,
    i256,
};
use arrow::error::ArrowError;
use eddyline_state::strings::Strings;
use eddyline_state::{Accumulators, RowsMut, fixed, input_column};

use super::{Cells, Kind, Slot, View, merge};
use crate::argument::{Argument, Values};

impl Slot {
    /// The columns of this slot, the `index`-th of the layout.
    pub(crate) fn fields(&self, index: usize) -> Vec<Field> {
        let field = |role: &str, data_type| Field::new(format!("{role}_{index}"), data_type, true);
        let argument_type = || self.argument_type.clone().unwrap_or(DataType::Null);
        match &self.kind {
            Kind::Count => vec![field("count", DataType::Int64)],
            Kind::SumInt => vec![field("sum", DataType::Int64), field("count", DataType::Int64)],
            Kind::SumDouble => vec![field("sum", DataType::Float64), field("count", DataType::Int64)],
            Kind::SumFloat => vec![field("sum", DataType::Float32), field("count", DataType::Int64)],
            Kind::SumDecimal => {
                let sum = DataType::Decimal256(DECIMAL256_MAX_PRECISION, self.scale());
                vec![field("sum", sum), field("count", DataType::Int64)]
            }
            Kind::Extreme { max } | Kind::ExtremeDecimal { max } | Kind::ExtremeBytes { max } => {
                vec![field(if *max { "max" } else { "min" }, argument_type())]
            }
            Kind::Edge { last } | Kind::EdgeDecimal { last } | Kind::EdgeBytes { last } => {
                vec![field(if *last { "last" } else { "first" }, argument_type())]
            }
            Kind::Moments => vec![
                field("count", DataType::Int64),
                field("mean", DataType::Float64),
                field("squares", DataType::Float64),
            ],
            Kind::Join { .. } => vec![field("joined", DataType::Utf8)],
        }
    }

    /// What each of these columns holds. `inputs` spell the columns of the input.
    pub(crate) fn contents(&self, inputs: &[String]) -> Vec<String> {
        let column = |column: Option<usize>| column.map_or("*".to_owned(), |column| input_column(inputs, column));
        let separator = match &self.kind {
            Kind::Join { separator } => format!(" by {separator:?}"),
            _ => String::new(),
        };
        let distinct = if self.distinct.is_some() { "distinct " } else { "" };
        let of = format!("of {distinct}{} if {}", column(self.argument), column(self.filter));
        // Names end in the slot's number, which says nothing in another query. Sums and moments of one argument both count.
        let whole = if self.kind == Kind::Moments { "moments " } else { "" };
        let part = |field: &Field| field.name().rsplit_once('_').map_or("", |(part, _)| part).to_owned();
        let fields = self.fields(0);
        let is_sum = fields.len() == 2;
        let part = |field: &Field| if is_sum { format!("sum {}", part(field)) } else { part(field) };
        fields.iter().map(|field| format!("{whole}{}{separator} {of}", part(field))).collect()
    }

    fn scale(&self) -> i8 {
        match self.argument_type {
            Some(DataType::Decimal128(_, scale)) => scale,
            _ => 0,
        }
    }

    /// Appends the columns of this slot for these groups.
    pub(crate) fn columns(
        &self,
        view: View<'_>,
        groups: &[u32],
        columns: &mut Vec<ArrayRef>,
    ) -> Result<(), ArrowError> {
        let ints = |word: usize| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| self.word(view, *group, word) as i64)))
        };
        let doubles = |word: usize| -> ArrayRef {
            let value = |group: &u32| f64::from_bits(self.word(view, *group, word));
            Arc::new(Float64Array::from_iter_values(groups.iter().map(value)))
        };
        match &self.kind {
            Kind::Count => columns.push(ints(0)),
            Kind::SumInt => columns.extend([ints(0), ints(1)]),
            Kind::SumDouble => columns.extend([doubles(0), ints(1)]),
            Kind::SumFloat => {
                let value = |group: &u32| f32::from_bits(self.word(view, *group, 0) as u32);
                columns.push(Arc::new(Float32Array::from_iter_values(groups.iter().map(value))));
                columns.push(ints(1));
            }
            Kind::SumDecimal => {
                let value = |group: &u32| {
                    let cell: &[u64; 4] = view.cell(*group, self.offset);
                    i256::from_parts(u128::from(cell[0]) | u128::from(cell[1]) << 64, i128::from(cell[2] as i64))
                };
                let sums = Decimal256Array::from_iter_values(groups.iter().map(value));
                columns.push(Arc::new(sums.with_precision_and_scale(DECIMAL256_MAX_PRECISION, self.scale())?));
                columns.push(ints(3));
            }
            Kind::Moments => columns.extend([ints(0), doubles(1), doubles(2)]),
            _ => columns.push(self.values(view, groups)?),
        }
        Ok(())
    }

    /// The values of a slot that keeps a value of its argument (or text), NULL where there is none.
    pub(crate) fn values(&self, view: View<'_>, groups: &[u32]) -> Result<ArrayRef, ArrowError> {
        let nulls = |present: &dyn Fn(u32) -> bool| {
            let has_null = groups.iter().any(|group| !present(*group));
            has_null.then(|| groups.iter().map(|group| present(*group)).collect::<NullBuffer>())
        };
        let argument_type = self.argument_type.as_ref().unwrap_or(&DataType::Null);
        match &self.kind {
            Kind::Extreme { .. } | Kind::Edge { .. } => {
                let nulls = nulls(&|group| self.word(view, group, 1) != 0);
                let images = groups.iter().map(|group| self.word(view, *group, 0) as i64).collect();
                Ok(fixed::column(images, nulls, argument_type))
            }
            Kind::ExtremeDecimal { .. } | Kind::EdgeDecimal { .. } => {
                let nulls = nulls(&|group| self.word(view, group, 2) != 0);
                let value = |group: &u32| super::update::read_i128(view.cell(*group, self.offset));
                let values: Vec<i128> = groups.iter().map(value).collect();
                let column = Decimal128Array::new(values.into(), nulls).with_data_type(argument_type.clone());
                Ok(Arc::new(column))
            }
            _ => {
                let value = |group: u32| view.text(self.side, group);
                let nulls = nulls(&|group| value(group).is_some());
                let mut strings = Strings::with_capacity(groups.len());
                groups.iter().for_each(|group| strings.push(value(*group).unwrap_or_default()));
                strings.finish(nulls, *argument_type == DataType::Utf8)
            }
        }
    }

    #[inline(always)]
    pub(crate) fn word(&self, view: View<'_>, group: u32, word: usize) -> u64 {
        view.cell::<1>(group, self.offset + word)[0]
    }

    /// Merges rows `start..` of columns that have the form of [`Slot::columns`] into groups, whose rows are older. Takes
    /// its columns off the front.
    pub(crate) fn merge_columns(&self, cells: &mut Cells<'_>, groups: &[u32], columns: &mut &[ArrayRef], start: usize) {
        match &mut cells.rows {
            _ if self.kind.is_beside() => {
                let (first, rest) = columns.split_first().expect("the schema has been checked against the layout");
                *columns = rest;
                let Values::Bytes { offsets, bytes } = Argument::of_column(self, first.as_ref()).values else { return };
                for (group, row) in groups.iter().zip(start..).filter(|(_, row)| first.is_valid(*row)) {
                    self.update_beside(cells.sides, *group, &bytes[offsets[row] as usize..offsets[row + 1] as usize]);
                }
            }
            RowsMut::One(rows) => self.merge_columns_into(rows, groups, columns, start),
            RowsMut::Many(rows) => self.merge_columns_into(rows, groups, columns, start),
        }
    }

    #[inline(always)]
    fn merge_columns_into(
        &self,
        into: &mut impl Accumulators,
        groups: &[u32],
        columns: &mut &[ArrayRef],
        start: usize,
    ) {
        let offset = self.offset;
        let rows = groups.iter().copied().zip(start..);
        let mut take = || {
            let (first, rest) = columns.split_first().expect("the schema has been checked against the layout");
            *columns = rest;
            first
        };
        match &self.kind {
            Kind::Count => {
                let counts = ints(take());
                rows.for_each(|(at, row)| {
                    let [count] = into.cell(at, offset);
                    *count = count.wrapping_add(counts[row] as u64);
                });
            }
            Kind::SumInt => {
                let (sums, counts) = (ints(take()), ints(take()));
                for (at, row) in rows {
                    let [sum, count] = into.cell(at, offset);
                    *sum = sum.wrapping_add(sums[row] as u64);
                    *count = count.wrapping_add(counts[row] as u64);
                }
            }
            Kind::SumDouble => {
                let (sums, counts) = (take().as_primitive::<Float64Type>(), ints(take()));
                rows.for_each(|(at, row)| {
                    merge::add_doubles(into.cell(at, offset), [sums.value(row).to_bits(), counts[row] as u64]);
                });
            }
            Kind::SumFloat => {
                let (sums, counts) = (take().as_primitive::<Float32Type>(), ints(take()));
                rows.for_each(|(at, row)| {
                    merge::add_floats(
                        into.cell(at, offset),
                        [u64::from(sums.value(row).to_bits()), counts[row] as u64],
                    );
                });
            }
            Kind::SumDecimal => {
                let (sums, counts) = (take().as_primitive::<Decimal256Type>(), ints(take()));
                for (at, row) in rows {
                    let (low, high) = sums.value(row).to_parts();
                    let other = [low as u64, (low >> 64) as u64, high as u64, counts[row] as u64];
                    merge::add_decimals(into.cell(at, offset), other);
                }
            }
            Kind::Moments => {
                let counts = ints(take());
                let (means, squares) = (take().as_primitive::<Float64Type>(), take().as_primitive::<Float64Type>());
                for (at, row) in rows {
                    let other = [counts[row] as u64, means.value(row).to_bits(), squares.value(row).to_bits()];
                    merge::moments(into.cell(at, offset), other);
                }
            }
            _ => self.merge_values(into, groups, take().as_ref(), start),
        }
    }

    fn merge_values(&self, into: &mut impl Accumulators, groups: &[u32], column: &dyn Array, start: usize) {
        let offset = self.offset;
        let rows = groups.iter().copied().zip(start..).filter(|(_, row)| column.is_valid(*row));
        match (&self.kind, Argument::of_column(self, column).values) {
            (Kind::Extreme { max }, Values::Images(images)) => rows.for_each(|(group, row)| {
                merge::extreme(*max, into.cell(group, offset), [images[row] as u64, 1]);
            }),
            (Kind::Edge { last }, Values::Images(images)) => rows.for_each(|(group, row)| {
                merge::edge(*last, into.cell(group, offset), [images[row] as u64, 1]);
            }),
            (Kind::ExtremeDecimal { max }, _) => {
                let values = column.as_primitive::<Decimal128Type>();
                rows.for_each(|(group, row)| {
                    let value = values.value(row);
                    let other = [value as u64, (value >> 64) as u64, 1];
                    merge::extreme_decimal(*max, into.cell(group, offset), other);
                });
            }
            (Kind::EdgeDecimal { last }, _) => {
                let values = column.as_primitive::<Decimal128Type>();
                rows.for_each(|(group, row)| {
                    let cell: &mut [u64; 3] = into.cell(group, offset);
                    if *last || cell[2] == 0 {
                        let value = values.value(row);
                        *cell = [value as u64, (value >> 64) as u64, 1];
                    }
                });
            }
            (kind, _) => unreachable!("the schema has been checked: {kind:?}"),
        }
    }
}

fn ints(column: &ArrayRef) -> &[i64] {
    column.as_primitive::<Int64Type>().values()
}
