//! Rows into accumulators: one tight loop for each kind.

use std::sync::Arc;

use arrow::buffer::BooleanBuffer;
use eddyline_state::{Accumulators, RowsMut};

use super::{Cells, Kind, Slot, wide};
use crate::argument::Values;

/// Which rows take part: bit `start + i` for the i-th group. `None` is all.
#[derive(Clone, Copy)]
pub(crate) struct Mask<'a> {
    pub(crate) bits: Option<&'a BooleanBuffer>,
    pub(crate) start: usize,
}

impl Slot {
    /// Adds row `start + i` to group `groups[i]`, for every `i` that the mask lets through.
    pub(crate) fn update(
        &self,
        cells: &mut Cells<'_>,
        groups: &[u32],
        values: &Values<'_>,
        start: usize,
        mask: Mask<'_>,
    ) {
        match &mut cells.rows {
            _ if self.kind.is_beside() => {
                let Values::Bytes { offsets, bytes } = values else { return };
                each(groups, mask, |group, i| {
                    let row = start + i;
                    self.update_beside(cells.sides, group, &bytes[offsets[row] as usize..offsets[row + 1] as usize]);
                });
            }
            RowsMut::One(rows) => self.update_rows(rows, groups, values, start, mask),
            RowsMut::Many(rows) => self.update_rows(rows, groups, values, start, mask),
        }
    }

    #[inline(always)]
    fn update_rows(
        &self,
        rows: &mut impl Accumulators,
        groups: &[u32],
        values: &Values<'_>,
        start: usize,
        mask: Mask<'_>,
    ) {
        let offset = self.offset;
        match (&self.kind, values) {
            (Kind::Count, _) => each(groups, mask, |group, _| {
                let [count] = rows.cell(group, offset);
                *count += 1;
            }),
            (Kind::SumInt, Values::Images(values)) => {
                let values = &values[start..start + groups.len()];
                each(groups, mask, |group, i| {
                    let [sum, count] = rows.cell(group, offset);
                    *sum = sum.wrapping_add(values[i] as u64);
                    *count += 1;
                });
            }
            (Kind::SumDouble, Values::Doubles(values)) => {
                let values = &values[start..start + groups.len()];
                each(groups, mask, |group, i| {
                    let [sum, count] = rows.cell(group, offset);
                    *sum = (f64::from_bits(*sum) + values[i]).to_bits();
                    *count += 1;
                });
            }
            (Kind::SumFloat, Values::Doubles(values)) => each(groups, mask, |group, i| {
                let [sum, count] = rows.cell(group, offset);
                *sum = u64::from((f32::from_bits(*sum as u32) + values[start + i] as f32).to_bits());
                *count += 1;
            }),
            (Kind::SumDecimal, Values::Decimals(values)) => each(groups, mask, |group, i| {
                let cell: &mut [u64; 4] = rows.cell(group, offset);
                wide::add(cell, values[start + i]);
                cell[3] += 1;
            }),
            (Kind::Extreme { max }, Values::Images(values)) => {
                let values = &values[start..start + groups.len()];
                each(groups, mask, |group, i| {
                    let [best, present] = rows.cell(group, offset);
                    let value = values[i];
                    if *present == 0 || (if *max { value > *best as i64 } else { value < *best as i64 }) {
                        *best = value as u64;
                        *present = 1;
                    }
                });
            }
            (Kind::ExtremeDecimal { max }, Values::Decimals(values)) => each(groups, mask, |group, i| {
                let cell = rows.cell(group, offset);
                let value = values[start + i];
                if cell[2] == 0 || (if *max { value > read_i128(cell) } else { value < read_i128(cell) }) {
                    *cell = [value as u64, (value >> 64) as u64, 1];
                }
            }),
            (Kind::Edge { last }, Values::Images(values)) => each(groups, mask, |group, i| {
                let [value, present] = rows.cell(group, offset);
                if *last || *present == 0 {
                    *value = values[start + i] as u64;
                    *present = 1;
                }
            }),
            (Kind::EdgeDecimal { last }, Values::Decimals(values)) => each(groups, mask, |group, i| {
                let cell: &mut [u64; 3] = rows.cell(group, offset);
                if *last || cell[2] == 0 {
                    let value = values[start + i];
                    *cell = [value as u64, (value >> 64) as u64, 1];
                }
            }),
            (Kind::Moments, Values::Doubles(values)) => each(groups, mask, |group, i| {
                let [count, mean, squares] = rows.cell(group, offset);
                let value = values[start + i];
                *count += 1;
                let difference = value - f64::from_bits(*mean);
                let moved = f64::from_bits(*mean) + difference / *count as f64;
                *mean = moved.to_bits();
                *squares = (f64::from_bits(*squares) + difference * (value - moved)).to_bits();
            }),
            (kind, _) => unreachable!("the layout gives {kind:?} a column of its type"),
        }
    }

    /// Adds one value to a slot that is kept beside the row.
    pub(super) fn update_beside(&self, sides: &mut super::Sides, group: u32, value: &[u8]) {
        let cell = sides.cells[self.side].get_mut(group);
        match (&self.kind, cell) {
            (Kind::Join { separator }, Some(joined)) => {
                let joined = Arc::make_mut(joined);
                sides.cell_bytes += separator.len() + value.len();
                joined.extend_from_slice(separator.as_bytes());
                joined.extend_from_slice(value);
            }
            (Kind::ExtremeBytes { max: true }, Some(best)) if value <= best.as_slice() => {}
            (Kind::ExtremeBytes { max: false }, Some(best)) if value >= best.as_slice() => {}
            (Kind::EdgeBytes { last: false }, Some(_)) => {}
            _ => sides.set(self.side, group, value),
        }
    }
}

/// The decimal in the first two words of a cell.
#[inline(always)]
pub(crate) fn read_i128(cell: &[u64; 3]) -> i128 {
    (u128::from(cell[0]) | u128::from(cell[1]) << 64) as i128
}

#[inline(always)]
fn each(groups: &[u32], mask: Mask<'_>, mut add: impl FnMut(u32, usize)) {
    // One call of `add`, so that it is compiled into the loop; that there is no mask is looked at once, outside of it.
    for (i, group) in groups.iter().enumerate() {
        if mask.bits.is_none_or(|bits| bits.value(mask.start + i)) {
            add(*group, i);
        }
    }
}
