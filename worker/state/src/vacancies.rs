//! Places of removed groups, which the next new groups take.

/// The vacant places of a table. Empty for a table from which no group was ever removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vacancies {
    free: Vec<u32>,
    /// A bit for each place up to the last one that was ever vacant, set if the place is vacant.
    bits: Vec<u64>,
}

impl Vacancies {
    /// The number of vacant places.
    pub(crate) fn len(&self) -> usize {
        self.free.len()
    }

    /// Whether a group was ever removed.
    pub(crate) fn is_used(&self) -> bool {
        !self.bits.is_empty()
    }

    /// Whether a place is vacant.
    pub(crate) fn contains(&self, place: u32) -> bool {
        is_set(&self.bits, place)
    }

    /// A group has left this place.
    pub(crate) fn push(&mut self, place: u32) {
        debug_assert!(!self.contains(place), "a group is removed once");
        let word = (place >> 6) as usize;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (place & 63);
        self.free.push(place);
    }

    /// Takes a vacant place.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let place = self.free.pop()?;
        self.bits[(place >> 6) as usize] &= !(1 << (place & 63));
        Some(place)
    }

    /// The table is empty and has no places.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A bit for each place, set if the place is vacant. Places behind the last bit are not.
    pub(crate) fn bits(&self) -> &[u64] {
        &self.bits
    }

    /// The size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.free.capacity() * 4 + self.bits.capacity() * 8
    }
}

/// Whether a bit is set. Bits behind the last word are not.
pub(crate) fn is_set(bits: &[u64], at: u32) -> bool {
    bits.get((at >> 6) as usize).is_some_and(|word| word & 1 << (at & 63) != 0)
}
