//! Accumulators: the state of each aggregate for a group.
//!
//! A [`Slot`] is a piece of state that one or more aggregates read: `SUM(x)` and `AVG(x)` share one. Slots of small
//! values are stored in the packed row of the group, at a fixed offset. Strings and distinct sets are stored beside it
//! in [`Sides`], at the group's number.
//!
//! Rules: a slot without any value has only zero words, so zeroed rows are empty accumulators. A merge has the older
//! rows on the left. Slots of DISTINCT calls are updated with the values that are new to their set.

mod beside;
pub(crate) mod columns;
mod merge;
pub(crate) mod update;

use arrow::datatypes::DataType;
use eddyline_state::PackedRows;

use crate::distinct::DistinctSet;

/// The computation of a slot. It determines the words of the slot's cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[count]`
    Count,
    /// `[wrapping sum, count]`
    SumInt,
    /// `[sum as f64, count]`
    SumDouble,
    /// `[sum as f32, count]`
    SumFloat,
    /// `[sum of 192 bits in three words, count]`
    SumDecimal,
    /// `[image, whether it exists]`
    Extreme { max: bool },
    /// `[value in two words, whether it exists]`
    ExtremeDecimal { max: bool },
    /// A string beside the row.
    ExtremeBytes { max: bool },
    /// `[image, whether it exists]`: the first or the last value to arrive.
    Edge { last: bool },
    /// `[value in two words, whether it exists]`: the first or the last value to arrive.
    EdgeDecimal { last: bool },
    /// A string beside the row: the first or the last value to arrive.
    EdgeBytes { last: bool },
    /// `[count, mean, sum of squared differences from the mean]`
    Moments,
    /// Concatenated strings, beside the row.
    Join { separator: String },
}

impl Kind {
    /// The number of words of the slot in the packed row.
    pub(crate) fn words(&self) -> usize {
        match self {
            Kind::Count => 1,
            Kind::SumInt | Kind::SumDouble | Kind::SumFloat | Kind::Extreme { .. } | Kind::Edge { .. } => 2,
            Kind::ExtremeDecimal { .. } | Kind::EdgeDecimal { .. } | Kind::Moments => 3,
            Kind::SumDecimal => 4,
            Kind::ExtremeBytes { .. } | Kind::EdgeBytes { .. } | Kind::Join { .. } => 0,
        }
    }

    /// Whether rows can be subtracted exactly.
    pub(crate) fn is_invertible(&self) -> bool {
        matches!(self, Kind::Count | Kind::SumInt | Kind::SumDecimal)
    }

    /// Whether the result depends on the order in which rows arrive.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self, Kind::Edge { .. } | Kind::EdgeDecimal { .. } | Kind::EdgeBytes { .. } | Kind::Join { .. })
    }

    /// Whether the state is stored beside the row.
    pub(crate) fn is_beside(&self) -> bool {
        self.words() == 0
    }
}

/// A piece of state of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    /// Its computation.
    pub(crate) kind: Kind,
    /// The input column. `None` counts rows.
    pub(crate) argument: Option<usize>,
    /// The type of that column.
    pub(crate) argument_type: Option<DataType>,
    /// The input column of the FILTER condition.
    pub(crate) filter: Option<usize>,
    /// The distinct set that determines which values are new.
    pub(crate) distinct: Option<usize>,
    /// The first word in the accumulators of a row.
    pub(crate) offset: usize,
    /// The index in [`Sides::cells`], if the state is stored beside the row.
    pub(crate) side: usize,
}

/// The state of groups that does not fit in packed rows. Entries are by group number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides {
    /// A value for each group, for each slot beside the row.
    pub(crate) cells: Vec<Vec<Option<Box<[u8]>>>>,
    /// The number of bytes of all values in `cells`.
    pub(crate) cell_bytes: usize,
    /// A set for each distinct argument.
    pub(crate) distinct: Vec<DistinctSet>,
}

