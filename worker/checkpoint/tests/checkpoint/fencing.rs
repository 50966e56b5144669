//! Only the newest attempt can complete checkpoints.

use eddyline_checkpoint::storage::{Fault, Memory};
use eddyline_checkpoint::{Error, JobIdentity};
use eddyline_stream::{Assignment, Attempt, MaxParallelism};

use crate::states::{self, checkpoint, contents, groups, sample, start};

fn two_slots() -> Assignment {
    Assignment::even(groups(), 2)
}

#[tokio::test]
async fn an_older_attempt_is_fenced_off_by_name() {
    let memory = Memory::new();
    let old = start(&memory).await;
    old.writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await.expect("written");
    let new = start(&memory).await;
    assert_eq!((old.attempt, new.attempt), (Attempt::new(1), Attempt::new(2)));
    let error = old.writer.write(checkpoint(2), contents(&sample(2), &two_slots())).await.expect_err("fenced");
    assert_eq!(error.to_string(), "attempt 1 of job orders is fenced off: attempt 2 has taken over");
    assert!(error.ends_attempt() && !error.is_retryable());
    // No later request of this attempt succeeds either.
    assert!(matches!(old.writer.mark_committed(checkpoint(1)).await, Err(Error::Fenced { .. })));
    assert!(matches!(old.writer.collect_garbage().await, Err(Error::Fenced { .. })));
    new.writer.write(checkpoint(2), contents(&sample(7), &two_slots())).await.expect("written");
    let latest = states::store(&memory).latest().await.expect("read").expect("a checkpoint");
    assert_eq!(latest.attempt(), Attempt::new(2));
    states::assert_restores(&latest, &sample(7)).await;
}

#[tokio::test]
async fn a_writer_that_slept_through_the_deletion_of_old_records_does_not_succeed() {
    let memory = Memory::new();
    let old = start(&memory).await;
    old.writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await.expect("written");
    let new = start(&memory).await;
    for number in 2..=90 {
        new.writer.write(checkpoint(number), contents(&sample(2), &two_slots())).await.expect("written");
    }
    new.writer.mark_committed(checkpoint(90)).await.expect("noted");
    new.writer.write(checkpoint(91), contents(&sample(2), &two_slots())).await.expect("written");
    let collected = new.writer.collect_garbage().await.expect("collected");
    assert!(collected.records > 10, "{collected:?}");
    assert_eq!(memory.peek("orders/control/00000000000000000003"), None, "the number is free again");
    let error = old.writer.write(checkpoint(2), contents(&sample(3), &two_slots())).await.expect_err("fenced");
    assert!(matches!(error, Error::Fenced { other, .. } if other == Attempt::new(2)), "{error}");
    let latest = states::store(&memory).latest().await.expect("read").expect("a checkpoint");
    assert_eq!(latest.id(), checkpoint(91));
}

#[tokio::test]
async fn a_folder_that_is_emptied_under_an_attempt_ends_it_and_whatever_follows_in_the_process() {
    let memory = Memory::new();
    let store = states::store(&memory);
    let started = store.start_attempt(states::identity()).await.expect("started");
    started.writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await.expect("written");
    let empty = || memory.names().iter().for_each(|name| memory.remove(name));
    empty();
    let error = started.writer.write(checkpoint(2), contents(&sample(2), &two_slots())).await.expect_err("vanished");
    assert!(matches!(error, Error::Vanished { .. }) && error.ends_attempt() && !error.is_retryable(), "{error}");
    assert!(error.to_string().contains("the checkpoints of job orders in memory:/orders have vanished"), "{error}");
    empty();
    // This process must not treat the job as one that has never run. Another process cannot know.
    let error = store.start_attempt(states::identity()).await.expect_err("vanished");
    assert!(matches!(error, Error::Vanished { .. }), "{error}");
    assert_eq!(start(&memory).await.attempt, Attempt::new(1));
}

#[tokio::test]
async fn when_the_outcome_is_not_known_the_attempt_ends_and_the_next_finds_out() {
    let memory = Memory::new();
    let started = start(&memory).await;
    // The first request of a small checkpoint is for the manifest and the second one is for the control record. Nothing
    // answers after that.
    let next = memory.requests();
    memory.plan(next + 1, Fault::After);
    (2..40).for_each(|request| memory.plan(next + request, Fault::Before));
    let error = started.writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await.expect_err("silence");
    assert!(matches!(error, Error::Unresolved { .. }), "{error}");
    assert!(error.ends_attempt() && error.is_retryable());
    let again = started.writer.write(checkpoint(2), contents(&sample(1), &two_slots())).await;
    assert!(matches!(again, Err(Error::Unresolved { .. })), "{again:?}");
    let next = start(&memory.copy()).await;
    assert_eq!(next.last_checkpoint, Some(checkpoint(1)), "it was written after all");
    assert_eq!(next.uncommitted.len(), 1);
}

