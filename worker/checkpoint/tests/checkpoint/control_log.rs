//! A model check of the control log. It explores everything that can happen with two leaders that start repeatedly,
//! requests and answers that are lost or late, conflicts, and the deletion of old records while a writer sleeps.
//!
//! The number of records that are never deleted is 2 here instead of 64. Only that it is finite and not 0 matters.

use std::collections::BTreeMap;

use eddyline_checkpoint::control::{Action, Append, Event, RecordId};
use stateright::{Checker, Model, Property};

const KEEP: u64 = 2;
const LEADERS: usize = 2;

/// A record, and the record that its writer believed to be before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Written {
    sequence: u64,
    nonce: u128,
    leader_epoch: u64,
    parent: u128,
    takes_over: bool,
}

impl Written {
    fn id(self) -> RecordId {
        let Written { sequence, nonce, leader_epoch, .. } = self;
        RecordId { sequence, nonce, leader_epoch, attempt: leader_epoch }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Has not started. It will look for the newest record and take over.
    Idle,
    /// Leads. Its head is the last record that it knows to be part of the log.
    Leading(Written),
    /// Appends a record.
    Appending {
        machine: Append,
        record: Written,
        action: Action,
    },
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The records in the store.
    log: BTreeMap<u64, Written>,
    /// Every record that was created at the end of the log, in order.
    history: Vec<Written>,
    leaders: Vec<Phase>,
    /// Creates in flight whose writer has stopped waiting.
    late: Vec<Written>,
    /// Records that their writers believe to be part of the log.
    believed: Vec<Written>,
    next_nonce: u128,
    faults: u32,
    /// Whether a leader has found a record of its own epoch that it has not written.
    is_broken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Start(usize),
    Append(usize),
    /// The next action of a leader, and its outcome.
    Act(usize, Fate),
    /// A create whose writer has stopped waiting arrives.
    Arrive(usize),
    /// A leader that does not know the outcome appends the same record again, from the beginning.
    Again(usize),
    /// A leader removes old records.
    Collect(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// The request has no effect.
    Lost,
    /// The request takes effect, and its answer is lost.
    AnswerLost,
    /// The request is still in flight when the writer stops waiting.
    Late,
    /// The request is refused as a conflict and has no effect.
    Conflict,
}

struct Log {
    records_max: u64,
    faults_max: u32,
}

impl State {
    fn create(&mut self, record: Written) -> bool {
        if self.log.contains_key(&record.sequence) {
            return false;
        }
        if self.history.last().map_or(1, |last| last.sequence + 1) == record.sequence {
            self.history.push(record);
        }
        self.log.insert(record.sequence, record);
        true
    }

    fn begin(&mut self, leader: usize, before: Option<Written>, leader_epoch: u64) {
        self.next_nonce += 1;
        let record = Written {
            sequence: before.map_or(0, |before| before.sequence) + 1,
            nonce: self.next_nonce,
            leader_epoch,
            parent: before.map_or(0, |before| before.nonce),
            takes_over: before.is_none_or(|before| before.leader_epoch != leader_epoch),
        };
        let machine = Append::new(record.id());
        self.leaders[leader] = Phase::Appending { machine, record, action: Action::Create };
    }

    fn act(&mut self, leader: usize, fate: Fate) {
        let Phase::Appending { mut machine, record, action } = self.leaders[leader].clone() else { return };
        if fate != Fate::Answered {
            self.faults += 1;
        }
        let event = match (action, fate) {
            (Action::Create, Fate::Answered) => {
                if self.create(record) {
                    Event::Created
                } else {
                    Event::Refused
                }
            }
            (Action::Create, Fate::AnswerLost) => {
                self.create(record);
                Event::Unanswered
            }
            (Action::Create, Fate::Late) => {
                self.late.push(record);
                Event::Unanswered
            }
            (Action::Create, Fate::Conflict) => Event::Refused,
            (Action::Create, Fate::Lost) => Event::Unanswered,
            (Action::ReadBack, Fate::Answered) => Event::Read(self.log.get(&record.sequence).map(|found| found.id())),
            (Action::ReadBack, _) => Event::ReadUnanswered,
            (_, Fate::Answered) => {
                let newest = self.log.last_key_value().map(|(_, found)| *found);
                Event::Beyond(newest.filter(|found| found.sequence > record.sequence).map(Written::id))
            }
            (_, _) => Event::BeyondUnanswered,
        };
        let next = machine.step(event);
        self.leaders[leader] = match next {
            Action::Done => {
                self.believed.push(record);
                Phase::Leading(record)
            }
            Action::Fenced(by) => {
                self.is_broken |= by.leader_epoch == record.leader_epoch && !record.takes_over;
                Phase::Stopped
            }
            Action::Unresolved => Phase::Stopped,
            action => Phase::Appending { machine, record, action },
        };
    }
}

impl Model for Log {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            log: BTreeMap::new(),
            history: Vec::new(),
            leaders: vec![Phase::Idle; LEADERS],
            late: Vec::new(),
            believed: Vec::new(),
            next_nonce: 0,
            faults: 0,
            is_broken: false,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let may_write = state.next_nonce < u128::from(self.records_max);
        for (leader, phase) in state.leaders.iter().enumerate() {
            match phase {
                Phase::Idle | Phase::Stopped if may_write => steps.push(Step::Start(leader)),
                Phase::Leading(_) => {
                    if may_write {
                        steps.push(Step::Append(leader));
                        // The leader dies and starts again as a new one.
                        steps.push(Step::Start(leader));
                    }
                    steps.push(Step::Collect(leader));
                }
                Phase::Appending { action, .. } => {
                    // This is possible at any moment, and not only when a record is unresolved: to reach that state
                    // takes more faults than the model can explore.
                    steps.push(Step::Again(leader));
                    steps.push(Step::Act(leader, Fate::Answered));
                    if state.faults < self.faults_max {
                        steps.push(Step::Act(leader, Fate::Lost));
                        if *action == Action::Create {
                            steps.extend(
                                [Fate::AnswerLost, Fate::Late, Fate::Conflict].map(|fate| Step::Act(leader, fate)),
                            );
                        }
                    }
                }
                _ => {}
            }
        }
        steps.extend((0..state.late.len()).map(Step::Arrive));
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        match step {
            Step::Start(leader) => {
                let newest = state.log.last_key_value().map(|(_, record)| *record);
                state.begin(leader, newest, newest.map_or(0, |newest| newest.leader_epoch) + 1);
            }
            Step::Append(leader) => {
                let Phase::Leading(head) = state.leaders[leader] else { return None };
                state.begin(leader, Some(head), head.leader_epoch);
            }
            Step::Act(leader, fate) => state.act(leader, fate),
            Step::Again(leader) => {
                let Phase::Appending { record, .. } = state.leaders[leader] else { return None };
                let machine = Append::new(record.id());
                state.leaders[leader] = Phase::Appending { machine, record, action: Action::Create };
            }
            Step::Arrive(index) => {
                let record = state.late.remove(index);
                state.create(record);
            }
            Step::Collect(leader) => {
                let Phase::Leading(head) = state.leaders[leader] else { return None };
                let bound = head.sequence.saturating_sub(KEEP);
                state.log.retain(|sequence, _| *sequence >= bound);
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no false success", |_, state: &State| {
                state.believed.iter().all(|record| state.history.contains(record))
            }),
            Property::always("one history", |_, state: &State| {
                let follows =
                    |pair: &[Written]| pair[1].parent == pair[0].nonce && pair[1].leader_epoch >= pair[0].leader_epoch;
                state.history.windows(2).all(follows)
            }),
            Property::always("the newest record is never deleted", |_, state: &State| {
                let newest = state.log.last_key_value().map(|(_, record)| record);
                newest == state.history.last()
            }),
            Property::always("no leader meets its own epoch", |_, state: &State| !state.is_broken),
            Property::sometimes("a leader is fenced off", |_, state: &State| {
                state.leaders.contains(&Phase::Stopped) && state.believed.len() > 2
            }),
            Property::sometimes("a number is created again behind the log", |_, state: &State| {
                state.log.values().any(|record| !state.history.contains(record))
            }),
        ]
    }
}

#[test]
fn there_is_one_history_and_no_false_success() {
    let checker = Log { records_max: 5, faults_max: 2 }.checker().spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}
