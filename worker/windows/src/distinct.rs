//! The different values that the groups of a table have seen, for DISTINCT aggregates.
//!
//! One table for all groups, keyed by group and value, with the entries of a group linked from the newest to the
//! oldest. Order of arrival is kept, so that merging feeds values to order-dependent aggregates in the same order every
//! time.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::bit_util;
use eddyline_state::strings::Strings;
use eddyline_state::{Chunked, GroupTable, Handover, Keys, PackedRows, SnapshotRequest, fixed};
use eddyline_stream::key_hash::hash_bytes;

use crate::accumulator::Sides;
use crate::argument::{Argument, Values};

/// No entry: the end of a list.
const END: u64 = u64::MAX;

/// Values by group. The key of an entry is the group's number in 4 bytes and the value. An entry does not change.
#[derive(Debug)]
pub(crate) struct DistinctSet {
    entries: GroupTable,
    newest: Chunked<u64>,
}

impl Default for DistinctSet {
    fn default() -> Self {
        Self { entries: GroupTable::of_bytes(&[END]), newest: Chunked::default() }
    }
}

/// Values as they were at a barrier.
#[derive(Debug)]
pub(crate) struct FrozenSet {
    entries: PackedRows,
    /// By the numbers of groups in chunks that are shared, and of those that are copied.
    newest: Chunked<u64>,
    newest_of_copies: Chunked<u64>,
    /// Entries from here on are new.
    first_new: u32,
}

impl FrozenSet {
    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The values of a group whose chunk is shared.
    pub(crate) fn entries_of(&self, group: u32) -> impl Iterator<Item = u32> {
        entries_of(&self.entries, &self.newest, group)
    }

    /// The values of a group that is copied, by the number of the copy.
    pub(crate) fn entries_of_copy(&self, copy: u32) -> impl Iterator<Item = u32> {
        entries_of(&self.entries, &self.newest_of_copies, copy)
    }

    /// The values that are new, with their groups.
    pub(crate) fn added(&self) -> impl Iterator<Item = (u32, u32)> {
        (self.first_new..self.entries.len() as u32).map(|entry| (group_of(&self.entries, entry), entry))
    }

    /// The groups of all values, in order of arrival.
    pub(crate) fn groups(&self) -> Vec<u32> {
        (0..self.entries.len() as u32).map(|entry| group_of(&self.entries, entry)).collect()
    }

    /// These values as a column.
    pub(crate) fn values(&self, entries: &[u32], data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        values(&self.entries, entries, data_type)
    }
}

impl DistinctSet {
    /// Adds row `start + i` to group `groups[i]` where the argument's mask lets it through. Bit `i` of the result says
    /// whether its value was new.
    pub(crate) fn insert(&mut self, groups: &[u32], argument: &Argument<'_>, start: usize) -> BooleanBuffer {
        let takes_part = |i: usize| argument.mask.as_ref().is_none_or(|mask| mask.value(start + i));
        let rows: Vec<usize> = (0..groups.len()).filter(|i| takes_part(*i)).collect();
        let mut keys = KeyBuilder::default();
        for i in &rows {
            let (group, row) = (groups[*i], start + i);
            match &argument.values {
                Values::Images(images) => keys.push(group, &images[row].to_le_bytes()),
                Values::Decimals(decimals) => keys.push(group, &decimals[row].to_le_bytes()),
                Values::Bytes { offsets, bytes } => {
                    keys.push(group, &bytes[offsets[row] as usize..offsets[row + 1] as usize]);
                }
                Values::Absent | Values::Doubles(_) => {}
            }
        }
        let mut fresh = vec![0u8; groups.len().div_ceil(8)];
        self.add(keys, |key| groups[rows[key]], |key| bit_util::set_bit(&mut fresh, rows[key]));
        BooleanBuffer::new(Buffer::from_vec(fresh), 0, groups.len())
    }

    /// Adds the values of group `from[i]` in `source` to group `into[i]`. Gives the values that were new, with their
    /// groups.
    pub(crate) fn merge(
        &mut self,
        into: &[u32],
        source: &Self,
        from: &[u32],
        data_type: &DataType,
    ) -> Result<(Vec<u32>, ArrayRef), ArrowError> {
        let mut keys = KeyBuilder::default();
        let mut groups = Vec::new();
        let (mut entries, mut bytes) = (Vec::new(), Vec::new());
        for (group, from) in into.iter().zip(from) {
            entries.clear();
            entries.extend(entries_of(source.entries.packed(), &source.newest, *from));
            for entry in entries.iter().rev() {
                bytes.clear();
                source.entries.packed().key_bytes(*entry, &mut bytes);
                keys.push(*group, &bytes[4..]);
                groups.push(*group);
            }
        }
        let mut fresh = Vec::new();
        let first_new = self.entries.len() as u32;
        self.add(keys, |key| groups[key], |key| fresh.push(groups[key]));
        let new: Vec<u32> = (first_new..self.entries.len() as u32).collect();
        Ok((fresh, values(self.entries.packed(), &new, data_type)?))
    }

