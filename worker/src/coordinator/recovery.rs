//! How an attempt continues the work of an earlier one: the checkpoint that it starts from, the state that it restores,
//! and the output that it commits first.

use std::collections::BTreeSet;
use std::sync::Arc;

use eddyline_checkpoint::{CheckpointHandle, CompletedCheckpoint, Fit, HeldState, JobOperator, JobStore};
use eddyline_connectors::OpenContext;
use eddyline_connectors::source::Split;
use eddyline_job_graph::{JobGraph, NodeKind};
use eddyline_stream::{Assignment, CheckpointId, OperatorUid, SlotIndex};
use futures::stream::{self, StreamExt, TryStreamExt};
use tracing::{info, warn};

use super::attempt;
use super::job::{Config, Error, Restore};
use super::staging::SavepointStaging;
use super::storing::{BySink, Committers};
use crate::runtime::build::{self, Restored};
use crate::runtime::connectors::Connectors;

/// Subtasks whose state is read at the same time. The requests in flight of all of them together have a bound of their own.
const SUBTASKS_AT_ONCE: usize = 8;

/// What an attempt restores, and whether that is the latest checkpoint of the job's own folder. `start_after` is the
/// latest checkpoint at the time of the decision to start. Checkpoints up to it count only with [`Restore::Latest`].
pub(super) async fn starting_point(
    config: &Config,
    store: &JobStore,
    latest: Option<CheckpointHandle>,
    start_after: CheckpointId,
) -> Result<(Option<CheckpointHandle>, bool), Error> {
    let latest = latest.filter(|latest| config.restore == Restore::Latest || latest.id() > start_after);
    if latest.is_some() {
        return Ok((latest, true));
    }
    let uri = match &config.restore {
        Restore::Uri(uri) => Some(uri),
        Restore::Latest => config.restore_first.as_ref(),
        Restore::None => None,
    };
    Ok(match uri {
        Some(uri) => (Some(store.open_uri(uri, &config.storage_options).await?), false),
        None => (None, false),
    })
}

/// Commits the open output of a savepoint, or of a checkpoint of this job that an earlier start has skipped. The sinks
/// are opened with the names of the output's job and history, because these names say what is already visible.
pub(super) async fn commit_restored(
    graph: &JobGraph,
    (restored, is_own): (&CheckpointHandle, bool),
    connectors: &Arc<dyn Connectors>,
    may_be_left: &BTreeSet<OperatorUid>,
) -> Result<(), Error> {
    let Some(history) = restored.open_output().await? else { return Ok(()) };
    if !is_own && !restored.is_savepoint() {
        return Err(Error::ForeignOutput { uri: restored.uri().to_owned() });
    }
    info!(from = %restored.uri(), "committing the open output of the restored checkpoint");
    for (sink, committables) in committables(restored)?.into_iter().filter(|(_, of_sink)| !of_sink.is_empty()) {
        let of_sink = graph.nodes.iter().find(|node| node.uid == sink).map(|node| node.kind.clone());
        let Some(NodeKind::Sink(node)) = of_sink else {
            leave_output(restored, &sink, may_be_left)?;
            continue;
        };
        let context = OpenContext {
            job: restored.job().to_owned(),
            history: history.clone(),
            uid: sink.to_string(),
            attempt: restored.attempt().number(),
            staging: Arc::new(SavepointStaging::new(restored.clone())),
        };
        let (connectors, io) = (Arc::clone(connectors), tokio::runtime::Handle::current());
        // Opening may wait for brokers.
        let opened = tokio::task::spawn_blocking(move || {
            let opened = connectors.open_sink(&node, &context)?;
            Ok::<_, crate::runtime::connectors::OpenError>(opened.committer(io)?)
        });
        let opened = opened.await.map_err(|_| attempt::Error::Lost)?;
        let open_failed = |source| build::Error::Open { operator: sink.clone(), source: Box::new(source) };
        let Some(mut committer) = opened.map_err(open_failed)? else {
            leave_output(restored, &sink, may_be_left)?;
            continue;
        };
        committer.commit(restored.id(), &committables).await.map_err(|source| attempt::Error::Commit {
            sink: sink.clone(),
            checkpoint: restored.id(),
            source: Box::new(source),
        })?;
        eddyline_stream::crash_point("savepoint.committed-one");
    }
    if let Err(error) = restored.mark_committed().await {
        // This job may lack the right to write there. The next job that restores the checkpoint repeats the commit.
        warn!(uri = %restored.uri(), error = %crate::chain_of(&error), "the restored checkpoint could not be marked as committed");
    }
    Ok(())
}

/// The output that a checkpoint of this job has staged and not committed, by sink. Fails if the job lacks a sink whose
/// output must not be dropped.
pub(super) fn open_output(
    checkpoint: &CheckpointHandle,
    committers: &Committers,
    may_be_left: &BTreeSet<OperatorUid>,
) -> Result<BySink, Error> {
    let staged = committables(checkpoint)?;
    for (sink, _) in staged.iter().filter(|(sink, of_sink)| !of_sink.is_empty() && !committers.contains_key(*sink)) {
        leave_output(checkpoint, sink, may_be_left)?;
    }
    Ok(staged)
}

