//! The workers of a world, and their clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_api::savepoint::StopRequest;
use eddyline_api::{JobStatus, Phase, Savepoint, SavepointRequest, SavepointState, WorkerConfig};
use futures::future::BoxFuture;
use serde_json::json;

use super::world::{PODS, World};
use crate::clock::Timestamp;
use crate::identity::Credentials;
use crate::testing;
use crate::worker_client::{Address, Connect, Error, WorkerClient};

/// The process of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) status: JobStatus,
    pub(crate) config: WorkerConfig,
    pub(crate) savepoints: BTreeMap<String, Savepoint>,
    stops_with: Option<Option<SavepointRequest>>,
    scales_to: Option<u16>,
}

impl Worker {
    pub(super) fn started(config: WorkerConfig, attempt: u64, now: Timestamp, fails: bool) -> Self {
        let mut status = testing::worker(1, if fails { Phase::Failed } else { Phase::Starting });
        status.start.clone_from(&config.start.token);
        status.parallelism = config.parallelism;
        status.attempt = attempt;
        status.started_at_ms = u64::try_from(now.as_millisecond()).expect("a time");
        status.message = fails.then(|| "no such topic".to_owned());
        Self { status, config, savepoints: BTreeMap::new(), stops_with: None, scales_to: None }
    }

    /// Handles its requests, and completes a checkpoint.
    pub(super) fn proceed(&mut self, now: Timestamp, has_storage: bool) {
        if self.status.phase == Phase::Starting {
            self.status.phase = Phase::Running;
        }
        if has_storage {
            for (name, savepoint) in &mut self.savepoints {
                if savepoint.state == SavepointState::InProgress {
                    savepoint.state = SavepointState::Completed;
                    savepoint.uri = Some(format!("s3://bucket/jobs/savepoints/shop.orders/{name}"));
                    savepoint.checkpoint = Some(7);
                }
            }
        }
        if self.status.phase == Phase::Stopping
            && has_storage
            && let Some(with) = self.stops_with.take()
        {
            self.status.phase = Phase::Stopped;
            self.status.stopped_with = with.and_then(|request| self.savepoints.get(&request.name).cloned());
        }
        if self.status.phase == Phase::Running {
            if let Some(to) = self.scales_to.take() {
                self.status.parallelism = to;
            }
            if has_storage && self.config.checkpoint.uri.is_some() {
                let id = self.status.checkpoint.as_ref().map_or(1, |last| last.id + 1);
                self.status.checkpoint = Some(testing::checkpoint(id, now));
            }
        }
    }
}

impl Connect for World {
    fn connect(&self, address: &Address, _: &Credentials) -> Result<Arc<dyn WorkerClient>, Error> {
        Ok(Arc::new(Connection { world: self.clone(), job: address.job.clone(), ip: address.ip.to_string() }))
    }
}

struct Connection {
    world: World,
    job: String,
    ip: String,
}

impl Connection {
    /// Changes the worker at this address.
    fn with<T>(&self, verb: &str, act: impl FnOnce(&mut Worker) -> Result<T, Error>) -> Result<T, Error> {
        let gone = || Error::Refused { code: 503, message: "no answer".to_owned() };
        let mut state = self.world.state();
        state.count_down().ok_or_else(gone)?;
        state.requests.push((verb.to_owned(), "worker".to_owned()));
        let pod = state.objects.of(PODS).find(|pod| pod["status"]["podIP"] == json!(self.ip));
        let uid = pod.and_then(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned)).ok_or_else(gone)?;
        let has_network = state.has_network;
        let worker = state.workers.get_mut(&uid).filter(|_| has_network).ok_or_else(gone)?;
        act(worker)
    }

    fn asked(&self, verb: &str, act: impl FnOnce(&mut Worker)) -> BoxFuture<'_, Result<(), Error>> {
        let done = self.with(verb, |worker| {
            act(worker);
            Ok(())
        });
        Box::pin(async move { done })
    }
}

fn savepoint(request: &SavepointRequest) -> Savepoint {
    Savepoint {
        name: request.name.clone(),
        state: SavepointState::InProgress,
        requested_at_ms: 0,
        ended_at_ms: None,
        uri: None,
        checkpoint: None,
        error: None,
    }
}

impl WorkerClient for Connection {
    fn status(&self) -> BoxFuture<'_, Result<JobStatus, Error>> {
        if self.world.state().hanging.contains(&self.job) {
            return Box::pin(std::future::pending());
        }
        let status = self.with("status", |worker| Ok(worker.status.clone()));
        Box::pin(async move { status })
    }

    fn rescale(&self, parallelism: u16) -> BoxFuture<'_, Result<(), Error>> {
        self.asked("rescale", |worker| worker.scales_to = Some(parallelism))
    }

    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<(), Error>> {
        self.asked("stop", |worker| {
            if worker.status.phase == Phase::Running {
                worker.status.phase = Phase::Stopping;
                if let Some(request) = &request.savepoint {
                    worker.savepoints.entry(request.name.clone()).or_insert_with(|| savepoint(request));
                }
                worker.stops_with = Some(request.savepoint);
            }
        })
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.asked("resume", |worker| {
            if worker.status.phase == Phase::Stopping {
                worker.status.phase = Phase::Running;
                let savepoint = worker.stops_with.take().flatten();
                if let Some(savepoint) = savepoint.and_then(|request| worker.savepoints.get_mut(&request.name)) {
                    savepoint.state = SavepointState::Failed;
                }
            }
        })
    }

    fn take_savepoint(&self, request: SavepointRequest) -> BoxFuture<'_, Result<Savepoint, Error>> {
        let taken = self.with("savepoint", |worker| {
            Ok(worker.savepoints.entry(request.name.clone()).or_insert_with(|| savepoint(&request)).clone())
        });
        Box::pin(async move { taken })
    }

    fn savepoint(&self, name: String) -> BoxFuture<'_, Result<Option<Savepoint>, Error>> {
        let found = self.with("get savepoint", |worker| Ok(worker.savepoints.get(&name).cloned()));
        Box::pin(async move { found })
    }
}
