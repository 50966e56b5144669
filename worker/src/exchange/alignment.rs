//! Barrier alignment over the input channels of a task.

use eddyline_stream::Barrier;

/// The channels on which the barrier of the current checkpoint has arrived.
///
/// Such a channel is blocked until the barrier has arrived on all others: what follows the barrier belongs to the next
/// checkpoint. A barrier of a newer checkpoint replaces an unfinished alignment, because the older checkpoint was
/// aborted.
#[derive(Debug)]
pub struct Alignment {
    arrived: Vec<bool>,
    barrier: Option<Barrier>,
}

impl Alignment {
    /// An alignment over `channels` channels, without a barrier.
    pub fn new(channels: usize) -> Self {
        Self { arrived: vec![false; channels], barrier: None }
    }

    /// Whether a channel is blocked: it must not be read until the alignment is complete.
    pub fn is_blocked(&self, channel: usize) -> bool {
        self.barrier.is_some() && self.arrived[channel]
    }

    /// Records that a barrier has arrived on a channel. Returns the barrier if the alignment is complete: then the task
    /// takes its snapshot and forwards the barrier. A barrier of an older checkpoint is ignored.
    pub fn arrive(&mut self, channel: usize, barrier: Barrier) -> Option<Barrier> {
        match self.barrier {
            Some(current) if current.checkpoint > barrier.checkpoint => return None,
            Some(current) if current.checkpoint == barrier.checkpoint => {}
            _ => self.arrived.fill(false),
        }
        self.barrier = Some(barrier);
        self.arrived[channel] = true;
        if self.arrived.iter().all(|arrived| *arrived) { self.barrier.take() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use eddyline_stream::{BarrierKind, CheckpointId};

    use super::*;

    fn barrier(number: u64) -> Barrier {
        Barrier::of_all_state(CheckpointId::new(number), BarrierKind::Checkpoint)
    }

    #[test]
    fn a_barrier_passes_when_every_channel_has_brought_it() {
        let mut alignment = Alignment::new(3);
        assert_eq!(alignment.arrive(1, barrier(1)), None);
        assert!(alignment.is_blocked(1) && !alignment.is_blocked(0));
        assert_eq!(alignment.arrive(0, barrier(1)), None);
        assert_eq!(alignment.arrive(2, barrier(1)), Some(barrier(1)));
        assert!(!alignment.is_blocked(1));
    }

    #[test]
    fn a_newer_barrier_aborts_the_older_alignment() {
        let mut alignment = Alignment::new(2);
        assert_eq!(alignment.arrive(0, barrier(1)), None);
        assert_eq!(alignment.arrive(1, barrier(2)), None);
        assert!(!alignment.is_blocked(0), "channel 0 still has to bring barrier 2");
        assert_eq!(alignment.arrive(0, barrier(2)), Some(barrier(2)));
    }
}
