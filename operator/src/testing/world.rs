//! A world in which the controller can be tried: a fake API server, the controllers and kubelets that make pods of
//! StatefulSets, and workers. It can be made to break off after any number of requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Request, Response};
use eddyline_api::savepoint::StopRequest;
use eddyline_api::{JobStatus, Phase, Savepoint, SavepointRequest, SavepointState, WorkerConfig, mounts};
use eddyline_crds::StreamJob;
use futures::future::BoxFuture;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

use super::objects::{Answer, Objects};
use crate::clock::{Clock, Timestamp};
use crate::identity::Credentials;
use crate::testing;
use crate::worker_client::{Address, Connect, Error, WorkerClient};

pub(crate) const JOBS: &str = "/apis/eddyline.io/v1alpha1/namespaces/shop/streamjobs";
pub(crate) const SAVEPOINTS: &str = "/apis/eddyline.io/v1alpha1/namespaces/shop/savepoints";
pub(crate) const PODS: &str = "/api/v1/namespaces/shop/pods";
pub(crate) const SETS: &str = "/apis/apps/v1/namespaces/shop/statefulsets";
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/shop/configmaps";
pub(crate) const SECRETS: &str = "/api/v1/namespaces/shop/secrets";
pub(crate) const BATCH: &str = "/apis/batch/v1/namespaces/shop/jobs";
pub(crate) const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";
pub(crate) const NODES: &str = "/api/v1/nodes";

/// The state of a world.
pub(crate) struct State {
    pub(crate) objects: Objects,
    pub(crate) workers: BTreeMap<String, Worker>,
    pub(crate) now: Timestamp,
    /// How many more requests are answered; all, if it is not said.
    pub(crate) answers_left: Option<usize>,
    /// All requests, as verb and resource.
    pub(crate) requests: Vec<(String, String)>,
    /// Tags of images that cannot be pulled.
    pub(crate) missing_tags: Vec<String>,
    /// Whether checkpoint storage answers.
    pub(crate) has_storage: bool,
    /// Whether workers answer.
    pub(crate) has_network: bool,
    attempts: u64,
}

/// A worker's process.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) status: JobStatus,
    pub(crate) config: WorkerConfig,
    pub(crate) savepoints: BTreeMap<String, Savepoint>,
    stops_with: Option<Option<SavepointRequest>>,
    scales_to: Option<u16>,
}

/// A handle of a world.
#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<State>>);

impl World {
    /// A world without anything in it.
    pub(crate) fn new() -> Self {
        let mut objects = Objects::default();
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": testing::start().to_string()}]}});
        objects.create(NODES, node, testing::start());
        Self(Arc::new(Mutex::new(State {
            objects,
            workers: BTreeMap::new(),
            now: testing::start(),
            answers_left: None,
            requests: Vec::new(),
            missing_tags: Vec::new(),
            has_storage: true,
            has_network: true,
            attempts: 0,
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client of the API server.
    pub(crate) fn client(&self) -> Client {
        let (service, mut requests) = mock::pair::<Request<Body>, Response<Body>>();
        let world = self.clone();
        tokio::spawn(async move {
            while let Some((request, answer)) = requests.next_request().await {
                match world.serve(request).await {
                    Some((code, body)) => answer.send_response(response(code, &body)),
                    None => answer.send_error(std::io::Error::other("the connection broke")),
                }
            }
        });
        Client::new(service, "shop")
    }

    async fn serve(&self, request: Request<Body>) -> Option<Answer> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.ok()?;
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).ok()? };
        let mut state = self.state();
        state.count_down()?;
        let path = head.uri.path().to_owned();
        let query: BTreeMap<String, String> = head
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), decoded(value)))
            .collect();
        let (collection, name, subresource) = split(&path);
        let kind = head.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_apply = kind.contains("apply-patch");
        let wants_metadata = head
            .headers
            .get("accept")
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.contains("PartialObjectMetadata"));
        let verb = match (head.method.as_str(), name.is_some()) {
            ("GET", true) => "get",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("DELETE", _) => "delete",
            _ => "patch",
        };
        let resource = resource(&collection, subresource.as_deref());
        state.requests.push((verb.to_owned(), resource.clone()));
        if is_apply && name.as_deref().is_some_and(|name| state.objects.get(&collection, name).is_none()) {
            state.requests.push(("create".to_owned(), resource));
        }
        let now = state.now;
        let name = name.unwrap_or_default();
        let (code, mut answer) = match verb {
            "get" => match state.objects.get(&collection, &name) {
                Some(object) => (200, object.clone()),
                None => (
                    404,
                    json!({"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound", "status": "Failure"}),
                ),
            },
            "list" => state.objects.list(&collection, query.get("labelSelector").map(String::as_str)),
            "create" => state.objects.create(&collection, body, now),
            "delete" => state.objects.delete(&collection, &name, &body, now),
            _ => state.objects.patch(&collection, &name, subresource.as_deref(), &body, is_apply, now),
        };
        if wants_metadata && code < 300 {
            answer = bare(answer);
        }
        Some((code, answer))
    }

    /// The job as it is stored.
    pub(crate) fn job(&self, name: &str) -> Option<StreamJob> {
        let state = self.state();
        state.objects.get(JOBS, name).map(|job| serde_json::from_value(job.clone()).expect("a StreamJob"))
    }

    /// The reasons of all events, oldest first.
    pub(crate) fn events(&self) -> Vec<String> {
        let state = self.state();
        let mut events: Vec<(String, String)> = state
            .objects
            .of(EVENTS)
            .map(|event| {
                let at = event["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                (format!("{at:0>9}"), event["reason"].as_str().unwrap_or_default().to_owned())
            })
            .collect();
        events.sort();
        events.into_iter().map(|(_, reason)| reason).collect()
    }

    /// Changes the spec of a job.
    pub(crate) fn edit(&self, name: &str, change: &Value) {
        let mut state = self.state();
        let now = state.now;
        let (code, answer) = state.objects.patch(JOBS, name, None, &json!({"spec": change}), false, now);
        assert_eq!(code, 200, "{answer}");
    }
}

