//! A job that another process has taken over says so, whatever it was that failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_api::Phase;
use eddyline_checkpoint::storage::Storage;
use eddyline_checkpoint::{JobIdentity, JobStore};
use eddyline_connectors::sink::{Committable, Sink, SinkCommitter, SinkWriter, WriterContext};
use eddyline_connectors::source::Source;
use eddyline_connectors::{Error, OpenContext};
use eddyline_job_graph::{SinkNode, SourceNode};
use eddyline_stream::{CheckpointId, MaxParallelism, key_hash};
use eddyline_worker::coordinator::job::{self, Restore, View};
use eddyline_worker::runtime::connectors::{BuiltIn, Connectors, OpenError};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use tokio::sync::mpsc::unbounded_channel;

use crate::golden::Run;
use crate::parallelism::planned;

/// Tables whose first commit fails for good: what was staged is gone.
#[derive(Clone)]
struct Losing {
    checkpoints: String,
    max_parallelism: MaxParallelism,
    /// Whether another process takes the job over just before.
    is_overtaken: bool,
}

impl Connectors for Losing {
    fn open_source(&self, source: &SourceNode, context: &OpenContext) -> Result<Box<dyn Source>, OpenError> {
        BuiltIn.open_source(source, context)
    }

    fn open_sink(&self, sink: &SinkNode, context: &OpenContext) -> Result<Box<dyn Sink>, OpenError> {
        Ok(Box::new(LosingSink { rows: BuiltIn.open_sink(sink, context)?, losing: self.clone() }))
    }
}

struct LosingSink {
    rows: Box<dyn Sink>,
    losing: Losing,
}

impl Sink for LosingSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, Error> {
        self.rows.writer(context)
    }

    fn committer(&self, _: tokio::runtime::Handle) -> Result<Option<Box<dyn SinkCommitter>>, Error> {
        Ok(Some(Box::new(self.losing.clone())))
    }
}

impl SinkCommitter for Losing {
    fn commit<'a>(&'a mut self, _: CheckpointId, _: &'a [Committable]) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            if self.is_overtaken {
                let storage = Storage::open(&self.checkpoints, &BTreeMap::new()).expect("a folder");
                let identity =
                    JobIdentity { max_parallelism: self.max_parallelism, hash_version: key_hash::VERSION, retain: 1 };
                JobStore::open(storage, "job").start_attempt(identity).await.expect("it takes over");
            }
            Err(Error::Unavailable { what: "the staged file is gone".to_owned(), source: None, retryable: false })
        }
        .boxed()
    }

    fn abort_stale<'a>(&'a mut self, _: &'a [Committable]) -> BoxFuture<'a, Result<(), Error>> {
        ready(Ok(())).boxed()
    }
}

#[tokio::test]
async fn a_commit_that_fails_after_another_process_has_taken_over_is_no_failure_of_the_job() {
    let graph = planned(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO results SELECT n FROM numbers;"
            .to_owned(),
    );
    for is_overtaken in [true, false] {
        let checkpoints = tempfile::tempdir().expect("a temporary folder");
        let run = Run { checkpoint_dir: Some(checkpoints.path()), restore: Restore::Latest, ..Run::default() };
        let connectors: Arc<dyn Connectors> = Arc::new(Losing {
            checkpoints: checkpoints.path().display().to_string(),
            max_parallelism: graph.settings.max_parallelism,
            is_overtaken,
        });
        let view = View::default();
        let (_requests, receiver) = unbounded_channel();
        let error = job::run(&graph, &run.config("job"), &connectors, &view, receiver).await.expect_err("it fails");
        let (phase, reason) = match is_overtaken {
            true => (Phase::Fenced, "attempt 2 has taken over"),
            false => (Phase::Failed, "failed to commit"),
        };
        assert_eq!(view.status.phase(), phase);
        assert!(error.to_string().contains(reason), "{error}");
    }
}
