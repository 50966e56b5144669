//! Passes blocks of a file from an I/O task to a slot thread, through a bounded queue.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::compression::Compression;
use super::patience::PatientStore;
use super::piece::{Lines, Piece};
use super::store::{Store, failed_on_disk, open_failed};
use crate::Error;

/// The size of a block from a disk, in bytes.
const BLOCK_BYTES: usize = 1 << 20;
/// The size of a request to a bucket in bytes, and the number of concurrent requests.
const REQUEST_BYTES: u64 = 4 << 20;
const REQUESTS_MAX: usize = 4;
/// The number of blocks that may wait for the slot thread.
const QUEUE_BLOCKS: usize = 4;
/// Room at the start of a block for the incomplete last line of the previous one.
const ROOM: usize = 16 << 10;
/// The number of bytes after the end of a piece that are also fetched: its last line usually ends there.
const OVERHANG: u64 = 64 << 10;

/// A part of a file. Its bytes follow some empty room.
pub(super) struct Block {
    /// Where it starts in the (decompressed) file.
    pub(super) offset: u64,
    buffer: Vec<u8>,
    range: Range<usize>,
    /// Whether the piece ends here.
    pub(super) is_last: bool,
}

impl Block {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }

    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// Drops the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.range.start += count;
        self.offset += count as u64;
    }

    /// Prepends the rest of the previous block.
    pub(super) fn prepend(&mut self, rest: &[u8]) {
        self.offset -= rest.len() as u64;
        if let Some(start) = self.range.start.checked_sub(rest.len()) {
            self.buffer[start..self.range.start].copy_from_slice(rest);
            self.range.start = start;
            return;
        }
        let mut joined = Vec::with_capacity(ROOM + rest.len() + self.len());
        joined.resize(ROOM, 0);
        joined.extend_from_slice(rest);
        joined.extend_from_slice(self.bytes());
        self.range = ROOM..joined.len();
        self.buffer = joined;
    }
}

/// The result of asking for the next block.
pub(super) enum Fetched {
    Block(Block),
    /// There is no block at the moment. The waker is called when there is one.
    Nothing,
}

/// The receiving end of a piece's blocks.
pub(super) struct Blocks {
    queue: mpsc::Receiver<Result<Block, Error>>,
}

impl Blocks {
    /// Starts to fetch the lines of a piece.
    pub(super) fn start(
        store: &PatientStore,
        piece: &Piece,
        io: &Handle,
        waker: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, Error> {
        let (sender, queue) = mpsc::channel(QUEUE_BLOCKS);
        let outlet = Outlet { sender, waker };
        let piece = piece.clone();
        let compression = Compression::of_path(&piece.file.path)?;
        let store = store.clone();
        match (&store.store, compression) {
            (Store::Local, None) => drop(io.spawn_blocking(move || outlet.end(read_disk(&piece, &outlet)))),
            (Store::Local, Some(compression)) => drop(io.spawn_blocking(move || {
                let opened = open_disk(&piece);
                outlet.end(opened.and_then(|file| unpack(&piece, compression, file, &outlet)));
            })),
            (_, None) => drop(io.spawn(async move { outlet.end(read_objects(&store, &piece, &outlet).await) })),
            (_, Some(compression)) => {
                let (packed, packed_queue) = mpsc::channel(REQUESTS_MAX);
                let reader = PackedReader { queue: packed_queue, bytes: bytes::Bytes::new() };
                let path = piece.file.path.clone();
                let size = piece.file.size;
                drop(io.spawn(async move {
                    let mut parts = requests(&store, &path, 0..size);
                    while let Some(part) = parts.next().await {
                        if packed.send(part).await.is_err() {
                            return;
                        }
                    }
                }));
                drop(io.spawn_blocking(move || outlet.end(unpack(&piece, compression, reader, &outlet))));
            }
        }
        Ok(Self { queue })
    }

    pub(super) fn next(&mut self) -> Result<Fetched, Error> {
        match self.queue.try_recv() {
            Ok(block) => block.map(Fetched::Block),
            Err(TryRecvError::Empty) => Ok(Fetched::Nothing),
            Err(TryRecvError::Disconnected) => Err(Error::Unavailable {
                what: "the task that reads a file ended early".to_owned(),
                source: None,
                retryable: true,
            }),
        }
    }
}

/// The sending end.
struct Outlet {
    sender: mpsc::Sender<Result<Block, Error>>,
    waker: Arc<dyn Fn() + Send + Sync>,
}

impl Outlet {
    /// Sends a block from a blocking thread. Returns `false` if the receiver was dropped.
    fn send(&self, block: Block) -> bool {
        let sent = self.sender.blocking_send(Ok(block)).is_ok();
        (self.waker)();
        sent
    }

    fn end(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            // The queue is full, so the error waits on the I/O runtime, where waiting is allowed.
            let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
            drop(Handle::current().spawn(async move {
                if sender.send(Err(error)).await.is_ok() {
                    waker();
                }
            }));
        }
    }
}

fn open_disk(piece: &Piece) -> Result<std::fs::File, Error> {
    let path = &piece.file.path;
    let file = std::fs::File::open(path).map_err(|error| open_failed(path, error))?;
    let size = file.metadata().map_err(|error| open_failed(path, error))?.len();
    piece.check_size(size)?;
    Ok(file)
}