impl State {
    /// Counts a request; nothing, if the connection breaks here.
    fn count_down(&mut self) -> Option<()> {
        match &mut self.answers_left {
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                Some(())
            }
            None => Some(()),
        }
    }

    /// Everything that others do: pods come and go, workers do what they were asked, time passes.
    pub(crate) fn tick(&mut self, passes: Duration) {
        self.now = self.now.checked_add(passes).expect("no test lasts that long");
        self.collect_garbage();
        let sets: Vec<Value> = self.objects.of(SETS).cloned().collect();
        let names: Vec<String> =
            sets.iter().map(|set| set["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect();
        let pods: Vec<String> =
            self.objects.of(PODS).map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect();
        for pod in pods {
            let set = pod.trim_end_matches("-0").to_owned();
            let wanted = sets
                .iter()
                .any(|known| known["metadata"]["name"] == json!(set) && known["spec"]["replicas"] == json!(1));
            if !wanted {
                let now = self.now;
                self.objects.delete(PODS, &pod, &Value::Null, now);
            }
        }
        for (set, name) in sets.iter().zip(names) {
            if set["spec"]["replicas"] == json!(1) {
                self.make_pod(set, &format!("{name}-0"));
            }
        }
        let living: Vec<String> =
            self.objects.of(PODS).map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect();
        self.workers.retain(|uid, _| living.contains(uid));
        let (now, has_storage) = (self.now, self.has_storage);
        for worker in self.workers.values_mut() {
            worker.go_on(now, has_storage);
        }
        self.finish_batch_jobs();
    }

    fn collect_garbage(&mut self) {
        let uids: Vec<Value> = self.objects.all.values().map(|object| object["metadata"]["uid"].clone()).collect();
        let orphans: Vec<_> = self
            .objects
            .all
            .iter()
            .filter(|((collection, _), object)| {
                let owners = object["metadata"]["ownerReferences"].as_array();
                collection != PODS
                    && owners.is_some_and(|owners| {
                        !owners.is_empty() && owners.iter().all(|owner| !uids.contains(&owner["uid"]))
                    })
            })
            .map(|(key, _)| key.clone())
            .collect();
        let now = self.now;
        for (collection, name) in orphans {
            self.objects.delete(&collection, &name, &Value::Null, now);
        }
    }

    fn make_pod(&mut self, set: &Value, name: &str) {
        if self.objects.get(PODS, name).is_some() {
            return;
        }
        let template = &set["spec"]["template"];
        let image = template["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
        let is_missing = self.missing_tags.iter().any(|tag| image.ends_with(&format!(":{tag}")));
        let volumes = template["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let config_map = volumes.iter().find_map(|volume| volume["configMap"]["name"].as_str()).unwrap_or_default();
        let config = self
            .objects
            .get(CONFIG_MAPS, config_map)
            .and_then(|found| found["data"][mounts::CONFIG_FILE].as_str().map(str::to_owned));
        let secret = volumes.iter().find_map(|volume| {
            (volume["name"] == json!("identity")).then(|| volume["secret"]["secretName"].as_str())?
        });
        let has_identity = secret.is_some_and(|secret| self.objects.get(SECRETS, secret).is_some());
        // A pod whose volumes are not there waits for them.
        let Some(config) = config.filter(|_| has_identity) else { return };
        let sql = self.objects.get(CONFIG_MAPS, config_map).map(|found| found["data"][mounts::SQL_FILE].to_string());
        let now = self.now;
        let state = if is_missing {
            json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}})
        } else {
            json!({"running": {"startedAt": now.to_string()}})
        };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "shop",
                "labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"],
            },
            "spec": {"containers": template["spec"]["containers"], "nodeName": "node-1"},
            "status": {
                "podIP": format!("10.0.0.{}", self.objects.version % 250 + 1),
                "conditions": [{"type": "Ready", "status": if is_missing { "False" } else { "True" }}],
                "containerStatuses": [{
                    "name": "worker", "image": image, "imageID": "", "ready": !is_missing, "restartCount": 0, "state": state,
                }],
            },
        });
        let (_, pod) = self.objects.create(PODS, pod, now);
        if !is_missing {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            let config: WorkerConfig = serde_json::from_str(&config).expect("a worker's configuration");
            self.attempts += 1;
            let fails = sql.is_some_and(|sql| sql.contains("'fails'"));
            self.workers.insert(uid, Worker::started(config, self.attempts, now, fails));
        }
    }

    fn finish_batch_jobs(&mut self) {
        if !self.has_storage {
            return;
        }
        let names: Vec<String> =
            self.objects.of(BATCH).map(|job| job["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect();
        let now = self.now;
        for name in names {
            let done = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
            self.objects.patch(BATCH, &name, Some("status"), &done, false, now);
        }
    }
}

impl Worker {
    fn started(config: WorkerConfig, attempt: u64, now: Timestamp, fails: bool) -> Self {
        let mut status = testing::worker(1, if fails { Phase::Failed } else { Phase::Starting });
        status.start.clone_from(&config.start.token);
        status.parallelism = config.parallelism;
        status.attempt = attempt;
        status.started_at_ms = u64::try_from(now.as_millisecond()).expect("a time");
        status.message = fails.then(|| "no such topic".to_owned());
        Self { status, config, savepoints: BTreeMap::new(), stops_with: None, scales_to: None }
    }

    /// Does what was asked for, and completes a checkpoint.
    fn go_on(&mut self, now: Timestamp, has_storage: bool) {
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

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.state().now
    }
}

impl Connect for World {
    fn connect(&self, address: &Address, _: &Credentials) -> Result<Arc<dyn WorkerClient>, Error> {
        Ok(Arc::new(Connection { world: self.clone(), ip: address.ip.to_string() }))
    }
}

struct Connection {
    world: World,
    ip: String,
}

impl Connection {
    /// Does something to the worker at this address.
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

    fn cancel(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.asked("cancel", |worker| worker.status.phase = Phase::Canceled)
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

fn response(code: u16, body: &Value) -> Response<Body> {
    let bytes = serde_json::to_vec(body).expect("JSON");
    Response::builder().status(code).body(Body::from(bytes)).expect("a response")
}

/// An object, or each of a list, without anything but its metadata.
fn bare(mut answer: Value) -> Value {
    if let Some(items) = answer["items"].as_array_mut() {
        for item in items.iter_mut() {
            *item = bare(item.take());
        }
        return answer;
    }
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": answer["metadata"]})
}

fn decoded(text: &str) -> String {
    text.replace("%2F", "/").replace("%3D", "=").replace("%2C", ",")
}

/// A path as collection, name and subresource.
fn split(path: &str) -> (String, Option<String>, Option<String>) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = if parts.first() == Some(&"api") { 2 } else { 3 };
    let resource = if parts.get(group) == Some(&"namespaces") && parts.len() > group + 2 { group + 2 } else { group };
    let collection = format!("/{}", parts[..=resource.min(parts.len() - 1)].join("/"));
    let part = |index: usize| parts.get(index).map(|part| (*part).to_owned());
    (collection, part(resource + 1), part(resource + 2))
}

/// The group and the resource of a collection, as roles name them.
fn resource(collection: &str, subresource: Option<&str>) -> String {
    let parts: Vec<&str> = collection.trim_matches('/').split('/').collect();
    let group = if parts.first() == Some(&"api") { "" } else { parts.get(1).copied().unwrap_or_default() };
    let name = parts.last().copied().unwrap_or_default();
    let subresource = subresource.map(|name| format!("/{name}")).unwrap_or_default();
    format!("{group}:{name}{subresource}")
}
