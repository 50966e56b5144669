//! Objects of other owners with the name or the label of a job's objects.

use eddyline_crds::stream_job::OnDelete;
use serde_json::json;

use super::*;
use crate::testing::world::{CONFIG_MAPS, PODS, SECRETS, SETS};

const ACCOUNTS: &str = "/api/v1/namespaces/shop/serviceaccounts";
const SERVICES: &str = "/api/v1/namespaces/shop/services";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies";
const BUDGETS: &str = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets";

fn of_others(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "metadata": {"name": name, "labels": {"app": "orders"}}, "data": {"mine": "precious"}})
}

#[tokio::test]
async fn an_object_of_somebody_else_is_refused_by_name_and_neither_changed_nor_deleted() {
    for (kind, collection, name) in [
        ("ServiceAccount", ACCOUNTS, "orders-worker"),
        ("Secret", SECRETS, "orders-identity"),
        ("ConfigMap", CONFIG_MAPS, "orders-rev-1"),
        ("NetworkPolicy", POLICIES, "orders-worker"),
        ("PodDisruptionBudget", BUDGETS, "orders-worker"),
        ("Service", SERVICES, "orders-worker"),
        ("StatefulSet", SETS, "orders-worker"),
    ] {
        let mut scenario = Scenario::new();
        let before = {
            let mut state = scenario.world.state();
            let now = state.now;
            state.objects.create(collection, of_others(kind, name), now).1
        };
        scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Delete);
        scenario.passes(5).await;
        let status = scenario.status();
        let stalled = conditions::find(&status.conditions, Type::Stalled).expect("a condition");
        assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "ChildRefused"), "{kind}");
        assert!(stalled.message.starts_with(&format!("{kind} {name} is not the job's")), "{}", stalled.message);
        let made = |world: &World| {
            let state = world.state();
            [ACCOUNTS, SERVICES, POLICIES, BUDGETS, SETS, CONFIG_MAPS].map(|at| state.objects.of(at).count())
        };
        assert_eq!(
            made(&scenario.world).iter().sum::<usize>(),
            usize::from(kind != "Secret"),
            "{kind}: nothing is made"
        );

        delete_job(&scenario.world);
        scenario.until("gone", is_gone).await;
        scenario.passes(3).await;
        assert_eq!(scenario.world.state().objects.get(collection, name), Some(&before), "{kind}");
    }
}

#[tokio::test]
async fn a_job_starts_once_the_name_is_free() {
    let mut scenario = Scenario::new();
    let now = scenario.world.state().now;
    scenario.world.state().objects.create(SERVICES, of_others("Service", "orders-worker"), now);
    scenario.create(|_| {});
    scenario.passes(5).await;
    scenario.world.state().objects.delete(SERVICES, "orders-worker", &Value::Null, now);
    scenario.until("ready", is_settled).await;
    assert!(!conditions::is_true(&scenario.status().conditions, Type::Stalled));
}

#[tokio::test]
async fn pods_that_only_carry_the_label_are_left_alone() {
    let mut scenario = Scenario::new();
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": true});
    let pod = |name: &str, owners: Value| {
        let labels = json!({"eddyline.io/job": "orders"});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels, "ownerReferences": owners},
            "spec": {"containers": [], "nodeName": "node-1"},
            "status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    };
    {
        let mut state = scenario.world.state();
        let now = state.now;
        state.objects.create(PODS, pod("web-1-x", json!([owner])), now);
        state.objects.create(PODS, pod("debug", Value::Null), now);
    }
    scenario.create(|job| job.spec.savepoints.on_delete = OnDelete::Final);
    scenario.until("ready", is_settled).await;
    scenario.passes(5).await;
    delete_job(&scenario.world);
    scenario.until("gone", is_gone).await;
    for name in ["web-1-x", "debug"] {
        assert!(scenario.world.state().objects.get(PODS, name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn what_a_deleted_job_of_the_name_has_left_is_waited_for() {
    let mut scenario = Scenario::new();
    let now = scenario.world.state().now;
    let owner = json!([{"apiVersion": "eddyline.io/v1alpha1", "kind": "StreamJob", "name": "orders", "uid": "before"}]);
    let left = json!({"metadata": {"name": "orders-worker", "ownerReferences": owner}});
    scenario.world.state().objects.create(ACCOUNTS, left, now);
    scenario.create(|_| {});
    scenario.until("ready", is_settled).await;
    let account = scenario.world.state().objects.get(ACCOUNTS, "orders-worker").cloned().expect("an account");
    assert_eq!(account["metadata"]["ownerReferences"][0]["uid"], "11111111-2222-3333-4444-555555555555");
}
