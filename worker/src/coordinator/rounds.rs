//! Decides about checkpoints: when one starts, when it is complete, when it is abandoned. No I/O, no clock.
//!
//! One checkpoint is in flight at a time: barrier, then storage, then commit. The next one starts when it is committed
//! or abandoned. If a checkpoint is abandoned, the next one contains what was staged for it, and its files become
//! garbage.
//!
//! An attempt takes its first checkpoint early, and then doubles the time between checkpoints up to the interval. So a
//! job is ready, and has its first committed result, before an interval has passed. And if an attempt dies soon after
//! it has caught up with its input, that input is not read again.
//!
//! A checkpoint needs only what has changed since the latest completed one of the attempt, and a part of the rest: each
//! checkpoint the next part. All state goes into the first checkpoint of an attempt, and into savepoints.

use std::time::Duration;

use eddyline_connectors::backoff::Backoff;
use eddyline_state::snapshot::PARTS;
use eddyline_stream::{Barrier, BarrierKind, CheckpointId};

/// Time since the attempt started. A parameter everywhere: nothing here reads a clock.
pub type Now = Duration;

/// How checkpoints are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The time between two checkpoints. `None`: only on request and at the end.
    pub interval: Option<Duration>,
    /// The time from the start to the first checkpoint, if the interval is longer. [`Duration::MAX`]: the interval.
    pub first_after: Duration,
    /// How long a checkpoint may take, from its barrier until it is committed.
    pub timeout: Duration,
    /// The number of tasks that have to acknowledge.
    pub tasks: usize,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A savepoint was requested.
    SavepointRequested {
        /// Whether the job stops with it.
        stop: bool,
    },
    /// A stop was canceled.
    StopCanceled {
        /// Whether somebody still waits for a savepoint.
        savepoint: bool,
    },
    /// A task has sent its last element.
    TaskEnded,
    /// A task has acknowledged a barrier.
    Acknowledged(CheckpointId),
    /// A checkpoint is stored: its control record exists.
    Stored(CheckpointId),
    /// A checkpoint could not be stored.
    StoreFailed(CheckpointId),
    /// The staged output of a checkpoint is visible.
    Committed(CheckpointId),
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Have all sources send this barrier.
    Trigger(Barrier),
    /// All tasks have acknowledged: store the checkpoint.
    Store(Barrier),
    /// The checkpoint is stored: commit what sinks have staged.
    Commit(CheckpointId),
    /// The checkpoint is abandoned: keep what was staged for the next one.
    Abandon(CheckpointId),
    /// The checkpoint has reached the timeout and is still being stored or committed.
    Overdue(CheckpointId),
    /// The job has been stopped with a savepoint.
    Stopped(CheckpointId),
    /// All input has been read and everything is committed.
    Finished(CheckpointId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Aligning { barrier: Barrier, since: Now, acknowledged: usize },
    Storing { barrier: Barrier, since: Now },
    Committing { barrier: Barrier, since: Now },
    Over,
}

/// The state of an attempt's checkpoints.
#[derive(Clone, Debug)]
pub struct Rounds {
    config: Config,

    phase: Phase,
    next: CheckpointId,
    /// The latest completed checkpoint of the attempt.
    completed: Option<CheckpointId>,
    /// The part of the state that the next checkpoint has in any case.
    part: u8,
    last_started: Now,
    not_before: Now,
    /// The waits after failed checkpoints in a row. Storage that fails at once, such as a full disk, must not be tried
    /// hundreds of times a second.
    pause: Backoff,
    savepoint: Option<BarrierKind>,
    tasks_ended: usize,
    failures: u32,
    /// The barrier in flight was sent after all tasks had ended.
    is_last: bool,
}

impl Rounds {
    /// The state of an attempt that starts now, after the checkpoint `last`.
    pub fn new(config: Config, last: CheckpointId) -> Self {
        Self {
            config,
            phase: Phase::Waiting,
            next: last.next(),
            completed: None,
            part: 0,
            last_started: Duration::ZERO,
            not_before: Duration::ZERO,
            pause: Backoff::new(),
            savepoint: None,
            tasks_ended: 0,
            failures: 0,
            is_last: false,
        }
    }

