//! The groups of one slice: keys with their accumulators.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use eddyline_operators as operators;
use eddyline_state::{GroupTable, Keys, PackedRows, encode_keys};
use eddyline_stream::key_hash::{UnsupportedKey, hash_columns};

use crate::accumulator::{Cells, Sides, View, update::Mask};
use crate::argument::Argument;
use crate::layout::Layout;

/// The values to add to groups.
pub(crate) enum Input<'a> {
    /// Rows of the input: an argument for each slot, then one for each distinct set.
    Raw { slots: Vec<Argument<'a>>, distinct: Vec<Argument<'a>> },
    /// Accumulator columns of all slots.
    Partial(&'a [ArrayRef]),
}

impl<'a> Input<'a> {
    /// The arguments of all slots in a batch with these columns.
    pub(crate) fn raw(layout: &Layout, columns: &'a [ArrayRef]) -> Self {
        let slots = layout.slots.iter().map(|slot| Argument::of_slot(slot, columns)).collect();
        let distinct = layout.distinct.iter().map(|set| {
            Argument::of_distinct(columns[set.argument].as_ref(), set.filter.map(|filter| columns[filter].as_ref()))
        });
        Input::Raw { slots, distinct: distinct.collect() }
    }

    /// Adds row `start + i` to group `groups[i]` of some packed rows.
    pub(crate) fn add(&self, layout: &Layout, cells: &mut Cells<'_>, groups: &[u32], start: usize) {
        match self {
            Input::Raw { slots, distinct } => {
                for (slot, argument) in layout.slots.iter().zip(slots).filter(|(slot, _)| slot.distinct.is_none()) {
                    let mask = Mask { bits: argument.mask.as_ref(), start };
                    slot.update(cells, groups, &argument.values, start, mask);
                }
                for (index, set) in distinct.iter().enumerate() {
                    let fresh = cells.sides.distinct[index].insert(groups, set, start);
                    let mask = Mask { bits: Some(&fresh), start: 0 };
                    for (slot, argument) in
                        layout.slots.iter().zip(slots).filter(|(slot, _)| slot.distinct == Some(index))
                    {
                        slot.update(cells, groups, &argument.values, start, mask);
                    }
                }
            }
            Input::Partial(columns) => {
                let mut columns = *columns;
                for slot in &layout.slots {
                    slot.merge_columns(cells, groups, &mut columns, start);
                }
            }
        }
    }
}

/// Rows to add: their keys, the hashes of the keys, and the values.
pub(crate) struct Rows<'a> {
    pub(crate) keys: Keys<'a>,
    pub(crate) hashes: Cow<'a, [u64]>,
    pub(crate) input: Input<'a>,
}

impl<'a> Rows<'a> {
    /// Prepares keys. Uses `hashes` if they are known.
    pub(crate) fn new(
        keys: &'a [ArrayRef],
        hashes: Option<&'a [u64]>,
        num_rows: usize,
        input: Input<'a>,
    ) -> Result<Self, operators::Error> {
        let columns: Vec<&dyn Array> = keys.iter().map(AsRef::as_ref).collect();
        let hashes = match hashes {
            Some(hashes) => Cow::Borrowed(hashes),
            None => Cow::Owned(hash_columns(&columns, num_rows).map_err(|error| key_error(&error))?),
        };
        let keys = encode_keys(&columns, num_rows).map_err(|error| key_error(&error))?;
        Ok(Self { keys, hashes, input })
    }
}

/// The error that a column's type cannot be a key.
pub(crate) fn key_error(error: &UnsupportedKey) -> operators::Error {
    operators::Error::InvalidRow(error.to_string())
}

/// Keys and their accumulators. Groups are numbered in order of first arrival.
#[derive(Debug)]
pub(crate) struct Groups {
    table: GroupTable,
    /// Shared with frozen state, like the rows in the table.
    sides: Arc<Sides>,
}

/// The groups at a barrier.
#[derive(Debug)]
pub(crate) struct FrozenGroups {
    pub(crate) packed: Arc<PackedRows>,
    pub(crate) sides: Arc<Sides>,
}

impl FrozenGroups {
    pub(crate) fn view(&self) -> View<'_> {
        View::of(&self.packed, &self.sides)
    }
}

impl Groups {
    /// Makes an empty table for keys of these types.
    pub(crate) fn new(key_types: &[DataType], layout: &Layout) -> Result<Self, UnsupportedKey> {
        Ok(Self { table: GroupTable::new(key_types, &layout.initial)?, sides: Arc::new(layout.sides()) })
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes() + self.sides.bytes()
    }

    pub(crate) fn clear(&mut self, layout: &Layout) {
        self.table.clear();
        match Arc::get_mut(&mut self.sides) {
            Some(sides) => sides.clear(),
            None => self.sides = Arc::new(layout.sides()),
        }
    }

