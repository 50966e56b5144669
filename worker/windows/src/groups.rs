//! The groups of one slice: keys with their accumulators.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use eddyline_operators as operators;
use eddyline_state::{GroupTable, Keys, PackedRows, SnapshotRequest, encode_keys};
use eddyline_stream::key_hash::{UnsupportedKey, hash_columns};

use crate::accumulator::{Cells, Sides, View, update::Mask};
use crate::argument::Argument;
use crate::distinct::DistinctSet;
use crate::frozen_groups::FrozenGroups;
use crate::layout::Layout;

/// The values to add to groups.
pub(crate) enum Input<'a> {
    /// Rows of the input: an argument for each slot, then one for each distinct set.
    Raw { slots: Vec<Argument<'a>>, distinct: Vec<Argument<'a>> },
    /// Accumulator columns of all slots.
    Partial(&'a [ArrayRef]),
    /// Accumulator columns of all slots, to merge with groups that can have the same distinct values: slots of DISTINCT calls
    /// follow from [`Input::Values`].
    WithoutDistinct(&'a [ArrayRef]),
    /// Values of a distinct set.
    Values {
        /// The index of the set.
        set: usize,
        /// The values.
        column: &'a ArrayRef,
    },
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
            Input::WithoutDistinct(columns) => {
                let mut columns = *columns;
                for (index, slot) in layout.slots.iter().enumerate() {
                    match slot.distinct {
                        Some(_) => columns = &columns[slot.fields(index).len()..],
                        None => slot.merge_columns(cells, groups, &mut columns, start),
                    }
                }
            }
            Input::Values { set, column } => {
                let values = Argument::of_distinct(column.as_ref(), None);
                let fresh = cells.sides.distinct[*set].insert(groups, &values, start);
                for slot in layout.slots.iter().filter(|slot| slot.distinct == Some(*set)) {
                    let argument = Argument::of_column(slot, column.as_ref());
                    slot.update(cells, groups, &argument.values, start, Mask { bits: Some(&fresh), start: 0 });
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
    /// How many rows were added lately.
    recent_rows: usize,
    /// A bit for each group that has got rows behind its first batch, while that is noted.
    touched: Option<Vec<u64>>,
}

impl Groups {
    /// Makes an empty table for keys of these types.
    pub(crate) fn new(key_types: &[DataType], layout: &Layout) -> Result<Self, UnsupportedKey> {
        Ok(Self {
            table: GroupTable::new(key_types, &layout.initial)?,
            sides: Arc::new(layout.sides()),
            recent_rows: 0,
            touched: None,
        })
    }

    /// Makes an empty table for keys of the form that these rows have.
    pub(crate) fn of_form(form: &PackedRows, layout: &Layout) -> Self {
        Self {
            table: GroupTable::like(form, &layout.initial),
            sides: Arc::new(layout.sides()),
            recent_rows: 0,
            touched: None,
        }
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

    /// The bytes of the groups, without room for more.
    pub(crate) fn content_bytes(&self) -> usize {
        self.table.packed().content_bytes() + self.sides.content_bytes()
    }

    /// How many rows were added lately, since the last two calls of [`Self::take_recent_rows`].
    pub(crate) fn recent_rows(&self) -> usize {
        self.recent_rows
    }

    /// How many rows were added lately: half of what it was at the last call, and those since.
    pub(crate) fn take_recent_rows(&mut self) -> usize {
        let recent = self.recent_rows;
        self.recent_rows /= 2;
        recent
    }

    /// Begins to note which groups get rows.
    pub(crate) fn note_touched(&mut self) {
        self.touched = Some(Vec::new());
    }

    /// The groups that got rows behind their first batch since that is noted, and [`Self::retain`] can keep.
    pub(crate) fn touched(&self) -> Vec<u32> {
        let (Some(touched), true) = (&self.touched, self.sides.distinct.is_empty()) else { return Vec::new() };
        let mut groups = Vec::new();
        for (word, bits) in touched.iter().enumerate() {
            let mut rest = *bits;
            while rest != 0 {
                groups.push(word as u32 * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        groups
    }

    /// Removes all groups but these, which are in ascending order. Not for groups with distinct sets.
    pub(crate) fn retain(&mut self, kept: &[u32]) {
        self.table.retain(kept);
        Arc::make_mut(&mut self.sides).retain(kept);
        self.touched = self.touched.take().map(|_| Vec::new());
    }

    /// Makes room for so many groups. Memory is used when they come.
    pub(crate) fn reserve(&mut self, groups: usize) {
        self.table.reserve(groups);
    }

    pub(crate) fn clear(&mut self, layout: &Layout) {
        self.table.clear();
        self.recent_rows = 0;
        self.touched = None;
        match Arc::get_mut(&mut self.sides) {
            Some(sides) => sides.clear(),
            None => self.sides = Arc::new(layout.sides()),
        }
    }

    /// What a checkpoint gets of these groups, which are those of `bucket`.
    pub(crate) fn hand_over(&mut self, layout: &Layout, request: SnapshotRequest, bucket: i64) -> FrozenGroups {
        // The order in which values came is kept only where all of them are handed over together.
        let since = request.since.filter(|_| !layout.has_ordered_sets());
        let request = SnapshotRequest { since, ..request };
        let handover = self.table.hand_over(request, bucket);
        let distinct = match layout.distinct.is_empty() {
            true => Vec::new(),
            false => {
                let sets = &mut Arc::make_mut(&mut self.sides).distinct;
                sets.iter_mut().map(|set| set.hand_over(request, bucket, &self.table)).collect()
            }
        };
        let sides = match handover.is_whole {
            true => Arc::clone(&self.sides),
            false => Arc::new(self.sides.copy(&handover.groups)),
        };
        FrozenGroups { handover, sides, distinct, left_out: 0 }
    }

    /// Says that these are groups of another bucket now: the next checkpoint gets all of them.
    pub(crate) fn forget_changes(&mut self) {
        self.table.forget_changes();
        if !self.sides.distinct.is_empty() {
            Arc::make_mut(&mut self.sides).distinct.iter_mut().for_each(DistinctSet::forget_changes);
        }
    }

    /// Keys and accumulators as they are now, to read later; takes no time.
    pub(crate) fn freeze(&self) -> Arc<PackedRows> {
        self.table.freeze()
    }

    /// What belongs to the groups of [`Self::freeze`] beside their rows.
    pub(crate) fn freeze_sides(&self) -> Arc<Sides> {
        Arc::clone(&self.sides)
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

    /// The accumulators, to change those of `groups`.
    fn cells(&mut self, groups: &[u32]) -> Cells<'_> {
        let sides = Arc::make_mut(&mut self.sides);
        sides.grow(self.table.len());
        let (words, stride, first) = self.table.rows_mut(groups);
        Cells { words, stride, first, sides }
    }

    /// Adds rows. `scratch` is a reusable buffer.
    pub(crate) fn add(&mut self, layout: &Layout, rows: &Rows<'_>, range: Range<usize>, scratch: &mut Vec<u32>) {
        let block = rows.keys.block_rows();
        self.recent_rows += range.len();
        let mut start = range.start;
        while start < range.end {
            let end = start.saturating_add(block).min(range.end);
            scratch.clear();
            let before = self.table.len();
            self.table.find_or_insert(&rows.keys, &rows.hashes, start..end, scratch);
            if let Some(touched) = &mut self.touched {
                note(touched, scratch, before);
            }
            rows.input.add(layout, &mut self.cells(scratch), scratch, start);
            start = end;
        }
    }

    /// Gives these groups the accumulators of new ones.
    pub(crate) fn reset(&mut self, groups: &[u32]) {
        self.table.reset(groups);
        let sides = Arc::make_mut(&mut self.sides);
        sides.grow(self.table.len());
        sides.reset(groups);
    }

    /// Finds the groups of rows. New keys become groups without rows.
    pub(crate) fn find(&mut self, rows: &Rows<'_>, range: Range<usize>, groups: &mut Vec<u32>) {
        groups.clear();
        self.table.find_or_insert(&rows.keys, &rows.hashes, range, groups);
    }

    /// Adds all rows to their groups, which are [found](Self::find) already.
    pub(crate) fn add_found(&mut self, layout: &Layout, rows: &Rows<'_>, groups: &[u32]) {
        let block = rows.keys.block_rows();
        for (number, groups) in groups.chunks(block).enumerate() {
            rows.input.add(layout, &mut self.cells(groups), groups, number * block);
        }
    }

    /// Restores rows of a snapshot. A row replaces what the table has of its key, so that the last row counts.
    pub(crate) fn restore(&mut self, layout: &Layout, rows: &Rows<'_>, range: Range<usize>, scratch: &mut Vec<u32>) {
        let block = rows.keys.block_rows();
        let mut start = range.start;
        while start < range.end {
            let end = start.saturating_add(block).min(range.end);
            let before = self.len();
            scratch.clear();
            self.table.find_or_insert(&rows.keys, &rows.hashes, start..end, scratch);
            match known_of_different(scratch, before) {
                Some(known) => self.replace(layout, rows, (start, scratch), &known),
                None => {
                    for (row, group) in (start..).zip(scratch.iter()) {
                        self.replace(layout, rows, (row, &[*group]), &[*group]);
                    }
                }
            }
            start = end;
        }
    }

    /// Adds rows from `start` on to groups, of which some are made empty first.
    fn replace(&mut self, layout: &Layout, rows: &Rows<'_>, (start, groups): (usize, &[u32]), known: &[u32]) {
        self.table.reset(known);
        let mut cells = self.cells(groups);
        cells.sides.reset(known);
        rows.input.add(layout, &mut cells, groups, start);
    }

    /// Restores values of a distinct set and nothing else: its accumulators are restored with the groups.
    pub(crate) fn restore_distinct(&mut self, set: usize, rows: &Rows<'_>, range: Range<usize>, values: &Argument<'_>) {
        let mut groups = Vec::with_capacity(range.len());
        self.table.find_or_insert(&rows.keys, &rows.hashes, range, &mut groups);
        let sides = Arc::make_mut(&mut self.sides);
        sides.grow(self.table.len());
        sides.distinct[set].insert(&groups, values, 0);
    }

    /// Merges groups of another table into this one, whose rows are older.
    pub(crate) fn absorb(&mut self, layout: &Layout, other: &Groups, of_other: &[u32]) -> Result<(), ArrowError> {
        self.absorb_rows(layout, (other.table.packed(), &other.sides), of_other)
    }

    /// Merges groups of other packed rows into this table, whose rows are older.
    pub(crate) fn absorb_rows(
        &mut self,
        layout: &Layout,
        (packed, sides): (&PackedRows, &Sides),
        of_other: &[u32],
    ) -> Result<(), ArrowError> {
        let mut groups = Vec::new();
        for block in of_other.chunks(1024) {
            groups.clear();
            self.table.adopt(packed, block, &mut groups);
            merge_cells(layout, &mut self.cells(&groups), &groups, View::of(packed, sides), block)?;
        }
        Ok(())
    }

    /// Subtracts the groups of another table, which this one contains. A group without rows stays in the table.
    pub(crate) fn subtract(&mut self, layout: &Layout, other: &Groups) {
        let mut groups = Vec::new();
        for block in other.all().chunks(1024) {
            groups.clear();
            self.table.adopt(other.table.packed(), block, &mut groups);
            let mut cells = self.cells(&groups);
            for slot in &layout.slots {
                slot.subtract(&mut cells, &groups, other.view(), block);
            }
        }
    }

    /// The groups that have rows. The layout must count rows.
    pub(crate) fn alive(&self, layout: &Layout) -> Vec<u32> {
        let has_rows = has_rows(layout, self.packed());
        (0..self.len() as u32).filter(|group| has_rows(*group)).collect()
    }
}

/// Sets the bits of those groups that a table had when it had `before`.
fn note(touched: &mut Vec<u64>, groups: &[u32], before: usize) {
    touched.resize(before.div_ceil(64).max(touched.len()), 0);
    for group in groups.iter().filter(|group| (**group as usize) < before) {
        touched[*group as usize / 64] |= 1 << (group % 64);
    }
}

/// Whether groups have rows; all have in a layout that does not count them.
pub(crate) fn has_rows<'a>(layout: &Layout, packed: &'a PackedRows) -> impl Fn(u32) -> bool + use<'a> {
    let (words, stride, first) = packed.rows();
    let count = layout.rows_slot.map(|slot| first + layout.slots[slot].offset);
    move |group| count.is_none_or(|count| words[group as usize * stride + count] != 0)
}

/// Those of some groups that a table had when it had `before`; `None` if a group comes twice.
fn known_of_different(groups: &[u32], before: usize) -> Option<Vec<u32>> {
    let mut next = before as u32;
    let mut known = Vec::new();
    for group in groups {
        match *group {
            group if (group as usize) < before => known.push(group),
            group if group == next => next += 1,
            _ => return None,
        }
    }
    known.sort_unstable();
    known.is_sorted_by(|one, other| one < other).then_some(known)
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
