//! Executes the decisions of [`crate::control`] on storage.

use std::time::Duration;

use eddyline_stream::Attempt;
use tracing::warn;

use crate::control::{self, Action, Append, Event, RecordId};
use crate::error::{Error, Result};
use crate::paths;
use crate::record::Record;
use crate::storage::{Created, Storage};

/// The wait before the second try to write a record. Each further wait is twice as long.
const BACKOFF: Duration = Duration::from_millis(10);
/// How often a new attempt starts over when the log grows while it tries to take over.
const TAKE_OVER_TRIES: u32 = 16;

/// The outcome of an append that did not fail.
pub(crate) enum Appended {
    Done,
    Fenced(RecordId),
}

/// The newest record of the log; `None` for a log that has none.
pub(crate) async fn newest(storage: &Storage) -> Result<Option<Record>> {
    newest_beyond(storage, 0).await
}

async fn sequences(storage: &Storage) -> Result<Vec<u64>> {
    let listed = storage.list(paths::CONTROL).await?;
    Ok(listed.iter().filter_map(|entry| paths::sequence_of(&entry.name)).collect())
}

async fn newest_beyond(storage: &Storage, sequence: u64) -> Result<Option<Record>> {
    newest_of(storage, &sequences(storage).await?, sequence).await
}

/// As [`newest_beyond`], for the leader that has just appended a record with this number. A record is deleted only when
/// there are many newer ones. If this is the only record, somebody has emptied the folder, and the files that it names
/// are gone.
async fn newest_behind_own(storage: &Storage, job: &str, sequence: u64) -> Result<Option<Record>> {
    let listed = sequences(storage).await?;
    if sequence > 1 && listed.iter().all(|found| *found == sequence) {
        return Err(vanished(storage, job));
    }
    newest_of(storage, &listed, sequence).await
}

async fn newest_of(storage: &Storage, listed: &[u64], sequence: u64) -> Result<Option<Record>> {
    let newest = listed.iter().copied().max();
    let Some(newest) = newest.filter(|newest| *newest > sequence) else { return Ok(None) };
    match read(storage, newest).await? {
        Some(record) => Ok(Some(record)),
        // Eddyline never deletes the newest record: something else has deleted it.
        None => {
            Err(Error::corrupt(storage.name_of(&paths::control_record(newest)), "control record", "it has vanished"))
        }
    }
}

async fn read(storage: &Storage, sequence: u64) -> Result<Option<Record>> {
    let name = paths::control_record(sequence);
    let Some(bytes) = storage.get(&name).await? else { return Ok(None) };
    let object = storage.name_of(&name);
    let record = Record::open(&object, &bytes)?;
    if record.id.sequence != sequence {
        return Err(Error::corrupt(object, "control record", format!("it says it is record {}", record.id.sequence)));
    }
    Ok(Some(record))
}

/// The error of a leader whose log is gone.
pub(crate) fn vanished(storage: &Storage, job: &str) -> Error {
    Error::Vanished { job: job.to_owned(), folder: storage.uri() }
}

/// Appends a record.
///
/// # Errors
/// [`Error::Unresolved`] when it is not known whether the record is part of the log. This leader must then end, or
/// append the same record again. It must never append another one. [`Error::Vanished`] when the records before it are
/// gone.
pub(crate) async fn append(storage: &Storage, job: &str, record: &Record) -> Result<Appended> {
    let name = paths::control_record(record.id.sequence);
    let sealed = record.seal();
    let mut state = Append::new(record.id);
    let mut action = Action::Create;
    let mut failure = None;
    let mut waits = 0;
    loop {
        let event = match action {
            Action::Create => match storage.create(&name, sealed.clone()).await {
                Ok(Created::Yes) => Event::Created,
                Ok(Created::Refused) => Event::Refused,
                Err(error) => {
                    failure = Some(error);
                    Event::Unanswered
                }
            },
            Action::ReadBack => match read(storage, record.id.sequence).await {
                Ok(found) => Event::Read(found.map(|found| found.id)),
                Err(Error::Storage(error)) => {
                    failure = Some(error);
                    Event::ReadUnanswered
                }
                Err(error) => return Err(error),
            },
            Action::LookBeyond => match newest_behind_own(storage, job, record.id.sequence).await {
                Ok(found) => Event::Beyond(found.map(|found| found.id)),
                Err(Error::Storage(error)) => {
                    failure = Some(error);
                    Event::BeyondUnanswered
                }
                Err(error) => return Err(error),
            },
            Action::Done => return Ok(Appended::Done),
            Action::Fenced(by) => return Ok(Appended::Fenced(by)),
            Action::Unresolved => {
                return Err(Error::Unresolved { record: storage.name_of(&name), source: failure });
            }
        };
        action = state.step(event);
        if state.tries() > waits + 1 {
            warn!(record = %name, ?event, "the control record is written again");
            tokio::time::sleep(BACKOFF * (1 << waits)).await;
            waits += 1;
        }
    }
}

/// Makes a new attempt the leader: older ones can then no longer append.
pub(crate) async fn take_over(
    storage: &Storage,
    job: &str,
    mut make: impl FnMut(Option<&Record>) -> Result<Record>,
) -> Result<Record> {
    for _ in 0..TAKE_OVER_TRIES {
        let record = make(newest(storage).await?.as_ref())?;
        match append(storage, job, &record).await? {
            Appended::Done => return Ok(record),
            // The old leader or another new one was faster: its record must be read first.
            Appended::Fenced(_) => {}
        }
    }
    Err(Error::Contended { job: job.to_owned() })
}

/// Removes the records below the boundary of the newest one. This is safe even after another leader has taken over: the
/// boundary of the old leader is only lower. `from` is a number below which no record is left, if that is known;
/// otherwise the log is listed. Returns how many records were removed, and below which number no record is left.
pub(crate) async fn delete_old(storage: &Storage, head: &Record, from: Option<u64>) -> Result<(usize, u64)> {
    let listed = match from {
        Some(from) => (from..=head.id.sequence).collect(),
        None => sequences(storage).await?,
    };
    let doomed = control::deletable(&listed, head.boundary);
    for sequence in &doomed {
        storage.delete(&paths::control_record(*sequence)).await?;
    }
    let below = doomed.last().map_or(from.unwrap_or(0), |last| last + 1);
    Ok((doomed.len(), below))
}

/// The error of a leader that has been fenced off.
pub(crate) fn fenced(job: &str, mine: u64, other: u64) -> Error {
    Error::Fenced { job: job.to_owned(), mine: Attempt::new(mine), other: Attempt::new(other) }
}
