//! Full disks: a job reports them, and it continues to the exact result when there is room again.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::local_copies;
use crate::running::{Running, assert_gapless, numbers_in, pause};

const ROWS: u64 = 60_000;

fn job(out: &Path) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '6000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
INSERT INTO results SELECT n FROM numbers;
",
        out.display()
    )
}

/// A file system of one megabyte in its own mount namespace. It exists as long as the process that holds the namespace.
struct SmallDisk {
    holder: Child,
    folder: PathBuf,
    /// The arguments of `nsenter` that enter its namespaces.
    enter: &'static [&'static str],
}

impl SmallDisk {
    /// Mounts a file system on a folder. Processes outside the namespace do not see it.
    fn at(folder: &Path) -> Self {
        std::fs::create_dir(folder).expect("a folder");
        let mut refusals = String::new();
        // This works for root, and for other users where they may create namespaces.
        for (flags, enter) in
            [("--mount", &["--mount"][..]), ("-Urm", &["--user", "--preserve-credentials", "--mount"][..])]
        {
            let mut holder = Command::new("unshare")
                .args([flags, "sh", "-c", "mount -t tmpfs -o size=1m tmpfs \"$0\" && echo mounted && exec cat"])
                .arg(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("unshare, of util-linux");
            let mut said = String::new();
            BufReader::new(holder.stdout.as_mut().expect("a pipe")).read_line(&mut said).expect("text");
            if said == "mounted\n" {
                return Self { holder, folder: folder.to_owned(), enter };
            }
            holder.stderr.take().expect("a pipe").read_to_string(&mut refusals).expect("text");
            holder.wait().expect("a child");
        }
        panic!(
            "this test needs a small file system, in a mount namespace made as root or where users may make namespaces \
             (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces); here both are refused: {refusals}"
        );
    }

    /// The path of a file on the disk, for processes outside the namespace.
    fn seen(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(inside)
    }

    /// The binary, run in the namespace of the disk.
    fn eddyline(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string()]).args(self.enter).arg("--");
        command.arg(env!("CARGO_BIN_EXE_eddyline"));
        command
    }

    fn ballast(&self) -> PathBuf {
        self.seen(&self.folder.join("ballast"))
    }

    /// Fills the disk.
    fn fill(&self) {
        let mut file = std::fs::File::options().append(true).create(true).open(self.ballast()).expect("a file");
        loop {
            match file.write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Makes room again.
    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = self.holder.kill();
        let _gone = self.holder.wait();
    }
}

/// The number of log lines that report a full disk and name this folder.
fn complaints(log: &str, folder: &Path) -> usize {
    let folder = folder.display().to_string();
    log.lines().filter(|line| line.contains("the disk is full, make room on it") && line.contains(&folder)).count()
}

/// The paths of the hidden files below a folder, without the note of the latest commit.
fn hidden_files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, is_hidden: bool, hidden: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_hidden = is_hidden || name.starts_with('.');
            if entry.path().is_dir() {
                walk(&entry.path(), is_hidden, hidden);
            } else if is_hidden && name != "commit.json" {
                hidden.push(entry.path().display().to_string());
            }
        }
    }
    let mut hidden = Vec::new();
    walk(folder, false, &mut hidden);
    hidden
}

#[test]
fn a_job_whose_output_disk_is_full_says_so_and_resumes_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = SmallDisk::at(&folder.path().join("disk"));
    let (out, checkpoints) = (folder.path().join("disk/out"), folder.path().join("checkpoints"));
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    std::fs::write(&job_file, job(&out)).expect("a file");
    let visible = disk.seen(&out);

    let mut running = Running::start(disk.eddyline(), &job_file, &checkpoints, &log);
    running.until("results", |_| !numbers_in(&visible).is_empty());
    disk.fill();
    // Two attempts have failed. The disk was full from the start of the second one.
    running.until("the disk is full", |log| complaints(log, &out) >= 2);
    let before = assert_gapless(&numbers_in(&visible));
    assert!(before < ROWS);
    running.kill();

    let mut running = Running::start(disk.eddyline(), &job_file, &checkpoints, &log);
    running.until("the disk is full", |log| complaints(log, &out) >= 1);
    assert!(assert_gapless(&numbers_in(&visible)) < ROWS);
    disk.make_room();
    assert!(running.ended().success(), "{}", running.log());
    assert_eq!(assert_gapless(&numbers_in(&visible)), ROWS);
    assert_eq!(hidden_files(&visible), Vec::<String>::new());
}

#[test]
fn a_job_whose_checkpoint_disk_is_full_says_so_and_publishes_nothing_until_there_is_room() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = SmallDisk::at(&folder.path().join("disk"));
    let (out, checkpoints) = (folder.path().join("out"), folder.path().join("disk/checkpoints"));
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    std::fs::write(&job_file, job(&out)).expect("a file");

    let mut running = Running::start(disk.eddyline(), &job_file, &checkpoints, &log);
    running.until("results", |_| !numbers_in(&out).is_empty());
    disk.fill();
    running.until("the disk is full", |log| complaints(log, &checkpoints) >= 1);
    // The rows in files belong to checkpoints that are complete, or whose record could still be written.
    running.until("the disk is full", |log| complaints(log, &checkpoints) >= 3);
    let before = assert_gapless(&numbers_in(&out));
    assert!(before < ROWS);
    running.until("the disk is full", |log| complaints(log, &checkpoints) >= 4);
    assert_eq!(assert_gapless(&numbers_in(&out)), before, "nothing is visible before its checkpoint is complete");
    running.kill();

    let mut running = Running::start(disk.eddyline(), &job_file, &checkpoints, &log);
    running.until("the disk is full", |log| complaints(log, &checkpoints) >= 2);
    assert_eq!(assert_gapless(&numbers_in(&out)), before);
    disk.make_room();
    assert!(running.ended().success(), "{}", running.log());
    assert_eq!(assert_gapless(&numbers_in(&out)), ROWS);
    assert_eq!(hidden_files(&out), Vec::<String>::new());
    assert_eq!(hidden_files(&disk.seen(&checkpoints)), Vec::<String>::new(), "unfinished files are removed");
    pause();
}

#[test]
fn a_full_disk_for_copies_of_checkpoints_costs_the_copies_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = SmallDisk::at(&folder.path().join("disk"));
    let (out, checkpoints) = (folder.path().join("out"), folder.path().join("checkpoints"));
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    // Its state is larger than the disk.
    std::fs::write(&job_file, local_copies::job(&out)).expect("a file");
    let local = folder.path().join("disk").display().to_string();
    let warnings = |log: &str| log.lines().filter(|line| line.contains("checkpoints have no local copy")).count();
    for parallelism in ["1", "2"] {
        let more = ["--local-directory", &local, "--parallelism", parallelism];
        let mut running = Running::start_with(disk.eddyline(), &job_file, &checkpoints, &log, &more);
        running.until("the disk is full", |log| warnings(log) >= 1);
        disk.fill();
        running.kill();
        disk.make_room();
    }
    let more = ["--local-directory", &local];
    let mut running = Running::start_with(disk.eddyline(), &job_file, &checkpoints, &log, &more);
    assert!(running.ended().success(), "{}", running.log());
    let lines = running.log();
    assert!(warnings(&lines) >= 1 && !lines.contains("checkpoint abandoned"), "{lines}");
    assert_eq!(assert_gapless(&numbers_in(&out)), local_copies::ROWS);
}
