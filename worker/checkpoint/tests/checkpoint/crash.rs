//! The process dies or storage fails at each request in turn. Completed checkpoints stay readable and complete.

use eddyline_checkpoint::storage::{Fault, Memory};
use eddyline_checkpoint::{Error, Writer};
use eddyline_stream::{Assignment, CheckpointId};

use crate::states::{self, assert_restores, checkpoint, contents, groups, sample, start};

/// A state that is too large for a manifest, so it has a run file.
fn large(seed: i64) -> states::Keys {
    let mut keys = sample(seed);
    keys.insert(("windows".into(), "sums".into(), 7), (seed..seed + 6000).collect());
    keys
}

async fn write(writer: &Writer, number: u64) -> Result<(), Error> {
    let seed = i64::try_from(number).expect("small");
    writer.write(checkpoint(number), contents(&large(seed), &Assignment::even(groups(), 2))).await?;
    writer.mark_committed(checkpoint(number)).await?;
    writer.collect_garbage().await?;
    Ok(())
}

/// The range of requests of a second attempt that writes checkpoints 3 to 5 after two completed ones.
async fn scenario() -> (Memory, u64, u64) {
    let memory = Memory::new();
    let writer = start(&memory).await.writer;
    for number in 1..=2 {
        write(&writer, number).await.expect("no faults yet");
    }
    let whole = memory.copy();
    let writer = start(&memory).await.writer;
    let before = memory.requests();
    for number in 3..=5 {
        write(&writer, number).await.expect("no faults yet");
    }
    drop(writer);
    let first = {
        let counted = whole.copy();
        start(&counted).await;
        counted.requests()
    };
    (whole, first, first + memory.requests() - before)
}

/// Runs the scenario's second attempt with a fault. Returns the number of the last checkpoint that was reported
/// complete, and the result of the attempt.
async fn run(memory: &Memory, request: u64, fault: Fault) -> (u64, Result<(), Error>) {
    memory.plan(request, fault);
    let mut last = 2;
    let writer = match states::store(memory).start_attempt(states::identity()).await {
        Ok(started) => started.writer,
        Err(error) => return (last, Err(error)),
    };
    let mut outcome = Ok(());
    for number in 3..=5 {
        let seed = i64::try_from(number).expect("small");
        match writer.write(checkpoint(number), contents(&large(seed), &Assignment::even(groups(), 2))).await {
            Ok(_) => last = number,
            Err(error) if error.ends_attempt() => return (last, Err(error)),
            Err(error) => {
                outcome = Err(error);
                continue;
            }
        }
        if let Err(error) = writer.mark_committed(checkpoint(number)).await {
            return (last, Err(error));
        }
        if let Err(error) = writer.collect_garbage().await {
            outcome = Err(error);
        }
    }
    (last, outcome)
}

async fn assert_recovers(memory: &Memory, reported: u64, what: &str) -> CheckpointId {
    let started =
        states::store(memory).start_attempt(states::identity()).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let handle = started.latest.unwrap_or_else(|| panic!("{what}: no checkpoint"));
    assert!(handle.id().number() >= reported, "{what}: {} is lost, {} is the latest", reported, handle.id());
    assert_restores(&handle, &large(i64::try_from(handle.id().number()).expect("small"))).await;
    handle.id()
}

#[tokio::test]
async fn dying_at_any_request_leaves_the_last_complete_checkpoint() {
    let (whole, _, requests) = scenario().await;
    assert!(requests > 20, "{requests} requests: a scenario with every step");
    let mut seen = std::collections::BTreeSet::new();
    for request in 0..requests {
        let memory = whole.copy();
        let (reported, outcome) = run(&memory, request, Fault::Dead).await;
        assert!(outcome.is_err(), "request {request} fails");
        seen.insert(assert_recovers(&memory.copy(), reported, &format!("dead at request {request}")).await);
    }
    assert_eq!(seen.len(), 4, "deaths before each checkpoint and after the last");
}

#[tokio::test]
async fn a_single_fault_never_loses_a_complete_checkpoint_nor_reports_a_false_one() {
    let (whole, _, requests) = scenario().await;
    for fault in [Fault::Before, Fault::After, Fault::Conflict] {
        for request in 0..requests {
            let memory = whole.copy();
            let (reported, outcome) = run(&memory, request, fault).await;
            let what = format!("{fault:?} at request {request}, {outcome:?}");
            let latest = assert_recovers(&memory.copy(), reported, &what).await;
            let known = !matches!(outcome, Err(Error::Unresolved { .. }));
            assert!(!known || latest.number() == reported, "{what}: {latest} is complete, {reported} was reported");
        }
    }
}
