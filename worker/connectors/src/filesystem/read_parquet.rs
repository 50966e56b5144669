//! Reads the row groups of a piece. A file on a disk is read where it is decoded; of an object the byte ranges of the
//! wanted columns are fetched ahead, one row group at a time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddyline_formats::parquet::{self, FetchedRanges, FileReader, FileRows, Footer};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::piece::Piece;
use super::source::{Progress, format_failed};
use super::store::{Store, open_failed};
use crate::Error;

/// Rows of a decoded batch.
const BATCH_ROWS: usize = 8_192;
/// The first guess of how long the end of a file is that tells what is in it.
const FOOTER_BYTES: u64 = 64 << 10;
/// Row groups that are fetched ahead.
const QUEUE_ROW_GROUPS: usize = 1;

/// Which columns are read, and how.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) config: parquet::Config,
    pub(super) schema: SchemaRef,
    pub(super) projection: Vec<usize>,
}

/// Reads the row groups of one piece.
pub(super) struct RowGroupReader {
    // Fixed at start.
    path: String,
    // Changing.
    input: Input,
    rows: Option<FileRows>,
    /// Decoded rows that were more than asked for.
    left: Option<RecordBatch>,
    row_group: Option<usize>,
    row: u64,
    /// Rows to leave out of the row group that comes next: they were read before the checkpoint.
    skip: u64,
    /// Bytes of the row groups begun since it was made.
    pub(super) bytes: u64,
}

enum Input {
    Disk { file: std::fs::File, reader: FileReader, row_groups: std::ops::Range<usize> },
    Objects(mpsc::Receiver<Result<Fetched, Error>>),
}

struct Fetched {
    reader: FileReader,
    row_group: usize,
    ranges: FetchedRanges,
    bytes: u64,
}

