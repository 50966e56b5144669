//! Decides which operators move state to the local disk, and whether sources stop reading. No clock, no I/O.
//!
//! The measure is the anonymous memory of the process, because accounts of operators do not show what the allocator, the
//! encoder of a checkpoint and buffers hold. Who moves state out follows from the accounts. Evictions are large and rare:
//! they begin at one level, and go down to a much lower one.

use std::time::Duration;

/// Memory above this level, in percent of the budget, makes the largest operators move state out. The memory that the
/// largest of them needs to grow counts too.
const EVICT: u64 = 70;
/// The level that they go down to.
const EVICT_TO: u64 = 50;
/// Above this level all operators move out what they can.
const EVICT_ALL: u64 = 85;
/// Above this level sources stop reading, until memory is below [`EVICT_ALL`].
const STALL: u64 = 92;
/// The least state that an operator is asked for, as a part of the budget: many small runs would cost more than they
/// free.
const LEAST: u64 = 16;
/// The same above [`EVICT_ALL`].
const LEAST_OF_ALL: u64 = 64;
/// The part of the limit that is not in the budget. It is for what the kernel counts besides anonymous memory: sockets,
/// tables of pages, and pages of files that are being written. It also covers what is allocated between two looks.
const RESERVE: u64 = 16;
/// What is reserved for the pages of the program that are in use, at most a part of the limit. The kernel can take the
/// others back.
const PROGRAM: (u64, u64) = (16 << 20, 8);
/// How long an operator that had nothing to move out is not asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long nothing may move while sources are stopped.
const STUCK: Duration = Duration::from_secs(10);

/// What the budget is decided by.
#[derive(Clone, Debug)]
pub struct Look {
    /// The time since the budget began.
    pub now: Duration,
    /// The anonymous memory of the process, in bytes.
    pub resident: u64,
    /// The subtasks that have state.
    pub accounts: Vec<Account>,
    /// Whether something may give memory back by itself: rows are processed, or a checkpoint is being stored.
    pub is_moving: bool,
}

/// The state of a subtask of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The bytes in memory.
    pub bytes: u64,
    /// What became of the last request to move state out.
    pub last: Asked,
}

/// What became of a request to move state out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is not carried out yet.
    Waiting,
    /// There was none, or it has freed so many bytes.
    Done(u64),
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// How many bytes each account moves out.
    pub evict: Vec<u64>,
    /// Whether sources must not read.
    pub is_stalled: bool,
    /// Whether memory is used up for good: nothing can be moved out, and nothing moves.
    pub is_exhausted: bool,
}

/// The memory of a process.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes: u64,

    is_stalled: bool,
    /// Since when nothing has moved while sources are stopped.
    stuck_since: Option<Duration>,
    /// When each account may be asked again.
    ask_at: Vec<Duration>,
    /// Whether each account has been asked and has not answered.
    is_asked: Vec<bool>,
}

impl Budget {
    /// The budget of a process that may have `limit` bytes.
    pub fn new(limit: u64) -> Self {
        let bytes = limit - limit / RESERVE - PROGRAM.0.min(limit / PROGRAM.1);
        Self { bytes, is_stalled: false, stuck_since: None, ask_at: Vec::new(), is_asked: Vec::new() }
    }

    fn level(&self, percent: u64) -> u64 {
        self.bytes / 100 * percent
    }

    /// How many bytes must go out, if any.
    pub fn excess(&self, resident: u64) -> Option<u64> {
        (resident >= self.level(EVICT)).then(|| resident - self.level(EVICT_TO))
    }

    /// How many bytes are left before something must go out.
    pub fn room(&self, resident: u64) -> u64 {
        self.level(EVICT).saturating_sub(resident)
    }

    /// The most bytes of state that each of so many readers may hold when state is restored.
    pub fn part_bytes(&self, readers: u64) -> u64 {
        // Of a part there are its rows, the ones that are read meanwhile, and the ones that wait between the two.
        (self.bytes / 4 / 3 / readers.max(1)).max(1 << 20)
    }

    /// Decides what to do.
    pub fn decide(&mut self, look: &Look) -> Decision {
        let count = look.accounts.len();
        self.ask_at.resize(count, Duration::ZERO);
        self.is_asked.resize(count, false);
        let mut has_freed = false;
        for (index, account) in look.accounts.iter().enumerate() {
            if let Asked::Done(freed) = account.last
                && std::mem::take(&mut self.is_asked[index])
            {
                has_freed |= freed > 0;
                if freed == 0 {
                    self.ask_at[index] = look.now + ASK_AGAIN;
                }
            }
        }
        let is_evicting = self.is_asked.contains(&true);
        let evict = if is_evicting { vec![0; count] } else { self.evictions(look) };
        evict.iter().zip(&mut self.is_asked).for_each(|(bytes, is_asked)| *is_asked |= *bytes > 0);
        self.is_stalled = look.resident >= self.level(if self.is_stalled { EVICT_ALL } else { STALL });
        let is_hopeless =
            self.is_stalled && !look.is_moving && !has_freed && !is_evicting && evict.iter().all(|bytes| *bytes == 0);
        let since = if is_hopeless { Some(self.stuck_since.unwrap_or(look.now)) } else { None };
        // An operator that is asked in vain does not show that something moves.
        self.stuck_since = match since {
            Some(since) => Some(since),
            None if self.is_stalled && !look.is_moving && !has_freed => self.stuck_since,
            None => None,
        };
        let is_exhausted = since.is_some_and(|since| look.now.saturating_sub(since) >= STUCK);
        Decision { evict, is_stalled: self.is_stalled, is_exhausted }
    }

