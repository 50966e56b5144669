//! Leftovers of other releases, and their objects that this release cannot read.

use eddyline_crds::savepoint::DeletionPolicy;
use eddyline_crds::stream_job::OnDelete;
use serde_json::json;

use super::*;
use crate::names;
use crate::testing::world::{BATCH, PODS, SAVEPOINTS, SETS};

fn found(world: &World, collection: &str, name: &str) -> Option<Value> {
    world.state().objects.get(collection, name).cloned()
}

/// A Savepoint of a release that has more deletion policies than this one.
fn unreadable(name: &str, job: &str, status: &Value) -> Value {
    let mut savepoint = json!(testing::savepoint(name, job));
    savepoint["spec"]["deletionPolicy"] = json!("Archive");
    savepoint["metadata"]["finalizers"] = json!([names::FINALIZER]);
    savepoint["status"] = status.clone();
    savepoint
}

fn store(world: &World, name: &str, object: Value) {
    let mut state = world.state();
    let now = state.now;
    assert_eq!(state.objects.create(SAVEPOINTS, object, now).0, 201, "{name}");
}

fn delete_savepoint(world: &World, name: &str) {
    let mut state = world.state();
    let now = state.now;
    state.objects.delete(SAVEPOINTS, name, &Value::Null, now);
}

#[tokio::test]
async fn a_stateful_set_with_claims_of_its_own_gives_way_to_one_with_volumes_that_go_with_their_pods() {
    for requests in [None, Some(1), Some(4), Some(9)] {
        let mut scenario = requests.map_or_else(Scenario::new, Scenario::dying_after);
        scenario.create(|job| {
            job.spec.workers.storage = serde_json::from_value(json!({"size": "10Gi"})).ok();
            assert!(job.spec.workers.storage.is_some());
        });
        scenario.until("ready", is_settled).await;
        let old = {
            let mut state = scenario.world.state();
            let mut set = state.objects.get(SETS, "orders-worker").cloned().expect("a StatefulSet");
            set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {}}]);
            let volumes = set["spec"]["template"]["spec"]["volumes"].as_array_mut().expect("volumes");
            volumes.retain(|volume| volume["name"] != json!("data"));
            state.objects.store(SETS, "orders-worker", set).1
        };
        // This release replaces the one that created it.
        scenario.context = context(&scenario.world, &scenario.settings);
        let is_new = |world: &World| {
            let set = found(world, SETS, "orders-worker");
            set.is_some_and(|set| set["metadata"]["uid"] != old["metadata"]["uid"])
        };
        scenario.until("another StatefulSet", is_new).await;
        scenario
            .until("ready again", |world| is_settled(world) && found(world, PODS, "orders-worker-0").is_some())
            .await;
        let set = found(&scenario.world, SETS, "orders-worker").expect("a StatefulSet");
        assert_eq!(set["spec"]["volumeClaimTemplates"], Value::Null);
        let volumes = set["spec"]["template"]["spec"]["volumes"].as_array().expect("volumes").clone();
        let data = volumes.iter().find(|volume| volume["name"] == json!("data")).expect("a volume for data");
        assert!(data["ephemeral"]["volumeClaimTemplate"].is_object(), "{data}");
        let pod = found(&scenario.world, PODS, "orders-worker-0").expect("a pod");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], set["metadata"]["uid"], "a pod of the new one");
        let revision = scenario.status().revision.expect("a revision");
        assert_eq!(revision.number, 1, "the job is the same, and resumes from its latest checkpoint");
        scenario.passes(5).await;
        assert_eq!(
            found(&scenario.world, SETS, "orders-worker").expect("one")["metadata"]["uid"],
            set["metadata"]["uid"]
        );
    }
}

#[tokio::test]
async fn a_savepoint_of_another_release_is_left_alone_and_never_holds_its_deletion_up() {
    let mut scenario = Scenario::ready(|_| {}).await;
    let status = json!({"phase": "Archived", "uri": "s3://bucket/elsewhere"});
    let before = unreadable("theirs", "orders", &status);
    store(&scenario.world, "theirs", before.clone());
    scenario.passes(5).await;
    let now = found(&scenario.world, SAVEPOINTS, "theirs").expect("a Savepoint");
    assert_eq!((&now["spec"], &now["status"]), (&before["spec"], &before["status"]));
    delete_savepoint(&scenario.world, "theirs");
    scenario.passes(2).await;
    assert!(found(&scenario.world, SAVEPOINTS, "theirs").is_none());
    assert_eq!(
        scenario.world.state().objects.of(BATCH).count(),
        0,
        "what it asks for is not known, so nothing is done"
    );
}

