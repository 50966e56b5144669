use eddyline_crds::StreamJobStatus;
use kube::core::PartialObjectMetaExt as _;

use super::*;
use crate::settings::Settings;
use crate::testing;
use crate::testing::world::World;

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
