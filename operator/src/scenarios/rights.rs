//! The declared rights of the controller, compared with its requests and with the manifests.

use std::collections::BTreeSet;

use eddyline_crds::stream_job::OnDelete;
use serde::Deserialize as _;
use serde_json::json;

use super::*;
use crate::rbac::{CLUSTER, OWN, Rule, SERVED};
use crate::testing::world::{NODES, PODS};

/// Rights that only the watches of the controller need, and rights that Kubernetes requires for other objects.
const NOT_BY_A_PASS: [(&str, &str); 9] = [
    ("list", "eddyline.io:streamjobs"),
    ("watch", "eddyline.io:streamjobs"),
    ("update", "eddyline.io:streamjobs/finalizers"),
    ("watch", "eddyline.io:savepoints"),
    ("update", "eddyline.io:savepoints/finalizers"),
    ("list", "apps:statefulsets"),
    ("watch", "apps:statefulsets"),
    ("watch", ":pods"),
    ("watch", ":configmaps"),
];

fn granted(rules: &[Rule]) -> BTreeSet<(String, String)> {
    let one = |rule: &Rule| {
        let resource = format!("{}:{}", rule.group, rule.resource);
        rule.verbs.iter().map(|verb| ((*verb).to_owned(), resource.clone())).collect::<Vec<_>>()
    };
    rules.iter().flat_map(one).collect()
}

#[tokio::test]
async fn the_controller_may_do_what_it_does_and_nothing_else() {
    let mut done = BTreeSet::new();
    let mut scenario = Scenario::new();
    scenario.create(|job| {
        job.spec.savepoints.on_delete = OnDelete::Final;
        job.spec.savepoints.schedule = Some("* * * * *".to_owned());
        job.spec.savepoints.keep = Some(1);
        job.spec.sql = None;
        job.spec.sql_from = serde_json::from_value(json!({"configMapKeyRef": {"name": "queries", "key": "a"}})).ok();
    });
    {
        let mut state = scenario.world.state();
        let now = state.now;
        let queries = json!({"metadata": {"name": "queries"}, "data": {"a": testing::SQL}});
        state.objects.create(crate::testing::world::CONFIG_MAPS, queries, now);
    }
    scenario.until("ready", is_settled).await;
    scenario.passes(150).await;
    {
        let mut state = scenario.world.state();
        let mut pod = state.objects.get(PODS, "orders-worker-0").cloned().expect("a pod");
        pod["status"]["conditions"][0]["status"] = json!("False");
        state.objects.store(PODS, "orders-worker-0", pod);
    }
    let set_ready = |world: &World, status: &str| {
        let mut state = world.state();
        let now = state.now;
        let ready = json!({"type": "Ready", "status": status, "lastTransitionTime": now.to_string()});
        state.objects.patch(NODES, "node-1", Some("status"), &json!({"status": {"conditions": [ready]}}), false, now);
    };
    set_ready(&scenario.world, "Unknown");
    scenario.passes(1).await;
    set_ready(&scenario.world, "True");
    scenario.world.edit("orders", &json!({"workers": {"version": "1.1"}}));
    scenario.passes(1).await;
    scenario.until("upgraded", is_settled).await;
    delete_job(&scenario.world);
    scenario.until("gone", is_gone).await;
    done.extend(scenario.world.state().requests.clone());

    let mut scenario = Scenario::new();
    scenario.world.state().refuses_pods = Some("exceeded quota".to_owned());
    scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Delete);
    scenario.passes(5).await;
    scenario.world.state().refuses_pods = None;
    scenario.until("ready", is_settled).await;
    delete_job(&scenario.world);
    scenario.until("gone", is_gone).await;
    done.extend(scenario.world.state().requests.clone());

    done.retain(|(_, resource)| resource != "worker");
    let mut granted = granted(&SERVED);
    granted.extend(self::granted(&CLUSTER));
    let missing: Vec<_> = done.difference(&granted).collect();
    assert!(missing.is_empty(), "done and not granted: {missing:?}");
    let by_a_pass: BTreeSet<_> =
        NOT_BY_A_PASS.iter().map(|(verb, resource)| ((*verb).to_owned(), (*resource).to_owned())).collect();
    let unused: Vec<_> = granted.difference(&done).filter(|right| !by_a_pass.contains(*right)).collect();
    assert!(unused.is_empty(), "granted and not done: {unused:?}");
}

#[test]
fn only_the_lease_is_asked_for_in_the_controllers_own_namespace() {
    let rights = granted(&OWN);
    let leases: BTreeSet<_> = ["get", "list", "create", "update"]
        .map(|verb| (verb.to_owned(), "coordination.k8s.io:leases".to_owned()))
        .into_iter()
        .collect();
    assert_eq!(rights, leases);
}

/// A rule as manifests write it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
}

/// The rights in a file: a list of rules, or roles with rules.
fn rights_in(path: &str) -> BTreeSet<(String, String)> {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let path = std::path::Path::new(&here).join("..").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut rights = BTreeSet::new();
    for document in serde_norway::Deserializer::from_str(&text) {
        let value = serde_norway::Value::deserialize(document).expect("YAML");
        let rules = value.get("rules").cloned().unwrap_or(value);
        let Ok(rules) = serde_norway::from_value::<Vec<Manifest>>(rules) else { continue };
        for rule in rules {
            for resource in &rule.resources {
                let groups = rule.api_groups.iter().map(|group| format!("{group}:{resource}"));
                rights.extend(groups.flat_map(|name| rule.verbs.iter().map(move |verb| (verb.clone(), name.clone()))));
            }
        }
    }
    rights
}

#[test]
fn manifests_grant_what_the_code_asks_for() {
    let everywhere: BTreeSet<_> = granted(&SERVED).union(&granted(&CLUSTER)).cloned().collect();
    for (path, rights) in [
        ("charts/eddyline/files/rules-of-namespaces.yaml", granted(&SERVED)),
        ("charts/eddyline/files/rules-of-cluster.yaml", granted(&CLUSTER)),
        ("charts/eddyline/files/rules-of-release.yaml", granted(&OWN)),
        ("config/rbac/role.yaml", everywhere),
        ("config/rbac/leader-election.yaml", granted(&OWN)),
    ] {
        let manifest = rights_in(path);
        let missing: Vec<_> = rights.difference(&manifest).collect();
        let surplus: Vec<_> = manifest.difference(&rights).collect();
        assert!(missing.is_empty() && surplus.is_empty(), "{path}: missing {missing:?}, surplus {surplus:?}");
    }
}
