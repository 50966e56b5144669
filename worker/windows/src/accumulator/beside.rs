//! What groups have beside their packed rows, as bytes: for runs on disk, which end with the process.
//!
//! For each slot beside the row, each group has the length of its value and one more, or 0 if it has none, then the value. For
//! each distinct set, each group has the number of its values, then each value with its length, oldest first. Numbers have
//! four bytes, little-endian.

use super::Sides;
use crate::distinct::DistinctSet;

impl Sides {
    /// Appends what these groups have. Adds the numbers of their distinct values to `values`.
    pub(crate) fn encode(&self, groups: &[u32], values: &mut [u64], into: &mut Vec<u8>) {
        for cells in &self.cells {
            for group in groups {
                match cells.get(*group as usize).and_then(Option::as_deref) {
                    Some(value) => {
                        put(into, value.len() + 1);
                        into.extend_from_slice(value);
                    }
                    None => put(into, 0),
                }
            }
        }
        for (set, values) in self.distinct.iter().zip(values) {
            for group in groups {
                let count_at = into.len();
                put(into, 0);
                let mut count = 0u32;
                set.each_value(*group, |value| {
                    put(into, value.len());
                    into.extend_from_slice(value);
                    count += 1;
                });
                into[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
                *values += u64::from(count);
            }
        }
    }

    /// Reads what [`Self::encode`] has written of so many groups, which are numbered from 0. `self` is empty. `None` if it is
    /// something else.
    pub(crate) fn decode(mut self, groups: usize, mut bytes: &[u8]) -> Option<Self> {
        for cells in &mut self.cells {
            for _ in 0..groups {
                cells.push(match take_length(&mut bytes)? {
                    0 => None,
                    length => {
                        self.cell_bytes += length - 1;
                        Some(take(&mut bytes, length - 1)?.into())
                    }
                });
            }
        }
        for set in &mut self.distinct {
            let mut values = Vec::new();
            for group in 0..groups as u32 {
                for _ in 0..take_length(&mut bytes)? {
                    let length = take_length(&mut bytes)?;
                    values.push((group, take(&mut bytes, length)?));
                }
            }
            *set = DistinctSet::of_values(&values);
        }
        bytes.is_empty().then_some(self)
    }
}

fn put(into: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("columns of values have less than 2 GiB");
    into.extend_from_slice(&length.to_le_bytes());
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let length = take(bytes, 4)?;
    Some(u32::from_le_bytes(length.try_into().ok()?) as usize)
}