fn read_disk(piece: &Piece, outlet: &Outlet) -> Result<(), Error> {
    let cannot = |error| open_failed(&piece.file.path, error);
    let mut file = open_disk(piece)?;
    let mut lines = piece.lines();
    let mut offset = file.seek(SeekFrom::Start(lines.from)).map_err(cannot)?;
    loop {
        let wanted = piece.file.size.saturating_sub(offset).min(BLOCK_BYTES as u64);
        let mut buffer = Vec::with_capacity(ROOM + BLOCK_BYTES);
        buffer.resize(ROOM, 0);
        let count = file.by_ref().take(wanted).read_to_end(&mut buffer).map_err(cannot)? as u64;
        if count < wanted {
            piece.check_size(offset + count)?;
        }
        let (block, is_last) = select(&mut lines, offset, buffer);
        if !outlet.send(block) || is_last {
            return Ok(());
        }
        offset += count;
    }
}

/// The block of the bytes after the room of `buffer`, which were read at `offset`.
fn select(lines: &mut Lines, offset: u64, buffer: Vec<u8>) -> (Block, bool) {
    let (range, is_last) = lines.select(offset, &buffer[ROOM..]);
    let block =
        Block { offset: offset + range.start as u64, range: ROOM + range.start..ROOM + range.end, buffer, is_last };
    (block, is_last)
}

fn unpack(piece: &Piece, compression: Compression, packed: impl Read + Send, outlet: &Outlet) -> Result<(), Error> {
    let cannot = |error| failed_on_disk(format!("cannot decompress file '{}'", piece.file.path), error);
    let mut unpacked = compression.unpack(packed).map_err(cannot)?;
    let mut offset = piece.offset.unwrap_or(0);
    let skipped = std::io::copy(&mut unpacked.by_ref().take(offset), &mut std::io::sink()).map_err(cannot)?;
    if skipped < offset {
        return Err(Error::Restore {
            split: piece.id().to_string(),
            reason: format!("the decompressed file has {skipped} bytes, but the checkpoint is at {offset}"),
        });
    }
    loop {
        let mut buffer = Vec::with_capacity(ROOM + BLOCK_BYTES);
        buffer.resize(ROOM, 0);
        unpacked.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut buffer).map_err(cannot)?;
        let count = buffer.len() - ROOM;
        let block = Block { offset, range: ROOM..buffer.len(), buffer, is_last: count == 0 };
        offset += count as u64;
        if !outlet.send(block) || count == 0 {
            return Ok(());
        }
    }
}

/// The bytes of an object, several requests at a time, in order.
fn requests<'a>(
    store: &'a PatientStore,
    path: &'a str,
    range: Range<u64>,
) -> impl futures::Stream<Item = Result<bytes::Bytes, Error>> + Send + Unpin + 'a {
    let starts = range.clone().step_by(REQUEST_BYTES as usize);
    stream::iter(starts)
        .map(move |start| store.read(path, start..range.end.min(start + REQUEST_BYTES)).boxed())
        .buffered(REQUESTS_MAX)
}

async fn read_objects(store: &PatientStore, piece: &Piece, outlet: &Outlet) -> Result<(), Error> {
    let path = &piece.file.path;
    match store.head(path).await? {
        Some(file) => piece.check_size(file.size)?,
        None => return Err(open_failed(path, std::io::ErrorKind::NotFound.into())),
    }
    let mut lines = piece.lines();
    let reach = lines.reach();
    let near = reach.end.min(reach.start.saturating_add(OVERHANG)).max(lines.from);
    let mut offset = lines.from;
    // The bytes that are needed in any case are fetched concurrently. The rest of a very long last line follows.
    for range in [offset..near, near..reach.end] {
        let mut parts = requests(store, path, range);
        while let Some(part) = parts.next().await {
            let part = part?;
            let mut buffer = Vec::with_capacity(ROOM + part.len());
            buffer.resize(ROOM, 0);
            buffer.extend_from_slice(&part);
            let (block, is_last) = select(&mut lines, offset, buffer);
            offset += part.len() as u64;
            let sent = outlet.sender.send(Ok(block)).await.is_ok();
            (outlet.waker)();
            if !sent || is_last {
                return Ok(());
            }
        }
    }
    // The position is at the end of the file. Nothing is left to read, but the end must be reported.
    let (block, _) = select(&mut lines, offset, vec![0; ROOM]);
    let _ = outlet.sender.send(Ok(Block { is_last: true, ..block })).await;
    (outlet.waker)();
    Ok(())
}

/// Compressed bytes that an asynchronous task fetches, as a reader for a decoder.
struct PackedReader {
    queue: mpsc::Receiver<Result<bytes::Bytes, Error>>,
    bytes: bytes::Bytes,
}

impl Read for PackedReader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.bytes.is_empty() {
            match self.queue.blocking_recv() {
                Some(part) => self.bytes = part.map_err(std::io::Error::other)?,
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.bytes.len());
        out[..count].copy_from_slice(&self.bytes.split_to(count));
        Ok(count)
    }
}