    /// The number of checkpoints in a row that were abandoned.
    pub fn consecutive_failures(&self) -> u32 {
        self.failures
    }

    /// The checkpoint in flight, if any.
    pub fn in_flight(&self) -> Option<CheckpointId> {
        match self.phase {
            Phase::Aligning { barrier, .. } | Phase::Storing { barrier, .. } | Phase::Committing { barrier, .. } => {
                Some(barrier.checkpoint)
            }
            Phase::Waiting | Phase::Over => None,
        }
    }

    /// Decides what to do after an event. Nothing else decides about checkpoints.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Command> {
        let mut commands = Vec::new();
        match (event, self.phase) {
            (Event::SavepointRequested { stop }, _) => self.ask(stop),
            (Event::StopCanceled { savepoint }, _) => self.cancel_stop(savepoint),
            (Event::TaskEnded, _) => self.tasks_ended += 1,
            (Event::Acknowledged(checkpoint), Phase::Aligning { barrier, since, acknowledged })
                if checkpoint == barrier.checkpoint =>
            {
                let acknowledged = acknowledged + 1;
                if acknowledged == self.config.tasks {
                    self.phase = Phase::Storing { barrier, since };
                    commands.push(Command::Store(barrier));
                } else {
                    self.phase = Phase::Aligning { barrier, since, acknowledged };
                }
            }
            (Event::Stored(checkpoint), Phase::Storing { barrier, since }) if checkpoint == barrier.checkpoint => {
                self.failures = 0;
                self.pause = Backoff::new();
                self.completed = Some(checkpoint);
                self.part = (self.part + 1) % PARTS;
                self.phase = Phase::Committing { barrier, since };
                commands.push(Command::Commit(checkpoint));
            }
            (Event::StoreFailed(checkpoint), Phase::Storing { barrier, .. }) if checkpoint == barrier.checkpoint => {
                self.abandon(barrier, &mut commands);
                self.not_before = now + self.pause.wait();
            }
            (Event::Committed(checkpoint), Phase::Committing { barrier, .. }) if checkpoint == barrier.checkpoint => {
                self.failures = 0;
                self.phase = Phase::Waiting;
                if barrier.kind == (BarrierKind::Savepoint { stop: true }) {
                    self.phase = Phase::Over;
                    commands.push(Command::Stopped(checkpoint));
                } else if self.is_last {
                    self.phase = Phase::Over;
                    commands.push(Command::Finished(checkpoint));
                }
            }
            (Event::Tick, Phase::Aligning { barrier, since, .. }) if now >= since + self.config.timeout => {
                self.abandon(barrier, &mut commands);
            }
            // What is staged and written cannot be undone, so this is only reported, once for each timeout that has
            // passed.
            (Event::Tick, Phase::Storing { barrier, since }) if now >= since + self.config.timeout => {
                self.failures += 1;
                self.phase = Phase::Storing { barrier, since: now };
                commands.push(Command::Overdue(barrier.checkpoint));
            }
            (Event::Tick, Phase::Committing { barrier, since }) if now >= since + self.config.timeout => {
                self.failures += 1;
                self.phase = Phase::Committing { barrier, since: now };
                commands.push(Command::Overdue(barrier.checkpoint));
            }
            _ => {}
        }
        self.start(now, &mut commands);
        commands
    }

    /// Has the next barrier take a savepoint. A request without a stop does not cancel an earlier stop.
    fn ask(&mut self, stop: bool) {
        let stop = stop || self.savepoint == Some(BarrierKind::Savepoint { stop: true });
        self.savepoint = Some(BarrierKind::Savepoint { stop });
    }

    /// Turns a stop that is in flight or requested into an ordinary checkpoint or savepoint.
    fn cancel_stop(&mut self, savepoint: bool) {
        let stop = BarrierKind::Savepoint { stop: true };
        if self.savepoint == Some(stop) {
            self.savepoint = savepoint.then_some(BarrierKind::Savepoint { stop: false });
        }
        if let Phase::Aligning { barrier, .. } | Phase::Storing { barrier, .. } | Phase::Committing { barrier, .. } =
            &mut self.phase
            && barrier.kind == stop
        {
            barrier.kind = if savepoint { BarrierKind::Savepoint { stop: false } } else { BarrierKind::Checkpoint };
        }
    }

    fn abandon(&mut self, barrier: Barrier, commands: &mut Vec<Command>) {
        self.failures += 1;
        self.phase = Phase::Waiting;
        if barrier.kind != BarrierKind::Checkpoint {
            // The savepoint was requested: the next barrier takes it.
            self.ask(barrier.kind == BarrierKind::Savepoint { stop: true });
        }
        commands.push(Command::Abandon(barrier.checkpoint));
    }

    fn start(&mut self, now: Now, commands: &mut Vec<Command>) {
        if self.phase != Phase::Waiting || now < self.not_before {
            return;
        }
        let all_ended = self.tasks_ended >= self.config.tasks;
        let due = self.config.interval.is_some_and(|interval| {
            let pause = interval.min(self.config.first_after.max(self.last_started));
            now >= self.last_started + pause
        });
        let kind = match self.savepoint.take() {
            Some(kind) => kind,
            None if all_ended || due => BarrierKind::Checkpoint,
            None => return,
        };
        let since = self.completed.filter(|_| kind == BarrierKind::Checkpoint);
        let barrier = Barrier { checkpoint: self.next, kind, since, part: self.part };
        self.next = self.next.next();
        self.last_started = now;
        self.is_last = all_ended;
        self.phase = Phase::Aligning { barrier, since: now, acknowledged: 0 };
        commands.push(Command::Trigger(barrier));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rounds(tasks: usize) -> Rounds {
        let config = Config { interval: Some(10 * SECOND), first_after: Duration::MAX, timeout: 60 * SECOND, tasks };
        Rounds::new(config, CheckpointId::NONE)
    }

    fn id(number: u64) -> CheckpointId {
        CheckpointId::new(number)
    }

    fn barrier(number: u64, kind: BarrierKind) -> Barrier {
        Barrier::of_all_state(id(number), kind)
    }

    /// A checkpoint that builds on the one before it.
    fn following(number: u64, completed: u8) -> Barrier {
        let kind = BarrierKind::Checkpoint;
        Barrier { checkpoint: id(number), kind, since: Some(id(number - 1)), part: completed }
    }

    #[test]
    fn a_checkpoint_is_stored_when_all_tasks_have_acknowledged_and_then_committed() {
        let mut rounds = rounds(2);
        assert_eq!(rounds.step(Event::Tick, 9 * SECOND), []);
        let first = barrier(1, BarrierKind::Checkpoint);
        assert_eq!(rounds.step(Event::Tick, 10 * SECOND), [Command::Trigger(first)]);
        assert_eq!(rounds.step(Event::Acknowledged(id(1)), 11 * SECOND), []);
        assert_eq!(rounds.step(Event::Acknowledged(id(1)), 11 * SECOND), [Command::Store(first)]);
        assert_eq!(rounds.step(Event::Tick, 21 * SECOND), [], "one at a time");
        assert_eq!(rounds.step(Event::Stored(id(1)), 21 * SECOND), [Command::Commit(id(1))]);
        assert_eq!(rounds.step(Event::Committed(id(1)), 22 * SECOND), [Command::Trigger(following(2, 1))]);
    }

    #[test]
    fn the_first_checkpoints_come_early_and_their_distance_doubles_up_to_the_interval() {
        let mut rounds = rounds(1);
        rounds.config.first_after = SECOND;
        let mut triggered = Vec::new();
        for second in 0..=40 {
            if rounds.step(Event::Tick, second * SECOND).is_empty() {
                continue;
            }
            triggered.push(second);
            let current = rounds.in_flight().expect("a checkpoint is in flight");
            for event in [Event::Acknowledged(current), Event::Stored(current), Event::Committed(current)] {
                rounds.step(event, second * SECOND);
            }
        }
        assert_eq!(triggered, [1, 2, 4, 8, 16, 26, 36]);
    }

    #[test]
    fn an_alignment_that_takes_too_long_is_abandoned_and_its_late_acknowledgements_do_not_count() {
        let mut rounds = rounds(2);
        rounds.step(Event::Tick, 10 * SECOND);
        rounds.step(Event::Acknowledged(id(1)), 10 * SECOND);
        let second = barrier(2, BarrierKind::Checkpoint);
        assert_eq!(rounds.step(Event::Tick, 70 * SECOND), [Command::Abandon(id(1)), Command::Trigger(second)]);
        assert_eq!(rounds.consecutive_failures(), 1);
        assert_eq!(rounds.step(Event::Acknowledged(id(1)), 71 * SECOND), []);
        assert_eq!(rounds.step(Event::Acknowledged(id(2)), 71 * SECOND), []);
        assert_eq!(rounds.step(Event::Acknowledged(id(2)), 71 * SECOND), [Command::Store(second)]);
    }

    #[test]
    fn the_job_finishes_with_a_last_checkpoint_after_all_tasks_have_ended() {
        let mut rounds = rounds(1);
        let last = barrier(1, BarrierKind::Checkpoint);
        assert_eq!(rounds.step(Event::TaskEnded, SECOND), [Command::Trigger(last)]);
        rounds.step(Event::Acknowledged(id(1)), SECOND);
        rounds.step(Event::Stored(id(1)), SECOND);
        assert_eq!(rounds.step(Event::Committed(id(1)), SECOND), [Command::Finished(id(1))]);
        assert_eq!(rounds.step(Event::Tick, 100 * SECOND), [], "nothing follows the end");
    }

    #[test]
    fn a_checkpoint_that_was_on_its_way_when_the_input_ended_is_not_the_last_one() {
        let mut rounds = rounds(1);
        rounds.step(Event::Tick, 10 * SECOND);
        assert_eq!(rounds.step(Event::TaskEnded, 10 * SECOND), []);
        rounds.step(Event::Acknowledged(id(1)), 10 * SECOND);
        rounds.step(Event::Stored(id(1)), 10 * SECOND);
        assert_eq!(rounds.step(Event::Committed(id(1)), 10 * SECOND), [Command::Trigger(following(2, 1))]);
    }

    #[test]
    fn a_checkpoint_builds_on_the_latest_complete_one_and_takes_the_next_part() {
        let mut rounds = rounds(1);
        let mut sent = Vec::new();
        // What happens to the checkpoints in turn.
        for outcome in [false, true, false, false, true, true, true, true, true, true, true, true] {
            let started = rounds.last_started + 70 * SECOND;
            let Some(Command::Trigger(barrier)) = rounds.step(Event::Tick, started).pop() else { panic!("it is due") };
            sent.push((barrier.checkpoint.number(), barrier.since.map(CheckpointId::number), barrier.part));
            rounds.step(Event::Acknowledged(barrier.checkpoint), started);
            if outcome {
                rounds.step(Event::Stored(barrier.checkpoint), started);
                rounds.step(Event::Committed(barrier.checkpoint), started);
            } else {
                rounds.step(Event::StoreFailed(barrier.checkpoint), started);
            }
        }
        let built_on = [(1, None, 0), (2, None, 0), (3, Some(2), 1), (4, Some(2), 1), (5, Some(2), 1), (6, Some(5), 2)];
        assert_eq!(sent[..6], built_on);
        assert_eq!(sent[10..], [(11, Some(10), 7), (12, Some(11), 0)]);
        for stop in [false, true] {
            let mut rounds = rounds.clone();
            let commands = rounds.step(Event::SavepointRequested { stop }, rounds.last_started);
            let savepoint = Barrier { part: 1, ..barrier(13, BarrierKind::Savepoint { stop }) };
            assert_eq!(commands, [Command::Trigger(savepoint)], "a savepoint has all state");
        }
    }

    #[test]
    fn a_savepoint_that_stops_is_tried_again_when_storing_it_failed() {
        let mut rounds = rounds(1);
        let stop = BarrierKind::Savepoint { stop: true };
        assert_eq!(rounds.step(Event::SavepointRequested { stop: true }, SECOND), [Command::Trigger(barrier(1, stop))]);
        rounds.step(Event::Acknowledged(id(1)), SECOND);
        assert_eq!(rounds.step(Event::StoreFailed(id(1)), SECOND), [Command::Abandon(id(1))]);
        assert_eq!(rounds.step(Event::Tick, SECOND + Backoff::new().wait()), [Command::Trigger(barrier(2, stop))]);
    }

    #[test]
    fn a_stop_that_is_tried_again_is_not_weakened_by_a_savepoint_that_was_asked_for_meanwhile() {
        let mut rounds = rounds(1);
        let stop = BarrierKind::Savepoint { stop: true };
        rounds.step(Event::SavepointRequested { stop: true }, SECOND);
        assert_eq!(rounds.step(Event::SavepointRequested { stop: false }, SECOND), []);
        rounds.step(Event::Acknowledged(id(1)), SECOND);
        assert_eq!(rounds.step(Event::StoreFailed(id(1)), SECOND), [Command::Abandon(id(1))]);
        assert_eq!(rounds.step(Event::Tick, SECOND + Backoff::new().wait()), [Command::Trigger(barrier(2, stop))]);
    }

    #[test]
    fn a_canceled_stop_leaves_a_checkpoint_like_any_other() {
        let resumed = Event::StopCanceled { savepoint: false };
        for (events, commits) in [
            (vec![resumed, Event::Acknowledged(id(1)), Event::Stored(id(1)), Event::Committed(id(1))], 1),
            (vec![Event::Acknowledged(id(1)), resumed, Event::Stored(id(1)), Event::Committed(id(1))], 1),
            (vec![Event::Acknowledged(id(1)), Event::Stored(id(1)), resumed, Event::Committed(id(1))], 1),
            (vec![Event::Acknowledged(id(1)), resumed, Event::StoreFailed(id(1))], 0),
        ] {
            let mut rounds = rounds(1);
            rounds.step(Event::SavepointRequested { stop: true }, SECOND);
            let commands: Vec<Command> = events.into_iter().flat_map(|event| rounds.step(event, SECOND)).collect();
            assert!(!commands.contains(&Command::Stopped(id(1))), "{commands:?}");
            assert_eq!(commands.iter().filter(|command| matches!(command, Command::Commit(_))).count(), commits);
            assert_eq!(rounds.in_flight(), None);
            assert_eq!(rounds.step(Event::Tick, 2 * SECOND), [], "no request is left");
        }
        let mut rounds = rounds(1);
        rounds.step(Event::SavepointRequested { stop: true }, SECOND);
        rounds.step(Event::StopCanceled { savepoint: true }, SECOND);
        let kept = barrier(1, BarrierKind::Savepoint { stop: false });
        assert_eq!(rounds.step(Event::Acknowledged(id(1)), SECOND), [Command::Store(kept)]);
    }

    #[test]
    fn what_is_stored_or_committed_for_too_long_is_reported_and_counts_as_failed_until_it_is_done() {
        let mut rounds = rounds(1);
        rounds.step(Event::Tick, 10 * SECOND);
        rounds.step(Event::Acknowledged(id(1)), 11 * SECOND);
        assert_eq!(rounds.step(Event::Tick, 69 * SECOND), []);
        assert_eq!(rounds.step(Event::Tick, 70 * SECOND), [Command::Overdue(id(1))]);
        assert_eq!(rounds.step(Event::Tick, 71 * SECOND), []);
        assert_eq!(rounds.step(Event::Tick, 130 * SECOND), [Command::Overdue(id(1))]);
        assert_eq!(rounds.consecutive_failures(), 2);
        assert_eq!(rounds.step(Event::Stored(id(1)), 131 * SECOND), [Command::Commit(id(1))]);
        assert_eq!(rounds.step(Event::Tick, 190 * SECOND), [Command::Overdue(id(1))]);
        assert_eq!(rounds.consecutive_failures(), 1);
        rounds.step(Event::Committed(id(1)), 191 * SECOND);
        assert_eq!(rounds.consecutive_failures(), 0);
    }

    #[test]
    fn storage_that_fails_at_once_is_asked_less_and_less_often() {
        let mut rounds = rounds(1);
        rounds.step(Event::TaskEnded, Duration::ZERO);
        let (mut now, mut tried) = (Duration::ZERO, Vec::new());
        while now < 40 * SECOND {
            if let Some(current) = rounds.in_flight() {
                tried.push(now.as_millis());
                rounds.step(Event::Acknowledged(current), now);
                rounds.step(Event::StoreFailed(current), now);
            }
            now += Duration::from_millis(100);
            rounds.step(Event::Tick, now);
        }
        assert_eq!(tried, [0, 100, 300, 700, 1_500, 3_100, 6_300, 12_700, 22_700, 32_700]);
    }

    /// Walks every order of events over a few rounds: a commit only ever follows the storing of the same checkpoint,
    /// ids only grow, nothing is triggered while another is in flight, and what a barrier builds on is complete.
    #[test]
    fn every_order_of_events_keeps_the_protocol() {
        let start = (rounds(2), 0u64, Vec::<Command>::new(), 0u32);
        let mut queue = VecDeque::from([start]);
        let mut explored = 0;
        while let Some((rounds, seconds, history, depth)) = queue.pop_front() {
            explored += 1;
            let stored: Vec<_> = history
                .iter()
                .filter_map(|c| if let Command::Store(b) = c { Some(b.checkpoint) } else { None })
                .collect();
            let triggered: Vec<_> = history
                .iter()
                .filter_map(|c| if let Command::Trigger(b) = c { Some(b.checkpoint) } else { None })
                .collect();
            assert!(triggered.is_sorted_by(|a, b| a < b), "{history:?}");
            let mut complete = Vec::new();
            for command in &history {
                match command {
                    Command::Commit(checkpoint) => complete.push(*checkpoint),
                    Command::Trigger(barrier) => {
                        let latest = complete.last().copied().filter(|_| barrier.kind == BarrierKind::Checkpoint);
                        assert_eq!(
                            (barrier.since, usize::from(barrier.part)),
                            (latest, complete.len() % 8),
                            "{history:?}"
                        );
                    }
                    _ => {}
                }
            }
            for command in &history {
                if let Command::Commit(checkpoint) = command {
                    assert!(stored.contains(checkpoint), "{history:?}");
                }
            }
            let ended = triggered.len() - history.iter().filter(|c| matches!(c, Command::Abandon(_))).count();
            let open = usize::from(rounds.in_flight().is_some());
            let committed = history.iter().filter(|c| matches!(c, Command::Commit(_))).count();
            assert!(ended <= committed + open, "two in flight: {history:?}");
            if depth == 7 {
                continue;
            }
            let current = rounds.in_flight().unwrap_or(CheckpointId::NONE);
            for event in [
                Event::Tick,
                Event::SavepointRequested { stop: true },
                Event::TaskEnded,
                Event::Acknowledged(current),
                Event::Acknowledged(id(1)),
                Event::Stored(current),
                Event::StoreFailed(current),
                Event::Committed(current),
            ] {
                let mut next = rounds.clone();
                let seconds = if event == Event::Tick { seconds + 61 } else { seconds };
                let commands = next.step(event, Duration::from_secs(seconds));
                let mut history = history.clone();
                history.extend(commands);
                if !history.is_empty() || depth < 2 {
                    queue.push_back((next, seconds, history, depth + 1));
                }
            }
        }
        assert!(explored > 10_000, "{explored}");
    }
}
