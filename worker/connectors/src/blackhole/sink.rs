//! Counts bytes and discards rows.

use eddyline_stream::{Batch, CheckpointId};

use crate::Error;
use crate::sink::{Prepared, Sink, SinkCommitter, SinkWriter, WriterContext};

/// The sink of a blackhole table.
pub(crate) struct BlackholeSink;

impl Sink for BlackholeSink {
    fn writer(&self, _context: WriterContext) -> Result<Box<dyn SinkWriter>, Error> {
        Ok(Box::new(Writer { bytes: 0 }))
    }

    fn committer(&self, _io: tokio::runtime::Handle) -> Result<Option<Box<dyn SinkCommitter>>, Error> {
        Ok(None)
    }
}

struct Writer {
    bytes: u64,
}

impl SinkWriter for Writer {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.bytes += batch.rows().get_array_memory_size() as u64;
        Ok(())
    }

    fn prepare_commit(&mut self, _checkpoint: CheckpointId) -> Prepared {
        Prepared::done(Vec::new())
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
