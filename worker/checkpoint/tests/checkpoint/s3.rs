//! Checkpoints in a real S3 service: `e2e/services/s3/server.sh` builds one and runs it on a port of its own.

use std::collections::BTreeMap;
use std::process::Command;

use bytes::Bytes;
use eddyline_checkpoint::storage::Created;
use eddyline_checkpoint::{CheckpointHandle, Error, JobStore, Storage};
use eddyline_stream::Assignment;

use crate::states::{self, assert_restores, checkpoint, contents, groups, sample};

/// A server that stops at the end of its test.
struct Server {
    port: u16,
    data: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let server = Self { port, data: tempfile::tempdir().expect("a folder") };
        server.script("start");
        server
    }

    fn script(&self, verb: &str) {
        let script = format!("{}/../../e2e/services/s3/server.sh", env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(script)
            .arg(verb)
            .env("S3_PORT", self.port.to_string())
            .env("S3_DATA", self.data.path())
            .output()
            .expect("the script runs");
        assert!(output.status.success(), "server.sh {verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn options(&self) -> BTreeMap<String, String> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let options =
            [("s3.endpoint", endpoint.as_str()), ("s3.access-key", "eddyline"), ("s3.secret-key", "eddyline")];
        options.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    fn storage(&self, folder: &str) -> Storage {
        Storage::open(&format!("s3://eddyline/{folder}"), &self.options()).expect("a location")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.script("stop");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_live_in_s3() {
    let server = Server::start();
    objects_are_created_once(&server).await;
    attempts_take_over(&server).await;
    large_state_is_uploaded_in_parts_and_read_by_ranges(&server).await;
    savepoints_open_by_location(&server).await;
}

async fn objects_are_created_once(server: &Server) {
    let storage = server.storage("objects");
    let creates = (0..8).map(|n| {
        let storage = storage.clone();
        async move { storage.create("one", Bytes::from(vec![n; 3])).await }
    });
    let created = futures::future::join_all(creates).await;
    let won: Vec<usize> = (0..8).filter(|n| matches!(created[*n], Ok(Created::Yes))).collect();
    assert_eq!(won.len(), 1, "{created:?}");
    let winner = Bytes::from(vec![u8::try_from(won[0]).expect("small"); 3]);
    assert_eq!(storage.get("one").await.expect("read"), Some(winner.clone()));
    storage.put_once("one", winner).await.expect("the same again");
    storage.put_once("one", Bytes::from_static(b"other")).await.expect_err("other content");
    storage.put("a/b", Bytes::from_static(b"x")).await.expect("written");
    storage.put("ab", Bytes::from_static(b"y")).await.expect("written");
    let names: Vec<_> = storage.list("a").await.expect("listed").into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["a/b"]);
    assert_eq!(storage.get_range("a/b", 0..1).await.expect("read").as_deref(), Some(b"x".as_slice()));
    storage.get_range("a/b", 0..9).await.expect_err("shorter");
    assert_eq!(storage.get("none").await.expect("read"), None);
    assert_eq!(storage.get_range("none", 0..1).await.expect("read"), None);
    storage.delete("a/b").await.expect("deleted");
    storage.delete("a/b").await.expect("deleted twice");
    assert_eq!(storage.get("a/b").await.expect("read"), None);
}

async fn attempts_take_over(server: &Server) {
    let store = JobStore::open(server.storage("jobs"), "orders");
    let assignment = Assignment::even(groups(), 2);
    let old = store.start_attempt(states::identity()).await.expect("started");
    for number in 1..=4 {
        old.writer.write(checkpoint(number), contents(&sample(1), &assignment)).await.expect("written");
        old.writer.mark_committed(checkpoint(number)).await.expect("noted");
        old.writer.collect_garbage().await.expect("collected");
    }
    let kept = server.storage("jobs/orders").list("chk").await.expect("listed");
    assert_eq!(kept.len(), 2, "{kept:?}");
    let new = store.start_attempt(states::identity()).await.expect("started");
    assert_eq!(new.last_checkpoint, Some(checkpoint(4)));
    let error = old.writer.write(checkpoint(5), contents(&sample(1), &assignment)).await.expect_err("fenced");
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    assert_restores(&new.latest.expect("a checkpoint"), &sample(1)).await;
}

async fn large_state_is_uploaded_in_parts_and_read_by_ranges(server: &Server) {
    let store = JobStore::open(server.storage("jobs"), "large");
    let mut keys = states::Keys::new();
    keys.insert(("windows".into(), "sums".into(), 5), (0..400_000).map(|key| key * 7_919).collect());
    let started = store.start_attempt(states::identity()).await.expect("started");
    let state = contents(&keys, &Assignment::even(groups(), 2));
    let completed = started.writer.write(checkpoint(1), state).await.expect("written");
    assert!(completed.bytes > 16 << 20, "{} bytes: more than two parts", completed.bytes);
    let handle = store.latest().await.expect("read").expect("a checkpoint");
    let owned = handle.assignment().rescaled(16).key_groups_of(eddyline_stream::SlotIndex::new(3));
    let snapshot = handle.restore(&states::uid("windows"), &owned).await.expect("restored");
    assert_eq!(states::row_set(snapshot.keyed), states::expected(&keys, "windows", &owned));
}

async fn savepoints_open_by_location(server: &Server) {
    let store = JobStore::open(server.storage("jobs"), "saved");
    let started = store.start_attempt(states::identity()).await.expect("started");
    let state = contents(&sample(5), &Assignment::even(groups(), 2));
    let dir = "s3://eddyline/savepoints";
    let uri = started.writer.write_savepoint(dir, checkpoint(1), &state).await.expect("saved");
    assert!(uri.starts_with("s3://eddyline/savepoints/savepoint-saved-0000000001-1-"), "{uri}");
    let handle = CheckpointHandle::open_uri(&uri, &server.options()).await.expect("opened");
    assert_restores(&handle, &sample(5)).await;
}
