//! What the controller may do in the cluster: exactly what it does. The manifests grant this and nothing else, and a test
//! compares them; another one compares this with the requests that the controller makes.

/// A right: verbs on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The API group; empty is the core.
    pub group: &'static str,
    /// The resource, with its subresource.
    pub resource: &'static str,
    /// What may be done to it.
    pub verbs: &'static [&'static str],
}

const fn rule(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Rule {
    Rule { group, resource, verbs }
}

/// What the controller does in the namespaces that it serves.
pub const SERVED: [Rule; 16] = [
    rule("eddyline.io", "streamjobs", &["get", "list", "watch", "patch"]),
    rule("eddyline.io", "streamjobs/status", &["patch"]),
    // Children block the deletion of their owner, which takes the right to set its finalizers.
    rule("eddyline.io", "streamjobs/finalizers", &["update"]),
    rule("eddyline.io", "savepoints", &["get", "list", "watch", "create", "patch", "delete"]),
    rule("eddyline.io", "savepoints/status", &["patch"]),
    rule("eddyline.io", "savepoints/finalizers", &["update"]),
    rule("apps", "statefulsets", &["get", "list", "watch", "create", "patch", "delete"]),
    rule("", "pods", &["list", "watch", "delete"]),
    rule("", "configmaps", &["get", "list", "watch", "create", "patch", "delete"]),
    rule("", "services", &["get", "create", "patch"]),
    rule("", "serviceaccounts", &["get", "create", "patch"]),
    rule("", "secrets", &["get", "create", "patch"]),
    rule("policy", "poddisruptionbudgets", &["get", "create", "patch"]),
    rule("networking.k8s.io", "networkpolicies", &["get", "create", "patch"]),
    rule("batch", "jobs", &["get", "list", "create"]),
    // Those about pods that do not come up are read.
    rule("events.k8s.io", "events", &["list", "create"]),
];

/// What the controller does outside of namespaces: it asks about nodes that hold up a pod. Without it, the pods of a lost
/// node wait for Kubernetes to give the node up.
pub const CLUSTER: [Rule; 1] = [rule("", "nodes", &["get", "list"])];

/// What the controller does in its own namespace: it takes its turn, and looks for other releases.
pub const OWN: [Rule; 1] = [rule("coordination.k8s.io", "leases", &["get", "list", "create", "update"])];
