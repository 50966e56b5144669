//! The pods of a job: what Kubernetes reports about them, in the terms of the decisions.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{self, ContainerStatus, PodCondition};
use kube::Api;
use kube::api::ListParams;

use super::nodes::{self, NodeSeen};
use crate::context::Context;
use crate::names;
use crate::observed::{End, Pod, Trouble, TroubleKind};

/// The pods of a job, and the address of its worker.
pub(super) async fn pods(
    context: &Context,
    namespace: &str,
    job: &str,
    known_pull_failure: Option<&str>,
) -> Result<(Vec<Pod>, Option<IpAddr>), kube::Error> {
    let api: Api<v1::Pod> = Api::namespaced(context.client.clone(), namespace);
    let mut found = api.list(&ListParams::default().labels(&names::selector(job))).await?.items;
    found.retain(|pod| is_worker(pod, job));
    let mut pods = Vec::new();
    let mut address = None;
    for pod in &found {
        let mut seen = read(pod);
        if seen.trouble.is_none() {
            seen.trouble = known_pull_failure.and_then(|known| still_failing_pull(pod, known));
        }
        // Read a node only where it matters: reading nodes is costly.
        if let Some(node) = &seen.node
            && (!seen.is_ready || seen.going_since.is_some())
        {
            let message = match nodes::look_at(context, node).await? {
                NodeSeen::Answers => None,
                NodeSeen::Silent(since) => {
                    seen.node_lost_since = Some(since);
                    seen.is_cut_off = nodes::most_are_silent(context).await?;
                    Some(format!("{}: its node {node} has not answered since {since}", seen.name))
                }
                NodeSeen::Out => {
                    seen.is_node_out = true;
                    Some(format!("{}: its node {node} is gone or out of service", seen.name))
                }
            };
            if let (None, Some(message)) = (&seen.trouble, message) {
                seen.trouble = Some(Trouble { kind: TroubleKind::NodeLost, message });
            }
        }
        if seen.going_since.is_none() && seen.ordinal == 0 && runs(pod) {
            address = address_of(pod);
        }
        pods.push(seen);
    }
    Ok((pods, address))
}

/// Whether a pod with the job's label is one of its workers. The label alone does not make it one.
fn is_worker(pod: &v1::Pod, job: &str) -> bool {
    let set = names::worker(job);
    let mut owners = pod.metadata.owner_references.iter().flatten();
    match owners.find(|owner| owner.controller == Some(true)) {
        Some(owner) => owner.kind == "StatefulSet" && owner.name == set,
        // A pod that its StatefulSet has orphaned is adopted by the next StatefulSet of that name.
        None => {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let ordinal = name.strip_prefix(&set).and_then(|rest| rest.strip_prefix('-'));
            ordinal.is_some_and(|text| text.parse::<u32>().is_ok())
        }
    }
}

/// The termination message of the last pod of a batch job that has ended.
pub(super) async fn last_words_of_batch_job(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, kube::Error> {
    let api: Api<v1::Pod> = Api::namespaced(context.client.clone(), namespace);
    let selector = format!("batch.kubernetes.io/job-name={name}");
    let pods = api.list(&ListParams::default().labels(&selector)).await?.items;
    let words = pods.iter().filter_map(|pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
        let ended = statuses.iter().filter_map(|container| {
            let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
            now.or(container.last_state.as_ref().and_then(|state| state.terminated.as_ref()))
        });
        ended.filter_map(|end| Some((end.finished_at.clone()?.0, end.message.clone()?))).max()
    });
    Ok(words.max().map(|(_, message)| message.trim().to_owned()).filter(|message| !message.is_empty()))
}

