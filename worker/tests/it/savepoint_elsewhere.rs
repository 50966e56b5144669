//! Output that was staged and not visible when its job died, and that another start finds. Nothing is lost, and nothing
//! is there twice.

use std::path::Path;
use std::time::Duration;

use crate::broker::{Broker, broker};
use crate::running::{Running, assert_gapless, numbers_in};

fn job(broker: &str, topic: &str, files: &Path) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '2000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000');
CREATE TABLE files (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
CREATE TABLE topic (n BIGINT) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'csv',
  'properties.bootstrap.servers' = '{broker}', 'sink.delivery-guarantee' = 'exactly-once');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO files SELECT n FROM numbers;
  INSERT INTO topic SELECT n FROM numbers;
END;
",
        files.display()
    )
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for item in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).expect("copied");
        }
    }
}

/// The sorted numbers in a topic, once it has `wanted` of them.
fn published(broker: &Broker, topic: &str, wanted: usize) -> Vec<u64> {
    let rows = broker.consume_committed(topic, 1, Duration::from_secs(60), |rows| rows.len() >= wanted);
    let mut numbers: Vec<u64> = rows.iter().map(|row| row.trim().parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

/// Stops a job with a savepoint and kills it at a crash point of the stop. Then resumes from the savepoint without any
/// other files of the job.
fn dies_at(point: &str, topic: &str) {
    let broker = broker();
    broker.create_topic(topic, 1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (files, first) = (folder.path().join("files"), folder.path().join("first"));
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    std::fs::write(&job_file, job(&broker.address(), topic, &files)).expect("a file");

    let mut program = Running::eddyline();
    program.env("EDDYLINE_CRASH_AT", format!("{point}:1"));
    let mut running = Running::start(program, &job_file, &first, &log);
    running.until("results", |_| !numbers_in(&files).is_empty());
    running.terminate();
    assert!(!running.ended().success(), "it dies at {point}: {}", running.log());

    let saved = std::fs::read_dir(first.join("savepoints")).expect("a folder").flatten().next().expect("a savepoint");
    let kept = folder.path().join("kept");
    copy(&saved.path(), &kept);
    std::fs::remove_dir_all(&first).expect("removed");
    let second = folder.path().join("second");
    let restore = kept.display().to_string();
    let (log, so_far) = (folder.path().join("log-of-second"), numbers_in(&files).len());
    let mut running = Running::start_with(Running::eddyline(), &job_file, &second, &log, &["--restore", &restore]);
    running.until("more results", |_| numbers_in(&files).len() > so_far + 1000);
    running.terminate();
    assert!(running.ended().success(), "{}", running.log());

    let visible = assert_gapless(&numbers_in(&files));
    let published = published(broker, topic, visible as usize);
    assert_eq!(assert_gapless(&published), visible, "files and topic have the same rows");
    assert!(kept.join("committed").exists(), "whoever restores it next need not commit it");
}

#[test]
fn a_savepoint_that_was_stored_and_not_committed_brings_its_output_along() {
    dies_at("savepoint.stored", "elsewhere-stored");
}

#[test]
fn a_savepoint_that_was_committed_without_being_told_so_gives_its_output_once() {
    dies_at("savepoint.before-mark", "elsewhere-committed");
}

/// A job whose inserts write numbers, each to its own folder.
fn two_inserts(folder: &Path, inserts: &[&str]) -> String {
    let mut script = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '2000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000');
"
    .to_owned();
    for table in inserts {
        let path = folder.join(table);
        script.push_str(&format!(
            "CREATE TABLE {table} (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');\n",
            path.display()
        ));
    }
    script.push_str("EXECUTE STATEMENT SET BEGIN\n");
    inserts.iter().for_each(|table| script.push_str(&format!("INSERT INTO {table} SELECT n FROM numbers;\n")));
    script + "END;\n"
}

#[test]
fn output_of_a_checkpoint_is_not_lost_because_its_insert_is_gone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (job, checkpoints) = (folder.path().join("job.sql"), folder.path().join("checkpoints"));
    let log = |name: &str| folder.path().join(name);
    let write = |inserts: &[&str]| std::fs::write(&job, two_inserts(folder.path(), inserts)).expect("a file");
    let numbers_of = |table: &str| numbers_in(&folder.path().join(table));

    write(&["kept", "removed"]);
    let mut program = Running::eddyline();
    program.env("EDDYLINE_CRASH_AT", "coordinator.stored:2");
    let mut first = Running::start(program, &job, &checkpoints, &log("first"));
    assert!(!first.ended().success(), "it dies between storing and committing: {}", first.log());

    // Without the second insert its output could not be made visible.
    write(&["kept"]);
    let mut second = Running::start(Running::eddyline(), &job, &checkpoints, &log("second"));
    assert!(!second.ended().success(), "{}", second.log());
    let said = second.log();
    assert!(said.contains("holds output of sink/removed that is not visible yet"), "{said}");

    // The SQL that wrote the output commits it. After that the insert can be removed.
    write(&["kept", "removed"]);
    let before = numbers_of("removed").len();
    let mut third = Running::start(Running::eddyline(), &job, &checkpoints, &log("third"));
    third.until("the output that was left", |_| numbers_of("removed").len() > before + 1000);
    third.terminate();
    assert!(third.ended().success(), "{}", third.log());
    let visible = assert_gapless(&numbers_of("removed"));
    assert_eq!(assert_gapless(&numbers_of("kept")), visible);

    write(&["kept"]);
    let mut fourth = Running::start(Running::eddyline(), &job, &checkpoints, &log("fourth"));
    fourth.until("more results", |_| numbers_of("kept").len() as u64 > visible + 1000);
    fourth.terminate();
    assert!(fourth.ended().success(), "{}", fourth.log());
    assert_gapless(&numbers_of("kept"));
}

#[test]
fn open_output_of_another_job_comes_along_with_a_copy_and_never_gets_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (job, checkpoints) = (folder.path().join("job.sql"), folder.path().join("checkpoints"));
    let log = |name: &str| folder.path().join(name);
    std::fs::write(&job, two_inserts(folder.path(), &["files"])).expect("a file");
    let mut program = Running::eddyline();
    program.env("EDDYLINE_CRASH_AT", "coordinator.stored:2");
    let mut first = Running::start(program, &job, &checkpoints, &log("first"));
    assert!(!first.ended().success(), "it dies between storing and committing: {}", first.log());

    // A job with the same SQL in another folder is another job.
    let (other, latest) = (folder.path().join("other"), checkpoints.join("job").display().to_string());
    let restore = ["--restore", latest.as_str()];
    let mut second = Running::start_with(Running::eddyline(), &job, &other, &log("second"), &restore);
    assert!(!second.ended().success(), "{}", second.log());
    assert!(second.log().contains("eddyline savepoint copy --from"), "{}", second.log());

    let kept = folder.path().join("kept").display().to_string();
    let copied =
        Running::eddyline().args(["savepoint", "copy", "--from", &latest, "--to", &kept]).output().expect("it runs");
    assert!(copied.status.success(), "{copied:?}");
    let mut third = Running::start_with(Running::eddyline(), &job, &other, &log("third"), &["--restore", &kept]);
    let before = numbers_in(&folder.path().join("files")).len();
    third.until("more results", |_| numbers_in(&folder.path().join("files")).len() > before + 1000);
    third.terminate();
    assert!(third.ended().success(), "{}", third.log());
    assert_gapless(&numbers_in(&folder.path().join("files")));
}

