//! A store in memory whose requests fail on demand.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Backend, Created, Entry, Error, Part};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request fails and has no effect.
    Before,
    /// The request takes effect and its answer is lost.
    After,
    /// A create is refused as if another process were writing, without effect. Other requests fail.
    Conflict,
    /// This request and all that follow fail: the process is dead.
    Dead,
}

#[derive(Debug, Default)]
struct Contents {
    objects: BTreeMap<String, (Bytes, i64)>,
    now_ms: i64,
    requests: u64,
    faults: VecDeque<(u64, Fault)>,
    dead: bool,
    overwrites: bool,
    reads: usize,
    reads_at_once: usize,
}

/// Objects in memory. Clones share them; requests are counted, and faults are planned by that count.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Contents>>);

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans a fault for a request, counted from 0 over the life of the store. Plan them in order.
    pub fn plan(&self, request: u64, fault: Fault) {
        self.lock().faults.push_back((request, fault));
    }

    /// From now on a create overwrites an object that exists, as in stores that ignore the condition.
    pub fn ignore_conditions(&self) {
        self.lock().overwrites = true;
    }

    /// The number of requests so far.
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// The most ranges that were read at the same time.
    pub fn reads_at_once(&self) -> usize {
        self.lock().reads_at_once
    }

    /// Sets the clock that dates new objects, in milliseconds since the epoch.
    pub fn set_time(&self, now_ms: i64) {
        self.lock().now_ms = now_ms;
    }

    /// The same objects in a store of its own, with no faults planned.
    pub fn copy(&self) -> Self {
        let contents = self.lock();
        let copy = Contents { objects: contents.objects.clone(), now_ms: contents.now_ms, ..Contents::default() };
        Self(Arc::new(Mutex::new(copy)))
    }

    /// The names of all objects.
    pub fn names(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    /// Reads an object without faults.
    pub fn peek(&self, name: &str) -> Option<Bytes> {
        self.lock().objects.get(name).map(|(content, _)| content.clone())
    }

    /// Writes an object without faults.
    pub fn poke(&self, name: &str, content: impl Into<Bytes>) {
        let mut contents = self.lock();
        let now_ms = contents.now_ms;
        contents.objects.insert(name.to_owned(), (content.into(), now_ms));
    }

    /// Removes an object without faults.
    pub fn remove(&self, name: &str) {
        self.lock().objects.remove(name);
    }

    fn request<T>(
        &self,
        action: &'static str,
        name: &str,
        refused: Option<T>,
        effect: impl FnOnce(&mut Contents) -> T,
    ) -> Result<T, Error> {
        let mut contents = self.lock();
        let number = contents.requests;
        contents.requests += 1;
        let fault = match contents.faults.front() {
            Some((planned, fault)) if *planned <= number => Some(*fault),
            _ => None,
        };
        if fault.is_some() {
            contents.faults.pop_front();
        }
        let failed = |reason: &str| Err(Error::access(action, format!("memory:/{name}"), reason));
        if contents.dead || fault == Some(Fault::Dead) {
            contents.dead = true;
            return failed("the process is dead");
        }
        match fault {
            None => Ok(effect(&mut contents)),
            Some(Fault::After) => {
                effect(&mut contents);
                failed("the answer was lost")
            }
            Some(Fault::Conflict) if refused.is_some() => Ok(refused.expect("just checked")),
            Some(_) => failed("the request was lost"),
        }
    }
}

impl Backend for Memory {
    fn create<'a>(&'a self, name: &'a str, content: Bytes) -> BoxFuture<'a, Result<Created, Error>> {
        Box::pin(async move {
            self.request("create", name, Some(Created::Refused), |contents| {
                if contents.objects.contains_key(name) && !contents.overwrites {
                    return Created::Refused;
                }
                let now_ms = contents.now_ms;
                contents.objects.insert(name.to_owned(), (content, now_ms));
                Created::Yes
            })
        })
    }

    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.request("write", name, None, |contents| {
                let now_ms = contents.now_ms;
                contents.objects.insert(name.to_owned(), (content, now_ms));
            })
        })
    }

    fn upload<'a>(&'a self, name: &'a str, mut parts: mpsc::Receiver<Part>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let mut content = BytesMut::new();
            while let Some(part) = parts.recv().await {
                content.extend_from_slice(&part.map_err(|error| Error::access("write", name, error))?);
            }
            self.put(name, content.freeze()).await
        })
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(async move {
            self.request("read", name, None, |contents| contents.objects.get(name).map(|(content, _)| content.clone()))
        })
    }

    fn get_range<'a>(&'a self, name: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(async move {
            {
                let mut contents = self.lock();
                contents.reads += 1;
                contents.reads_at_once = contents.reads_at_once.max(contents.reads);
            }
            // Other readers can start in the meantime.
            tokio::task::yield_now().await;
            self.lock().reads -= 1;
            self.request("read", name, None, |contents| {
                let (content, _) = contents.objects.get(name)?;
                let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(content.len());
                let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
                Some(content.slice(start..end))
            })
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        Box::pin(async move {
            let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            self.request("list", folder, None, |contents| {
                let below = contents.objects.iter().filter(|(name, _)| name.starts_with(&prefix));
                below
                    .map(|(name, (content, modified_ms))| Entry {
                        name: name.clone(),
                        bytes: content.len() as u64,
                        modified_ms: *modified_ms,
                    })
                    .collect()
            })
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.request("delete", name, None, |contents| {
                contents.objects.remove(name);
            })
        })
    }
}
