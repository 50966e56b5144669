//! The groups of one slice: keys with their accumulators.

use std::borrow::Cow;
use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use eddyline_operators as operators;
use eddyline_state::{GroupTable, Keys, PackedRows, SnapshotRequest, by_chunk, encode_keys};
use eddyline_stream::key_hash::{UnsupportedKey, hash_columns};

use crate::accumulator::{Cells, Sides, View, update::Mask};
use crate::argument::Argument;
use crate::distinct::DistinctSet;
use crate::frozen_groups::FrozenGroups;
use crate::layout::Layout;

/// What is added to groups.
pub(crate) enum Input<'a> {
    /// Raw rows: an argument for each slot, then one for each distinct set.
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

/// Rows to be added: their keys, the hashes of these, and what is added.
pub(crate) struct Rows<'a> {
    pub(crate) keys: Keys<'a>,
    pub(crate) hashes: Cow<'a, [u64]>,
    pub(crate) input: Input<'a>,
}

impl<'a> Rows<'a> {
    /// Prepares keys. `hashes` are taken over if they are known.
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

/// A column's type cannot be a key.
pub(crate) fn key_error(error: &UnsupportedKey) -> operators::Error {
    operators::Error::InvalidRow(error.to_string())
}

/// Keys with their accumulators, numbered in order of first arrival.
#[derive(Debug)]
pub(crate) struct Groups {
    table: GroupTable,
    sides: Sides,
}

impl Groups {
    /// No groups, for keys of these types.
    pub(crate) fn new(key_types: &[DataType], layout: &Layout) -> Result<Self, UnsupportedKey> {
        Ok(Self { table: GroupTable::new(key_types, &layout.initial)?, sides: layout.sides() })
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

    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.sides.clear();
    }

    /// What a checkpoint gets of these groups, which are those of `bucket`.
    pub(crate) fn hand_over(&mut self, layout: &Layout, request: SnapshotRequest, bucket: i64) -> FrozenGroups {
        // The order in which values came is kept only where all of them are handed over together.
        let since = request.since.filter(|_| !layout.has_ordered_sets());
        let request = SnapshotRequest { since, ..request };
        let rows = self.table.hand_over(request, bucket);
        let (shared, copied) = self.sides.cells.iter_mut().map(|cells| cells.hand_over(&rows)).unzip();
        let distinct = self.sides.distinct.iter_mut().map(|set| set.hand_over(request, &rows)).collect();
        FrozenGroups { groups: self.table.len(), left_out: 0, rows, shared, copied, distinct }
    }

    /// Keys and accumulators in packed rows as they are now, to read later.
    pub(crate) fn freeze_rows(&mut self) -> PackedRows {
        self.table.freeze()
    }

    /// Says that these are groups of another bucket now: the next checkpoint gets all of them.
    pub(crate) fn forget_changes(&mut self) {
        self.table.forget_changes();
        self.sides.distinct.iter_mut().for_each(DistinctSet::forget_changes);
    }

    /// All groups, in order.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.table.groups()
    }

    /// Keys and accumulators, to read.
    pub(crate) fn packed(&self) -> &PackedRows {
        self.table.packed()
    }

    /// The key hashes of groups.
    pub(crate) fn hashes(&self, groups: &[u32]) -> Vec<u64> {
        groups.iter().map(|group| self.table.packed().hash(*group)).collect()
    }