fn address_of(pod: &v1::Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

/// Whether the process of a pod runs, ready or not.
fn runs(pod: &v1::Pod) -> bool {
    worker_container(pod).is_some_and(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
}

fn worker_container(pod: &v1::Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|container| container.name == "worker")
}

fn condition<'a>(pod: &'a v1::Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// What the object of a pod says.
pub(super) fn read(pod: &v1::Pod) -> Pod {
    let metadata = &pod.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let annotations = metadata.annotations.as_ref();
    let container = worker_container(pod);
    Pod {
        ordinal: name.rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        revision: annotations
            .and_then(|annotations| annotations.get(names::REVISION_ANNOTATION))
            .and_then(|text| text.parse().ok()),
        is_ready: condition(pod, "Ready").is_some_and(|condition| condition.status == "True"),
        created_at: metadata.creation_timestamp.as_ref().map(|time| time.0),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        going_since: metadata.deletion_timestamp.as_ref().map(|time| time.0),
        node_lost_since: None,
        is_node_out: false,
        is_cut_off: false,
        trouble: trouble(&name, pod),
        last_end: container.and_then(last_end),
        has_run: runs(pod) || container.is_some_and(|container| container.restart_count > 0),
        name,
    }
}

fn last_end(container: &ContainerStatus) -> Option<End> {
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    let before = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = now.or(before)?;
    Some(End {
        at: ended.finished_at.as_ref()?.0,
        reason: ended.reason.clone().unwrap_or_default(),
        code: ended.exit_code,
        last_words: ended.message.as_deref().and_then(last_words),
    })
}

/// The last line that a container wrote. If the line is JSON, its fields have the message.
fn last_words(written: &str) -> Option<String> {
    let line = written.trim().lines().last()?.trim();
    let said = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).ok().and_then(|fields| {
        let text = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
        let message = text("message")?;
        Some(text("error").map_or(message.clone(), |error| format!("{message}: {error}")))
    });
    Some(said.unwrap_or_else(|| line.to_owned())).filter(|words| !words.is_empty())
}

fn trouble(name: &str, pod: &v1::Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let because = |kind, message: String| Some(Trouble { kind, message });
    if status.phase.as_deref() == Some("Failed") && status.reason.as_deref() == Some("Evicted") {
        let why = status.message.clone().unwrap_or_default();
        return because(TroubleKind::Evicted, format!("{name} was evicted: {why}"));
    }
    if let Some(scheduled) = condition(pod, "PodScheduled")
        && scheduled.status == "False"
        && scheduled.reason.as_deref() == Some("Unschedulable")
    {
        let why = scheduled.message.clone().unwrap_or_default();
        return because(TroubleKind::Unschedulable, format!("{name} cannot be scheduled: {why}"));
    }
    let container = worker_container(pod)?;
    let end = last_end(container);
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let why = waiting.message.clone().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "CrashLoopBackOff" | "RunContainerError" => match end {
            Some(end) if end.reason == "OOMKilled" => {
                because(TroubleKind::OutOfMemory, format!("{name} was OOM-killed repeatedly"))
            }
            Some(end) => {
                let message = format!("{name} exits repeatedly with code {}", end.code);
                let words = end.last_words.map(|words| format!(": {words}")).unwrap_or_default();
                because(TroubleKind::CrashLoopBackOff, message + &words)
            }
            None => because(TroubleKind::CrashLoopBackOff, format!("{name} exits repeatedly: {why}")),
        },
        // The first failure of a pull (ErrImagePull) may be a fault of the network. The wait after it shows that it
        // lasted.
        "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => because(
            TroubleKind::ImagePullFailed,
            format!("the image {} of {name} cannot be pulled: {why}", container.image),
        ),
        "CreateContainerConfigError" | "CreateContainerError" => {
            because(TroubleKind::ContainerConfigInvalid, format!("the container of {name} cannot be created: {why}"))
        }
        _ => None,
    }
}

