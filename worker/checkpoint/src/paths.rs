//! The names of a job's objects, relative to the job's folder.
//!
//! ```text
//! control/{record:020}                      the control log
//! chk/{checkpoint:010}-{attempt}/manifest   one for each checkpoint
//! state/{attempt:010}/{worker}/{checkpoint:010}.run
//! staged/...                                sinks' output that is not visible yet
//! savepoints/{checkpoint:010}-{attempt}-{random:08x}   the location of a savepoint that is not reported yet
//! ```
//! Everything but control records has its attempt in its name, so that no two processes ever write the same name.

use eddyline_stream::{Attempt, CheckpointId};

pub(crate) const CONTROL: &str = "control";
pub(crate) const CHECKPOINTS: &str = "chk";
pub(crate) const STATE: &str = "state";
pub(crate) const STAGED: &str = "staged";
pub(crate) const MANIFEST: &str = "manifest";

/// The folder of notes about savepoints that are not reported yet. Each note contains the location of its savepoint.
pub(crate) const SAVEPOINTS: &str = "savepoints";

/// The object in a savepoint's folder that says that its output is visible.
pub(crate) const COMMITTED: &str = "committed";

/// The prefix of the object that tests whether the store overwrites objects. The object exists for a moment.
pub(crate) const PROBE: &str = "probe";

/// The object that names a job folder's history. A savepoint has a copy, because its number belongs to the history.
pub(crate) const HISTORY: &str = "history";

/// The folder of a job whose name may have any characters.
pub(crate) fn job_folder(job: &str) -> String {
    let mut folder = String::with_capacity(job.len());
    for (at, byte) in job.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || (byte == b'.' && at > 0);
        if is_plain {
            folder.push(char::from(byte));
        } else {
            folder.push_str(&format!("={byte:02x}"));
        }
    }
    if folder.is_empty() { "=".to_owned() } else { folder }
}

pub(crate) fn control_record(sequence: u64) -> String {
    format!("{CONTROL}/{sequence:020}")
}

/// The note of a savepoint, by its location; `None` for a folder that was given another name.
pub(crate) fn savepoint_note(uri: &str) -> Option<String> {
    let folder = uri.rsplit('/').next()?.strip_prefix("savepoint-")?;
    let mut parts = folder.rsplitn(4, '-');
    let (unique, attempt, checkpoint) = (parts.next()?, parts.next()?, parts.next()?);
    let note = format!("{SAVEPOINTS}/{checkpoint}-{attempt}-{unique}");
    writer_of(&note).is_some().then_some(note)
}

/// The number of a control record; `None` for other names.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(CONTROL)?.strip_prefix('/')?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

pub(crate) fn checkpoint_folder(checkpoint: CheckpointId, attempt: Attempt) -> String {
    format!("{CHECKPOINTS}/{:010}-{}", checkpoint.number(), attempt.number())
}

pub(crate) fn run_file(attempt: Attempt, worker: &str, checkpoint: CheckpointId) -> String {
    format!("{STATE}/{:010}/{worker}/{:010}.run", attempt.number(), checkpoint.number())
}

/// The checkpoint and the attempt that wrote a manifest or a run file; `None` for names of another form.
pub(crate) fn writer_of(name: &str) -> Option<(CheckpointId, Attempt)> {
    let parts: Vec<&str> = name.split('/').collect();
    let (checkpoint, attempt) = match parts.as_slice() {
        [CHECKPOINTS, folder, _] => folder.split_once('-')?,
        [SAVEPOINTS, note] => note.rsplit_once('-')?.0.split_once('-')?,
        [STATE, attempt, _, file] => (file.strip_suffix(".run")?, *attempt),
        _ => return None,
    };
    Some((CheckpointId::new(checkpoint.parse().ok()?), Attempt::new(attempt.parse().ok()?)))
}

/// The name of a staged object.
pub(crate) fn staged(name: &str) -> String {
    format!("{STAGED}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_who_wrote_them() {
        let (checkpoint, attempt) = (CheckpointId::new(12), Attempt::new(3));
        let manifest = format!("{}/{MANIFEST}", checkpoint_folder(checkpoint, attempt));
        assert_eq!(manifest, "chk/0000000012-3/manifest");
        assert_eq!(writer_of(&manifest), Some((checkpoint, attempt)));
        let run = run_file(attempt, "leader", checkpoint);
        assert_eq!(run, "state/0000000003/leader/0000000012.run");
        assert_eq!(writer_of(&run), Some((checkpoint, attempt)));
        let note = savepoint_note("s3://bucket/savepoints/savepoint-orders-per-minute-0000000012-3-5f0a77c2");
        let note = note.expect("the form of such names");
        assert_eq!(note, "savepoints/0000000012-3-5f0a77c2");
        for renamed in ["s3://bucket/kept", "s3://bucket/savepoint-1-2", "s3://bucket/savepoint-a-b-c-d/kept-1-2-3"] {
            assert_eq!(savepoint_note(renamed), None, "{renamed}");
        }
        assert_eq!(writer_of(&note), Some((checkpoint, attempt)));
        assert_eq!(writer_of("state/x"), None);
        assert_eq!(sequence_of(&control_record(7)), Some(7));
        assert_eq!(sequence_of("control/7"), None);
    }

    #[test]
    fn different_jobs_never_share_a_folder() {
        assert_eq!(job_folder("orders-per.minute_1"), "orders-per.minute_1");
        assert_eq!(job_folder("../a/b"), "=2e.=2fa=2fb");
        assert_eq!(job_folder("a=b"), "a=3db");
        assert_eq!(job_folder(""), "=");
    }
}
