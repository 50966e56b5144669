//! Prints rows. Each batch is one write, so lines of different subtasks do not mix.

use std::io::Write;

use eddyline_stream::{Batch, CheckpointId};

use super::config::Config;
use super::row::write_row;
use super::screen;
use crate::Error;
use crate::sink::{Prepared, Sink, SinkCommitter, SinkWriter, WriterContext};

/// The sink of a print table.
pub(crate) struct PrintSink {
    config: Config,
}

impl PrintSink {
    /// Makes a sink that prints according to `config`.
    pub(crate) fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Sink for PrintSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, Error> {
        let out: Box<dyn Write + Send> =
            if self.config.standard_error { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
        Ok(Box::new(Writer { prefix: self.config.prefix(context.subtask), out, text: String::new(), bytes: 0 }))
    }

    fn committer(&self, _io: tokio::runtime::Handle) -> Result<Option<Box<dyn SinkCommitter>>, Error> {
        Ok(None)
    }
}

struct Writer {
    // Fixed at start.
    prefix: String,
    out: Box<dyn Write + Send>,
    // Changing.
    text: String,
    bytes: u64,
}

impl SinkWriter for Writer {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.text.clear();
        for row in 0..batch.num_rows() {
            self.text.push_str(&self.prefix);
            write_row(&mut self.text, batch, row);
            self.text.push('\n');
        }
        self.bytes += self.text.len() as u64;
        let Self { out, text, .. } = self;
        screen::above(|| out.write_all(text.as_bytes()).and_then(|()| out.flush())).map_err(|error| {
            Error::Unavailable { what: "cannot print rows".to_owned(), source: Some(Box::new(error)), retryable: false }
        })
    }

    fn prepare_commit(&mut self, _checkpoint: CheckpointId) -> Prepared {
        Prepared::done(Vec::new())
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use eddyline_stream::KindsBuilder;

    use super::*;

    #[derive(Clone, Default)]
    struct Calls(Arc<Mutex<Vec<String>>>);

    impl Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic while locked").push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_batch_is_one_write() {
        let calls = Calls::default();
        let mut writer =
            Writer { prefix: "out> ".to_owned(), out: Box::new(calls.clone()), text: String::new(), bytes: 0 };
        let numbers = |numbers: Vec<i64>| {
            let column: ArrayRef = Arc::new(Int64Array::from(numbers));
            RecordBatch::try_from_iter([("x", column)]).expect("one column")
        };
        writer.write(&Batch::new(numbers(vec![1, 2]))).expect("it prints");
        assert_eq!(*calls.0.lock().expect("no panic while locked"), ["out> +I[1]\nout> +I[2]\n"]);
        assert_eq!(writer.bytes(), 22);
        let mut kinds = KindsBuilder::default();
        kinds.update();
        kinds.delete();
        writer.write(&Batch::with_kinds(numbers(vec![1, 3, 2]), kinds.finish())).expect("it prints");
        assert_eq!(calls.0.lock().expect("no panic while locked")[1], "out> -U[1]\nout> +U[3]\nout> -D[2]\n");
    }
}
