//! Names of parts, while they are hidden and once they are seen.

use crate::generated::random::of_name;

/// What all names of one sink have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The folder of the table, absolute; empty for the root of a bucket.
    pub(super) folder: String,
    /// Tells this sink's files from those of others that write into the same folder.
    tag: String,
    extension: &'static str,
}

impl Names {
    pub(super) fn new(folder: String, job: &str, uid: &str, extension: &'static str) -> Self {
        let tag = format!("{:08x}", of_name(&format!("{job}/{uid}")) as u32);
        Self { folder: folder.trim_end_matches('/').to_owned(), tag, extension }
    }

    /// The path of a file of the table; `partition` is a folder below the table's, or empty.
    pub(super) fn path(&self, partition: &str, name: &str) -> String {
        let parts = [self.folder.as_str(), partition, name];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    /// Part `number` of an attempt while it is written: hidden from readers.
    pub(super) fn staged(&self, attempt: u64, slot: usize, number: u64) -> String {
        format!("{}{attempt}-{slot}-{number}.{}", self.staged_prefix(), self.extension)
    }

    fn staged_prefix(&self) -> String {
        format!(".part-{}-a", self.tag)
    }

    /// The attempt that has staged a file of this sink; `None` for all other files.
    pub(super) fn attempt_of(&self, path: &str) -> Option<u64> {
        let name = path.rsplit('/').next()?;
        name.strip_prefix(&self.staged_prefix())?.split_once('-')?.0.parse().ok()
    }

    /// Part `number` of a slot in a checkpoint, as readers see it.
    pub(super) fn part(&self, slot: usize, checkpoint: u64, number: u64) -> String {
        format!("part-{}-{slot}-{checkpoint}-{number}.{}", self.tag, self.extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_sinks_attempts_and_checkpoints_apart() {
        let names = Names::new("/out/".to_owned(), "job", "sink-1", "json");
        let other = Names::new("/out".to_owned(), "job", "sink-2", "json");
        assert_eq!(names.path("day=1", "x"), "/out/day=1/x");
        assert_eq!(names.path("", "x"), "/out/x");
        assert_eq!(Names::new(String::new(), "job", "sink-1", "json").path("", "x"), "x");
        let staged = names.path("day=1", &names.staged(12, 3, 7));
        assert_eq!(names.attempt_of(&staged), Some(12));
        assert_eq!(other.attempt_of(&staged), None);
        assert_eq!(names.attempt_of(&names.path("", &names.part(3, 9, 0))), None);
        assert_ne!(names.part(0, 1, 0), other.part(0, 1, 0));
    }
}
