//! The rights of the controller in the cluster: exactly those that it uses. One test compares them with the manifests,
//! and another one with the requests that the controller makes.

/// A right: verbs on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The API group. Empty: the core group.
    pub group: &'static str,
    /// The resource, with its subresource.
    pub resource: &'static str,
    /// The verbs.
    pub verbs: &'static [&'static str],
}

const fn rule(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Rule {
    Rule { group, resource, verbs }
}

/// The rights in the namespaces that the controller serves.
pub const SERVED: [Rule; 16] = [
    rule("eddyline.io", "streamjobs", &["get", "list", "watch", "patch"]),
    rule("eddyline.io", "streamjobs/status", &["patch"]),
    // Children block the deletion of their owner. That needs the right to set the owner's finalizers.
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
    // The controller reads the events of pods that do not start.
    rule("events.k8s.io", "events", &["list", "create"]),
];

/// The rights outside of namespaces: to read the nodes of pods that do not run. Without them, the pods of a lost node
/// wait until Kubernetes evicts them.
pub const CLUSTER: [Rule; 1] = [rule("", "nodes", &["get", "list"])];

/// The rights in the controller's own namespace: for leader election, and to find other releases.
pub const OWN: [Rule; 1] = [rule("coordination.k8s.io", "leases", &["get", "list", "create", "update"])];
