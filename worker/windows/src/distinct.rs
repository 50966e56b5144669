//! The distinct values of the groups of a table, for DISTINCT aggregates.
//!
//! One table has the values of all groups. Its key is the group and the value. The entries of a group are a linked list
//! from the newest to the oldest one. The order of arrival is kept, so that a merge always passes values to
//! order-dependent aggregates in the same order.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::bit_util;
use eddyline_state::strings::Strings;
use eddyline_state::{GroupTable, Handover, Keys, PackedRows, SnapshotRequest, fixed};
use eddyline_stream::key_hash::hash_bytes;

use crate::accumulator::Sides;
use crate::argument::{Argument, Values};

/// No entry: the end of a list.
const END: u64 = u64::MAX;

/// The link of an entry that is not in a list yet.
const NEW: u64 = END - 1;

/// The values of groups. The key of an entry is the group's number in 4 bytes, followed by the value.
#[derive(Clone, Debug)]
pub(crate) struct DistinctSet {
    entries: GroupTable,
    newest: Vec<u64>,
    /// The groups of values that were new, if they are asked for.
    fresh: Option<Vec<u32>>,
}

impl Default for DistinctSet {
    fn default() -> Self {
        Self { entries: GroupTable::of_bytes(&[NEW]), newest: Vec::new(), fresh: None }
    }
}

/// Values as they were at a barrier: all of a set, or those that a checkpoint asks for.
#[derive(Debug)]
pub(crate) struct FrozenSet {
    entries: Handover,
    /// Rows with the keys of the groups that have these values.
    owners: Arc<PackedRows>,
    /// The groups of these rows, in ascending order; `None` if they have the numbers of the groups.
    of_groups: Option<Vec<u32>>,
}

impl FrozenSet {
    /// Whether all values are handed over.
    pub(crate) fn is_whole(&self) -> bool {
        self.entries.is_whole
    }

    /// How many values there are at the barrier, in groups from a number on.
    pub(crate) fn len(&self, first: u32) -> usize {
        if first == 0 { self.entries.len } else { self.entries(first).1.len() }
    }

    /// The values that are handed over, in order of arrival: the row of the group of each among the owners, and its entry.
    /// Without those of groups with smaller numbers.
    pub(crate) fn entries(&self, first: u32) -> (Vec<u32>, Vec<u32>) {
        let owner = |group: u32| match &self.of_groups {
            None => Some(group),
            Some(groups) => groups.binary_search(&group).ok().map(|row| row as u32),
        };
        let entries = self.entries.rows().filter_map(|entry| {
            let group = group_of(&self.entries.packed, entry);
            (group >= first).then_some((owner(group)?, entry))
        });
        entries.unzip()
    }

    /// Like [`Self::entries`], of a set that is handed over as a whole. The entries of each group are in order of
    /// arrival, also if some took the places of removed ones.
    pub(crate) fn ordered_entries(&self) -> (Vec<u32>, Vec<u32>) {
        let (words, stride, first) = self.entries.packed.rows();
        let older = |entry: u32| u32::try_from(words[entry as usize * stride + first]).ok();
        let mut is_newest = vec![true; self.entries.packed.len()];
        self.entries.rows().filter_map(older).for_each(|entry| is_newest[entry as usize] = false);
        let mut ordered = Vec::with_capacity(self.entries.len);
        for newest in self.entries.rows().filter(|entry| is_newest[*entry as usize]) {
            let start = ordered.len();
            ordered.extend(std::iter::successors(Some(newest), |entry| older(*entry)));
            ordered[start..].reverse();
        }
        (ordered.iter().map(|entry| group_of(&self.entries.packed, *entry)).collect(), ordered)
    }

    /// Rows with the keys of groups.
    pub(crate) fn owners(&self) -> &PackedRows {
        &self.owners
    }

    /// These values as a column.
    pub(crate) fn values(&self, entries: &[u32], data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        values(&self.entries.packed, entries, data_type)
    }
}

