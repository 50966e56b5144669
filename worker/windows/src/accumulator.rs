//! Accumulators: what is kept of the rows of a group for each aggregate.
//!
//! A [`Slot`] is a piece of state that one or more aggregates read: `SUM(x)` and `AVG(x)` share one. Slots of small values
//! live in the packed row of the group, at a fixed offset; strings and distinct sets live beside it in [`Sides`], at the
//! group's number.
//!
//! Rules: a slot that has seen no value is all zero words, so that zeroed rows are empty accumulators. Merging takes the
//! older rows on the left. Slots of DISTINCT calls are updated with the values that are new to their set.

pub(crate) mod columns;
mod merge;
pub(crate) mod update;

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_state::{ChunkRows, Chunked, RowsMut};

use crate::distinct::DistinctSet;

/// What a slot computes, and with that the words of its cell.
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
    /// `[image, whether there is one]`
    Extreme { max: bool },
    /// `[value in two words, whether there is one]`
    ExtremeDecimal { max: bool },
    /// A string beside the row.
    ExtremeBytes { max: bool },
    /// `[image, whether there is one]`, the first or the last that arrived.
    Edge { last: bool },
    /// `[value in two words, whether there is one]`, the first or the last that arrived.
    EdgeDecimal { last: bool },
    /// A string beside the row, the first or the last that arrived.
    EdgeBytes { last: bool },
    /// `[count, mean, sum of squared differences from the mean]`
    Moments,
    /// Strings put together, beside the row.
    Join { separator: String },
}

impl Kind {
    /// How many words of the packed row the slot takes.
    pub(crate) fn words(&self) -> usize {
        match self {
            Kind::Count => 1,
            Kind::SumInt | Kind::SumDouble | Kind::SumFloat | Kind::Extreme { .. } | Kind::Edge { .. } => 2,
            Kind::ExtremeDecimal { .. } | Kind::EdgeDecimal { .. } | Kind::Moments => 3,
            Kind::SumDecimal => 4,
            Kind::ExtremeBytes { .. } | Kind::EdgeBytes { .. } | Kind::Join { .. } => 0,
        }
    }

    /// Whether rows can be taken out again without loss.
    pub(crate) fn is_invertible(&self) -> bool {
        matches!(self, Kind::Count | Kind::SumInt | Kind::SumDecimal)
    }

    /// Whether the result depends on the order in which rows arrive.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self, Kind::Edge { .. } | Kind::EdgeDecimal { .. } | Kind::EdgeBytes { .. } | Kind::Join { .. })
    }

    /// Whether the state is kept beside the row.
    pub(crate) fn is_beside(&self) -> bool {
        self.words() == 0
    }
}

/// One piece of state of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    /// What it computes.
    pub(crate) kind: Kind,
    /// The input column; `None` counts rows.
    pub(crate) argument: Option<usize>,
    /// The type of that column.
    pub(crate) argument_type: Option<DataType>,
    /// The input column that says which rows take part.
    pub(crate) filter: Option<usize>,
    /// The distinct set that says which values are new.
    pub(crate) distinct: Option<usize>,
    /// The first word in the accumulators of a row.
    pub(crate) offset: usize,
    /// The position in [`Sides::cells`], if the state is kept beside the row.
    pub(crate) side: usize,
}

/// A string beside the row, if there is one. Frozen copies share it.
pub(crate) type Text = Option<Arc<Vec<u8>>>;

/// What of groups does not fit in packed rows; entries are by group number.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    /// For each slot beside the row, a value for each group.
    pub(crate) cells: Vec<Chunked<Text>>,
    /// Bytes of all values in `cells`.
    pub(crate) cell_bytes: usize,
    /// A set for each distinct argument.
    pub(crate) distinct: Vec<DistinctSet>,
}

impl Sides {
    /// Makes room for so many groups.
    pub(crate) fn grow(&mut self, groups: usize) {
        self.cells.iter_mut().for_each(|cells| cells.grow(groups, &None));
    }

    pub(crate) fn clear(&mut self) {
        self.cells.iter_mut().for_each(Chunked::clear);
        self.cell_bytes = 0;
        self.distinct.iter_mut().for_each(DistinctSet::clear);
    }

    /// Removes what these groups have beside their rows, but not from distinct sets.
    pub(crate) fn reset(&mut self, groups: &[u32]) {
        for cells in &mut self.cells {
            for group in groups {
                self.cell_bytes -= cells.get_mut(*group).take().map_or(0, |old| old.len());
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let cells: usize = self.cells.iter().map(Chunked::bytes).sum();
        cells + self.cell_bytes + self.distinct.iter().map(DistinctSet::bytes).sum::<usize>()
    }

    /// Puts a value in place of another.
    pub(crate) fn set(&mut self, side: usize, group: u32, value: &[u8]) {
        let cell = self.cells[side].get_mut(group);
        self.cell_bytes += value.len();
        match cell.as_mut().and_then(Arc::get_mut) {
            Some(old) => {
                self.cell_bytes -= old.len();
                old.clear();
                old.extend_from_slice(value);
            }
            None => self.cell_bytes -= cell.replace(Arc::new(value.to_vec())).map_or(0, |old| old.len()),
        }
    }
}

/// Accumulators to change.
pub(crate) struct Cells<'a> {
    pub(crate) rows: RowsMut<'a>,
    pub(crate) sides: &'a mut Sides,
}

/// Accumulators to read, of groups in one chunk.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) rows: ChunkRows<'a>,
    pub(crate) cells: &'a [Chunked<Text>],
}

impl<'a> View<'a> {
    /// The cell of a slot in a group.
    #[inline(always)]
    pub(crate) fn cell<const WORDS: usize>(&self, group: u32, offset: usize) -> &'a [u64; WORDS] {
        self.rows.cell(group, offset)
    }

    /// The value that a group has beside its row.
    pub(crate) fn text(&self, side: usize, group: u32) -> Option<&'a [u8]> {
        self.cells[side].get(group)?.as_ref().map(|text| text.as_slice())
    }
}

/// The sum of a [`Kind::SumDecimal`]: 192 bits hold 2^64 of the largest decimals, so that neither order nor taking rows out
/// again can lose anything.
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

    /// The sum, if it is a DECIMAL of 38 digits.
    pub(crate) fn value(cell: &[u64; 4]) -> Option<i128> {
        const MAX: i128 = 10i128.pow(38) - 1;
        let low = (u128::from(cell[0]) | u128::from(cell[1]) << 64) as i128;
        (cell[2] == (low >> 127) as u64 && (-MAX..=MAX).contains(&low)).then_some(low)
    }
}
