//! A job waits out an outage of any length. Rows are processed as far as possible, and the status names the reason.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eddyline_api::Phase;
use eddyline_api::status::FailureCause;
use eddyline_worker::coordinator::job::{Outcome, RestartStrategy, Restore, View};
use eddyline_worker::coordinator::request::Request;

use crate::memory_tables::MemoryTables;
use crate::numbers::{ROWS, config, run, tables, try_run, until, until_read, visible};

/// Runs a job while its storage fails and recovers. None of its attempts may fail. The reason in its status must have
/// the text `place`.
async fn assert_waits_for(
    place: &str,
    tables: &MemoryTables,
    checkpoints: &Path,
    breaks: impl FnOnce(),
    is_mended: impl FnOnce(),
) {
    let view = Arc::new(View::default());
    let mut config = config(checkpoints, Restore::Latest);
    config.checkpoint_interval = Some(Duration::from_millis(10));
    config.restart = RestartStrategy { max_per_window: 0, ..config.restart };
    let outcome = run(tables, &config, &view, async |view, requests| {
        until_read(&view, 10).await;
        until(|| visible(tables) == 10).await;
        breaks();
        tables.release(20);
        until(|| view.status.snapshot().checkpoint_error.is_some_and(|why| why.contains(place))).await;
        tables.release(30);
        until_read(&view, 30).await;
        assert_eq!(visible(tables), 10, "nothing is committed meanwhile");
        is_mended();
        until(|| visible(tables) == 30).await;
        until(|| view.status.snapshot().checkpoint_error.is_none()).await;
        tables.release(ROWS);
        drop(requests);
    })
    .await;
    assert!(matches!(outcome, Outcome::Finished), "{outcome:?}");
    assert_eq!((view.status.snapshot().restarts, visible(tables)), (0, ROWS));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_cannot_be_staged_fails_no_attempt_and_rows_flow_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = folder.path().join("checkpoints");
    let staged = checkpoints.join("numbers/staged");
    let tables = tables(10);
    tables.stages.store(true, Ordering::SeqCst);
    let breaks = || {
        std::fs::remove_dir_all(&staged).expect("removed");
        std::fs::write(&staged, "no folder").expect("a file");
    };
    let is_mended = || std::fs::remove_file(&staged).expect("removed");
    assert_waits_for("/staged/", &tables, &checkpoints, breaks, is_mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_record_that_cannot_be_appended_fails_no_attempt() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = folder.path().join("checkpoints");
    let (control, no_folder) = (folder.path().join("control"), folder.path().join("no-folder"));
    std::fs::create_dir_all(checkpoints.join("numbers")).expect("a folder");
    std::fs::create_dir(&control).expect("a folder");
    std::fs::write(&no_folder, "").expect("a file");
    // The link is replaced atomically, so no request sees an intermediate state.
    let lead_to = |target: &std::path::Path| {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(target, &link).expect("a link");
        std::fs::rename(&link, checkpoints.join("numbers/control")).expect("renamed");
    };
    lead_to(&control);
    let tables = tables(10);
    assert_waits_for("/control/", &tables, &checkpoints, || lead_to(&no_folder), || lead_to(&control)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_finds_nobody_at_its_start_waits_and_spends_no_restart_on_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = tables(ROWS);
    tables.failing_opens.store(12, Ordering::SeqCst);
    let view = Arc::new(View::default());
    let mut config = config(&folder.path().join("checkpoints"), Restore::Latest);
    let backoff_max = Duration::from_millis(2);
    config.restart = RestartStrategy { max_per_window: 1, backoff_max, waits_at_first_start: true, ..config.restart };
    let outcome = run(&tables, &config, &view, async |view, _requests| {
        until(|| view.status.phase() == Phase::Restarting).await;
        let why = view.status.snapshot().message.expect("a reason");
        assert!(why.contains("the broker is down"), "{why}");
        until(|| view.status.phase() == Phase::Finished).await;
    })
    .await;
    assert!(matches!(outcome, Outcome::Finished), "{outcome:?}");
    let state = view.status.snapshot();
    assert_eq!((state.restarts, state.last_failure.map(|last| last.cause)), (0, Some(FailureCause::Source)));
    assert_eq!(visible(&tables), ROWS);
}

/// The job and the test run on one thread. So an open that blocked the thread would keep all requests from being
/// answered.
#[tokio::test]
async fn tables_that_take_their_time_to_open_hold_up_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = tables(ROWS);
    let (open, held) = std::sync::mpsc::channel();
    *tables.held_open.lock().expect("no panic") = Some(held);
    let view = Arc::new(View::default());
    let config = config(&folder.path().join("checkpoints"), Restore::Latest);
    let outcome = run(&tables, &config, &view, async |view, _requests| {
        until(|| tables.held_open.lock().expect("no panic").is_none()).await;
        assert_eq!(view.status.phase(), Phase::Starting);
        open.send(()).expect("the source is being opened");
        until(|| view.status.phase() == Phase::Finished).await;
    })
    .await;
    assert!(matches!(outcome, Outcome::Finished), "{outcome:?}");
    assert_eq!((view.status.snapshot().last_failure, visible(&tables)), (None, ROWS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_can_be_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = tables(ROWS);
    tables.failing_opens.store(usize::MAX, Ordering::SeqCst);
    let view = Arc::new(View::default());
    let mut config = config(&folder.path().join("checkpoints"), Restore::Latest);
    config.restart.waits_at_first_start = true;
    let outcome = run(&tables, &config, &view, async |view, requests| {
        until(|| view.status.phase() == Phase::Restarting).await;
        requests.send(Request::Stop { savepoint: None, deadline: None }).expect("the job runs");
    })
    .await;
    assert!(matches!(outcome, Outcome::Stopped { savepoint: None }), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_somebody_looks_on_a_job_that_finds_nobody_ends_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = tables(ROWS);
    tables.failing_opens.store(usize::MAX, Ordering::SeqCst);
    let mut config = config(&folder.path().join("checkpoints"), Restore::Latest);
    config.restart.max_per_window = 2;
    let error = try_run(&tables, &config, &Arc::new(View::default()), async |_, _| ()).await.expect_err("it fails");
    assert!(eddyline_worker::chain_of(&error).contains("the broker is down"), "{error}");
}