impl DistinctSet {
    /// Adds row `start + i` to group `groups[i]`, if it is in the argument's mask. Bit `i` of the result is set if its
    /// value was new.
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
        self.add(keys, |key| groups[rows[key]], |key, _| bit_util::set_bit(&mut fresh, rows[key]));
        BooleanBuffer::new(Buffer::from_vec(fresh), 0, groups.len())
    }

    /// Adds the values of group `from[i]` in `source` to group `into[i]`. Returns the values that were new, with their
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
            entries.extend(source.entries_of(*from));
            for entry in entries.iter().rev() {
                bytes.clear();
                source.entries.packed().key_bytes(*entry, &mut bytes);
                keys.push(*group, &bytes[4..]);
                groups.push(*group);
            }
        }
        let (mut fresh, mut new) = (Vec::new(), Vec::new());
        let is_new = |key: usize, entry| {
            fresh.push(groups[key]);
            new.push(entry);
        };
        self.add(keys, |key| groups[key], is_new);
        Ok((fresh, values(self.entries.packed(), &new, data_type)?))
    }

    /// The groups of all entries, in order of arrival, and the values. No group was ever removed.
    pub(crate) fn all(&self, data_type: &DataType) -> Result<(Vec<u32>, ArrayRef), ArrowError> {
        let (packed, entries) = (self.entries.packed(), self.entries.groups());
        let entries: Vec<u32> = entries.collect();
        let groups = entries.iter().map(|entry| group_of(packed, *entry)).collect();
        Ok((groups, values(packed, &entries, data_type)?))
    }

    /// The values of groups, given in the order of arrival.
    pub(crate) fn of_values(values: &[(u32, &[u8])]) -> Self {
        let (mut set, mut keys) = (Self::default(), KeyBuilder::default());
        values.iter().for_each(|(group, value)| keys.push(*group, value));
        set.add(keys, |key| values[key].0, |_, _| {});
        set
    }

    /// Passes the values of a group on, oldest first.
    pub(crate) fn each_value(&self, group: u32, mut each: impl FnMut(&[u8])) {
        let entries: Vec<u32> = self.entries_of(group).collect();
        let packed = self.entries.packed();
        entries.iter().rev().for_each(|entry| packed.with_key_bytes(*entry as usize, |key| each(&key[4..])));
    }

    /// The bytes of the values, without room for more.
    pub(crate) fn content_bytes(&self) -> usize {
        self.entries.packed().content_bytes()
    }

    /// What a checkpoint gets of these values. `groups` are those that have them, and are handed over with them or not.
    pub(crate) fn hand_over(&mut self, request: SnapshotRequest, bucket: i64, groups: &GroupTable) -> FrozenSet {
        let entries = self.entries.hand_over(request, bucket);
        if entries.is_whole {
            return FrozenSet { entries, owners: groups.freeze(), of_groups: None };
        }
        let mut of: Vec<u32> = entries.rows().map(|entry| group_of(&entries.packed, entry)).collect();
        of.sort_unstable();
        of.dedup();
        FrozenSet { entries, owners: Arc::new(groups.packed().copy(&of)), of_groups: Some(of) }
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
        self.entries.bytes() + self.newest.capacity() * 8
    }

    /// The entries of a group, newest first.
    fn entries_of(&self, group: u32) -> impl Iterator<Item = u32> {
        let (words, stride, first) = self.entries.packed().rows();
        let mut next = self.newest.get(group as usize).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let entry = u32::try_from(next).ok()?;
            next = words[entry as usize * stride + first];
            Some(entry)
        })
    }

    /// Notes from now on of which groups values are new.
    pub(crate) fn note_fresh(&mut self) {
        self.fresh = Some(Vec::new());
    }

    /// The groups of the values that were new since the last call.
    pub(crate) fn take_fresh(&mut self) -> Vec<u32> {
        self.fresh.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Hands over all values of a group again, because it belongs to another bucket now. Returns their number.
    pub(crate) fn move_group(&mut self, group: u32) -> usize {
        let entries: Vec<u32> = self.entries_of(group).collect();
        self.entries.rows_mut(&entries);
        entries.len()
    }

    /// Removes the values of a group.
    pub(crate) fn remove_group(&mut self, group: u32) {
        let entries: Vec<u32> = self.entries_of(group).collect();
        entries.iter().for_each(|entry| self.entries.remove(*entry));
        if let Some(newest) = self.newest.get_mut(group as usize) {
            *newest = END;
        }
    }

    /// Adds keys. Calls `is_new` for each new one, in order, with its entry.
    fn add(&mut self, keys: KeyBuilder, group_of: impl Fn(usize) -> u32, mut is_new: impl FnMut(usize, u32)) {
        let KeyBuilder { offsets, bytes } = keys;
        let hashes: Vec<u64> = offsets.windows(2).map(|span| hash_bytes(&bytes[span[0]..span[1]])).collect();
        let mut entries = Vec::with_capacity(hashes.len());
        self.entries.find_or_insert(&Keys::Encoded { offsets, bytes }, &hashes, 0..hashes.len(), &mut entries);
        // Only entries that are new change.
        let (words, stride, first) = self.entries.rows_mut(&[]);
        for (key, entry) in entries.into_iter().enumerate() {
            let link = &mut words[entry as usize * stride + first];
            if *link == NEW {
                let group = group_of(key) as usize;
                if self.newest.len() <= group {
                    self.newest.resize(group + 1, END);
                }
                *link = self.newest[group];
                self.newest[group] = u64::from(entry);
                if let Some(fresh) = &mut self.fresh {
                    fresh.push(group as u32);
                }
                is_new(key, entry);
            }
        }
    }
}

/// The group that an entry belongs to.
fn group_of(packed: &PackedRows, entry: u32) -> u32 {
    packed.with_key_bytes(entry as usize, |key| {
        u32::from_le_bytes(key[..4].try_into().expect("a key begins with 4 bytes of group"))
    })
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

/// Builds the keys of entries.
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

/// Makes the [`Sides`] of an empty table.
pub(crate) fn sides(cells: usize, distinct: usize) -> Sides {
    Sides {
        cells: (0..cells).map(|_| Vec::new()).collect(),
        cell_bytes: 0,
        distinct: (0..distinct).map(|_| DistinctSet::default()).collect(),
    }
}