    /// The groups at this moment. This takes no time.
    pub(crate) fn freeze(&self) -> FrozenGroups {
        FrozenGroups { packed: self.table.freeze(), sides: Arc::clone(&self.sides) }
    }

    /// All groups, in order.
    pub(crate) fn all(&self) -> Vec<u32> {
        (0..self.len() as u32).collect()
    }

    /// Keys and accumulators, for reading.
    pub(crate) fn packed(&self) -> &PackedRows {
        self.table.packed()
    }

    /// The key hashes of all groups.
    pub(crate) fn hashes(&self) -> &[u64] {
        self.table.packed().hashes()
    }

    pub(crate) fn key_columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        self.table.packed().key_columns(groups)
    }

    pub(crate) fn view(&self) -> View<'_> {
        View::of(self.table.packed(), &self.sides)
    }

    fn cells(&mut self) -> Cells<'_> {
        let sides = Arc::make_mut(&mut self.sides);
        sides.grow(self.table.len());
        let (words, stride, first) = self.table.rows_mut();
        Cells { words, stride, first, sides }
    }

    /// Adds rows. `scratch` is a reusable buffer.
    pub(crate) fn add(&mut self, layout: &Layout, rows: &Rows<'_>, range: Range<usize>, scratch: &mut Vec<u32>) {
        let block = rows.keys.block_rows();
        let mut start = range.start;
        while start < range.end {
            let end = start.saturating_add(block).min(range.end);
            scratch.clear();
            self.table.find_or_insert(&rows.keys, &rows.hashes, start..end, scratch);
            rows.input.add(layout, &mut self.cells(), scratch, start);
            start = end;
        }
    }

    /// The groups of rows. Adds missing ones. Accumulators of existing groups do not change.
    pub(crate) fn find_or_insert(&mut self, rows: &Rows<'_>, range: Range<usize>, groups: &mut Vec<u32>) {
        self.table.find_or_insert(&rows.keys, &rows.hashes, range, groups);
        Arc::make_mut(&mut self.sides).grow(self.table.len());
    }

    /// Adds values only to a distinct set. The accumulators that depend on it are restored separately.
    pub(crate) fn restore_distinct(&mut self, set: usize, groups: &[u32], values: &Argument<'_>) {
        Arc::make_mut(&mut self.sides).distinct[set].insert(groups, values, 0);
    }

    /// Merges groups of another table into this one, whose rows are older.
    pub(crate) fn absorb(&mut self, layout: &Layout, other: &Groups, of_other: &[u32]) -> Result<(), ArrowError> {
        let mut groups = Vec::new();
        for block in of_other.chunks(1024) {
            groups.clear();
            self.table.adopt(other.table.packed(), block, &mut groups);
            merge_cells(layout, &mut self.cells(), &groups, other.view(), block)?;
        }
        Ok(())
    }

    /// Subtracts the groups of another table, which this one contains. A group without rows stays in the table.
    pub(crate) fn subtract(&mut self, layout: &Layout, other: &Groups) {
        let mut groups = Vec::new();
        for block in other.all().chunks(1024) {
            groups.clear();
            self.table.adopt(other.table.packed(), block, &mut groups);
            let mut cells = self.cells();
            for slot in &layout.slots {
                slot.subtract(&mut cells, &groups, other.view(), block);
            }
        }
    }

    /// The groups that have rows. The layout must count rows.
    pub(crate) fn alive(&self, layout: &Layout) -> Vec<u32> {
        let has_rows = has_rows(layout, self.view());
        (0..self.len() as u32).filter(|group| has_rows(*group)).collect()
    }
}

/// A test whether a group has rows. In a layout that does not count rows, every group has some.
pub(crate) fn has_rows<'a>(layout: &'a Layout, view: View<'a>) -> impl Fn(u32) -> bool {
    let rows = layout.rows_slot.map(|slot| &layout.slots[slot]);
    move |group| rows.is_none_or(|rows| rows.word(view, group, 0) != 0)
}

/// Merges cells `from[i]` of `source` into cells `into[i]`, whose rows are older.
pub(crate) fn merge_cells(
    layout: &Layout,
    cells: &mut Cells<'_>,
    into: &[u32],
    source: View<'_>,
    from: &[u32],
) -> Result<(), ArrowError> {
    for slot in layout.slots.iter().filter(|slot| slot.distinct.is_none()) {
        slot.merge(cells, into, source, from);
    }
    for (index, set) in layout.distinct.iter().enumerate() {
        let merged = cells.sides.distinct[index].merge(into, &source.sides.distinct[index], from, &set.data_type)?;
        let (groups, values) = merged;
        for slot in layout.slots.iter().filter(|slot| slot.distinct == Some(index)) {
            let argument = Argument::of_column(slot, values.as_ref());
            slot.update(cells, &groups, &argument.values, 0, Mask { bits: None, start: 0 });
        }
    }
    Ok(())
}
