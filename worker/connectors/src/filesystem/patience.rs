//! Waits out an outage of the store: repeats a request until the store answers or nobody needs the answer.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_api::message::chain_of;
use tokio::sync::watch;
use tracing::warn;

use super::store::{File, Store};
use crate::Error;
use crate::backoff::Backoff;

/// Receives the error that is waited out. `None` once the store has answered.
type Report = dyn Fn(Option<&Error>) + Send + Sync;

/// Repeats requests and reports why it waits.
#[derive(Clone)]
pub(super) struct Patience {
    report: Arc<Report>,
    /// Closed when nobody needs an answer: its sender is dropped then.
    needed: watch::Receiver<()>,
}

impl Patience {
    /// Waits as long as the returned sender exists.
    pub(super) fn new(report: impl Fn(Option<&Error>) + Send + Sync + 'static) -> (watch::Sender<()>, Self) {
        let (needs, needed) = watch::channel(());
        (needs, Self { report: Arc::new(report), needed })
    }

    /// Repeats a request until the store answers, and returns that answer. A request whose answer was lost is repeated
    /// too.
    pub(super) async fn answer<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (mut needed, mut backoff) = (self.needed.clone(), Backoff::new());
        let mut has_waited = false;
        loop {
            let error = match ask().await {
                Err(error) if error.is_outage() => error,
                answer => {
                    if has_waited {
                        (self.report)(None);
                    }
                    return answer;
                }
            };
            let wait = backoff.wait();
            let (wait_ms, reason) = (wait.as_millis() as u64, chain_of(&error));
            warn!(error = %reason, wait_ms, "the store does not answer; the request is repeated until it does");
            (self.report)(Some(&error));
            has_waited = true;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Nothing is ever sent, so this means that the sender was dropped.
                _ = needed.changed() => return Err(error),
            }
        }
    }
}

/// A store whose answers readers wait for.
#[derive(Clone)]
pub(super) struct PatientStore {
    pub(super) store: Store,
    pub(super) patience: Patience,
}

impl PatientStore {
    /// Does the same as [`Store::head`] and waits out outages.
    pub(super) async fn head(&self, path: &str) -> Result<Option<File>, Error> {
        self.patience.answer(|| self.store.head(path)).await
    }

    /// Does the same as [`Store::read`] and waits out outages.
    pub(super) async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.patience.answer(|| self.store.read(path, range.clone())).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn from_store(error: object_store::Error) -> Error {
        super::super::store::failed("cannot write object 'a'".to_owned(), error)
    }

    fn outage() -> Error {
        from_store(object_store::Error::Generic { store: "S3", source: "connection refused".into() })
    }

    #[tokio::test]
    async fn a_store_is_asked_until_it_answers_and_the_outage_is_reported_until_then() {
        let reported = Arc::<Mutex<Vec<Option<String>>>>::default();
        let listener = Arc::clone(&reported);
        let (_needs, patience) =
            Patience::new(move |error| listener.lock().expect("no panic").push(error.map(|error| chain_of(error))));
        let asked = AtomicUsize::new(0);
        let ask = || async { if asked.fetch_add(1, Ordering::SeqCst) < 2 { Err(outage()) } else { Ok(7) } };
        assert_eq!(patience.answer(ask).await.expect("an answer"), 7);
        assert_eq!(patience.answer(|| async { Ok(8) }).await.expect("an answer"), 8);
        let reported = reported.lock().expect("no panic");
        let [Some(first), Some(second), None] = reported.as_slice() else { panic!("{reported:?}") };
        assert!(first == second && first.contains("'a'") && first.contains("connection refused"), "{first}");
    }

    #[tokio::test]
    async fn nobody_waits_for_what_does_not_end_or_is_not_needed_any_more() {
        let (needs, patience) = Patience::new(|_| ());
        let missing = || object_store::Error::NotFound { path: "b".to_owned(), source: "no such bucket".into() };
        let error = patience.answer(|| async { Err::<(), _>(from_store(missing())) }).await.expect_err("no answer");
        assert!(!error.is_outage(), "{error}");
        let refused = || object_store::Error::PermissionDenied { path: "b".to_owned(), source: "a wrong key".into() };
        drop(needs);
        let error = patience.answer(|| async { Err::<(), _>(from_store(refused())) }).await.expect_err("no answer");
        assert!(error.is_outage(), "{error}");
    }
}
