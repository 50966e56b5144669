//! Which slot owns which key group.

use serde::{Deserialize, Serialize};

use crate::{KeyGroup, KeyGroupSet, MaxParallelism, SlotIndex};

/// The owner of every key group. It is a table, because with a table a new slot moves only `1 / (n + 1)` of the state.
/// Recomputed ranges would move about half of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    max_parallelism: MaxParallelism,
    slots: u16,
    owner: Vec<SlotIndex>,
}

impl Assignment {
    /// Distributes all key groups over `slots` slots, as evenly as possible and in contiguous ranges. 0 slots count as
    /// 1.
    pub fn even(max_parallelism: MaxParallelism, slots: u16) -> Self {
        let slots = slots.max(1);
        let groups = u32::from(max_parallelism.get());
        let owner = (0..groups)
            .map(|group| {
                SlotIndex::new(u16::try_from(group * u32::from(slots) / groups).expect("below the slot count"))
            })
            .collect();
        Self { max_parallelism, slots, owner }
    }

    /// The assignment for another number of slots that moves the fewest key groups.
    ///
    /// Every slot gets its fair share: shares differ by at most one. A remaining slot keeps as many of its key groups
    /// as fit in its share.
    pub fn rescaled(&self, slots: u16) -> Self {
        let slots = slots.max(1);
        let groups = self.owner.len();
        let (share, extra) = (groups / usize::from(slots), groups % usize::from(slots));
        let mut held = vec![0usize; usize::from(slots)];
        for owner in &self.owner {
            if let Some(held) = held.get_mut(owner.index()) {
                *held += 1;
            }
        }
        // The slots that hold the most keep the larger shares: that saves a move for each of them.
        let mut by_held: Vec<usize> = (0..held.len()).collect();
        by_held.sort_by_key(|&slot| (std::cmp::Reverse(held[slot]), slot));
        let mut room = vec![share; held.len()];
        by_held.iter().take(extra).for_each(|&slot| room[slot] += 1);

        let mut owner: Vec<Option<SlotIndex>> = vec![None; groups];
        for (group, slot) in self.owner.iter().enumerate().filter(|(_, slot)| slot.index() < held.len()) {
            if room[slot.index()] > 0 {
                room[slot.index()] -= 1;
                owner[group] = Some(*slot);
            }
        }
        let mut next = 0;
        let owner = owner
            .into_iter()
            .map(|kept| {
                kept.unwrap_or_else(|| {
                    while room[next] == 0 {
                        next += 1;
                    }
                    room[next] -= 1;
                    SlotIndex::new(u16::try_from(next).expect("below the slot count"))
                })
            })
            .collect();
        Self { max_parallelism: self.max_parallelism, slots, owner }
    }

    /// The number of slots.
    pub fn slots(&self) -> u16 {
        self.slots
    }

    /// The job's number of key groups.
    pub fn max_parallelism(&self) -> MaxParallelism {
        self.max_parallelism
    }

    /// The slot that owns a key group.
    #[inline]
    pub fn owner(&self, group: KeyGroup) -> SlotIndex {
        self.owner[group.index()]
    }

    /// The slot that owns a key with this hash.
    #[inline]
    pub fn owner_of_hash(&self, key_hash: u64) -> SlotIndex {
        self.owner(KeyGroup::of(key_hash, self.max_parallelism))
    }

    /// The key groups of a slot.
    pub fn key_groups_of(&self, slot: SlotIndex) -> KeyGroupSet {
        let mut set = KeyGroupSet::empty(self.max_parallelism);
        self.max_parallelism
            .key_groups()
            .filter(|group| self.owner(*group) == slot)
            .for_each(|group| set.insert(group));
        set
    }

    /// How many key groups have another owner in `other`.
    pub fn moved(&self, other: &Self) -> usize {
        self.owner.iter().zip(&other.owner).filter(|(before, after)| before != after).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(assignment: &Assignment) -> Vec<usize> {
        (0..assignment.slots()).map(|slot| assignment.key_groups_of(SlotIndex::new(slot)).len()).collect()
    }

    proptest! {
        #[test]
        fn rescaling_covers_every_group_evenly_and_moves_the_fewest(bits in 4u32..11, before in 1u16..17, after in 1u16..17) {
            let max_parallelism = MaxParallelism::try_from(1 << bits).expect("a power of two");
            prop_assume!(before <= max_parallelism.get() && after <= max_parallelism.get());
            let old = Assignment::even(max_parallelism, before);
            let new = old.rescaled(after);
            let shares = counts(&new);
            prop_assert_eq!(shares.iter().sum::<usize>(), usize::from(max_parallelism.get()));
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
            // Every move was necessary: the old slot is gone or over its share, or the new slot was below its share.
            let held = counts(&old);
            let surplus: usize = held
                .iter()
                .enumerate()
                .map(|(slot, held)| held.saturating_sub(shares.get(slot).copied().unwrap_or(0)))
                .sum();
            prop_assert_eq!(old.moved(&new), surplus);
        }
    }

    #[test]
    fn the_same_parallelism_moves_nothing() {
        let assignment = Assignment::even(MaxParallelism::DEFAULT, 3);
        assert_eq!(assignment.moved(&assignment.rescaled(3)), 0);
    }
}
