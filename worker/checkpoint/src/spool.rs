//! Blocks that wait to be written to a run file.
//!
//! State is encoded in the order in which it is gathered, and a run file has its blocks in another order. Between the two
//! they lie here: in memory up to a bound, and beyond that in a file on a local disk if there is one. Without one, or if
//! it is full or broken, all of them are in memory.
//!
//! The file has no name, so it is gone when the process ends, however it ends.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracing::warn;

/// The most bytes of blocks in memory if there is a disk.
const MEMORY_BYTES: usize = if cfg!(debug_assertions) { 64 << 10 } else { 32 << 20 };
/// The number of bytes that are written at a time.
const WRITE_BYTES: usize = 1 << 20;
/// The prefix of the name that the file has while it is created.
const NAME: &str = ".unfinished-spool-";

/// A folder on a local disk, and how many bytes there may be in it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub folder: PathBuf,
    pub bytes: u64,
}

/// The place of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Memory(usize),
    Disk { offset: u64, bytes: usize },
}

/// Blocks that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    room: Option<Room>,
    memory: Vec<Vec<u8>>,
    memory_bytes: usize,
    disk: Option<Disk>,
}

/// A file without a name.
#[derive(Debug)]
struct Disk {
    file: File,
    written: u64,
    /// Bytes behind those that are written.
    buffer: Vec<u8>,
}

impl Spool {
    /// A spool without blocks. Without `room` it keeps all in memory.
    pub(crate) fn new(room: Option<Room>) -> Self {
        Self { room, ..Self::default() }
    }

    /// Keeps a block.
    pub(crate) fn push(&mut self, block: Vec<u8>) -> At {
        if self.memory_bytes + block.len() > MEMORY_BYTES
            && let Some(at) = self.push_to_disk(&block)
        {
            return at;
        }
        self.memory_bytes += block.len();
        self.memory.push(block);
        At::Memory(self.memory.len() - 1)
    }

    fn push_to_disk(&mut self, block: &[u8]) -> Option<At> {
        let room = self.room.as_ref()?;
        let written = (|| {
            let disk = match &mut self.disk {
                Some(disk) => disk,
                none => none.insert(Disk::create(&room.folder)?),
            };
            disk.append(block, room.bytes)
        })();
        match written {
            Ok(at) => Some(at),
            Err(error) => {
                let folder = room.folder.display();
                warn!(%folder, %error, "a checkpoint is encoded in memory, because the local disk does not take it");
                // What is in the file stays there.
                self.room = None;
                None
            }
        }
    }

    /// Passes on a block.
    ///
    /// # Errors
    /// When the disk does not give back what was written.
    pub(crate) fn with<T>(&self, at: At, buffer: &mut Vec<u8>, act: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        match (at, &self.disk) {
            (At::Memory(index), _) => Ok(act(&self.memory[index])),
            (At::Disk { offset, bytes }, Some(disk)) => {
                buffer.resize(bytes, 0);
                disk.read(buffer, offset)?;
                Ok(act(buffer))
            }
            (At::Disk { .. }, None) => unreachable!("blocks on disk have a file"),
        }
    }
}

impl Disk {
    fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let name = folder.join(format!("{NAME}{:016x}", RandomState::new().hash_one(std::process::id())));
        let file = File::options().read(true).write(true).create_new(true).open(&name)?;
        fs::remove_file(&name)?;
        Ok(Self { file, written: 0, buffer: Vec::new() })
    }

    fn append(&mut self, block: &[u8], bytes_max: u64) -> io::Result<At> {
        let offset = self.written + self.buffer.len() as u64;
        if offset + block.len() as u64 > bytes_max {
            let reason = format!("{bytes_max} bytes are left of its limit");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, reason));
        }
        if self.buffer.len() + block.len() > WRITE_BYTES {
            self.file.write_all_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        // A block that could not be written stays in the buffer, from where it is read.
        self.buffer.extend_from_slice(block);
        Ok(At::Disk { offset, bytes: block.len() })
    }

    fn read(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        match offset.checked_sub(self.written) {
            Some(start) => {
                let start = usize::try_from(start).map_err(io::Error::other)?;
                into.copy_from_slice(&self.buffer[start..start + into.len()]);
                Ok(())
            }
            None => self.file.read_exact_at(into, offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: usize) -> Vec<u8> {
        vec![number as u8; 1000 + number]
    }

    fn filled(room: Option<Room>) -> (Spool, Vec<At>) {
        let mut spool = Spool::new(room);
        let places = (0..3000).map(|number| spool.push(block(number))).collect();
        (spool, places)
    }

    fn assert_has_all(spool: &Spool, places: &[At]) {
        let mut buffer = Vec::new();
        for (number, at) in places.iter().enumerate().rev() {
            let same = spool.with(*at, &mut buffer, |bytes| bytes == block(number));
            assert!(same.expect("it reads"), "block {number}");
        }
    }

    #[test]
    fn blocks_come_back_from_memory_and_from_disk() {
        let (spool, places) = filled(None);
        assert!(places.iter().all(|at| matches!(at, At::Memory(_))));
        assert_has_all(&spool, &places);
        let folder = tempfile::tempdir().expect("a folder");
        let (spool, places) = filled(Some(Room { folder: folder.path().join("new"), bytes: u64::MAX }));
        assert!(spool.memory_bytes <= MEMORY_BYTES);
        assert!(places.iter().any(|at| matches!(at, At::Disk { .. })));
        assert_has_all(&spool, &places);
        let left = fs::read_dir(folder.path().join("new")).expect("the folder").count();
        assert_eq!(left, 0, "the file has no name");
    }

    #[test]
    fn a_disk_without_room_costs_memory_and_no_block() {
        let folder = tempfile::tempdir().expect("a folder");
        let (spool, places) = filled(Some(Room { folder: folder.path().to_owned(), bytes: 1_200_000 }));
        assert!(places.iter().any(|at| matches!(at, At::Disk { .. })));
        assert!(spool.memory_bytes > MEMORY_BYTES);
        assert_has_all(&spool, &places);
        let file = folder.path().join("file");
        fs::write(&file, "no folder").expect("written");
        let (spool, places) = filled(Some(Room { folder: file, bytes: u64::MAX }));
        assert!(places.iter().all(|at| matches!(at, At::Memory(_))));
        assert_has_all(&spool, &places);
    }
}
