//! Which groups of a table have changed since which barrier.
//!
//! A bit for each group that was there at the barrier; groups behind those are new. Nothing is kept for a table that was
//! not there at the last barrier, so that a window which opens and fires between two checkpoints pays nothing. A table of which
//! most has changed counts as changed altogether.

use std::collections::VecDeque;

use eddyline_stream::CheckpointId;

/// So many epochs are kept apart; older ones are put together. One lies between two barriers; they pile up while
/// checkpoints fail.
const EPOCHS_MAX: usize = 4;

/// What has changed between two barriers.
#[derive(Clone, Debug)]
struct Epoch {
    /// The checkpoint whose barrier it begins with.
    begins: CheckpointId,
    /// How many groups there were at that barrier.
    groups: usize,
    /// A bit for each of those groups; none if all count as changed.
    bits: Vec<u64>,
    /// So many changes are noted until it is judged whether telling groups apart is worth it.
    until_judged: usize,
}

impl Epoch {
    fn new(begins: CheckpointId, groups: usize) -> Self {
        Self { begins, groups, bits: vec![0; groups.div_ceil(64)], until_judged: groups / 2 }
    }

    fn is_tracking(&self) -> bool {
        !self.bits.is_empty()
    }

    #[inline(never)]
    fn note(&mut self, groups: &[u32]) {
        for group in groups {
            // A group behind the last bit is new, which its number says.
            if let Some(bits) = self.bits.get_mut((group >> 6) as usize) {
                *bits |= 1 << (group & 63);
            }
        }
        match self.until_judged.checked_sub(groups.len()) {
            Some(rest) => self.until_judged = rest,
            None => self.judge(),
        }
    }

    fn judge(&mut self) {
        let changed: usize = self.bits.iter().map(|bits| bits.count_ones() as usize).sum();
        if changed > self.groups / 2 {
            self.bits = Vec::new();
        }
        self.until_judged = self.groups / 2;
    }

    /// Takes in the epoch behind this one.
    fn extend(&mut self, next: Self) {
        if self.is_tracking() && next.is_tracking() {
            // Groups that the later one knows and this one does not are new to this one.
            self.bits.iter_mut().zip(&next.bits).for_each(|(bits, next)| *bits |= next);
        } else {
            self.bits = Vec::new();
        }
    }
}

/// What has changed since a barrier.
#[derive(Debug)]
pub(crate) struct Changed {
    /// How many groups there were at the barrier: those from this number on are new.
    pub(crate) groups: usize,
    /// A bit for each of those that has changed.
    pub(crate) bits: Vec<u64>,
}

impl Changed {
    /// How many of the groups that were there have changed.
    pub(crate) fn known(&self) -> usize {
        self.bits.iter().map(|bits| bits.count_ones() as usize).sum()
    }
}

/// What has changed, epoch by epoch, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    epochs: VecDeque<Epoch>,
}

impl Changes {
    /// Groups are about to change. Returns whether a bit is kept for each group.
    #[inline(always)]
    pub(crate) fn note(&mut self, groups: &[u32]) -> bool {
        match self.epochs.back_mut().filter(|epoch| epoch.is_tracking()) {
            Some(epoch) => {
                epoch.note(groups);
                true
            }
            None => false,
        }
    }

    /// The barrier of a checkpoint, at which the table has so many groups. Gives what has changed since the barrier of `since`,
    /// or `None`: everything has, or the table is newer. What is older than `since` is forgotten.
    pub(crate) fn barrier(
        &mut self,
        checkpoint: CheckpointId,
        since: Option<CheckpointId>,
        groups: usize,
    ) -> Option<Changed> {
        let changed = since.and_then(|since| self.since(since));
        self.epochs.push_back(Epoch::new(checkpoint, groups));
        if self.epochs.len() > EPOCHS_MAX
            && let Some(second) = self.epochs.remove(1)
        {
            self.epochs[0].extend(second);
        }
        changed
    }

    fn since(&mut self, since: CheckpointId) -> Option<Changed> {
        while self.epochs.get(1).is_some_and(|next| next.begins <= since) {
            self.epochs.pop_front();
        }
        let (first, later) = self.epochs.make_contiguous().split_first()?;
        if first.begins > since || !first.is_tracking() || later.iter().any(|epoch| !epoch.is_tracking()) {
            return None;
        }
        let mut bits = first.bits.clone();
        for epoch in later {
            bits.iter_mut().zip(&epoch.bits).for_each(|(bits, later)| *bits |= later);
        }
        // The last word has bits of groups that came later.
        if let Some(last) = bits.last_mut().filter(|_| !first.groups.is_multiple_of(64)) {
            *last &= (1 << (first.groups % 64)) - 1;
        }
        Some(Changed { groups: first.groups, bits })
    }

    /// The table is another one now.
    pub(crate) fn clear(&mut self) {
        self.epochs.clear();
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.epochs.iter().map(|epoch| epoch.bits.capacity() * 8).sum()
    }
}