#[test]
fn output_that_may_be_left_behind_does_not_keep_a_job_from_starting() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (job, checkpoints) = (folder.path().join("job.sql"), folder.path().join("checkpoints"));
    let write = |inserts: &[&str]| std::fs::write(&job, two_inserts(folder.path(), inserts)).expect("a file");
    write(&["kept", "removed"]);
    let mut program = Running::eddyline();
    program.env("EDDYLINE_CRASH_AT", "coordinator.stored:2");
    let mut first = Running::start(program, &job, &checkpoints, &folder.path().join("first"));
    assert!(!first.ended().success(), "{}", first.log());

    write(&["kept"]);
    let log = folder.path().join("second");
    let allowed = ["--allow-non-restored-state", "sink/removed"];
    let mut second = Running::start_with(Running::eddyline(), &job, &checkpoints, &log, &allowed);
    second.until("results", |_| numbers_in(&folder.path().join("kept")).len() > 1000);
    second.terminate();
    assert!(second.ended().success(), "{}", second.log());
    assert_gapless(&numbers_in(&folder.path().join("kept")));
}

#[test]
fn output_that_a_start_has_skipped_is_there_for_one_that_goes_back_to_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (job, checkpoints) = (folder.path().join("job.sql"), folder.path().join("checkpoints"));
    std::fs::write(&job, two_inserts(folder.path(), &["out"])).expect("a file");
    let start = |name: &str, crash_at: &str, restore: &str| {
        let mut program = Running::eddyline();
        program.env("EDDYLINE_CRASH_AT", crash_at);
        Running::start_with(program, &job, &checkpoints, &folder.path().join(name), &["--restore", restore])
    };
    let mut first = start("first", "coordinator.stored:2", "latest");
    assert!(!first.ended().success(), "it dies between storing and committing: {}", first.log());
    // This process starts without state and dies before it has a result.
    let mut second = start("second", "coordinator.acknowledged:1", "none");
    assert!(!second.ended().success(), "it dies before its first checkpoint: {}", second.log());

    let before = numbers_in(&folder.path().join("out")).len();
    let mut third = start("third", "nowhere:1", "latest");
    third.until("more results", |_| numbers_in(&folder.path().join("out")).len() > before + 1000);
    third.terminate();
    assert!(third.ended().success(), "{}", third.log());
    assert_gapless(&numbers_in(&folder.path().join("out")));
}

