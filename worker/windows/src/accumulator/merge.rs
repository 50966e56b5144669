//! Accumulators into accumulators of the same layout, and out of them again.

use eddyline_state::{Accumulators, RowsMut};

use super::update::read_i128;
use super::{Cells, Kind, Slot, View, wide};

impl Slot {
    /// Merges group `from[i]` of `source` into group `into[i]`, whose rows are older.
    pub(crate) fn merge(&self, cells: &mut Cells<'_>, into: &[u32], source: View<'_>, from: &[u32]) {
        match &mut cells.rows {
            _ if self.kind.is_beside() => {
                for (group, from) in into.iter().zip(from) {
                    if let Some(value) = source.text(self.side, *from) {
                        self.update_beside(cells.sides, *group, value);
                    }
                }
            }
            RowsMut::One(rows) => self.merge_rows(rows, into, source, from),
            RowsMut::Many(rows) => self.merge_rows(rows, into, source, from),
        }
    }

    #[inline(always)]
    fn merge_rows(&self, rows: &mut impl Accumulators, into: &[u32], source: View<'_>, from: &[u32]) {
        let offset = self.offset;
        let pairs = into.iter().copied().zip(from);
        match &self.kind {
            Kind::Count => {
                for (at, from) in pairs {
                    rows.cell::<1>(at, offset)[0] += source.cell::<1>(*from, offset)[0];
                }
            }
            Kind::SumInt => {
                for (at, from) in pairs {
                    let ([sum, count], other) = (rows.cell(at, offset), source.cell::<2>(*from, offset));
                    *sum = sum.wrapping_add(other[0]);
                    *count += other[1];
                }
            }
            Kind::SumDouble => {
                for (at, from) in pairs {
                    add_doubles(rows.cell(at, offset), *source.cell(*from, offset));
                }
            }
            Kind::SumFloat => {
                for (at, from) in pairs {
                    add_floats(rows.cell(at, offset), *source.cell(*from, offset));
                }
            }
            Kind::SumDecimal => {
                for (at, from) in pairs {
                    add_decimals(rows.cell(at, offset), *source.cell(*from, offset));
                }
            }
            Kind::Extreme { max } => {
                for (at, from) in pairs {
                    extreme(*max, rows.cell(at, offset), *source.cell(*from, offset));
                }
            }
            Kind::Edge { last } => {
                for (at, from) in pairs {
                    edge(*last, rows.cell(at, offset), *source.cell(*from, offset));
                }
            }
            Kind::ExtremeDecimal { max } => {
                for (at, from) in pairs {
                    extreme_decimal(*max, rows.cell(at, offset), *source.cell(*from, offset));
                }
            }
            Kind::EdgeDecimal { last } => {
                for (at, from) in pairs {
                    let (cell, other): (&mut [u64; 3], &[u64; 3]) = (rows.cell(at, offset), source.cell(*from, offset));
                    if other[2] != 0 && (*last || cell[2] == 0) {
                        *cell = *other;
                    }
                }
            }
            Kind::Moments => {
                for (at, from) in pairs {
                    moments(rows.cell(at, offset), *source.cell(*from, offset));
                }
            }
            Kind::ExtremeBytes { .. } | Kind::EdgeBytes { .. } | Kind::Join { .. } => {}
        }
    }

    /// Takes group `from[i]` of `source` out of group `into[i]`, of which it is a part. Only for kinds that are
    /// [invertible](Kind::is_invertible).
    pub(crate) fn subtract(&self, cells: &mut Cells<'_>, into: &[u32], source: View<'_>, from: &[u32]) {
        match &mut cells.rows {
            RowsMut::One(rows) => self.subtract_rows(rows, into, source, from),
            RowsMut::Many(rows) => self.subtract_rows(rows, into, source, from),
        }
    }

    #[inline(always)]
    fn subtract_rows(&self, rows: &mut impl Accumulators, into: &[u32], source: View<'_>, from: &[u32]) {
        let offset = self.offset;
        for (group, from) in into.iter().copied().zip(from) {
            match &self.kind {
                Kind::Count => rows.cell::<1>(group, offset)[0] -= source.cell::<1>(*from, offset)[0],
                Kind::SumInt => {
                    let ([sum, count], other) = (rows.cell(group, offset), source.cell::<2>(*from, offset));
                    *sum = sum.wrapping_sub(other[0]);
                    *count -= other[1];
                }
                Kind::SumDecimal => {
                    let [low, middle, high, count] = *source.cell(*from, offset);
                    let cell: &mut [u64; 4] = rows.cell(group, offset);
                    wide::subtract_words(cell, [low, middle, high]);
                    cell[3] -= count;
                }
                kind => unreachable!("{kind:?} is not invertible"),
            }
        }
    }
}

pub(super) fn add_doubles(cell: &mut [u64; 2], other: [u64; 2]) {
    let sum = f64::from_bits(cell[0]) + f64::from_bits(other[0]);
    *cell = [sum.to_bits(), cell[1] + other[1]];
}

pub(super) fn add_floats(cell: &mut [u64; 2], other: [u64; 2]) {
    let sum = f32::from_bits(cell[0] as u32) + f32::from_bits(other[0] as u32);
    *cell = [u64::from(sum.to_bits()), cell[1] + other[1]];
}

pub(super) fn add_decimals(cell: &mut [u64; 4], [low, middle, high, count]: [u64; 4]) {
    wide::add_words(cell, [low, middle, high]);
    cell[3] += count;
}

pub(super) fn extreme(max: bool, cell: &mut [u64; 2], other: [u64; 2]) {
    let (best, value) = (cell[0] as i64, other[0] as i64);
    if other[1] != 0 && (cell[1] == 0 || (if max { value > best } else { value < best })) {
        *cell = other;
    }
}

pub(super) fn edge(last: bool, cell: &mut [u64; 2], other: [u64; 2]) {
    if other[1] != 0 && (last || cell[1] == 0) {
        *cell = other;
    }
}

pub(super) fn extreme_decimal(max: bool, cell: &mut [u64; 3], other: [u64; 3]) {
    let (best, value) = (read_i128(cell), read_i128(&other));
    if other[2] != 0 && (cell[2] == 0 || (if max { value > best } else { value < best })) {
        *cell = other;
    }
}

/// Merges counts, means and squared differences without subtracting large sums (Chan's form of Welford's update).
pub(super) fn moments(cell: &mut [u64; 3], other: [u64; 3]) {
    if other[0] == 0 {
        return;
    }
    if cell[0] == 0 {
        *cell = other;
        return;
    }
    let (count, mean, squares) = (cell[0] as f64, f64::from_bits(cell[1]), f64::from_bits(cell[2]));
    let (other_count, other_mean, other_squares) =
        (other[0] as f64, f64::from_bits(other[1]), f64::from_bits(other[2]));
    let all = count + other_count;
    let difference = other_mean - mean;
    let merged_mean = mean + difference * other_count / all;
    let merged_squares = squares + other_squares + difference * difference * count * other_count / all;
    *cell = [cell[0] + other[0], merged_mean.to_bits(), merged_squares.to_bits()];
}
