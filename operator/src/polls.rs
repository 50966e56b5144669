//! Asks workers how their jobs are, outside of the queue of reconciles: a worker that does not answer holds up nobody.
//!
//! A reconcile decides on what a worker has said since the decision before. Where that is not known yet it ends at once and
//! leaves a [`Question`]. Once it is answered, or the time for an answer is over, the job is reconciled again. So each decision
//! is made on an answer that is as new as if the reconcile had asked itself, and at most one question per job is under way.

use std::net::IpAddr;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::context::Context;
use crate::worker_client::WorkerClient;

/// A question that is to be put to the worker of a job.
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

/// Puts a question to a worker and remembers what came of it.
pub async fn put(context: &Context, question: &Question) {
    let answer = question.client.status().await;
    if answer.is_err() {
        context.metrics.worker_call_failed("status");
    }
    context.hear(&question.uid, question.from, answer.map_err(|error| error.to_string()));
}

/// Puts questions as they come, all at a time: each waits no longer than a worker may take. Says which jobs they were about
/// when that is known.
pub async fn run<Job>(
    context: &Context,
    questions: UnboundedReceiver<(Question, Job)>,
    answered: UnboundedSender<Job>,
) {
    let put = |(question, job)| {
        let answered = answered.clone();
        async move {
            put(context, &question).await;
            // Nobody listens any more when the queue has ended.
            let _ = answered.unbounded_send(job);
        }
    };
    questions.for_each_concurrent(None, put).await;
}
