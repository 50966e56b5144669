//! Buckets that have not changed are not written again.

use eddyline_checkpoint::storage::Memory;
use eddyline_stream::Assignment;

use crate::states::{self, Keys, assert_restores, checkpoint, contents, groups, start};

fn keys(open: i64) -> Keys {
    let closed: Vec<i64> = (0..20_000).collect();
    let mut keys: Keys = [(("windows".into(), "sums".into(), 60_000), closed)].into();
    keys.insert(("windows".into(), "sums".into(), 120_000), (open..open + 50).collect());
    keys
}

#[tokio::test]
async fn a_closed_bucket_is_written_once_and_stays_while_it_is_needed() {
    let memory = Memory::new();
    let assignment = Assignment::even(groups(), 2);
    let writer = start(&memory).await.writer;
    let mut sizes = Vec::new();
    for number in 1..=12 {
        let completed =
            writer.write(checkpoint(number), contents(&keys(number as i64), &assignment)).await.expect("written");
        writer.mark_committed(checkpoint(number)).await.expect("noted");
        sizes.push(completed.bytes);
        writer.collect_garbage().await.expect("collected");
        let latest = states::store(&memory).latest().await.expect("read").expect("a checkpoint");
        assert_restores(&latest, &keys(number as i64)).await;
    }
    assert!(sizes[0] > 100_000, "{sizes:?}");
    assert!(sizes[1..].iter().all(|size| *size < 64 << 10), "{sizes:?}");
    let runs = memory.names().into_iter().filter(|name| name.contains("/state/")).count();
    assert_eq!(runs, 1);
    // A row has changed, so the bucket is written again. The old file is removed when no kept checkpoint needs it.
    let mut changed = keys(13);
    changed.get_mut(&("windows".into(), "sums".into(), 60_000)).expect("the closed bucket")[0] = -1;
    for number in 13..=16 {
        let completed = writer.write(checkpoint(number), contents(&changed, &assignment)).await.expect("written");
        assert_eq!(completed.bytes > 100_000, number == 13);
        writer.mark_committed(checkpoint(number)).await.expect("noted");
    }
    writer.collect_garbage().await.expect("collected");
    let runs: Vec<_> = memory.names().into_iter().filter(|name| name.contains("/state/")).collect();
    assert_eq!(runs, ["orders/state/0000000001/leader/0000000013.run"]);
    let latest = states::store(&memory).latest().await.expect("read").expect("a checkpoint");
    assert_restores(&latest, &changed).await;
}

#[tokio::test]
async fn a_new_attempt_writes_everything_once() {
    let memory = Memory::new();
    let assignment = Assignment::even(groups(), 2);
    let writer = start(&memory).await.writer;
    writer.write(checkpoint(1), contents(&keys(1), &assignment)).await.expect("written");
    let writer = start(&memory).await.writer;
    let completed = writer.write(checkpoint(2), contents(&keys(1), &assignment)).await.expect("written");
    assert!(completed.bytes > 100_000);
    assert!(memory.names().contains(&"orders/state/0000000002/leader/0000000002.run".to_owned()));
}
