//! Folders that are removed under a running job.

use std::path::Path;

use crate::running::{Running, assert_gapless, numbers_in};

fn lines(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(|number| format!("{number}\n")).collect()
}

/// Removes a folder that another process writes to, atomically, so that what it writes afterwards stays. If the files were
/// removed one by one, a job could end in the middle, and its files for the next start would be removed too.
fn remove_at_once(folder: &Path) {
    let aside = folder.with_extension("removed");
    std::fs::rename(folder, &aside).expect("a folder that can be moved");
    std::fs::remove_dir_all(&aside).expect("no other process uses it");
}

#[test]
fn a_watched_folder_that_is_gone_is_named_and_read_again_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let job = format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
  'source.monitor-interval' = '50 ms');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
INSERT INTO results SELECT n FROM numbers;
",
        input.display(),
        out.display()
    );
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    std::fs::write(&job_file, job).expect("a file");
    let checkpoints = folder.path().join("checkpoints");

    let mut running = Running::start(Running::eddyline(), &job_file, &checkpoints, &log);
    let named = format!("{}", input.display());
    running.until("a folder that does not exist yet is named", |log| {
        log.lines().any(|line| line.contains("there is nothing at this place yet") && line.contains(&named))
    });
    std::fs::create_dir(&input).expect("a folder");
    std::fs::write(input.join("1.csv"), lines(1..=1000)).expect("a file");
    running.until("the first file is read", |_| numbers_in(&out).len() == 1000);
    remove_at_once(&input);
    running.until("a folder that is gone is named", |log| log.contains(&format!("'{named}' is gone")));
    std::fs::create_dir(&input).expect("a folder");
    std::fs::write(input.join("2.csv"), lines(1001..=2000)).expect("a file");
    running.until("the second file is read", |_| numbers_in(&out).len() >= 2000);
    running.terminate();
    assert!(running.ended().success(), "{}", running.log());
    assert_eq!(assert_gapless(&numbers_in(&out)), 2000);
}

#[test]
fn a_checkpoint_folder_that_is_gone_ends_the_job_by_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, checkpoints) = (folder.path().join("out"), folder.path().join("checkpoints"));
    let rows = 40_000;
    let job = format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '5000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{rows}');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
INSERT INTO results SELECT n FROM numbers;
",
        out.display()
    );
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    std::fs::write(&job_file, job).expect("a file");

    let mut running = Running::start(Running::eddyline(), &job_file, &checkpoints, &log);
    running.until("results", |_| !numbers_in(&out).is_empty());
    remove_at_once(&checkpoints);
    assert_eq!(running.ended().code(), Some(1), "{}", running.log());
    let said = running.log();
    assert!(said.contains(&format!("{}/job have vanished", checkpoints.display())), "{said}");
    let before = assert_gapless(&numbers_in(&out));

    // If the job is started again, it may resume from a checkpoint that it has written since. In any case nothing is
    // there twice.
    let mut running = Running::start(Running::eddyline(), &job_file, &checkpoints, &log);
    if running.ended().success() {
        assert_eq!(assert_gapless(&numbers_in(&out)), rows);
    } else {
        let said = running.log();
        assert!(said.contains(&checkpoints.display().to_string()), "{said}");
        assert_eq!(assert_gapless(&numbers_in(&out)), before);
    }
}
