//! Files of very many pieces. The record of read pieces in a checkpoint is bounded, and nothing is read twice.

use std::path::Path;
use std::time::Duration;

use eddyline_worker::coordinator::job::View;

use crate::parallelism::{planned, run};
use crate::running::{assert_gapless, numbers_in};

const FILES: u64 = 20;
/// The number of lines of a file. A piece has two lines.
const LINES_PER_FILE: u64 = 2_000;

fn write_lines(file: &Path, numbers: std::ops::RangeInclusive<u64>) {
    let lines: String = numbers.map(|number| format!("{{\"n\":{number:<8}}}\n")).collect();
    let hidden = file.with_file_name(".unfinished");
    std::fs::write(&hidden, lines).expect("a file");
    std::fs::rename(hidden, file).expect("renamed");
}

/// Waits until a condition holds that is expensive to test. The caller has a deadline.
async fn until(mut condition: impl FnMut() -> bool) {
    let mut turns = tokio::time::interval(Duration::from_millis(50));
    while !condition() {
        turns.tick().await;
    }
}

/// The size of the largest manifest, in bytes.
fn largest_manifest(checkpoints: &Path) -> u64 {
    let folders = std::fs::read_dir(checkpoints.join("job/chk")).expect("checkpoints").flatten();
    let sizes = folders.filter_map(|folder| Some(folder.path().join("manifest").metadata().ok()?.len()));
    sizes.max().expect("a manifest")
}

#[test]
fn twenty_thousand_pieces_are_a_few_bytes_of_a_checkpoint_and_each_is_read_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, out, checkpoints) =
        (folder.path().join("in"), folder.path().join("out"), folder.path().join("checkpoints"));
    std::fs::create_dir(&input).expect("a folder");
    for file in 0..FILES {
        let first = file * LINES_PER_FILE + 1;
        write_lines(&input.join(format!("events-{file:04}.json")), first..=first + LINES_PER_FILE - 1);
    }
    let graph = planned(format!(
        "CREATE TABLE events (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json',
  'source.split.size' = '30 b', 'source.monitor-interval' = '100 ms');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
INSERT INTO results SELECT n FROM events;",
        input.display(),
        out.display()
    ));
    let read = |rows: u64| {
        let out = out.clone();
        move |_: &View| numbers_in(&out).len() as u64 >= rows
    };
    let rows = FILES * LINES_PER_FILE;
    for (parallelism, visible) in [(3, rows / 4), (1, rows / 2)] {
        let is_read = read(visible);
        let killed = run(&graph, &checkpoints, parallelism, |view, _| Box::pin(until(move || is_read(view))));
        assert_eq!(killed.map(|_| ()), None, "a folder that is watched has no end");
    }
    let (all, more) = (read(rows), read(rows + 2));
    run(&graph, &checkpoints, 4, |view, _| {
        Box::pin(async move {
            until(move || all(view)).await;
            // This file is the last one to arrive, and its name is the first one.
            write_lines(&input.join("a-late-one.json"), rows + 1..=rows + 2);
            until(move || more(view)).await;
        })
    });
    assert_eq!(assert_gapless(&numbers_in(&out)), rows + 2);
    let bytes = largest_manifest(&checkpoints);
    assert!(bytes < 16 << 10, "a manifest has {bytes} bytes");
}
