use eddyline_crds::StreamJobStatus;
use kube::core::PartialObjectMetaExt as _;
use serde_json::json;

use super::*;
use crate::settings::Settings;
use crate::testing;
use crate::testing::world::{JOBS, World};

fn bare(name: &str) -> Meta<StreamJob> {
    testing::job(name).metadata.into_response_partial()
}

#[tokio::test]
async fn numbers_of_a_job_are_gone_with_it_also_when_nobody_watched_its_end() {
    let world = World::new();
    let metrics = crate::metrics::Metrics::new().expect("metrics");
    let (clock, connect) = (Arc::new(world.clone()), Arc::new(world.clone()));
    let context = Context::new(world.client(), Settings::of_a_test(), clock, connect, metrics);
    let (known, mut writer) = reflector::store::<Meta<StreamJob>>();
    let lists = |job: &str| context.metrics.text().expect("text").contains(&format!("streamjob=\"{job}\""));
    for job in ["a", "b", "c"] {
        context.metrics.job_seen("shop", job, &StreamJobStatus::default());
    }
    forget_what_is_gone(&context, None, &known, &watcher::Event::Delete(bare("a")));
    assert!(!lists("a") && lists("b") && lists("c"));

    for event in [watcher::Event::Init, watcher::Event::InitApply(bare("c")), watcher::Event::InitDone] {
        writer.apply_watcher_event(&event);
        forget_what_is_gone(&context, None, &known, &event);
    }
    assert!(!lists("b") && lists("c"), "the list that a new watch begins with has no b");
}

/// Long enough for a test that goes well, on any machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

fn context(world: &World) -> Arc<Context> {
    let metrics = crate::metrics::Metrics::new().expect("metrics");
    let (clock, connect) = (Arc::new(world.clone()), Arc::new(world.clone()));
    Arc::new(Context::new(world.client(), Settings::of_a_test(), clock, connect, metrics))
}

#[tokio::test]
async fn jobs_whose_workers_do_not_answer_do_not_delay_the_change_of_one_that_runs() {
    let world = World::new();
    let silent: Vec<String> = (0..100).map(|index| format!("silent-{index}")).collect();
    let all: Vec<&str> = silent.iter().map(String::as_str).chain(["healthy"]).collect();
    let uid = |name: &str| format!("uid-of-{name}");
    for name in &all {
        let mut job = testing::job(name);
        job.metadata.uid = Some(uid(name));
        let mut state = world.state();
        let now = state.now;
        state.objects.create(JOBS, json!(job), now);
    }
    let before = context(&world);
    for _ in 0..4 {
        for name in &all {
            while let Next::Ask(question) = reconcile::reconcile(&before, "shop", name, &uid(name)).await.expect("done")
            {
                polls::put(&before, &question).await;
            }
        }
        world.state().tick(std::time::Duration::from_secs(1));
    }
    assert_eq!(world.state().workers.len(), 101);

    // Another controller takes over, which has heard nothing from any of them.
    world.state().hanging.extend(silent.iter().cloned());
    world.edit("healthy", &json!({"parallelism": 4}));
    let (reader, mut writer) = reflector::store::<Meta<StreamJob>>();
    writer.apply_watcher_event(&watcher::Event::Init);
    for name in &all {
        let mut known = bare(name);
        known.metadata.uid = Some(uid(name));
        writer.apply_watcher_event(&watcher::Event::InitApply(known));
    }
    writer.apply_watcher_event(&watcher::Event::InitDone);
    let requests = all.iter().map(|name| Ok(ObjectRef::new(name).within("shop").into()));
    let requests = stream::iter(requests.collect::<Vec<_>>()).chain(stream::pending()).boxed();
    let is_asked = || world.state().requests.contains(&("rescale".to_owned(), "worker".to_owned()));
    let asked = async {
        while !is_asked() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = reconcile_jobs(context(&world), reader, requests) => panic!("the queue has ended"),
        done = tokio::time::timeout(PATIENCE, asked) => done.expect("the change is carried out"),
    }
}

#[tokio::test]
async fn each_answer_of_a_worker_counts_once_and_no_question_is_put_twice_at_a_time() {
    let world = World::new();
    {
        let mut state = world.state();
        let now = state.now;
        state.objects.create(JOBS, json!(testing::job("orders")), now);
    }
    let context = context(&world);
    let reconcile = || reconcile::reconcile(&context, "shop", "orders", testing::UID);
    while !matches!(reconcile().await, Ok(Next::Ask(_))) {
        world.state().tick(std::time::Duration::from_secs(1));
    }
    for _ in 0..3 {
        world.state().requests.clear();
        let Ok(Next::Ask(question)) = reconcile().await else { panic!("a decision on an old answer") };
        assert!(context.begin_asking(testing::UID));
        assert!(!context.begin_asking(testing::UID), "it is being asked");
        polls::put(&context, &question).await;
        assert!(matches!(reconcile().await, Ok(Next::After(_))));
    }
    // Of a worker that has answered nothing is read before it is asked again.
    world.state().requests.clear();
    assert!(matches!(reconcile().await, Ok(Next::Ask(_))));
    assert!(world.state().requests.is_empty(), "{:?}", world.state().requests);
}
