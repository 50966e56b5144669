//! Restores from copies of run files on a local disk: after crashes at every step, with damaged copies, on other numbers of
//! slots.

use std::path::{Path, PathBuf};

use eddyline_api::status::Restore;
use eddyline_checkpoint::LocalCopies;
use eddyline_worker::coordinator::job::Outcome;

use crate::golden::Run;
use crate::parallelism::{planned, run_as, until};
use crate::running::{Running, assert_gapless, numbers_in};

pub const ROWS: u64 = 150_000;

/// A window that keeps every number as a group until the end of the input. A number that is counted twice is left out.
pub fn job(out: &Path) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH (
  'connector' = 'datagen', 'rows-per-second' = '15000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
INSERT INTO results SELECT n FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' DAY))
  GROUP BY n, window_start, window_end HAVING COUNT(*) = 1;
",
        out.display()
    )
}

/// The copies in a folder.
fn copies(folder: &Path) -> Vec<PathBuf> {
    let of_jobs = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = of_jobs.flat_map(|job| std::fs::read_dir(job.path()).into_iter().flatten().flatten());
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|ending| ending == "run")).collect()
}

#[test]
fn every_slot_restores_from_copies_and_from_storage_where_a_copy_is_damaged_or_missing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, checkpoints, local) =
        (folder.path().join("out"), folder.path().join("checkpoints"), folder.path().join("local"));
    let graph = planned(job(&out));
    let run = |parallelism: u16| Run {
        parallelism,
        checkpoint_dir: Some(&checkpoints),
        local_directory: Some(&local),
        ..Run::default()
    };
    // Runs for some checkpoints, then crashes. Says what was restored.
    let crash = |parallelism: u16| {
        let (sender, restored) = std::sync::mpsc::channel::<Option<Restore>>();
        let crashed = run_as(&graph, run(parallelism), |view, _| {
            Box::pin(async move {
                let completed = || view.status.snapshot().checkpoints_completed;
                // So much that no later checkpoint fits into its manifest. This one may not be complete yet.
                let has_much = |copies: LocalCopies| copies.bytes() > 200_000;
                until(|| view.status.snapshot().local_copies.is_some_and(has_much)).await;
                let before = completed();
                until(|| completed() >= before + 2).await;
                sender.send(view.status.snapshot().last_restore).expect("the test waits for it");
            })
        });
        assert_eq!(crashed.map(|_| ()), None, "it ended before");
        restored.recv().expect("sent before")
    };
    assert_eq!(crash(1), None);
    for parallelism in [1, 2, 3, 1] {
        let restore = crash(parallelism).expect("a restore");
        assert!(restore.bytes_from_local_copies > 0 && restore.bytes_from_storage == 0, "{restore:?}");
    }
    // All are damaged.
    for copy in copies(&local) {
        let mut content = std::fs::read(&copy).expect("a copy");
        let at = content.len() / 2;
        content[at] ^= 1;
        std::fs::write(&copy, content).expect("written");
    }
    let restore = crash(2).expect("a restore");
    assert!(restore.bytes_from_storage > 0, "{restore:?}");
    // All are missing.
    std::fs::remove_dir_all(&local).expect("a folder");
    let restore = crash(3).expect("a restore");
    assert!(restore.bytes_from_local_copies == 0 && restore.bytes_from_storage > 0, "{restore:?}");
    let restore = crash(2).expect("a restore");
    assert!(restore.bytes_from_local_copies > 0 && restore.bytes_from_storage == 0, "{restore:?}");
    let ended = run_as(&graph, run(2), |_, _| Box::pin(std::future::pending()));
    assert!(matches!(ended, Some(Outcome::Finished)), "{ended:?}");
    assert_eq!(assert_gapless(&numbers_in(&out)), ROWS);
}

#[test]
fn a_worker_that_dies_at_any_step_of_a_copy_resumes_with_every_row_once() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("checkpoint/src/local_copy.rs");
    let source = std::fs::read_to_string(source).expect("a source file");
    let points: Vec<&str> = source.split("crash_point(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(points.len() >= 5, "{points:?}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, checkpoints, local) =
        (folder.path().join("out"), folder.path().join("checkpoints"), folder.path().join("local"));
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    std::fs::write(&job_file, job(&out)).expect("a file");
    let local = local.display().to_string();
    let start = |parallelism: usize, crash_at: Option<String>| {
        let mut program = Running::eddyline();
        program.envs(crash_at.map(|point| ("EDDYLINE_CRASH_AT", point)));
        let more = ["--local-directory", &local, "--parallelism", &parallelism.to_string()];
        Running::start_with(program, &job_file, &checkpoints, &log, &more)
    };
    for (index, point) in points.iter().chain(&points).enumerate() {
        // At the first passes of this process, and at later ones.
        let pass = if index < points.len() { 1 } else { 2 };
        let mut running = start(index % 3 + 1, Some(format!("{point}:{pass}")));
        assert!(!running.ended().success());
        assert!(running.log().contains(&format!("crash point {point} reached")), "{}", running.log());
    }
    let mut running = start(2, None);
    assert!(running.ended().success(), "{}", running.log());
    assert_eq!(assert_gapless(&numbers_in(&out)), ROWS);
    // What remains is what the last checkpoint names, and nothing that was begun.
    let files = std::fs::read_dir(&local).expect("a folder").flatten().flat_map(|job| {
        std::fs::read_dir(job.path()).expect("a folder").flatten().map(|file| file.file_name().into_string())
    });
    let begun = files.flatten().filter(|name| name.starts_with('.')).count();
    assert_eq!(begun, 0);
}
