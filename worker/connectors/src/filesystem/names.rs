//! Names of parts, while they are hidden and once they are visible.

use crate::generated::random::of_name;

/// The extension of notes of uploads.
const UPLOAD_NOTE: &str = ".upload";

/// The common part of all names of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The folder of the table, absolute; empty for the root of a bucket.
    pub(super) folder: String,
    /// Distinguishes this sink's files from those of other sinks that write into the same folder.
    tag: String,
    extension: &'static str,
}

impl Names {
    pub(super) fn new(folder: String, job: &str, uid: &str, extension: &'static str) -> Self {
        let tag = format!("{:08x}", of_name(&format!("{job}/{uid}")) as u32);
        Self { folder: folder.trim_end_matches('/').to_owned(), tag, extension }
    }

    /// The path of a file of the table. `partition` is a folder below the table's folder, or empty.
    pub(super) fn path(&self, partition: &str, name: &str) -> String {
        let parts = [self.folder.as_str(), partition, name];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    /// The folder of everything that the sink stages, hidden from readers. It is one folder, so that leftovers of dead
    /// attempts are found without listing the visible files.
    pub(super) fn staging_folder(&self) -> String {
        self.path("", &format!(".staging-{}", self.tag))
    }

    /// The path of part `number` of an attempt while it is written.
    pub(super) fn staged(&self, attempt: u64, slot: usize, number: u64) -> String {
        format!("{}/a{attempt}-{slot}-{number}.{}", self.staging_folder(), self.extension)
    }

    /// The path of the note of an upload, which exists until the upload ends.
    pub(super) fn upload_note(&self, attempt: u64, slot: usize, number: u64) -> String {
        format!("{}/a{attempt}-{slot}-{number}{UPLOAD_NOTE}", self.staging_folder())
    }

    /// Whether a staged file is the note of an upload.
    pub(super) fn is_upload_note(path: &str) -> bool {
        path.ends_with(UPLOAD_NOTE)
    }

    /// The path of the note of commits.
    pub(super) fn commit_note(&self) -> String {
        format!("{}/commit.json", self.staging_folder())
    }

    /// The attempt that has staged a file of this sink. `None` for all other files. Earlier releases staged in the
    /// folder of the partition.
    pub(super) fn attempt_of(&self, path: &str) -> Option<u64> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let staged = if folder == self.staging_folder() {
            name.strip_prefix('a')?
        } else {
            name.strip_prefix(&format!(".part-{}-a", self.tag))?
        };
        staged.split_once('-')?.0.parse().ok()
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
        let staged = names.staged(12, 3, 7);
        assert!(staged.starts_with("/out/.staging-") && staged.ends_with("/a12-3-7.json"), "{staged}");
        assert_eq!(names.attempt_of(&staged), Some(12));
        assert_eq!(other.attempt_of(&staged), None);
        let of_earlier_release = names.path("day=1", &format!(".part-{}-a12-3-7.json", names.tag));
        assert_eq!((names.attempt_of(&of_earlier_release), other.attempt_of(&of_earlier_release)), (Some(12), None));
        assert_eq!(names.attempt_of(&names.commit_note()), None);
        assert_eq!(names.attempt_of(&names.upload_note(12, 3, 7)), Some(12));
        assert!(Names::is_upload_note(&names.upload_note(12, 3, 7)) && !Names::is_upload_note(&staged));
        assert_eq!(names.attempt_of(&names.path("", &names.part(3, 9, 0))), None);
        assert_ne!(names.part(0, 1, 0), other.part(0, 1, 0));
    }
}
