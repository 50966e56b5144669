//! Asks workers for the status of their jobs, outside of the queue of reconciles: a silent worker delays no other job.
//!
//! A reconcile decides on an answer that is newer than the previous decision. If there is none yet, it ends at once and
//! leaves a [`Question`]. When the question is answered, or its time is over, the job is reconciled again. So each
//! decision uses an answer as new as if the reconcile itself had asked. At most one question per job is in progress.

use std::net::IpAddr;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::context::Context;
use crate::worker_client::WorkerClient;

/// A question to the worker of a job.
#[derive(Clone)]
pub struct Question {
    /// The uid of the job.
    pub uid: String,
    /// Where the worker is.
    pub from: IpAddr,
    /// The way to it.
    pub client: Arc<dyn WorkerClient>,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status of the worker at {}", self.from)
    }
}

/// Asks a worker and remembers the result.
pub async fn put(context: &Context, question: &Question) {
    let answer = question.client.status().await;
    if answer.is_err() {
        context.metrics.worker_call_failed("status");
    }
    context.hear(&question.uid, question.from, answer.map_err(|error| error.to_string()));
}

/// Asks all questions concurrently as they come; each has a time limit. Sends the job of each finished question to
/// `answered`.
pub async fn run<Job>(
    context: &Context,
    questions: UnboundedReceiver<(Question, Job)>,
    answered: UnboundedSender<Job>,
) {
    let put = |(question, job)| {
        let answered = answered.clone();
        async move {
            put(context, &question).await;
            // No one receives the results after the queue has ended.
            let _ = answered.unbounded_send(job);
        }
    };
    questions.for_each_concurrent(None, put).await;
}