impl Sides {
    /// Adds entries up to this number of groups.
    pub(crate) fn grow(&mut self, groups: usize) {
        for cells in &mut self.cells {
            if cells.len() < groups {
                cells.resize_with(groups, || None);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.cells.iter_mut().for_each(Vec::clear);
        self.cell_bytes = 0;
        self.distinct.iter_mut().for_each(DistinctSet::clear);
    }

    /// Removes what these groups have beside their rows, but not from distinct sets.
    pub(crate) fn reset(&mut self, groups: &[u32]) {
        for cells in &mut self.cells {
            let old = groups.iter().filter_map(|group| cells[*group as usize].take());
            self.cell_bytes -= old.map(|old| old.len()).sum::<usize>();
        }
    }

    /// Removes what is beside all groups but these, which are in ascending order. Distinct sets must be empty.
    pub(crate) fn retain(&mut self, kept: &[u32]) {
        for cells in &mut self.cells {
            let all = cells.len();
            let kept = kept.iter().filter(|group| (**group as usize) < all);
            let mut count = 0;
            for group in kept {
                cells.swap(count, *group as usize);
                count += 1;
            }
            self.cell_bytes -= cells.drain(count..).flatten().map(|cell| cell.len()).sum::<usize>();
        }
    }

    /// Copies of what these groups have beside their rows, numbered from 0. Without distinct sets.
    pub(crate) fn copy(&self, groups: &[u32]) -> Self {
        let copy = |cells: &Vec<Option<Box<[u8]>>>| {
            groups.iter().map(|group| cells.get(*group as usize).cloned().flatten()).collect()
        };
        Self { cells: self.cells.iter().map(copy).collect(), cell_bytes: 0, distinct: Vec::new() }
    }

    /// The bytes of what groups have, without room for more.
    pub(crate) fn content_bytes(&self) -> usize {
        let cells: usize = self.cells.iter().map(|cells| cells.len() * size_of::<Option<Box<[u8]>>>()).sum();
        cells + self.cell_bytes + self.distinct.iter().map(DistinctSet::content_bytes).sum::<usize>()
    }

    pub(crate) fn bytes(&self) -> usize {
        let cells: usize = self.cells.iter().map(|cells| cells.capacity() * size_of::<Option<Box<[u8]>>>()).sum();
        cells + self.cell_bytes + self.distinct.iter().map(DistinctSet::bytes).sum::<usize>()
    }

    /// Replaces a value.
    pub(crate) fn set(&mut self, side: usize, group: u32, value: &[u8]) {
        let cell = &mut self.cells[side][group as usize];
        self.cell_bytes += value.len();
        self.cell_bytes -= cell.replace(value.into()).map_or(0, |old| old.len());
    }
}

/// Packed rows for changes: `words` in rows of `stride` words, whose accumulators begin at word `first`.
pub(crate) struct Cells<'a> {
    pub(crate) words: &'a mut [u64],
    pub(crate) stride: usize,
    pub(crate) first: usize,
    pub(crate) sides: &'a mut Sides,
}

/// Packed rows for reading.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) words: &'a [u64],
    pub(crate) stride: usize,
    pub(crate) first: usize,
    pub(crate) sides: &'a Sides,
}

impl<'a> View<'a> {
    /// The accumulators of a table.
    pub(crate) fn of(packed: &'a PackedRows, sides: &'a Sides) -> Self {
        let (words, stride, first) = packed.rows();
        Self { words, stride, first, sides }
    }

    /// The cell of a slot in a group.
    #[inline(always)]
    pub(crate) fn cell<const WORDS: usize>(&self, group: u32, offset: usize) -> &'a [u64; WORDS] {
        let at = group as usize * self.stride + self.first + offset;
        self.words[at..at + WORDS].as_array().expect("the range has this length")
    }
}

/// The cell that begins at a word.
#[inline(always)]
pub(crate) fn cell_mut<const WORDS: usize>(words: &mut [u64], at: usize) -> &mut [u64; WORDS] {
    words[at..at + WORDS].as_mut_array().expect("the range has this length")
}

/// The sum of a [`Kind::SumDecimal`]. 192 bits hold the sum of 2^64 of the largest decimals, so the sum is exact in any
/// order and after subtractions.
pub(crate) mod wide {
    /// Adds a decimal.
    #[inline(always)]
    pub(crate) fn add(cell: &mut [u64; 4], value: i128) {
        add_words(cell, [value as u64, (value >> 64) as u64, (value >> 127) as u64]);
    }

    /// Adds another sum.
    #[inline(always)]
    pub(crate) fn add_words(cell: &mut [u64; 4], other: [u64; 3]) {
        let low = u128::from(cell[0]) | u128::from(cell[1]) << 64;
        let (sum, carry) = low.overflowing_add(u128::from(other[0]) | u128::from(other[1]) << 64);
        cell[0] = sum as u64;
        cell[1] = (sum >> 64) as u64;
        cell[2] = cell[2].wrapping_add(other[2]).wrapping_add(u64::from(carry));
    }

    /// Subtracts another sum.
    pub(crate) fn subtract_words(cell: &mut [u64; 4], other: [u64; 3]) {
        let low = u128::from(cell[0]) | u128::from(cell[1]) << 64;
        let (difference, borrow) = low.overflowing_sub(u128::from(other[0]) | u128::from(other[1]) << 64);
        cell[0] = difference as u64;
        cell[1] = (difference >> 64) as u64;
        cell[2] = cell[2].wrapping_sub(other[2]).wrapping_sub(u64::from(borrow));
    }

    /// The sum, if it fits a DECIMAL of 38 digits.
    pub(crate) fn value(cell: &[u64; 4]) -> Option<i128> {
        const MAX: i128 = 10i128.pow(38) - 1;
        let low = (u128::from(cell[0]) | u128::from(cell[1]) << 64) as i128;
        (cell[2] == (low >> 127) as u64 && (-MAX..=MAX).contains(&low)).then_some(low)
    }
}
