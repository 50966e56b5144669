//! Removes the objects that no kept checkpoint needs.
//!
//! [`crate::retention`] decides which these are. An attempt lists the job's folder at its first removal and then with
//! every [`LOOK_EVERY`]-th, to find what dead attempts have left. In between it needs no listing, because it remembers
//! what it has written.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_stream::{Attempt, CheckpointId, OperatorUid};

use crate::control_log;
use crate::error::{Error, Result};
use crate::job::JobStore;
use crate::manifest::{FileProto, Manifest};
use crate::paths;
use crate::record::{CheckpointRef, Record};
use crate::removal;
use crate::retention::{self, AGE_MS, Collected, Needed, Staged};
use crate::storage::{Entry, Storage};

/// The number of removals from one listing of the folder to the next.
pub const LOOK_EVERY: u32 = 64;

/// What the writer of an attempt has done since the last removal.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The run files and manifests that it writes or has tried to write.
    pub written: BTreeSet<String>,
    /// The checkpoints that it has completed, and what their manifests name.
    pub completed: Vec<(CheckpointId, Contents)>,
    /// Whether it has begun a savepoint.
    pub savepoint: bool,
}

/// What a manifest names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// Run files.
    pub files: BTreeSet<String>,
    /// All texts in committables. The names of staged objects are among them.
    pub staged: BTreeSet<String>,
}

impl Contents {
    pub(crate) fn new(files: &[FileProto], committables: &BTreeMap<OperatorUid, Vec<serde_json::Value>>) -> Self {
        let mut staged = BTreeSet::new();
        committables.values().flatten().for_each(|value| retention::texts(value, &mut staged));
        Self { files: files.iter().map(|file| file.name.clone()).collect(), staged }
    }

    fn of(manifest: &Manifest) -> Self {
        Self::new(&manifest.files, &manifest.committables)
    }
}

/// Removes objects on behalf of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    /// What the manifests of kept checkpoints name, and of those that have just ceased to be kept.
    known: BTreeMap<(CheckpointId, Attempt), Contents>,
    /// The run files and manifests that this attempt has written and not removed.
    written: BTreeSet<String>,
    /// Whether there may be notes about savepoints.
    savepoints: bool,
    /// Whether the last listing found staged output.
    staged: bool,
    /// The number of removals until the folder is listed again.
    until_look: u32,
    /// Control records below this number are removed. 0 until the first listing.
    records_below: u64,
}

impl Collector {
    /// Removes all objects that may be removed.
    ///
    /// # Errors
    /// When storage fails or a kept manifest cannot be read. Nothing that is needed is removed, and the next call
    /// continues.
    pub(crate) async fn collect(&mut self, store: &JobStore, head: &Record, notes: Notes) -> Result<Collected> {
        let current = Attempt::new(head.id.attempt);
        self.written.extend(notes.written);
        self.known.extend(notes.completed.into_iter().map(|(checkpoint, contents)| ((checkpoint, current), contents)));
        self.savepoints |= notes.savepoint;
        let looks = self.until_look == 0;
        let storage = store.storage();
        let (needed, mut staged) = self.needed(store, head).await?;

        let mut listed = Vec::new();
        let mut listed_staged = Vec::new();
        let mut times: Vec<i64> = Vec::new();
        if looks {
            listed = storage.list(paths::STATE).await?;
            listed.extend(storage.list(paths::CHECKPOINTS).await?);
            times.extend(listed.iter().map(|entry| entry.modified_ms));
        } else {
            let entry = |name: &String| Entry { name: name.clone(), bytes: 0, modified_ms: i64::MIN };
            listed.extend(self.written.iter().map(entry));
        }
        if looks || self.staged || store.has_staged() {
            listed_staged = storage.list(paths::STAGED).await?;
            self.staged = !listed_staged.is_empty();
            times.extend(listed_staged.iter().map(|entry| entry.modified_ms));
        }
        if looks || self.savepoints {
            let records = storage.list(paths::CONTROL).await?;
            times.extend(records.iter().map(|entry| entry.modified_ms));
        }
        // The newest object gives the time by the store's clock, which may differ from this machine's clock.
        let now_ms = times.into_iter().max().unwrap_or(i64::MIN);

        let doomed = retention::doomed(&listed, &needed, now_ms);
        if !listed_staged.is_empty() {
            // The output that these have staged is published, or a later checkpoint names it whose commits are not
            // done.
            for name in doomed.iter().filter(|name| name.starts_with(paths::CHECKPOINTS)) {
                let Some(writer) = paths::writer_of(name).filter(|(number, _)| *number <= head.commits_done_upto)
                else {
                    continue;
                };
                staged.done.extend(self.staged_by(storage, name, writer).await?);
            }
        }
        let mut collected = Collected::default();
        for name in retention::doomed_staged(&listed_staged, &staged, now_ms) {
            storage.delete(&name).await?;
            collected.staged += 1;
        }
        for name in doomed {
            storage.delete(&name).await?;
            eddyline_stream::crash_point("retention.deleted-one");
            self.written.remove(&name);
            collected.files += 1;
        }
        collected.records = self.delete_records(storage, head, looks).await?;
        if looks {
            collected.files += storage.delete_unfinished(now_ms.saturating_sub(AGE_MS)).await?;
        }
        if looks || self.savepoints {
            collected.files += self.collect_savepoints(storage, head, now_ms).await?;
        }
        let is_kept = |key: &(CheckpointId, Attempt)| head.retained.iter().any(|kept| key_of(kept) == *key);
        self.known.retain(|key, _| is_kept(key));
        self.until_look = if looks { LOOK_EVERY - 1 } else { self.until_look - 1 };
        Ok(collected)
    }

