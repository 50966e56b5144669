//! How an attempt continues the work of an earlier one: the checkpoint that it starts from, the state that it restores,
//! and the output that it commits first.

use std::collections::BTreeSet;
use std::sync::Arc;

use eddyline_checkpoint::{CheckpointHandle, CompletedCheckpoint, Fit, HeldState, JobOperator, JobStore};
use eddyline_connectors::OpenContext;
use eddyline_connectors::source::Split;
use eddyline_job_graph::{JobGraph, NodeKind};
use eddyline_stream::{Assignment, CheckpointId, KeyGroupSet, OperatorUid, SlotIndex};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::attempt;
use super::job::{Config, Error, Restore};
use super::staging::SavepointStaging;
use super::storing::{BySink, Committers};
use crate::runtime::build::{self, Restored, StateParts};
use crate::runtime::connectors::Connectors;

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

/// Begins to read the state of every subtask, unless the process still holds it. It is read while it is restored, in
/// parts of at most `part_bytes` bytes. Refuses state that does not fit the job.
pub(super) fn restore(
    graph: &JobGraph,
    operators: &[JobOperator],
    config: &Config,
    handle: Option<&CheckpointHandle>,
    held: Option<HeldState>,
    (assignment, attempt): (&Assignment, eddyline_stream::Attempt),
    part_bytes: u64,
) -> Result<Restored, Error> {
    let parallelism = assignment.slots();
    let mut restored = Restored::default();
    let Some(handle) = handle else {
        info!(%attempt, parallelism, "starting without state");
        return Ok(restored);
    };
    handle.check_max_parallelism(graph.settings.max_parallelism)?;
    let fit = Arc::new(handle.fit(operators, &config.allow_non_restored)?);
    let held = held.filter(|held| held.is_of(handle));
    let from_memory = held.is_some();
    info!(%attempt, parallelism, checkpoint = %handle.id(), from = %handle.uri(), from_memory, "restoring");
    report_fit(&fit, handle);
    for node in &graph.nodes {
        let Some(recorded) = fit.recorded(&node.uid) else { continue };
        for slot in (0..parallelism).map(SlotIndex::new) {
            let key_groups = assignment.key_groups_of(slot);
            let parts = match &held {
                Some(held) => held_state(held.clone(), node.uid.clone(), key_groups),
                None => {
                    let subtask = Subtask { operator: node.uid.clone(), recorded: recorded.clone(), key_groups };
                    stored_state(handle.clone(), Arc::clone(&fit), subtask, part_bytes)
                }
            };
            restored.operators.insert((node.uid.clone(), slot), parts);
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
    let is_read = restored.splits.values().flatten().all(|split| split.finished);
    if !restored.splits.is_empty() && is_read {
        info!("all known input has been read already; `--restore none` reads it again from the start");
    }
    Ok(restored)
}

/// A subtask, and the operator of the checkpoint whose state it restores.
struct Subtask {
    operator: OperatorUid,
    recorded: OperatorUid,
    key_groups: KeyGroupSet,
}

/// Reads the state of a subtask from storage: the next part while the task restores the one before it.
fn stored_state(handle: CheckpointHandle, fit: Arc<Fit>, subtask: Subtask, part_bytes: u64) -> StateParts {
    let (sender, parts) = mpsc::channel(1);
    tokio::spawn(async move {
        let Subtask { operator, recorded, key_groups } = subtask;
        let read =
            async |key_groups: &KeyGroupSet| fit.arrange(&operator, handle.restore(&recorded, key_groups).await?);
        let all = match handle.parts(&recorded, &key_groups, part_bytes).await {
            // Without rows there can be values that belong to no key.
            Ok(all) if all.is_empty() => vec![key_groups],
            Ok(all) => all,
            Err(error) => {
                let _gone = sender.send(Err(error)).await;
                return;
            }
        };
        for key_groups in &all {
            let part = read(key_groups).await;
            let is_last = part.is_err();
            if sender.send(part).await.is_err() || is_last {
                return;
            }
        }
    });
    parts
}

/// Passes on the state of a subtask that is in memory.
fn held_state(held: HeldState, operator: OperatorUid, key_groups: KeyGroupSet) -> StateParts {
    let (sender, parts) = mpsc::channel(1);
    tokio::spawn(async move {
        let _gone = sender.send(held.restore(&operator, &key_groups).await).await;
    });
    parts
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