    /// The groups of all entries, in order of arrival, and the values.
    pub(crate) fn all(&self, data_type: &DataType) -> Result<(Vec<u32>, ArrayRef), ArrowError> {
        let (packed, entries) = (self.entries.packed(), self.entries.groups());
        Ok((entries.iter().map(|entry| group_of(packed, *entry)).collect(), values(packed, &entries, data_type)?))
    }

    /// The values as they are now, and which of them are new. `groups` are handed over with them.
    pub(crate) fn hand_over(&mut self, request: SnapshotRequest, groups: &Handover) -> FrozenSet {
        let (entries, first_new) = self.entries.hand_over_added(request);
        let (newest, newest_of_copies) = self.newest.hand_over(groups);
        FrozenSet { entries, newest, newest_of_copies, first_new }
    }

    /// Forgets what earlier checkpoints got: the next one gets all values.
    pub(crate) fn forget_changes(&mut self) {
        self.entries.forget_changes();
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.newest.clear();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.entries.bytes() + self.newest.bytes()
    }

    /// Adds keys. Calls `is_new` for each new one, in order.
    fn add(&mut self, keys: KeyBuilder, group_of: impl Fn(usize) -> u32, mut is_new: impl FnMut(usize)) {
        let KeyBuilder { offsets, bytes } = keys;
        let hashes: Vec<u64> = offsets.windows(2).map(|span| hash_bytes(&bytes[span[0]..span[1]])).collect();
        let mut next = self.entries.len() as u32;
        let mut entries = Vec::with_capacity(hashes.len());
        self.entries.find_or_insert(&Keys::Encoded { offsets, bytes }, &hashes, 0..hashes.len(), &mut entries);
        for (key, entry) in entries.into_iter().enumerate() {
            if entry == next {
                next += 1;
                let group = group_of(key);
                self.newest.grow(group as usize + 1, &END);
                let newest = self.newest.get_mut(group);
                self.entries.accumulators_mut(entry)[0] = *newest;
                *newest = u64::from(entry);
                is_new(key);
            }
        }
    }
}

/// The entries of a group, newest first.
fn entries_of(entries: &PackedRows, newest: &Chunked<u64>, group: u32) -> impl Iterator<Item = u32> {
    let mut next = newest.get(group).copied().unwrap_or(END);
    std::iter::from_fn(move || {
        let entry = u32::try_from(next).ok()?;
        next = entries.accumulators(entry)[0];
        Some(entry)
    })
}

/// The group that an entry belongs to.
fn group_of(entries: &PackedRows, entry: u32) -> u32 {
    entries.with_key_bytes(entry, |key| u32::from_le_bytes(key[..4].try_into().expect("a key begins with a group")))
}

/// The values of entries as a column.
fn values(packed: &PackedRows, entries: &[u32], data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let mut bytes = Vec::new();
    let mut read = |entry: u32| {
        bytes.clear();
        packed.key_bytes(entry, &mut bytes);
        bytes.split_off(4)
    };
    Ok(match data_type {
        DataType::Decimal128(..) => {
            let value = |entry: &u32| i128::from_le_bytes(read(*entry).try_into().expect("16 bytes were written"));
            let values: Vec<i128> = entries.iter().map(value).collect();
            Arc::new(Decimal128Array::new(values.into(), None).with_data_type(data_type.clone()))
        }
        DataType::Utf8 | DataType::Binary => {
            let mut strings = Strings::with_capacity(entries.len());
            entries.iter().for_each(|entry| strings.push(&read(*entry)));
            strings.finish(None, *data_type == DataType::Utf8)?
        }
        _ => {
            let image = |entry: &u32| i64::from_le_bytes(read(*entry).try_into().expect("8 bytes were written"));
            fixed::column(entries.iter().map(image).collect(), None, data_type)
        }
    })
}

/// Keys of entries, one behind the other.
struct KeyBuilder {
    offsets: Vec<usize>,
    bytes: Vec<u8>,
}

impl Default for KeyBuilder {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }
}

impl KeyBuilder {
    fn push(&mut self, group: u32, value: &[u8]) {
        self.bytes.extend_from_slice(&group.to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.offsets.push(self.bytes.len());
    }
}

/// Makes the sides of an empty table.
pub(crate) fn sides(cells: usize, distinct: usize) -> Sides {
    Sides {
        cells: (0..cells).map(|_| Chunked::default()).collect(),
        cell_bytes: 0,
        distinct: (0..distinct).map(|_| DistinctSet::default()).collect(),
    }
}
