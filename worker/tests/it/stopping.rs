//! Stopping a job, with a checkpoint or a savepoint. A job that cannot be stopped keeps running.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use eddyline_api::{Phase, SavepointState};
use eddyline_worker::coordinator::job::{Outcome, Restore, View};
use eddyline_worker::coordinator::request::{Request, SavepointOrder};

use crate::numbers::{ROWS, config, run, tables, until, until_read, visible};

fn stop(savepoint: Option<SavepointOrder>) -> Request {
    Request::Stop { savepoint, deadline: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_is_repeated_and_the_job_ends_with_the_savepoint_that_was_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = tables(10);
    tables.failing_commits.store(3, Ordering::SeqCst);
    let view = Arc::new(View::default());
    let order = SavepointOrder { name: "last".to_owned(), folder: folder.path().join("saved").display().to_string() };
    let config = config(&folder.path().join("checkpoints"), Restore::Latest);
    let outcome = run(&tables, &config, &view, async |view, requests| {
        until_read(&view, 10).await;
        view.status.savepoint_to_stop_with(&order.name);
        requests.send(stop(Some(order.clone()))).expect("the job runs");
        until(|| view.status.snapshot().checkpoint_error.is_some_and(|why| why.contains("the table is down"))).await;
        let open = view.status.savepoint(&order.name).expect("it was asked for");
        assert_eq!((open.state, open.uri), (SavepointState::InProgress, None), "stored, and not yet visible");
        // The request is repeated with the same name, as after a lost answer.
        requests.send(stop(Some(order.clone()))).expect("the job runs");
    })
    .await;
    let Outcome::Stopped { savepoint: Some(uri) } = outcome else { panic!("{outcome:?}") };
    let state = view.status.snapshot();
    assert_eq!((state.restarts, state.checkpoint_error), (0, None));
    let stopped_with = state.stopped_with.expect("it was stopped with one");
    assert_eq!((stopped_with.state, stopped_with.uri.as_deref()), (SavepointState::Completed, Some(uri.as_str())));
    assert_eq!(visible(&tables), 10);

    tables.release(ROWS);
    let elsewhere = self::config(&folder.path().join("elsewhere"), Restore::Uri(uri));
    let outcome = run(&tables, &elsewhere, &Arc::new(View::default()), async |_, _| ()).await;
    assert!(matches!(outcome, Outcome::Finished), "{outcome:?}");
    assert_eq!(visible(&tables), ROWS);
}

/// The first stop is canceled when its savepoint is stored and not yet committed. The second one has the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_asked_for_twice_gives_the_savepoint_that_the_job_ended_with() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (checkpoints, saved) = (folder.path().join("checkpoints"), folder.path().join("saved"));
    let tables = tables(10);
    tables.held_commits.store(true, Ordering::SeqCst);
    let view = Arc::new(View::default());
    let order = SavepointOrder { name: "last".to_owned(), folder: saved.display().to_string() };
    let config = config(&checkpoints, Restore::Latest);
    let outcome = run(&tables, &config, &view, async |view, requests| {
        until_read(&view, 10).await;
        view.status.savepoint_to_stop_with(&order.name);
        requests.send(stop(Some(order.clone()))).expect("the job runs");
        until(|| view.status.snapshot().checkpoints_completed == 1).await;
        requests.send(Request::Resume).expect("the job runs");
        until(|| view.status.savepoint(&order.name).is_some_and(|first| first.state == SavepointState::Failed)).await;
        tables.release(20);
        until_read(&view, 20).await;
        view.status.savepoint_to_stop_with(&order.name);
        requests.send(stop(Some(order.clone()))).expect("the job runs");
        until(|| view.status.phase() == Phase::Stopping).await;
        tables.held_commits.store(false, Ordering::SeqCst);
    })
    .await;
    let Outcome::Stopped { savepoint: Some(uri) } = outcome else { panic!("{outcome:?}") };
    let stopped_with = view.status.snapshot().stopped_with.expect("it was stopped with one");
    assert_eq!((stopped_with.state, stopped_with.uri.as_deref()), (SavepointState::Completed, Some(uri.as_str())));
    assert_eq!(stopped_with.checkpoint, Some(2));
    assert!(uri.contains("-0000000002-"), "{uri}");
    assert_eq!(visible(&tables), 20);

    tables.release(ROWS);
    let elsewhere = self::config(&folder.path().join("elsewhere"), Restore::Uri(uri));
    let outcome = run(&tables, &elsewhere, &Arc::new(View::default()), async |_, _| ()).await;
    assert!(matches!(outcome, Outcome::Finished), "{outcome:?}");
    assert_eq!(visible(&tables), ROWS);
}