    /// What kept checkpoints need. The manifests of earlier attempts are read once.
    async fn needed(&mut self, store: &JobStore, head: &Record) -> Result<(Needed, Staged)> {
        let current = Attempt::new(head.id.attempt);
        let latest = head.latest().map_or(CheckpointId::NONE, |latest| latest.checkpoint);
        let mut needed = Needed { current, latest, names: BTreeSet::new() };
        let mut staged = Staged { current, open: BTreeSet::new(), done: BTreeSet::new() };
        for kept in &head.retained {
            let contents = match self.known.entry(key_of(kept)) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => match store.open_retained(kept).await {
                    // A checkpoint without a manifest was removed in part and no longer counts.
                    Err(Error::MissingManifest { .. }) if kept.checkpoint <= head.start_after => continue,
                    opened => place.insert(Contents::of(opened?.manifest())),
                },
            };
            let folder = paths::checkpoint_folder(kept.checkpoint, kept.attempt);
            needed.names.insert(format!("{folder}/{}", paths::MANIFEST));
            needed.names.extend(contents.files.iter().cloned());
            let names = if head.is_open(kept) { &mut staged.open } else { &mut staged.done };
            names.extend(contents.staged.iter().cloned());
        }
        Ok((needed, staged))
    }

    /// The staged output that a manifest names which is about to be removed.
    async fn staged_by(
        &self,
        storage: &Storage,
        name: &str,
        writer: (CheckpointId, Attempt),
    ) -> Result<BTreeSet<String>> {
        if let Some(known) = self.known.get(&writer) {
            return Ok(known.staged.clone());
        }
        let manifest = storage.get(name).await?.and_then(|bytes| Manifest::open(name, &bytes).ok());
        Ok(manifest.map(|manifest| Contents::of(&manifest).staged).unwrap_or_default())
    }

    async fn delete_records(&mut self, storage: &Storage, head: &Record, looks: bool) -> Result<usize> {
        let from = if looks { None } else { Some(self.records_below) };
        let (deleted, below) = control_log::delete_old(storage, head, from).await?;
        self.records_below = below;
        Ok(deleted)
    }

    /// Removes savepoints that were never reported and never will be: those of failed checkpoints of this attempt, and
    /// those of dead attempts.
    async fn collect_savepoints(&mut self, storage: &Storage, head: &Record, now_ms: i64) -> Result<usize> {
        // Unlike other files, the savepoint of the latest checkpoint stays until its commit is known to be done.
        let current = Attempt::new(head.id.attempt);
        let needed = Needed { current, latest: head.commits_done_upto, names: BTreeSet::new() };
        let notes = storage.list(paths::SAVEPOINTS).await?;
        self.savepoints = !notes.is_empty();
        let mut removed = 0;
        for note in retention::doomed(&notes, &needed, now_ms) {
            if let Some(uri) = storage.get(&note).await? {
                let folder = storage.open_beside(&String::from_utf8_lossy(&uri))?;
                let names = removal::names(&folder).await?;
                // The manifest is removed first: a folder without one is not a savepoint.
                let (manifest, others): (Vec<String>, Vec<String>) =
                    names.into_iter().partition(|name| name == paths::MANIFEST);
                removed += removal::remove_all(&folder, manifest, |_| false).await?;
                removed += removal::remove_all(&folder, others, |_| false).await?;
            }
            storage.delete(&note).await?;
        }
        Ok(removed)
    }
}

fn key_of(kept: &CheckpointRef) -> (CheckpointId, Attempt) {
    (kept.checkpoint, kept.attempt)
}