#[tokio::test]
async fn when_the_storage_answers_again_the_same_record_is_appended_and_the_attempt_continues() {
    for arrives in [false, true] {
        let memory = Memory::new();
        let started = start(&memory).await;
        let next = memory.requests();
        memory.plan(next + 1, if arrives { Fault::After } else { Fault::Before });
        (2..40).for_each(|request| memory.plan(next + request, Fault::Before));
        let writer = &started.writer;
        let mut outcome = writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await;
        let mut tries = 0;
        while let Err(error) = outcome {
            assert!(matches!(error, Error::Unresolved { source: Some(_), .. }), "{error}");
            tries += 1;
            outcome = writer.resolve(checkpoint(1)).await;
        }
        assert!(tries > 1, "the storage fails for more than one append");
        assert_eq!(outcome.expect("resolved").id, checkpoint(1));
        let twice = writer.resolve(checkpoint(1)).await;
        assert!(matches!(twice, Err(Error::InvalidCheckpoint { .. })), "{twice:?}");
        writer.mark_committed(checkpoint(1)).await.expect("noted");
        writer.write(checkpoint(2), contents(&sample(2), &two_slots())).await.expect("written");
        let records = memory.names().iter().filter(|name| name.starts_with("orders/control/")).count();
        assert_eq!(records, 3, "the attempt and its two checkpoints");
        let next = start(&memory).await;
        assert_eq!(next.uncommitted.iter().map(|completed| completed.id).collect::<Vec<_>>(), [checkpoint(2)]);
        states::assert_restores(&next.latest.expect("a checkpoint"), &sample(2)).await;
    }
}

#[tokio::test]
async fn a_record_of_unknown_fate_does_not_count_any_more_for_whom_another_attempt_has_followed() {
    for arrives in [false, true] {
        let memory = Memory::new();
        let old = start(&memory).await;
        let next = memory.requests();
        memory.plan(next + 1, if arrives { Fault::After } else { Fault::Before });
        (2..40).for_each(|request| memory.plan(next + request, Fault::Before));
        let error = old.writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await.expect_err("silence");
        assert!(matches!(error, Error::Unresolved { .. }), "{error}");
        let new = loop {
            if let Ok(started) = states::store(&memory).start_attempt(states::identity()).await {
                break started;
            }
        };
        assert_eq!(new.last_checkpoint, arrives.then_some(checkpoint(1)));
        let error = old.writer.resolve(checkpoint(1)).await;
        assert!(matches!(error, Err(Error::Fenced { other, .. }) if other == new.attempt), "{error:?}");
        new.writer.write(checkpoint(2), contents(&sample(2), &two_slots())).await.expect("written");
    }
}

#[tokio::test]
async fn a_new_attempt_knows_which_commits_are_done() {
    let memory = Memory::new();
    let started = start(&memory).await;
    assert!(started.latest.is_none() && started.uncommitted.is_empty());
    started.writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await.expect("written");
    let started = start(&memory).await;
    let open: Vec<_> = started.uncommitted.iter().map(|completed| completed.id).collect();
    assert_eq!(open, [checkpoint(1)]);
    let handle = states::store(&memory).read(&started.uncommitted[0]).await.expect("readable");
    states::assert_restores(&handle, &sample(1)).await;
    started.writer.mark_committed(checkpoint(1)).await.expect("noted");
    // It becomes durable with the next checkpoint, which is itself not committed.
    started.writer.write(checkpoint(2), contents(&sample(2), &two_slots())).await.expect("written");
    let started = start(&memory).await;
    assert_eq!(started.uncommitted.iter().map(|completed| completed.id).collect::<Vec<_>>(), [checkpoint(2)]);
    started.writer.mark_committed(checkpoint(2)).await.expect("noted");
    started.writer.flush().await.expect("written");
    assert!(start(&memory).await.uncommitted.is_empty());
    let error = started.writer.mark_committed(checkpoint(3)).await;
    assert!(error.is_err(), "there is no checkpoint 3");
}