#[tokio::test]
async fn a_savepoint_of_a_job_that_cannot_be_read_goes_when_it_is_deleted() {
    let mut scenario = Scenario::ready(|_| {}).await;
    scenario.world.state().has_storage = false;
    store(&scenario.world, "ours", json!(testing::savepoint("ours", "orders")));
    scenario.until("asked for", |world| world.state().requests.iter().any(|(verb, _)| verb == "savepoint")).await;
    {
        let mut state = scenario.world.state();
        let mut job = state.objects.get(JOBS, "orders").cloned().expect("a job");
        job["spec"]["savepoints"] = json!({"onDelete": "Archive"});
        state.objects.store(JOBS, "orders", job);
    }
    delete_savepoint(&scenario.world, "ours");
    scenario.until("gone", |world| found(world, SAVEPOINTS, "ours").is_none()).await;
    assert!(scenario.world.events().contains(&"StateLeft".to_owned()), "it is said that something may stay");
}

/// The job can be read, but a Savepoint of its namespace cannot.
#[tokio::test]
async fn one_savepoint_that_cannot_be_read_hides_neither_the_job_nor_its_end() {
    let mut scenario = Scenario::new();
    scenario.create(|job| {
        job.spec.savepoints.on_delete = OnDelete::Delete;
        job.spec.savepoints.keep = Some(2);
    });
    let mut theirs = unreadable("theirs", "orders", &json!({"uri": "s3://bucket/jobs/savepoints/shop.orders/theirs"}));
    theirs["metadata"]["labels"] = json!({names::SCHEDULED_FOR_LABEL: "orders"});
    store(&scenario.world, "theirs", theirs);
    let mut gone = testing::savepoint("gone", "orders");
    gone.spec.deletion_policy = DeletionPolicy::Delete;
    store(&scenario.world, "gone", json!(gone));
    scenario.until("ready", is_settled).await;
    delete_job(&scenario.world);
    let batch = |world: &World| found(world, BATCH, "orders-cleanup-11111111");
    scenario.until("the batch job", |world| batch(world).is_some()).await;
    let job = batch(&scenario.world).expect("a batch job");
    let arguments = job["spec"]["template"]["spec"]["containers"][0]["args"].as_array().expect("arguments").clone();
    let kept: Vec<_> = arguments.iter().filter_map(|text| text.as_str()?.strip_prefix("--keep=")).collect();
    assert_eq!(kept, ["s3://bucket/jobs/savepoints/shop.orders/theirs"]);
    scenario.until("gone", is_gone).await;
}

#[tokio::test]
async fn a_job_that_an_older_release_serves_too_is_left_to_it_and_an_event_says_so() {
    let mut scenario = Scenario::new();
    let lease = |name: &str, created: &str| {
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "creationTimestamp": created, "annotations": {names::NAMESPACES_ANNOTATION: "shop,other"},
            },
            "spec": {"holderIdentity": "somebody", "renewTime": "2026-05-01T12:00:00.000000Z"},
        }))
        .expect("a Lease")
    };
    let (own, now) = (scenario.settings.lease.clone(), testing::start());
    let leases = [lease(&own, "2026-04-02T00:00:00Z"), lease("older", "2026-04-01T00:00:00Z")];
    scenario.context.claims.update(&leases, &own, &[], now);
    scenario.create(|_| {});
    store(&scenario.world, "one", json!(testing::savepoint("one", "orders")));
    scenario.passes(10).await;
    assert_eq!(scenario.world.events(), ["ReleasesOverlap"], "said once");
    let notes = scenario.world.notes();
    assert!(notes[0].contains("with the Lease older"), "{notes:?}");
    assert_eq!(scenario.world.job("orders").expect("a job").status, None);
    let written: Vec<_> = scenario.world.state().requests.iter().filter(|(verb, _)| verb != "get").cloned().collect();
    assert_eq!(written, [("create".to_owned(), "events.k8s.io:events".to_owned())]);

    // The older release serves other namespaces from now on.
    scenario.context.claims.update(&leases[..1], &own, &[], now);
    scenario.until("ready", is_settled).await;
    assert_eq!(scenario.world.events(), ["ReleasesOverlap", "Started"]);
}
