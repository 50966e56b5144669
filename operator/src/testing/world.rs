//! A world for tests of the controller: a fake API server, the controllers and kubelets that create pods of
//! StatefulSets, and workers. It can break the connection after any number of requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Request, Response};
use eddyline_crds::StreamJob;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

use super::objects::{Answer, Objects};
use super::workers::Worker;
use crate::clock::{Clock, Timestamp};
use crate::{names, testing};

pub(crate) const JOBS: &str = "/apis/eddyline.io/v1alpha1/namespaces/shop/streamjobs";
pub(crate) const SAVEPOINTS: &str = "/apis/eddyline.io/v1alpha1/namespaces/shop/savepoints";
pub(crate) const PODS: &str = "/api/v1/namespaces/shop/pods";
pub(crate) const SETS: &str = "/apis/apps/v1/namespaces/shop/statefulsets";
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/shop/configmaps";
pub(crate) const SECRETS: &str = "/api/v1/namespaces/shop/secrets";
pub(crate) const BATCH: &str = "/apis/batch/v1/namespaces/shop/jobs";
pub(crate) const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";
pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/eddyline-system/leases";
pub(crate) const NODES: &str = "/api/v1/nodes";

/// The state of a world.
pub(crate) struct State {
    pub(crate) objects: Objects,
    pub(crate) workers: BTreeMap<String, Worker>,
    pub(crate) now: Timestamp,
    /// The number of requests that are still answered. None: all.
    pub(crate) answers_left: Option<usize>,
    /// All requests, as verb and resource.
    pub(crate) requests: Vec<(String, String)>,
    /// Tags of images that cannot be pulled.
    pub(crate) missing_tags: Vec<String>,
    /// Whether checkpoint storage answers.
    pub(crate) has_storage: bool,
    /// Whether workers answer.
    pub(crate) has_network: bool,
    /// Why pods are refused, if they are.
    pub(crate) refuses_pods: Option<String>,
    /// Jobs whose workers never answer.
    pub(crate) hanging: BTreeSet<String>,
    /// The time that the API server takes for each answer, by the world's clock.
    pub(crate) slowness: Duration,
    /// The number of attempts begun so far.
    pub(super) attempts: u64,
}

/// A handle of a world.
#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<State>>);

impl World {
    /// An empty world.
    pub(crate) fn new() -> Self {
        let mut objects = Objects::default();
        for name in ["node-1", "node-2", "node-3"] {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": testing::start().to_string()}]}});
            objects.create(NODES, node, testing::start());
        }
        Self(Arc::new(Mutex::new(State {
            objects,
            workers: BTreeMap::new(),
            now: testing::start(),
            answers_left: None,
            requests: Vec::new(),
            missing_tags: Vec::new(),
            has_storage: true,
            has_network: true,
            refuses_pods: None,
            hanging: BTreeSet::new(),
            slowness: Duration::ZERO,
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
        let now = state.now.checked_add(state.slowness).expect("no test lasts that long");
        state.now = now;
        let name = name.unwrap_or_default();
        let (code, mut answer) = match verb {
            "get" => match state.objects.get(&collection, &name) {
                Some(object) => (200, object.clone()),
                None => (
                    404,
                    json!({"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound", "status": "Failure"}),
                ),
            },
            "list" => {
                let about = query.get("fieldSelector").map(|field| field.trim_start_matches("regarding.uid="));
                state.objects.list(&collection, query.get("labelSelector").map(String::as_str), about)
            }
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
        self.of_events("reason")
    }

    /// The messages of all events, oldest first.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.of_events("note")
    }

    fn of_events(&self, field: &str) -> Vec<String> {
        let state = self.state();
        let mut events: Vec<(String, String)> = state
            .objects
            .of(EVENTS)
            .filter(|event| event["reportingController"] == json!(names::MANAGER))
            .map(|event| {
                let at = event["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                (format!("{at:0>9}"), event[field].as_str().unwrap_or_default().to_owned())
            })
            .collect();
        events.sort();
        events.into_iter().map(|(_, text)| text).collect()
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
    /// Counts a request. None if the connection breaks here.
    pub(super) fn count_down(&mut self) -> Option<()> {
        match &mut self.answers_left {
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                Some(())
            }
            None => Some(()),
        }
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.state().now
    }
}

fn response(code: u16, body: &Value) -> Response<Body> {
    let bytes = serde_json::to_vec(body).expect("JSON");
    Response::builder().status(code).body(Body::from(bytes)).expect("a response")
}

/// An object, or each object of a list, with only its metadata.
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
