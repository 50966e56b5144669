//! Reads the row groups of a piece. A file on a disk is read where it is decoded. For an object, the byte ranges of the
//! wanted columns are fetched ahead, one row group at a time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddyline_formats::parquet::{self, FetchedRanges, FileReader, FileRows, Footer, SharedPages};
use eddyline_stream::Batch;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::patience::PatientStore;
use super::piece::Piece;
use super::source::{Progress, format_failed};
use super::store::{Store, open_failed};
use crate::Error;

/// The number of rows of a decoded batch.
const BATCH_ROWS: usize = 8_192;
/// The number of row groups that are fetched ahead.
const QUEUE_ROW_GROUPS: usize = 1;

/// The columns that are read, and the settings for reading them.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) config: parquet::Config,
    pub(super) schema: SchemaRef,
    pub(super) projection: Vec<usize>,
    pub(super) divided: Arc<DividedRowGroups>,
}

/// The row groups of which readers of this process are reading one half.
#[derive(Default)]
pub(super) struct DividedRowGroups(Mutex<HashMap<(String, usize), Weak<SharedPages>>>);

impl DividedRowGroups {
    /// The pages of a row group whose second half begins with this row.
    fn pages(&self, path: &str, row_group: usize, middle: u64) -> Arc<SharedPages> {
        let mut open = self.0.lock().expect("no holder of the row groups panics");
        let key = (path.to_owned(), row_group);
        if let Some(pages) = open.get(&key).and_then(Weak::upgrade) {
            return pages;
        }
        open.retain(|_, pages| pages.strong_count() > 0);
        let pages = Arc::new(SharedPages::divided_at(middle));
        open.insert(key, Arc::downgrade(&pages));
        pages
    }
}

/// Reads the row groups of one piece.
pub(super) struct RowGroupReader {
    // Fixed at start.
    path: String,
    // Changing.
    input: Input,
    decoding: Option<Decoding>,
    /// Where the piece ends in the row group that is being decoded.
    end: u64,
    row_group: Option<usize>,
    row: u64,
    /// The number of bytes of the row groups begun so far.
    pub(super) bytes: u64,
}

/// A row group that has been read in part.
pub(super) struct Decoding {
    path: String,
    row_group: usize,
    /// The row that comes next.
    row: u64,
    /// The end of the rows to read.
    end: u64,
    rows: FileRows,
    /// Decoded rows beyond the requested number.
    left: Option<RecordBatch>,
}

impl Decoding {
    /// Up to `rows_max` rows. `None` after the last one.
    fn next(&mut self, rows_max: u64) -> Result<Option<RecordBatch>, Error> {
        let batch = match self.left.take() {
            Some(batch) => batch,
            None => match self.rows.next() {
                Some(batch) => batch.map_err(|error| format_failed(&self.path, error))?,
                None => return Ok(None),
            },
        };
        let count = usize::try_from(rows_max).unwrap_or(usize::MAX).min(batch.num_rows());
        if count < batch.num_rows() {
            self.left = Some(batch.slice(count, batch.num_rows() - count));
        }
        self.row += count as u64;
        Ok(Some(batch.slice(0, count)))
    }
}

enum Input {
    Disk { file: std::fs::File, reader: FileReader, parts: std::vec::IntoIter<Part>, divided: Arc<DividedRowGroups> },
    Objects(mpsc::Receiver<Result<Fetched, Error>>),
}

struct Fetched {
    reader: FileReader,
    part: Part,
    ranges: FetchedRanges,
}

/// The rows of a row group that are in a piece and not yet read.
struct Part {
    row_group: usize,
    rows: Range<u64>,
    /// The number of rows of the row group.
    all: u64,
    /// The row at which the second half begins, if the halves can be in different pieces.
    middle: Option<u64>,
}

impl Part {
    /// The number of bytes of the wanted columns of these rows, if all rows had the same size.
    fn bytes(&self, reader: &FileReader) -> u64 {
        let bytes: u64 = reader.byte_ranges(self.row_group).iter().map(|range| range.end - range.start).sum();
        let rows = self.rows.end - self.rows.start;
        (u128::from(bytes) * u128::from(rows) / u128::from(self.all.max(1))) as u64
    }
}

