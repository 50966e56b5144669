//! `eddyline run` as a separate process, whose log a test can read while it runs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest wait for one condition.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process. It is killed when dropped.
pub struct Running {
    process: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `eddyline run` by this program. Its log is written to a new file.
    pub fn start(program: Command, job: &Path, checkpoints: &Path, log: &Path) -> Self {
        Self::start_with(program, job, checkpoints, log, &[])
    }

    /// Does the same as [`Running::start`], with further arguments.
    pub fn start_with(mut program: Command, job: &Path, checkpoints: &Path, log: &Path, more: &[&str]) -> Self {
        let file = std::fs::File::create(log).expect("a log file");
        program.arg("run").arg(job).arg("--checkpoint-dir").arg(checkpoints);
        program.args(["--checkpoint-interval", "200 ms"]).args(more).env("RUST_LOG", "warn");
        let process = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("the program");
        Self { process, log: log.to_owned() }
    }

    /// The binary of this test run.
    pub fn eddyline() -> Command {
        Command::new(env!("CARGO_BIN_EXE_eddyline"))
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log file")
    }

    /// Waits until its log fulfils a condition. Fails if the process ends before that.
    pub fn until(&mut self, what: &str, mut condition: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.log()) {
            assert!(self.is_alive(), "it has ended before: {what}; the log: {}", self.log());
            assert!(Instant::now() < deadline, "not in time: {what}; the log: {}", self.log());
            pause();
        }
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.try_wait().expect("a child").is_none()
    }

    /// Asks it to stop with a savepoint.
    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill().expect("a signal");
        self.process.wait().expect("a child");
    }

    /// Waits for its end. Fails if its log has a panic.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("a child") {
                assert!(!self.log().contains("panicked"), "{}", self.log());
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end; the log: {}", self.log());
            pause();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// A short pause.
pub fn pause() {
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    let _timeout = receiver.recv_timeout(Duration::from_millis(20));
}

/// The sorted numbers in the visible files of a folder, which have one on each line.
pub fn numbers_in(folder: &Path) -> Vec<u64> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            let text = std::fs::read_to_string(entry.path()).expect("a text file");
            assert!(text.ends_with('\n'), "{} is cut off", entry.path().display());
            numbers.extend(text.lines().map(|line| line.parse::<u64>().expect("a number a line")));
        }
    }
    numbers.sort_unstable();
    numbers
}

/// Fails unless these are the numbers from 1 on, each once. Returns their count.
pub fn assert_gapless(numbers: &[u64]) -> u64 {
    let wrong = numbers.iter().zip(1..).find(|(found, wanted)| **found != *wanted);
    assert_eq!(wrong, None, "a number is missing or there twice, of {}", numbers.len());
    numbers.len() as u64
}
