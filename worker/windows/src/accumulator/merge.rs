//! Merges accumulators into accumulators of the same layout, and subtracts them again.

use super::update::read_i128;
use super::{Cells, Kind, Sides, Slot, View, cell_mut, wide};

impl Slot {
    /// Merges group `from[i]` of `source` into group `into[i]`, whose rows are older.
    pub(crate) fn merge(&self, cells: &mut Cells<'_>, into: &[u32], source: View<'_>, from: &[u32]) {
        let (stride, offset) = (cells.stride, cells.first + self.offset);
        let words = &mut *cells.words;
        let pairs = into.iter().map(|group| *group as usize * stride + offset).zip(from);
        match &self.kind {
            Kind::Count => {
                for (at, from) in pairs {
                    words[at] += source.cell::<1>(*from, self.offset)[0];
                }
            }
            Kind::SumInt => {
                for (at, from) in pairs {
                    let ([sum, count], other) = (cell_mut(words, at), source.cell::<2>(*from, self.offset));
                    *sum = sum.wrapping_add(other[0]);
                    *count += other[1];
                }
            }
            Kind::SumDouble => {
                for (at, from) in pairs {
                    add_doubles(cell_mut(words, at), *source.cell(*from, self.offset));
                }
            }
            Kind::SumFloat => {
                for (at, from) in pairs {
                    add_floats(cell_mut(words, at), *source.cell(*from, self.offset));
                }
            }
            Kind::SumDecimal => {
                for (at, from) in pairs {
                    add_decimals(cell_mut(words, at), *source.cell(*from, self.offset));
                }
            }
            Kind::Extreme { max } => {
                for (at, from) in pairs {
                    extreme(*max, cell_mut(words, at), *source.cell(*from, self.offset));
                }
            }
            Kind::Edge { last } => {
                for (at, from) in pairs {
                    edge(*last, cell_mut(words, at), *source.cell(*from, self.offset));
                }
            }
            Kind::ExtremeDecimal { max } => {
                for (at, from) in pairs {
                    extreme_decimal(*max, cell_mut(words, at), *source.cell(*from, self.offset));
                }
            }
            Kind::EdgeDecimal { last } => {
                for (at, from) in pairs {
                    let (cell, other): (&mut [u64; 3], &[u64; 3]) =
                        (cell_mut(words, at), source.cell(*from, self.offset));
                    if other[2] != 0 && (*last || cell[2] == 0) {
                        *cell = *other;
                    }
                }
            }
            Kind::Moments => {
                for (at, from) in pairs {
                    moments(cell_mut(words, at), *source.cell(*from, self.offset));
                }
            }
            Kind::ExtremeBytes { .. } | Kind::EdgeBytes { .. } | Kind::Join { .. } => {
                for (group, from) in into.iter().zip(from) {
                    self.merge_beside(cells.sides, *group, source.sides, *from);
                }
            }
        }
    }

    /// Subtracts group `from[i]` of `source` from group `into[i]`, which contains it. Only for kinds that are
    /// [invertible](Kind::is_invertible).
    pub(crate) fn subtract(&self, cells: &mut Cells<'_>, into: &[u32], source: View<'_>, from: &[u32]) {
        for (group, from) in into.iter().zip(from) {
            let at = *group as usize * cells.stride + cells.first + self.offset;
            match &self.kind {
                Kind::Count => {
                    let count = &mut cells.words[at];
                    *count = count.wrapping_sub(source.cell::<1>(*from, self.offset)[0]);
                }
                Kind::SumInt => {
                    let ([sum, count], other) = (cell_mut(cells.words, at), source.cell::<2>(*from, self.offset));
                    *sum = sum.wrapping_sub(other[0]);
                    *count = count.wrapping_sub(other[1]);
                }
                Kind::SumDecimal => {
                    let [low, middle, high, count] = *source.cell(*from, self.offset);
                    let cell: &mut [u64; 4] = cell_mut(cells.words, at);
                    wide::subtract_words(cell, [low, middle, high]);
                    cell[3] = cell[3].wrapping_sub(count);
                }
                kind => unreachable!("{kind:?} is not invertible"),
            }
        }
    }

    fn merge_beside(&self, sides: &mut Sides, group: u32, source: &Sides, from: u32) {
        if let Some(value) = source.cells[self.side].get(from as usize).and_then(Option::as_deref) {
            self.update_beside(sides, group, value);
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