/// The known message, while the same image still cannot be pulled. A kubelet alternates between pulling and waiting,
/// and neither is a change.
fn still_failing_pull(pod: &v1::Pod, known: &str) -> Option<Trouble> {
    let container = worker_container(pod)?;
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let is_same = waiting.reason.as_deref() == Some("ErrImagePull") && known.contains(&container.image);
    is_same.then(|| Trouble { kind: TroubleKind::ImagePullFailed, message: known.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> v1::Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "orders-worker-0", "uid": "u", "annotations": {"eddyline.io/revision": "3"},
            },
            "spec": {"containers": [], "nodeName": "n1"},
            "status": status,
        }))
        .expect("a pod")
    }

    fn waiting(reason: &str, last: serde_json::Value) -> Pod {
        read(&pod(json!({"containerStatuses": [{
            "name": "worker", "image": "w:1", "imageID": "", "ready": false, "restartCount": 4,
            "state": {"waiting": {"reason": reason, "message": "back-off"}},
            "lastState": {"terminated": last},
        }]})))
    }

    #[test]
    fn what_keeps_a_pod_from_running_is_reported_by_name() {
        let crashed = json!({"exitCode": 3, "reason": "Error", "finishedAt": "2026-05-01T00:00:00Z",
            "message": "starting\nfailed to read worker.json\n"});
        let killed = json!({"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-05-01T00:00:00Z"});
        let cases = [
            ("CrashLoopBackOff", crashed.clone(), Some(TroubleKind::CrashLoopBackOff)),
            ("CrashLoopBackOff", killed, Some(TroubleKind::OutOfMemory)),
            ("ImagePullBackOff", crashed.clone(), Some(TroubleKind::ImagePullFailed)),
            ("CreateContainerConfigError", crashed.clone(), Some(TroubleKind::ContainerConfigInvalid)),
            ("ContainerCreating", crashed.clone(), None),
            ("ErrImagePull", crashed, None),
        ];
        for (reason, last, kind) in cases {
            assert_eq!(waiting(reason, last).trouble.map(|trouble| trouble.kind), kind, "{reason}");
        }
    }

    #[test]
    fn an_image_that_cannot_be_pulled_stays_so_while_it_is_tried_again() {
        let again = |image: &str| {
            pod(json!({"containerStatuses": [{
                "name": "worker", "image": image, "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}},
            }]}))
        };
        let known = "the image w:1 of orders-worker-0 cannot be pulled: back-off";
        let trouble = still_failing_pull(&again("w:1"), known).expect("trouble");
        assert_eq!((trouble.kind, trouble.message.as_str()), (TroubleKind::ImagePullFailed, known));
        assert_eq!(still_failing_pull(&again("w:2"), known), None, "another image gets another try");
    }

    #[test]
    fn the_last_words_of_a_process_are_in_the_story() {
        let crashed = json!({"exitCode": 3, "reason": "Error", "finishedAt": "2026-05-01T00:00:00Z",
            "message": "starting\nfailed to read worker.json\n"});
        let seen = waiting("CrashLoopBackOff", crashed);
        assert_eq!((seen.revision, seen.has_run, seen.ordinal), (Some(3), true, 0));
        let message = seen.trouble.expect("trouble").message;
        assert!(message.ends_with("failed to read worker.json"), "{message}");
        let logged = r#"{"level":"ERROR","message":"the job has failed","error":"no topic"}"#;
        assert_eq!(
            last_words(&format!("{{\"message\":\"starting\"}}\n{logged}\n")).as_deref(),
            Some("the job has failed: no topic")
        );
        assert_eq!(last_words(" \n"), None);
    }

    #[test]
    fn a_pod_that_no_node_takes_and_one_that_was_evicted_are_distinguished() {
        let unschedulable = read(&pod(json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]})));
        assert_eq!(unschedulable.trouble.map(|trouble| trouble.kind), Some(TroubleKind::Unschedulable));
        let evicted = read(&pod(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"})));
        let trouble = evicted.trouble.expect("trouble");
        assert_eq!(trouble.kind, TroubleKind::Evicted);
        assert!(trouble.message.contains("low on memory"), "{}", trouble.message);
    }
}