#[test]
fn a_savepoint_of_the_same_name_from_before_is_not_what_a_job_is_stopped_with() {
    let view = View::default();
    assert!(view.status.savepoint_requested("s"));
    view.status.savepoint_ended("s", Some(1), Ok("file:///old".to_owned()));
    view.status.savepoint_to_stop_with("s");
    assert_eq!(view.status.savepoint("s").expect("asked for").state, SavepointState::InProgress);
    view.status.savepoint_ended("s", Some(7), Ok("file:///new".to_owned()));
    view.status.stopped(Some(("s", "file:///new")));
    let stopped_with = view.status.snapshot().stopped_with.expect("a savepoint");
    assert_eq!((stopped_with.checkpoint, stopped_with.uri.as_deref()), (Some(7), Some("file:///new")));
}

/// Stops a job whose sink does not commit, has the stop canceled, and reads further rows.
async fn cancel_stop(deadline: Option<Duration>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = tables(10);
    tables.held_commits.store(true, Ordering::SeqCst);
    let view = Arc::new(View::default());
    let order = SavepointOrder { name: "last".to_owned(), folder: folder.path().join("saved").display().to_string() };
    let config = config(&folder.path().join("checkpoints"), Restore::Latest);
    let outcome = run(&tables, &config, &view, async |view, requests| {
        until_read(&view, 10).await;
        view.status.savepoint_to_stop_with(&order.name);
        let deadline = deadline.map(|after| Instant::now() + after);
        requests.send(Request::Stop { savepoint: Some(order.clone()), deadline }).expect("the job runs");
        if deadline.is_none() {
            until(|| view.status.snapshot().checkpoints_completed == 1).await;
            assert_eq!(view.status.phase(), Phase::Stopping);
            let open = view.status.savepoint(&order.name).expect("it was asked for");
            assert_eq!(open.state, SavepointState::InProgress, "stored, and not yet visible");
            requests.send(Request::Resume).expect("the job runs");
        }
        until(|| view.status.savepoint(&order.name).is_some_and(|last| last.state == SavepointState::Failed)).await;
        tables.release(20);
        until_read(&view, 20).await;
        tables.held_commits.store(false, Ordering::SeqCst);
        requests.send(stop(None)).expect("the job runs");
    })
    .await;
    assert!(matches!(outcome, Outcome::Stopped { savepoint: None }), "{outcome:?}");
    assert_eq!(view.status.snapshot().restarts, 0);
    assert_eq!(visible(&tables), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_stop_lets_sources_read_on() {
    cancel_stop(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_exceeds_its_time_limit_is_canceled() {
    cancel_stop(Some(Duration::from_millis(20))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_stopped_stays_so_when_its_last_note_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = folder.path().join("checkpoints");
    let tables = tables(10);
    tables.held_commits.store(true, Ordering::SeqCst);
    let view = Arc::new(View::default());
    let outcome = run(&tables, &config(&checkpoints, Restore::Latest), &view, async |view, requests| {
        until_read(&view, 10).await;
        requests.send(stop(None)).expect("the job runs");
        until(|| view.status.snapshot().checkpoints_completed == 1).await;
        std::fs::remove_dir_all(&checkpoints).expect("removed");
        std::fs::write(&checkpoints, "no folder").expect("a file");
        tables.held_commits.store(false, Ordering::SeqCst);
    })
    .await;
    assert!(matches!(outcome, Outcome::Stopped { savepoint: None }), "{outcome:?}");
    assert_eq!(visible(&tables), 10);
}
