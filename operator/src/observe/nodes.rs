//! Nodes that keep a pod from running.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;

use crate::clock::Timestamp;
use crate::context::Context;

/// What was observed of a node.
pub(super) enum NodeSeen {
    /// The node answers, or the controller may not read it.
    Answers,
    /// The node has not answered since then.
    Silent(Timestamp),
    /// The node runs nothing: it does not exist, or it is marked as out of service.
    Out,
}

/// Kubernetes' taint of a node that is certain to be off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// The percentage of silent nodes from which Kubernetes stops evicting pods.
const SILENT_PERCENT_MAX: usize = 55;

/// Observes a node. A controller of single namespaces may lack the right to read nodes; then no node counts as lost.
pub(super) async fn look_at(context: &Context, name: &str) -> Result<NodeSeen, kube::Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    match api.get_opt(name).await {
        Ok(Some(node)) if is_out_of_service(&node) => Ok(NodeSeen::Out),
        Ok(Some(node)) => Ok(silent_since(&node).map_or(NodeSeen::Answers, NodeSeen::Silent)),
        Ok(None) => Ok(NodeSeen::Out),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(NodeSeen::Answers),
        Err(error) => Err(error),
    }
}

fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

/// Since when a node has not answered. A kubelet that reports its node as not ready does answer.
fn silent_since(node: &Node) -> Option<Timestamp> {
    let conditions = node.status.as_ref()?.conditions.as_deref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    (ready.status == "Unknown").then_some(ready.last_transition_time.as_ref()?.0)
}

/// Whether so many nodes are silent that the fault is probably between them and the API server.
pub(super) async fn most_are_silent(context: &Context) -> Result<bool, kube::Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    match api.list(&ListParams::default()).await {
        Ok(nodes) => {
            let silent = nodes.items.iter().filter(|node| silent_since(node).is_some()).count();
            Ok(silent * 100 > nodes.items.len() * SILENT_PERCENT_MAX)
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(false),
        Err(error) => Err(error),
    }
}