    pub(crate) fn key_columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        self.table.packed().key_columns(groups)
    }

    /// The accumulators of groups that are in one chunk.
    pub(crate) fn view(&self, groups: &[u32]) -> View<'_> {
        let group = groups.first().copied().unwrap_or(0);
        View { rows: self.table.packed().rows_of_chunk(group), cells: &self.sides.cells }
    }

    /// The accumulators, to change those of `groups`.
    fn cells(&mut self, groups: &[u32]) -> Cells<'_> {
        self.sides.grow(self.table.len());
        Cells { rows: self.table.rows_mut(groups), sides: &mut self.sides }
    }

    /// Adds rows. `scratch` is only for reuse.
    pub(crate) fn add(&mut self, layout: &Layout, rows: &Rows<'_>, range: Range<usize>, scratch: &mut Vec<u32>) {
        let block = rows.keys.block_rows();
        let mut start = range.start;
        while start < range.end {
            let end = start.saturating_add(block).min(range.end);
            scratch.clear();
            self.table.find_or_insert(&rows.keys, &rows.hashes, start..end, scratch);
            rows.input.add(layout, &mut self.cells(scratch), scratch, start);
            start = end;
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
        self.sides.grow(self.table.len());
        self.sides.reset(known);
        rows.input.add(layout, &mut self.cells(groups), groups, start);
    }

    /// Restores values of a distinct set and nothing else: its accumulators are restored with the groups.
    pub(crate) fn restore_distinct(&mut self, set: usize, rows: &Rows<'_>, range: Range<usize>, values: &Argument<'_>) {
        let mut groups = Vec::with_capacity(range.len());
        self.table.find_or_insert(&rows.keys, &rows.hashes, range, &mut groups);
        self.sides.grow(self.table.len());
        self.sides.distinct[set].insert(&groups, values, 0);
    }

    /// Merges groups of another table into this one, whose rows are older.
    pub(crate) fn absorb(&mut self, layout: &Layout, other: &Groups, of_other: &[u32]) -> Result<(), ArrowError> {
        let mut groups = Vec::new();
        for block in by_chunk(of_other).flat_map(|groups| groups.chunks(1024)) {
            groups.clear();
            self.table.adopt(other.table.packed(), block, &mut groups);
            let source = (other.view(block), other.sides.distinct.as_slice());
            merge_cells(layout, &mut self.cells(&groups), &groups, source, block)?;
        }
        Ok(())
    }

    /// Takes the groups of another table, which are part of this one, out again. Groups stay, if only with no rows
    /// left.
    pub(crate) fn subtract(&mut self, layout: &Layout, other: &Groups) {
        let mut groups = Vec::new();
        for block in by_chunk(&other.all()).flat_map(|groups| groups.chunks(1024)) {
            groups.clear();
            self.table.adopt(other.table.packed(), block, &mut groups);
            let mut cells = self.cells(&groups);
            for slot in &layout.slots {
                slot.subtract(&mut cells, &groups, other.view(block), block);
            }
        }
    }

    /// The groups that have rows, in a layout that counts them.
    pub(crate) fn alive(&self, layout: &Layout) -> Vec<u32> {
        let has_rows = has_rows(layout, self.packed());
        self.all().into_iter().filter(|group| has_rows(*group)).collect()
    }
}

/// Whether groups have rows; all have in a layout that does not count them.
pub(crate) fn has_rows<'a>(layout: &'a Layout, packed: &'a PackedRows) -> impl Fn(u32) -> bool {
    let rows = layout.rows_slot.map(|slot| &layout.slots[slot]);
    move |group| {
        let view = || View { rows: packed.rows_of_chunk(group), cells: &[] };
        rows.is_none_or(|rows| rows.word(view(), group, 0) != 0)
    }
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

/// Merges cells `from[i]` of `source` into cells `into[i]`, whose rows are older. The source has its distinct sets beside it.
pub(crate) fn merge_cells(
    layout: &Layout,
    cells: &mut Cells<'_>,
    into: &[u32],
    (source, sets): (View<'_>, &[DistinctSet]),
    from: &[u32],
) -> Result<(), ArrowError> {
    for slot in layout.slots.iter().filter(|slot| slot.distinct.is_none()) {
        slot.merge(cells, into, source, from);
    }
    for (index, set) in layout.distinct.iter().enumerate() {
        let merged = cells.sides.distinct[index].merge(into, &sets[index], from, &set.data_type)?;
        let (groups, values) = merged;
        for slot in layout.slots.iter().filter(|slot| slot.distinct == Some(index)) {
            let argument = Argument::of_column(slot, values.as_ref());
            slot.update(cells, &groups, &argument.values, 0, Mask { bits: None, start: 0 });
        }
    }
    Ok(())
}