impl RowGroupReader {
    pub(super) fn start(
        store: &Store,
        piece: &Piece,
        plan: &Plan,
        io: &Handle,
        waker: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, Error> {
        let input = match store {
            Store::Local => open_disk(piece, plan)?,
            Store::S3(_) => {
                let (sender, queue) = mpsc::channel(QUEUE_ROW_GROUPS);
                let (store, piece, plan) = (store.clone(), piece.clone(), plan.clone());
                drop(io.spawn(async move {
                    if let Err(error) = fetch(&store, &piece, &plan, &sender, &waker).await {
                        let _ = sender.send(Err(error)).await;
                    }
                    drop(sender);
                    waker();
                }));
                Input::Objects(queue)
            }
        };
        Ok(Self {
            path: piece.file.path.clone(),
            input,
            rows: None,
            left: None,
            row_group: piece.row_group,
            row: piece.row,
            skip: piece.row,
            bytes: 0,
        })
    }

    /// Writes down where the piece continues.
    pub(super) fn update(&self, piece: &mut Piece) {
        piece.row_group = self.row_group;
        piece.row = self.row;
    }

    /// Decodes up to `rows_max` rows.
    pub(super) fn poll(&mut self, rows_max: usize) -> Result<Progress, Error> {
        loop {
            if let Some(batch) = self.left.take() {
                let count = batch.num_rows().min(rows_max.max(1));
                if count < batch.num_rows() {
                    self.left = Some(batch.slice(count, batch.num_rows() - count));
                }
                self.row += count as u64;
                return Ok(Progress::Rows(batch.slice(0, count)));
            }
            match self.rows.as_mut().and_then(Iterator::next) {
                Some(batch) => self.left = Some(batch.map_err(|error| format_failed(&self.path, error))?),
                None => {
                    if let Some(progress) = self.next_row_group()? {
                        return Ok(progress);
                    }
                }
            }
        }
    }

    /// Begins the next row group; what to report instead when there is none, or not yet.
    fn next_row_group(&mut self) -> Result<Option<Progress>, Error> {
        let skip = self.skip;
        let (row_group, rows) = match &mut self.input {
            Input::Disk { file, reader, row_groups } => {
                let Some(row_group) = row_groups.next() else { return Ok(Some(Progress::End)) };
                let file = file.try_clone().map_err(|error| open_failed(&self.path, error))?;
                self.bytes += bytes_of(reader, row_group);
                (row_group, reader.read(file, row_group..row_group + 1, skip, BATCH_ROWS))
            }
            Input::Objects(queue) => match queue.try_recv() {
                Ok(fetched) => {
                    let Fetched { reader, row_group, ranges, bytes } = fetched?;
                    self.bytes += bytes;
                    (row_group, reader.read(ranges, row_group..row_group + 1, skip, BATCH_ROWS))
                }
                Err(TryRecvError::Empty) => return Ok(Some(Progress::Pending)),
                Err(TryRecvError::Disconnected) => return Ok(Some(Progress::End)),
            },
        };
        self.rows = Some(rows.map_err(|error| format_failed(&self.path, error))?);
        self.row_group = Some(row_group);
        self.row = skip;
        self.skip = 0;
        Ok(None)
    }
}

fn bytes_of(reader: &FileReader, row_group: usize) -> u64 {
    reader.byte_ranges(row_group..row_group + 1).iter().map(|range| range.end - range.start).sum()
}

/// The row groups of a piece that are still to be read: those that start inside it, from the position on.
fn row_groups(reader: &FileReader, piece: &Piece) -> std::ops::Range<usize> {
    let first_from = |offset: u64| {
        (0..reader.row_groups()).find(|group| reader.row_group_start(*group) >= offset).unwrap_or(reader.row_groups())
    };
    let end = if piece.end >= piece.file.size { reader.row_groups() } else { first_from(piece.end) };
    let start = piece.row_group.unwrap_or_else(|| if piece.start == 0 { 0 } else { first_from(piece.start) });
    start.min(end)..end
}

fn open_disk(piece: &Piece, plan: &Plan) -> Result<Input, Error> {
    let path = &piece.file.path;
    let file = std::fs::File::open(path).map_err(|error| open_failed(path, error))?;
    piece.check_size(file.metadata().map_err(|error| open_failed(path, error))?.len())?;
    let reader = FileReader::open(path, &file, &plan.config, &plan.schema, &plan.projection)
        .map_err(|error| format_failed(path, error))?;
    let row_groups = row_groups(&reader, piece);
    Ok(Input::Disk { file, reader, row_groups })
}

async fn fetch(
    store: &Store,
    piece: &Piece,
    plan: &Plan,
    sender: &mpsc::Sender<Result<Fetched, Error>>,
    waker: &Arc<dyn Fn() + Send + Sync>,
) -> Result<(), Error> {
    let path = &piece.file.path;
    let size = piece.file.size;
    match store.head(path).await? {
        Some(file) => piece.check_size(file.size)?,
        None => return Err(open_failed(path, std::io::ErrorKind::NotFound.into())),
    }
    let mut tail = FOOTER_BYTES;
    let metadata = loop {
        let bytes = store.read(path, size.saturating_sub(tail)..size).await?;
        match parquet::footer(path, &bytes, size).map_err(|error| format_failed(path, error))? {
            Footer::Complete(metadata) => break metadata,
            Footer::NeedsLast(needed) => tail = needed,
        }
    };
    let reader = FileReader::new(path, metadata, &plan.config, &plan.schema, &plan.projection)
        .map_err(|error| format_failed(path, error))?;
    for row_group in row_groups(&reader, piece) {
        let mut parts = Vec::new();
        let mut bytes = 0;
        for range in reader.byte_ranges(row_group..row_group + 1) {
            bytes += range.end - range.start;
            parts.push((range.start, store.read(path, range).await?));
        }
        let fetched = Fetched { reader: reader.clone(), row_group, ranges: FetchedRanges::new(size, parts), bytes };
        if sender.send(Ok(fetched)).await.is_err() {
            return Ok(());
        }
        waker();
    }
    Ok(())
}