/// The number of times that each number occurs. Fails unless they are the numbers from 1 on without a gap.
fn counted(numbers: &[u64]) -> std::collections::BTreeMap<u64, usize> {
    let mut counted = std::collections::BTreeMap::new();
    numbers.iter().for_each(|number| *counted.entry(*number).or_insert(0) += 1);
    assert_gapless(&counted.keys().copied().collect::<Vec<_>>());
    counted
}

/// Fails unless the numbers are those of one run from 1 on without a gap, and those of a second run that started
/// without state and ended earlier or later.
fn assert_two_runs(what: &str, numbers: &[u64]) {
    let counted = counted(numbers);
    let twice = counted.values().take_while(|times| **times == 2).count();
    let rest: Vec<_> = counted.iter().skip(twice).filter(|(_, times)| **times != 1).collect();
    assert!(twice > 0 && rest.is_empty(), "{what}: after {twice} of {} that are there twice: {rest:?}", counted.len());
}

#[test]
fn a_savepoint_with_open_output_is_whole_after_a_start_that_skipped_it_has_gone_beyond_it() {
    let broker = broker();
    let topic = "elsewhere-skipped";
    broker.create_topic(topic, 1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (files, checkpoints) = (folder.path().join("files"), folder.path().join("checkpoints"));
    let job_file = folder.path().join("job.sql");
    std::fs::write(&job_file, job(&broker.address(), topic, &files)).expect("a file");
    let start = |name: &str, program: std::process::Command, restore: &str| {
        Running::start_with(program, &job_file, &checkpoints, &folder.path().join(name), &["--restore", restore])
    };
    let until_more = |running: &mut Running| {
        let so_far = numbers_in(&files).len();
        running.until("more results", |_| numbers_in(&files).len() > so_far + 2000);
    };
    let mut program = Running::eddyline();
    program.env("EDDYLINE_CRASH_AT", "savepoint.stored:1");
    let mut first = start("first", program, "latest");
    until_more(&mut first);
    first.terminate();
    assert!(!first.ended().success(), "{}", first.log());
    let saved = std::fs::read_dir(checkpoints.join("savepoints")).expect("a folder").flatten().next();
    let saved = saved.expect("a savepoint").path().display().to_string();

    // This process starts without state and passes the number of the checkpoint that it has skipped.
    let mut second = start("second", Running::eddyline(), "none");
    until_more(&mut second);
    second.terminate();
    assert!(second.ended().success(), "{}", second.log());
    let mut third = start("third", Running::eddyline(), &saved);
    until_more(&mut third);
    third.terminate();
    assert!(third.ended().success(), "{}", third.log());
    let visible = numbers_in(&files);
    assert_two_runs("files", &visible);
    assert_eq!(published(broker, topic, visible.len()), visible, "files and topic have the same rows");
}