impl RowGroupReader {
    /// Starts to read a piece. `previous` is where the previous piece ended. If the piece continues there, no page is
    /// decompressed twice.
    pub(super) fn start(
        store: &PatientStore,
        piece: &Piece,
        plan: &Plan,
        (io, waker): (&Handle, Arc<dyn Fn() + Send + Sync>),
        previous: Option<Decoding>,
    ) -> Result<Self, Error> {
        let input = match &store.store {
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
        let path = piece.file.path.clone();
        let decoding = previous.filter(|decoding| decoding.path == path);
        Ok(Self { path, input, decoding, end: 0, row_group: piece.row_group, row: piece.row, bytes: 0 })
    }

    /// A row group that is not at its end, which the next piece may continue.
    pub(super) fn into_decoding(self) -> Option<Decoding> {
        self.decoding.filter(|decoding| decoding.row < decoding.end)
    }

    /// Records where the piece continues.
    pub(super) fn update(&self, piece: &mut Piece) {
        piece.row_group = self.row_group;
        piece.row = self.row;
    }

    /// Decodes up to `rows_max` rows.
    pub(super) fn poll(&mut self, rows_max: usize) -> Result<Progress, Error> {
        loop {
            let left = self.end.saturating_sub(self.row);
            if let Some(decoding) = self.decoding.as_mut().filter(|_| left > 0)
                && let Some(batch) = decoding.next(left.min(rows_max.max(1) as u64))?
            {
                self.row = decoding.row;
                return Ok(Progress::Rows(Batch::new(batch)));
            }
            if let Some(progress) = self.next_row_group()? {
                return Ok(progress);
            }
        }
    }

    /// Begins the next row group. Returns the progress to report if there is none or it is not fetched yet.
    fn next_row_group(&mut self) -> Result<Option<Progress>, Error> {
        let (bytes, part, rows) = match &mut self.input {
            Input::Disk { file, reader, parts, divided } => {
                let Some(part) = parts.next() else { return Ok(Some(Progress::End)) };
                let continues =
                    |decoding: &Decoding| (decoding.row_group, decoding.row) == (part.row_group, part.rows.start);
                let rows = match self.decoding.as_ref().is_some_and(continues) {
                    true => None,
                    false => {
                        let file = file.try_clone().map_err(|error| open_failed(&self.path, error))?;
                        let shared = part.middle.map(|middle| divided.pages(&self.path, part.row_group, middle));
                        let pages = shared.unwrap_or_default();
                        Some(reader.read(file, part.row_group, part.rows.start, BATCH_ROWS, pages))
                    }
                };
                (part.bytes(reader), part, rows)
            }
            Input::Objects(queue) => match queue.try_recv() {
                Ok(fetched) => {
                    let Fetched { reader, part, ranges } = fetched?;
                    let rows = reader.read(ranges, part.row_group, part.rows.start, BATCH_ROWS, Arc::default());
                    (part.bytes(&reader), part, Some(rows))
                }
                Err(TryRecvError::Empty) => return Ok(Some(Progress::Pending)),
                Err(TryRecvError::Disconnected) => return Ok(Some(Progress::End)),
            },
        };
        if let Some(rows) = rows {
            let rows = rows.map_err(|error| format_failed(&self.path, error))?;
            let (path, row_group, row) = (self.path.clone(), part.row_group, part.rows.start);
            self.decoding = Some(Decoding { path, row_group, row, end: part.all, rows, left: None });
        }
        self.bytes += bytes;
        self.row_group = Some(part.row_group);
        (self.row, self.end) = (part.rows.start, part.rows.end);
        Ok(None)
    }
}

/// The rows of a piece in each row group, from its position.
fn parts(reader: &FileReader, piece: &Piece) -> Vec<Part> {
    let mut parts = Vec::new();
    for row_group in piece.row_group.unwrap_or(0)..reader.row_groups() {
        let all = reader.row_group_rows(row_group);
        let mut rows = piece.rows_of_group(reader.row_group_bytes(row_group), all);
        if piece.row_group == Some(row_group) {
            rows.start = rows.start.max(piece.row);
        }
        if !rows.is_empty() {
            parts.push(Part { row_group, rows, all, middle: piece.by_halves.then(|| Piece::middle_of(all)) });
        }
    }
    parts
}

fn open_disk(piece: &Piece, plan: &Plan) -> Result<Input, Error> {
    let path = &piece.file.path;
    let file = std::fs::File::open(path).map_err(|error| open_failed(path, error))?;
    piece.check_size(file.metadata().map_err(|error| open_failed(path, error))?.len())?;
    let reader = FileReader::open(path, &file, &plan.config, &plan.schema, &plan.projection)
        .map_err(|error| format_failed(path, error))?;
    let parts = parts(&reader, piece).into_iter();
    Ok(Input::Disk { file, reader, parts, divided: Arc::clone(&plan.divided) })
}

async fn fetch(
    store: &PatientStore,
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
    let mut tail = parquet::FOOTER_GUESS_BYTES;
    let metadata = loop {
        let bytes = store.read(path, size.saturating_sub(tail)..size).await?;
        match parquet::footer(path, &bytes, size).map_err(|error| format_failed(path, error))? {
            Footer::Complete(metadata) => break metadata,
            Footer::NeedsLast(needed) => tail = needed,
        }
    };
    let reader = FileReader::new(path, metadata, &plan.config, &plan.schema, &plan.projection)
        .map_err(|error| format_failed(path, error))?;
    for part in parts(&reader, piece) {
        let mut columns = Vec::new();
        for range in reader.byte_ranges(part.row_group) {
            columns.push((range.start, store.read(path, range).await?));
        }
        let fetched = Fetched { reader: reader.clone(), part, ranges: FetchedRanges::new(size, columns) };
        if sender.send(Ok(fetched)).await.is_err() {
            return Ok(());
        }
        waker();
    }
    Ok(())
}
