use std::collections::BTreeSet;

use eddyline_crds::stream_job::OnDelete;
use serde_json::json;

use super::*;
use crate::rbac::{CLUSTER, OWN, Rule, SERVED};
use crate::testing::world::PODS;

/// What only the watches of the controller do, and what Kubernetes asks for on behalf of others.
const NOT_BY_A_PASS: [(&str, &str); 11] = [
    ("list", "eddyline.io:streamjobs"),
    ("watch", "eddyline.io:streamjobs"),
    ("update", "eddyline.io:streamjobs/finalizers"),
    ("watch", "eddyline.io:savepoints"),
    ("update", "eddyline.io:savepoints/finalizers"),
    ("list", "apps:statefulsets"),
    ("watch", "apps:statefulsets"),
    ("watch", ":pods"),
    ("watch", ":configmaps"),
    // Where the size of volumes changes.
    ("delete", "apps:statefulsets"),
    ("get", ":nodes"),
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
    scenario.passes(1).await;
    scenario.world.edit("orders", &json!({"workers": {"version": "1.1"}}));
    scenario.passes(1).await;
    scenario.until("upgraded", is_settled).await;
    delete_job(&scenario.world);
    scenario.until("gone", is_gone).await;
    done.extend(scenario.world.state().requests.clone());

    let mut scenario = Scenario::new();
    scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Delete);
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
    let leases: BTreeSet<_> = ["get", "create", "update"]
        .map(|verb| (verb.to_owned(), "coordination.k8s.io:leases".to_owned()))
        .into_iter()
        .collect();
    assert_eq!(rights, leases);
}