#[tokio::test]
async fn state_cut_in_another_way_is_refused_before_anyone_is_fenced() {
    let memory = Memory::new();
    let running = start(&memory).await;
    running.writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await.expect("written");
    let wide = MaxParallelism::try_from(128).expect("a power of two");
    let other = JobIdentity { max_parallelism: wide, ..states::identity() };
    let error = states::store(&memory).start_attempt(other).await.expect_err("refused");
    assert!(matches!(error, Error::MaxParallelismDiffers { .. }), "{error}");
    let other = JobIdentity { hash_version: 2, ..states::identity() };
    let error = states::store(&memory).start_attempt(other).await.expect_err("refused");
    assert!(matches!(error, Error::KeyHashDiffers { recorded: 1, known: 2 }), "{error}");
    running.writer.write(checkpoint(2), contents(&sample(2), &two_slots())).await.expect("not fenced");
    let error = running.writer.write(checkpoint(3), contents(&sample(2), &Assignment::even(wide, 2))).await;
    assert!(matches!(error, Err(Error::MaxParallelismDiffers { .. })), "{error:?}");
    let error = running.writer.write(checkpoint(2), contents(&sample(2), &two_slots())).await;
    assert!(matches!(error, Err(Error::InvalidCheckpoint { .. })), "{error:?}");
}

#[tokio::test]
async fn what_a_predecessor_left_does_not_keep_a_job_that_begins_anew_from_starting() {
    let wide = MaxParallelism::try_from(128).expect("a power of two");
    let identity = JobIdentity { max_parallelism: wide, ..states::identity() };
    let manifest = "orders/chk/0000000001-1/manifest";
    type Leave = fn(&Memory, &str);
    let left: [(&str, Leave); 3] = [
        ("another max parallelism", |_, _| {}),
        ("a control log that names a manifest which was deleted", |memory, manifest| memory.remove(manifest)),
        ("a manifest of a form that is not known", |memory, manifest| memory.poke(manifest, "of a later release")),
    ];
    for (what, leave) in left {
        let memory = Memory::new();
        let before = start(&memory).await;
        before.writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await.expect("written");
        leave(&memory, manifest);
        states::store(&memory).start_attempt(identity).await.expect_err(what);

        let begun = || states::store(&memory).with_start("uid/2").beginning_anew();
        for _ in 0..2 {
            // The same holds when the process restarts before its first checkpoint.
            let started = begun().start_attempt(identity).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(started.latest.is_none() && started.uncommitted.is_empty(), "{what}");
            assert_eq!(started.last_checkpoint, Some(checkpoint(1)), "{what}: numbers continue");
        }
        let started = begun().start_attempt(identity).await.expect("started");
        let own = contents(&sample(2), &Assignment::even(wide, 2));
        started.writer.write(checkpoint(2), own).await.expect("written");
        started.writer.mark_committed(checkpoint(2)).await.expect("noted");
        let started = begun().start_attempt(identity).await.expect("started");
        assert_eq!(started.latest.expect("its own checkpoint").id(), checkpoint(2), "{what}");
        assert_eq!(started.uncommitted.iter().map(|open| open.id).collect::<Vec<_>>(), [checkpoint(2)], "{what}");
    }
}

#[tokio::test]
async fn a_checkpoint_from_before_a_start_that_came_to_nothing_can_be_gone_back_to() {
    let memory = Memory::new();
    let before = start(&memory).await;
    before.writer.write(checkpoint(1), contents(&sample(1), &two_slots())).await.expect("written");
    let wide = MaxParallelism::try_from(128).expect("a power of two");
    let identity = JobIdentity { max_parallelism: wide, ..states::identity() };
    states::store(&memory).with_start("uid/2").beginning_anew().start_attempt(identity).await.expect("started");
    let back = states::store(&memory).with_start("uid/3").start_attempt(states::identity()).await.expect("started");
    states::assert_restores(&back.latest.expect("the checkpoint from before"), &sample(1)).await;
}

#[tokio::test]
async fn a_store_that_writes_over_what_is_there_is_refused() {
    let memory = Memory::new();
    memory.ignore_conditions();
    let error = states::store(&memory).start_attempt(states::identity()).await.expect_err("refused");
    assert!(matches!(error, Error::OverwritingStore { .. }) && !error.is_retryable(), "{error}");
    assert!(error.to_string().contains("If-None-Match"), "{error}");
    assert_eq!(memory.names(), Vec::<String>::new());
}
