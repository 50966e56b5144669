//! How much memory the process may have, and how much it has.
//!
//! The limit is set, or it is that of the cgroup, beyond which the kernel ends the process without a message. With a
//! local disk the process stays below it: [`budget`] decides, and [`governor`] carries it out. Without one the log says
//! when the limit is near, and which operators have the most state.

pub mod budget;
pub mod governor;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use eddyline_api::status::Memory;
use tracing::warn;

use crate::coordinator::job::View;
use crate::runtime::metrics::OperatorMetrics;
pub use governor::Governor;

/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
/// A limit of the first version of cgroups that is this high stands for none.
const NO_LIMIT: u64 = 1 << 60;
/// Makes the allocator return free memory to the kernel at once.
static RETURN_AT_ONCE: OnceLock<fn()> = OnceLock::new();

/// Says how the allocator of this program is made to return free memory to the kernel at once. That costs time, so it is
/// done only where memory must stay below a limit.
pub fn returns_at_once(function: fn()) {
    let _said_before = RETURN_AT_ONCE.set(function);
}

/// How often the watch looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// The parts of the limit, in percent: above the first there is a warning, and below the second another one may follow.
const WARNING: (u64, u64) = (85, 75);
/// So many operators are named.
const NAMED: usize = 3;

/// The limit of the process, in bytes: the least of its cgroup and those above it. `None` if there is none, or no cgroups.
pub fn limit() -> Option<u64> {
    limit_of(Path::new(CGROUPS), &std::fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// As [`limit`], for a process with this `/proc/self/cgroup`.
fn limit_of(root: &Path, cgroups: &str) -> Option<u64> {
    let limits = cgroups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            "memory" => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let folder = root.join(path.trim_start_matches('/'));
        // In a container the mount may begin at the process's own group, wherever its path says that it is.
        let up = folder.ancestors().take_while(|folder| folder.starts_with(&root)).map(Path::to_owned);
        up.chain([root.clone()]).filter_map(|folder: PathBuf| bytes_in(&folder.join(file))).collect()
    });
    limits.filter(|limit| *limit < NO_LIMIT).min()
}

fn bytes_in(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The resident memory of the process in bytes, if the system says.
pub fn resident() -> Option<u64> {
    bytes_of("VmRSS:", &std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The anonymous memory of the process in bytes, which is all but the pages of files. The kernel cannot take it back.
fn anonymous() -> Option<u64> {
    bytes_of("RssAnon:", &std::fs::read_to_string("/proc/self/status").ok()?)
}

fn bytes_of(name: &str, status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The memory of a worker, as its API shows it.
pub fn status(view: &View) -> Memory {
    let operators = view.operators();
    let state_bytes = operators.iter().map(|task| task.state_bytes.get()).sum();
    let spilled_bytes = operators.iter().map(|task| task.spilled_bytes.get()).sum();
    Memory { limit_bytes: view.memory_limit, resident_bytes: resident(), state_bytes, spilled_bytes }
}

/// Warns whenever memory comes near the limit and nothing keeps it below, until the runtime ends.
pub async fn watch(view: Arc<View>, limit: Option<u64>) {
    let Some(limit) = limit else { return };
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut is_near = false;
    loop {
        ticks.tick().await;
        let Some(resident) = resident() else { return };
        let was_near = is_near;
        is_near = near(is_near, resident, limit);
        if is_near && !was_near && !view.is_governed.load(Ordering::Relaxed) {
            let operators = largest(&view.operators());
            warn!(resident, limit, operators, "little memory is left: above its limit the process is killed");
        }
    }
}

/// Whether memory is near the limit, after it was or was not.
fn near(is_near: bool, resident: u64, limit: u64) -> bool {
    let percent = if is_near { WARNING.1 } else { WARNING.0 };
    u128::from(resident) * 100 >= u128::from(limit) * u128::from(percent)
}

/// The operators with the most state, and how much they have.
fn largest(subtasks: &[Arc<OperatorMetrics>]) -> String {
    let mut operators: Vec<(String, u64)> = Vec::new();
    for task in subtasks {
        let (uid, bytes) = (task.uid.to_string(), task.state_bytes.get());
        match operators.iter_mut().find(|(known, _)| *known == uid) {
            Some((_, sum)) => *sum += bytes,
            None => operators.push((uid, bytes)),
        }
    }
    operators.retain(|(_, bytes)| *bytes > 0);
    operators.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let named = operators.iter().take(NAMED).map(|(uid, bytes)| format!("{uid}: {} MiB of state", bytes >> 20));
    named.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: PathBuf, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_above_it_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str, text: &str| write(root.path().join(path), text);
        assert_eq!(limit_of(root.path(), "0::/pods/one/worker\n"), None);
        at("pods/memory.max", "max\n");
        at("pods/one/memory.max", "1000\n");
        at("pods/one/worker/memory.max", "max\n");
        assert_eq!(limit_of(root.path(), "0::/pods/one/worker\n"), Some(1000));
        at("pods/one/worker/memory.max", "700\n");
        assert_eq!(limit_of(root.path(), "0::/pods/one/worker\n"), Some(700));
        assert_eq!(limit_of(root.path(), "0::/pods\n"), None);
    }

    #[test]
    fn in_a_container_the_limit_is_at_the_root_of_the_mount() {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path().join("memory.max"), "512");
        assert_eq!(limit_of(root.path(), "0::/\n"), Some(512));
        assert_eq!(limit_of(root.path(), "0::/../../elsewhere\n"), Some(512));
    }

    #[test]
    fn the_first_version_of_cgroups_has_limits_too() {
        let root = tempfile::tempdir().expect("a folder");
        let text = "12:cpu,cpuacct:/pod\n4:memory:/pod\n0::/\n";
        write(root.path().join("memory/memory.limit_in_bytes"), "9223372036854771712\n");
        assert_eq!(limit_of(root.path(), text), None, "the largest number stands for none");
        write(root.path().join("memory/pod/memory.limit_in_bytes"), "4096\n");
        assert_eq!(limit_of(root.path(), text), Some(4096));
    }

    #[test]
    fn the_resident_memory_is_that_of_this_process() {
        assert_eq!(bytes_of("VmRSS:", "VmPeak:\t  9 kB\nVmRSS:\t    12 kB\n"), Some(12 << 10));
        assert_eq!(bytes_of("VmRSS:", "nothing of it"), None);
        assert!(anonymous().is_some_and(|bytes| bytes > 1 << 20));
        assert!(resident() >= anonymous());
    }

    #[test]
    fn one_approach_to_the_limit_is_one_warning() {
        let mut is_near = false;
        let looks = [10, 84, 85, 90, 80, 86, 74, 84, 85].map(|resident| {
            let was_near = is_near;
            is_near = near(was_near, resident, 100);
            is_near && !was_near
        });
        assert_eq!(looks, [false, false, true, false, false, false, false, false, true]);
        assert!(near(false, u64::MAX, u64::MAX) && !near(false, 0, u64::MAX));
    }
}