    fn evictions(&self, look: &Look) -> Vec<u64> {
        let mut evict = vec![0; look.accounts.len()];
        let can_be_asked = |index: &usize| self.ask_at[*index] <= look.now;
        // A table that is full is copied into one of twice the size, within one step.
        let growth = (0..look.accounts.len()).filter(can_be_asked).map(|index| look.accounts[index].bytes).max();
        let Some(mut excess) = self.excess(look.resident + growth.unwrap_or(0)) else { return evict };
        let is_all = look.resident >= self.level(EVICT_ALL);
        let least = self.bytes / if is_all { LEAST_OF_ALL } else { LEAST };
        let mut order: Vec<usize> = (0..look.accounts.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(look.accounts[*index].bytes));
        for index in order {
            let bytes = look.accounts[index].bytes;
            if bytes < least || !can_be_asked(&index) || (excess == 0 && !is_all) {
                continue;
            }
            evict[index] = if is_all { bytes } else { bytes.min(excess) };
            excess = excess.saturating_sub(bytes);
        }
        evict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A budget of 1000 bytes.
    fn budget() -> Budget {
        let budget = Budget::new(1231);
        assert_eq!(budget.bytes, 1002);
        budget
    }

    fn look(resident: u64, state: &[u64]) -> Look {
        let account = |bytes: &u64| Account { bytes: *bytes, last: Asked::Done(0) };
        let accounts = state.iter().map(account).collect();
        Look { now: Duration::ZERO, resident, accounts, is_moving: true }
    }

    fn evict(resident: u64, state: &[u64]) -> Vec<u64> {
        budget().decide(&look(resident, state)).evict
    }

    #[test]
    fn the_largest_go_out_first_down_to_well_below_the_level() {
        assert_eq!(evict(299, &[400, 200]), [0, 0]);
        assert_eq!(evict(300, &[400, 200]), [200, 0], "the largest may double");
        assert_eq!(evict(550, &[150, 250, 20]), [50, 250, 0]);
        assert_eq!(evict(739, &[61, 10]), [0, 0], "small state is worth no run");
        assert_eq!(evict(850, &[150, 250, 20, 10]), [150, 250, 20, 0], "all that is worth it");
        assert!(evict(2000, &[]).is_empty());
    }

    #[test]
    fn nobody_is_asked_again_before_all_have_answered() {
        let mut budget = budget();
        let mut look = look(400, &[400, 300]);
        assert_eq!(budget.decide(&look).evict, [300, 0]);
        look.accounts[0].last = Asked::Waiting;
        assert_eq!(budget.decide(&look).evict, [0, 0]);
        look.accounts[0] = Account { bytes: 100, last: Asked::Done(300) };
        look.resident = 500;
        assert_eq!(budget.decide(&look).evict, [0, 300], "memory has not come back");
        look.accounts[1] = Account { bytes: 0, last: Asked::Done(300) };
        assert_eq!(budget.decide(&look).evict, [0, 0]);
    }

    #[test]
    fn who_cannot_move_state_out_is_left_alone_for_a_while() {
        let mut budget = budget();
        let mut look = look(400, &[400, 300]);
        assert_eq!(budget.decide(&look).evict, [300, 0]);
        assert_eq!(budget.decide(&look).evict, [0, 200], "the next one is asked instead");
        assert_eq!(budget.decide(&look).evict, [0, 0]);
        look.now = ASK_AGAIN;
        assert_eq!(budget.decide(&look).evict, [300, 0]);
    }

    #[test]
    fn sources_stop_until_memory_is_well_below() {
        let mut budget = budget();
        let levels = [900, 919, 920, 900, 850, 849, 900, 930].map(|resident| {
            let decision = budget.decide(&look(resident, &[]));
            assert!(!decision.is_exhausted);
            decision.is_stalled
        });
        assert_eq!(levels, [false, false, true, true, true, false, false, true]);
    }

    #[test]
    fn memory_is_used_up_when_nothing_can_go_out_and_nothing_moves() {
        let at = |budget: &mut Budget, ms: u64, change: &dyn Fn(&mut Look)| {
            let mut look = Look { now: Duration::from_millis(ms), is_moving: false, ..look(950, &[400]) };
            change(&mut look);
            budget.decide(&look)
        };
        let mut stuck = budget();
        let mut ends = Vec::new();
        for ms in (0..20_000).step_by(20) {
            // The operator is asked now and then, and never has anything.
            let decision = at(&mut stuck, ms, &|_| ());
            if decision.is_exhausted {
                ends.push(ms);
            }
        }
        let first = *ends.first().expect("it is found out");
        assert!((10_000..11_000).contains(&first), "{first}");
        let mut moving = budget();
        let mut freeing = budget();
        let mut below = budget();
        for ms in (0..60_000).step_by(20) {
            assert!(!at(&mut moving, ms, &|look| look.is_moving = ms % 5000 == 0).is_exhausted);
            let freed = Asked::Done(u64::from(ms % 9000 < 1000));
            assert!(!at(&mut freeing, ms, &|look| look.accounts[0].last = freed).is_exhausted);
            assert!(!at(&mut below, ms, &|look| look.resident = 849).is_exhausted);
        }
    }

    #[test]
    fn a_restore_has_a_quarter_of_the_budget() {
        let budget = Budget::new(256 << 20);
        assert_eq!(budget.part_bytes(1) / (1 << 20), 18);
        assert_eq!(budget.part_bytes(4) / (1 << 20), 4);
        assert_eq!(budget.part_bytes(1000), 1 << 20);
        assert_eq!(budget.excess(100 << 20), None);
        assert!(budget.excess(200 << 20).is_some_and(|excess| excess > 70 << 20));
    }
}