/// Has sinks remove the staged output of dead attempts. The output of checkpoints that this start has skipped stays.
pub(super) async fn abort_stale(
    committers: &mut Committers,
    store: &JobStore,
    skipped: &[CompletedCheckpoint],
    last: CheckpointId,
) -> Result<(), Error> {
    let mut kept = BySink::new();
    for skipped in skipped {
        match store.read(skipped).await {
            Ok(checkpoint) => {
                for (sink, of_sink) in committables(&checkpoint)? {
                    kept.entry(sink).or_default().extend(of_sink);
                }
            }
            // The checkpoint is listed, but no start can restore it.
            Err(eddyline_checkpoint::Error::MissingManifest { .. }) => {}
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => {
                let error = crate::chain_of(&error);
                warn!(checkpoint = %skipped.id, error, "a skipped checkpoint cannot be read: all staged output stays");
                return Ok(());
            }
        }
    }
    for (sink, committer) in committers {
        let kept = kept.get(sink).map_or(&[][..], Vec::as_slice);
        committer.abort_stale(kept).await.map_err(|source| attempt::Error::Commit {
            sink: sink.clone(),
            checkpoint: last,
            source: Box::new(source),
        })?;
    }
    Ok(())
}

/// Drops output of a sink that the job does not have, if that is allowed. The SQL may have changed since it was staged.
fn leave_output(
    handle: &CheckpointHandle,
    sink: &OperatorUid,
    may_be_left: &BTreeSet<OperatorUid>,
) -> Result<(), Error> {
    let uri = handle.uri().to_owned();
    if !may_be_left.contains(sink) {
        return Err(Error::OpenOutput { uri, sink: sink.clone() });
    }
    warn!(%sink, from = uri, "output that is not visible yet is dropped, as allowed: the job has no such sink");
    Ok(())
}

/// Reads the state of every subtask, unless the process still holds it. Refuses state that does not fit the job.
pub(super) async fn restore(
    graph: &JobGraph,
    operators: &[JobOperator],
    config: &Config,
    handle: Option<&CheckpointHandle>,
    held: Option<HeldState>,
    (assignment, attempt): (&Assignment, eddyline_stream::Attempt),
) -> Result<Restored, Error> {
    let parallelism = assignment.slots();
    let mut restored = Restored::default();
    let Some(handle) = handle else {
        info!(%attempt, parallelism, "starting without state");
        return Ok(restored);
    };
    handle.check_max_parallelism(graph.settings.max_parallelism)?;
    let fit = handle.fit(operators, &config.allow_non_restored)?;
    let held = held.filter(|held| held.is_of(handle));
    let from_memory = held.is_some();
    info!(%attempt, parallelism, checkpoint = %handle.id(), from = %handle.uri(), from_memory, "restoring");
    report_fit(&fit, handle);
    let mut subtasks = Vec::new();
    for node in &graph.nodes {
        let Some(recorded) = fit.recorded(&node.uid) else { continue };
        for slot in (0..parallelism).map(SlotIndex::new) {
            let (fit, held, key_groups) = (&fit, &held, assignment.key_groups_of(slot));
            subtasks.push(async move {
                let snapshot = match held {
                    Some(held) => held.restore(&node.uid, &key_groups).await?,
                    None => fit.arrange(&node.uid, handle.restore(recorded, &key_groups).await?)?,
                };
                Ok::<_, Error>(((node.uid.clone(), slot), snapshot))
            });
        }
        let splits: Vec<Split> = decode(handle.splits(recorded), "a source split")?;
        if !splits.is_empty() {
            restored.splits.insert(node.uid.clone(), splits);
        }
        let finished = handle.finished(recorded);
        if !finished.is_empty() {
            // A source without an open split is restored too.
            restored.splits.entry(node.uid.clone()).or_default();
            restored.finished.insert(node.uid.clone(), finished.to_vec());
        }
    }
    let snapshots: Vec<_> = stream::iter(subtasks).buffered(SUBTASKS_AT_ONCE).try_collect().await?;
    restored.operators.extend(snapshots.into_iter().filter(|(_, snapshot)| !snapshot.is_empty()));
    let is_read = restored.splits.values().flatten().all(|split| split.finished);
    if !restored.splits.is_empty() && is_read {
        info!("all known input has been read already; `--restore none` reads it again from the start");
    }
    Ok(restored)
}

/// Logs what a person should know about how state was matched.
fn report_fit(fit: &Fit, handle: &CheckpointHandle) {
    if !fit.is_compared {
        warn!(
            from = %handle.uri(),
            "the state was written by a release whose description of its operators is missing or not understood: state is \
             restored by the names of operators, and the SQL is not compared"
        );
    }
    for operator in &fit.left_behind {
        warn!(%operator, "state is dropped, as allowed: it fits no operator of the job");
    }
}

/// The staged output of a checkpoint or savepoint, by sink.
fn committables(handle: &CheckpointHandle) -> Result<BySink, Error> {
    handle
        .committables()
        .iter()
        .map(|(sink, values)| Ok((sink.clone(), decode(values, "a sink's committable")?)))
        .collect()
}

fn decode<T: serde::de::DeserializeOwned>(values: &[serde_json::Value], what: &'static str) -> Result<Vec<T>, Error> {
    values
        .iter()
        .map(|value| serde_json::from_value(value.clone()).map_err(|source| Error::Decode { what, source }))
        .collect()
}
