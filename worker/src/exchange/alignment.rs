//! Barrier alignment over the input channels of a task.

use eddyline_stream::Barrier;

/// Which channels have brought the barrier of the checkpoint that is being aligned.
///
/// A channel that has brought it is not read until all others have: what is behind the barrier belongs to the next
/// checkpoint. A barrier of a newer checkpoint replaces an unfinished alignment: the older one was aborted.
#[derive(Debug)]
pub struct Alignment {
    arrived: Vec<bool>,
    barrier: Option<Barrier>,
}

impl Alignment {
    /// No barrier is in flight through `channels` channels.
    pub fn new(channels: usize) -> Self {
        Self { arrived: vec![false; channels], barrier: None }
    }

    /// Whether a channel must not be read for now.
    pub fn is_blocked(&self, channel: usize) -> bool {
        self.barrier.is_some() && self.arrived[channel]
    }

    /// A channel has brought a barrier. Returns it when it was the last one: snapshot and forward now.
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
