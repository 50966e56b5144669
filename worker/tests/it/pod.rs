//! `eddyline worker` as the controller uses it: with mounted files, and an API over mutual TLS.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eddyline_api::savepoint::{Problem, RescaleRequest, Savepoint, SavepointRequest, SavepointState, StopRequest};
use eddyline_api::status::{Checkpoints, Plan};
use eddyline_api::{JobStatus, Phase, Start, StartFrom, WorkerConfig, config, endpoint, mounts, openapi};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::broker::free_port;
const PATIENCE: Duration = Duration::from_secs(60);

/// A job that writes ascending numbers to files.
const JOB: &str = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '2000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '100000000');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{out}', 'format' = 'csv');
INSERT INTO results SELECT n FROM numbers;
";

/// A certificate authority, and the certificates that it has signed.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate").pem();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    fn sign(&self, name: String, usage: ExtendedKeyUsagePurpose) -> Signed {
        let mut parameters = CertificateParams::new([name]).expect("a name");
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    fn server(&self) -> Signed {
        self.sign(mounts::server_name("tests", "numbers"), ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn client(&self) -> Signed {
        self.sign(mounts::client_name("tests", "numbers"), ExtendedKeyUsagePurpose::ClientAuth)
    }
}

/// The folders of a pod.
struct Pod {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Pod {
    fn new() -> Self {
        let pod = Self { folder: tempfile::tempdir().expect("a temporary folder"), authority: Authority::new() };
        for name in ["config", "secrets", "storage", "identity", "data"] {
            std::fs::create_dir(pod.path(name)).expect("a folder");
        }
        pod.write(
            &format!("config/{}", mounts::SQL_FILE),
            &JOB.replace("{out}", &pod.path("out").display().to_string()),
        );
        pod.write_identity(&pod.authority);
        pod
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("a file of the pod");
    }

    fn write_identity(&self, authority: &Authority) {
        let Signed { certificate, key } = authority.server();
        self.write("identity/tls.crt", &certificate);
        self.write("identity/tls.key", &key);
        self.write("identity/ca.crt", &authority.certificate);
    }

    /// Starts a process of the pod that carries out a decision.
    fn start(&self, token: &str, from: StartFrom) -> Worker {
        let config = WorkerConfig {
            job: "numbers".to_owned(),
            namespace: "tests".to_owned(),
            config: std::collections::BTreeMap::new(),
            parallelism: 1,
            max_parallelism: 16,
            start: Start { token: token.to_owned(), from, allow_non_restored_state: Vec::new() },
            checkpoint: config::Checkpoint {
                interval_ms: 200,
                timeout_ms: 60_000,
                retain: 3,
                uri: Some(format!("file://{}", self.path("checkpoints").display())),
                endpoint: None,
            },
            restart: config::Restart {
                max_per_window: 10,
                window_ms: 600_000,
                backoff_initial_ms: 10,
                backoff_max_ms: 1_000,
            },
            local_storage: Some(config::LocalStorage { bytes: 1 << 30 }),
        };
        let text = serde_json::to_string_pretty(&config).expect("plain data");
        self.write(&format!("config/{}", mounts::CONFIG_FILE), &text);
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).expect("a log file");
        let (api, health) = (free_port(), free_port());
        let process = Command::new(env!("CARGO_BIN_EXE_eddyline"))
            .arg("worker")
            .args(
                ["config", "secrets", "storage", "identity", "data"]
                    .iter()
                    .flat_map(|name| [format!("--{name}-dir"), self.path(name).display().to_string()]),
            )
            .args(["--api-addr", &format!("127.0.0.1:{api}"), "--health-addr", &format!("127.0.0.1:{health}")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the eddyline binary");
        Worker { process, api, health }
    }

    fn client(&self) -> Client {
        Client::new(&self.authority.certificate, Some(self.authority.client()))
    }

    /// The numbers that are visible in the sink, sorted.
    fn results(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        numbers_below(&self.path("out"), &mut numbers);
        numbers.sort_unstable();
        numbers
    }

    /// Checks that every number up to the largest one is there once.
    fn assert_exactly_once(&self) {
        let results = self.results();
        assert!(!results.is_empty(), "no results; the log: {}", self.log());
        let gap = results.iter().zip(1..).find(|(found, wanted)| **found != *wanted);
        assert_eq!(gap, None, "a number is missing or there twice, of {}", results.len());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

fn numbers_below(folder: &Path, numbers: &mut Vec<u64>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if entry.path().is_dir() {
            numbers_below(&entry.path(), numbers);
        } else {
            let text = std::fs::read_to_string(entry.path()).expect("a text file");
            numbers.extend(text.lines().map(|line| line.parse::<u64>().expect("a number a line")));
        }
    }
}

/// A process of the pod. It is killed when dropped.
struct Worker {
    process: Child,
    api: u16,
    health: u16,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A suspended process is also killed. The call has no effect on one that has ended.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

impl Worker {
    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.process.id().to_string()]).status().expect("kill");
        assert!(status.success(), "{signal}");
    }

    /// Waits for the end of the process.
    fn ended(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the worker does not end");
            std::thread::yield_now();
        }
    }
}

/// A client of workers with the certificates of one authority.
struct Client {
    http: reqwest::Client,
}

impl Client {
    fn new(authority: &str, identity: Option<Signed>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate")).expect("an authority");
        let builder =
            rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("protocol versions")
                .with_root_certificates(roots);
        let tls = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain =
                    vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("an identity")
            }
        };
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .resolve(&mounts::server_name("tests", "numbers"), ([127, 0, 0, 1], 0).into())
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client");
        Self { http }
    }

    fn url(worker: &Worker, path: &str) -> String {
        format!("https://{}:{}{path}", mounts::server_name("tests", "numbers"), worker.api)
    }

    async fn get<T: DeserializeOwned>(&self, worker: &Worker, path: &str) -> T {
        let answer = self.http.get(Self::url(worker, path)).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.expect("the documented type")
    }

    async fn post<T: DeserializeOwned>(&self, worker: &Worker, path: &str, body: &impl Serialize) -> T {
        let answer = self.http.post(Self::url(worker, path)).json(body).send().await.expect("an answer");
        assert_eq!(answer.status(), 202, "{path}: {}", answer.text().await.unwrap_or_default());
        answer.json().await.expect("the documented type")
    }

    async fn refused(&self, worker: &Worker, path: &str, body: &impl Serialize) -> (u16, String) {
        let answer = self.http.post(Self::url(worker, path)).json(body).send().await.expect("an answer");
        let code = answer.status().as_u16();
        (code, answer.json::<Problem>().await.expect("a problem").message)
    }

    /// Waits until the status fulfils a condition. Returns that status.
    async fn until(&self, worker: &Worker, what: &str, is_so: impl Fn(&JobStatus) -> bool) -> JobStatus {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        let mut turns = tokio::time::interval(Duration::from_millis(20));
        while Instant::now() < deadline {
            turns.tick().await;
            let Ok(answer) = self.http.get(Self::url(worker, endpoint::JOB)).send().await else { continue };
            let status: JobStatus = answer.json().await.expect("a job status");
            if is_so(&status) {
                return status;
            }
            last = Some(status);
        }
        panic!("{what}: not in time; last seen: {last:?}");
    }

    async fn until_running(&self, worker: &Worker) -> JobStatus {
        let has_checkpoint = |status: &JobStatus| {
            status.phase == Phase::Running && status.checkpoint.as_ref().is_some_and(|last| last.is_of_this_attempt)
        };
        self.until(worker, "running with a checkpoint", has_checkpoint).await
    }
}

/// The value of a metric without labels; `None` if there is none, or no answer yet.
async fn metric(worker: &Worker, name: &str) -> Option<f64> {
    let answer = reqwest::get(format!("http://127.0.0.1:{}/metrics", worker.health)).await.ok()?;
    let text = answer.text().await.expect("a text");
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn a_container_that_restarts_reads_its_state_from_the_volume_of_its_pod() {
    let pod = Pod::new();
    pod.write(
        &format!("config/{}", mounts::SQL_FILE),
        &format!(
            "CREATE TABLE numbers (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH (
  'connector' = 'datagen', 'rows-per-second' = '10000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '80000000');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
INSERT INTO results SELECT n FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' DAY))
  GROUP BY n, window_start, window_end;",
            pod.path("out").display()
        ),
    );
    let client = pod.client();
    let worker = pod.start("a", StartFrom::Latest);
    let deadline = Instant::now() + PATIENCE;
    while !metric(&worker, "eddyline_local_copy_bytes").await.is_some_and(|bytes| bytes > 0.0) {
        assert!(Instant::now() < deadline, "no copies; the log: {}", pod.log());
    }
    let status = client.until_running(&worker).await;
    assert_eq!((status.last_restore, metric(&worker, "eddyline_restore_local_bytes").await), (None, None));
    drop(worker);

    let worker = pod.start("a", StartFrom::Latest);
    let restore = client.until_running(&worker).await.last_restore.expect("a restore");
    assert!(restore.bytes_from_local_copies > 0 && restore.bytes_from_storage == 0, "{restore:?}");
    let bytes = restore.bytes_from_local_copies as f64;
    assert_eq!(metric(&worker, "eddyline_restore_local_bytes").await, Some(bytes));
    assert_eq!(metric(&worker, "eddyline_local_copy_failures").await, Some(0.0));
    let status = client.until_running(&worker).await;
    assert!(status.memory.state_bytes > 0 && status.memory.resident_bytes > Some(status.memory.state_bytes));
    drop(worker);

    // A new pod has a new volume.
    std::fs::remove_dir_all(pod.path("data")).expect("a folder");
    let worker = pod.start("a", StartFrom::Latest);
    let restore = client.until_running(&worker).await.last_restore.expect("a restore");
    assert!(restore.bytes_from_local_copies == 0 && restore.bytes_from_storage > 0, "{restore:?}");
}

fn stop_with(name: &str) -> StopRequest {
    StopRequest { savepoint: Some(savepoint(name)), timeout_ms: None }
}

fn savepoint(name: &str) -> SavepointRequest {
    SavepointRequest { name: name.to_owned(), folder: None }
}

#[tokio::test]
async fn a_job_is_watched_rescaled_saved_and_stopped_through_the_api() {
    let pod = Pod::new();
    let worker = pod.start("uid/1", StartFrom::Empty);
    let client = pod.client();
    let status = client.until_running(&worker).await;
    assert_eq!((status.job.as_str(), status.start.as_str(), status.attempt), ("numbers", "uid/1", 1));
    assert_eq!((status.parallelism, status.max_parallelism, status.restored_from), (1, 16, None));

    let ready = reqwest::get(format!("http://127.0.0.1:{}/readyz", worker.health)).await.expect("an answer");
    assert_eq!(ready.status(), 200);
    let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", worker.health)).await.expect("an answer");
    assert!(metrics.text().await.expect("text").contains("eddyline_rows_in_total"));

    let plan: Plan = client.get(&worker, endpoint::PLAN).await;
    assert!(plan.text.contains("numbers") && plan.operators.len() >= 2, "{plan:?}");
    let checkpoints: Checkpoints = client.get(&worker, endpoint::CHECKPOINTS).await;
    assert!(checkpoints.completed >= 1 && !checkpoints.latest.is_empty(), "{checkpoints:?}");

    let _: JobStatus = client.post(&worker, endpoint::RESCALE, &RescaleRequest { parallelism: 4 }).await;
    let is_rescaled = |status: &JobStatus| status.last_rescale.as_ref().is_some_and(|last| last.to == 4);
    let rescaled = client.until(&worker, "rescaled", is_rescaled).await.last_rescale.expect("a rescale");
    assert_eq!((rescaled.from, rescaled.moved_key_groups), (1, 12));
    let (code, reason) = client.refused(&worker, endpoint::RESCALE, &RescaleRequest { parallelism: 17 }).await;
    assert_eq!((code, reason.as_str()), (422, "parallelism must be from 1 to 16, not 17"));
    client.until_running(&worker).await;

    let asked: Savepoint = client.post(&worker, endpoint::SAVEPOINTS, &savepoint("first")).await;
    assert_eq!(asked.name, "first");
    let path = endpoint::SAVEPOINT.replace("{name}", "first");
    let deadline = Instant::now() + PATIENCE;
    let taken = loop {
        let seen: Savepoint = client.get(&worker, &path).await;
        if seen.state != SavepointState::InProgress {
            break seen;
        }
        assert!(Instant::now() < deadline, "no savepoint");
    };
    let uri = taken.uri.clone().expect("where it is");
    assert!(uri.contains("/savepoints/tests.numbers/"), "{taken:?}");
    let again: Savepoint = client.post(&worker, endpoint::SAVEPOINTS, &savepoint("first")).await;
    assert_eq!(again, taken, "the same name asks for the same one");

    let _: JobStatus = client.post(&worker, endpoint::STOP, &stop_with("last")).await;
    let stopped = client.until(&worker, "stopped", |status| status.phase == Phase::Stopped).await;
    let last = stopped.stopped_with.expect("the savepoint it was stopped with");
    assert_eq!((last.name.as_str(), last.state), ("last", SavepointState::Completed));
    // Several readers share a sequence, so the results can have gaps at the end. But no number is there twice.
    let results = pod.results();
    assert!(results.windows(2).all(|pair| pair[0] < pair[1]), "a number is there twice, of {}", results.len());
    let (code, _) = client.refused(&worker, endpoint::SAVEPOINTS, &savepoint("late")).await;
    assert_eq!(code, 409);
    drop(worker);

    // This is the command with which the controller cleans up.
    let cleanup =
        Command::new(env!("CARGO_BIN_EXE_eddyline")).args(["cleanup", "--uri", &uri]).output().expect("eddyline");
    assert!(cleanup.status.success(), "{}", String::from_utf8_lossy(&cleanup.stderr));
    let config = pod.path("config").join(mounts::CONFIG_FILE).display().to_string();
    let kept = last.uri.expect("where it is");
    let left_by = |arguments: &[&str]| {
        let cleanup = Command::new(env!("CARGO_BIN_EXE_eddyline")).args(arguments).output();
        assert!(cleanup.expect("eddyline").status.success());
        let mut left = Vec::new();
        files_below(&pod.path("checkpoints"), &mut left);
        left
    };
    let left = left_by(&["cleanup", "--config", &config, "--keep", &kept]);
    let kept = kept.strip_prefix("file://").expect("a local folder");
    assert!(!left.is_empty() && left.iter().all(|file| file.starts_with(kept)), "{left:?}");
    assert_eq!(left_by(&["cleanup", "--config", &config]), Vec::<PathBuf>::new());
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files_below(&entry.path(), files) } else { files.push(entry.path()) }
    }
}

/// Windows over rows that are generated all the time.
///
/// Several rows can have one time. So the watermark stays below the time of the last row, and other rows with that time
/// are not late.
const WINDOWS: &str = "CREATE TABLE numbers (
  n BIGINT, ts AS CURRENT_TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '0.001' SECOND
) WITH (
  'connector' = 'datagen', 'rows-per-second' = '200',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '100000000');
CREATE TABLE counts (window_start TIMESTAMP_LTZ(3), numbers BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO counts SELECT window_start, COUNT(*)
FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end;
";

#[tokio::test]
async fn a_job_with_steady_input_says_nothing_bad_of_itself() {
    let pod = Pod::new();
    pod.write(&format!("config/{}", mounts::SQL_FILE), WINDOWS);
    let worker = pod.start("uid/1", StartFrom::Empty);
    let client = pod.client();
    client.until_running(&worker).await;
    let watermarks = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let steady = |status: &JobStatus| {
        let progress = &status.progress;
        assert_eq!((status.phase, status.message.as_ref()), (Phase::Running, None), "{status:?}");
        assert_eq!((status.restarts, &status.last_failure, status.is_restart_limit_reached), (0, &None, false));
        assert_eq!((status.checkpoint_failures, &status.checkpoint_error), (0, &None), "{status:?}");
        assert_eq!(progress.watermark_stuck_since_ms, None, "{progress:?}");
        assert_eq!((&progress.backpressure, &progress.unreachable_sources), (&None, &Vec::new()), "{progress:?}");
        assert_eq!((progress.late_records, progress.bad_records), (0, 0));
        watermarks.borrow_mut().extend(progress.watermark_ms);
        watermarks.borrow().len() >= 50 && progress.records_in_per_second > 0.0
    };
    client.until(&worker, "event time that advances", steady).await;
}

#[tokio::test]
async fn a_job_that_fails_at_once_was_not_started_too_often() {
    let division = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO results SELECT n / (n - n) FROM numbers;
";
    let pod = Pod::new();
    pod.write(&format!("config/{}", mounts::SQL_FILE), division);
    let worker = pod.start("uid/1", StartFrom::Empty);
    let failed = pod.client().until(&worker, "failed", |status| status.phase == Phase::Failed).await;
    assert_eq!((failed.is_restart_limit_reached, failed.restarts), (false, 0), "{failed:?}");
}

#[tokio::test]
async fn a_decision_to_start_is_carried_out_once() {
    let pod = Pod::new();
    let client = pod.client();
    let mut first = pod.start("uid/1", StartFrom::Empty);
    client.until_running(&first).await;
    first.signal("-TERM");
    assert!(first.ended().success());
    let before = pod.results().len();
    assert!(before > 0, "a last checkpoint makes results visible; the log: {}", pod.log());

    // The same decision is carried out again, so the job resumes, although the decision was to start without state.
    let second = pod.start("uid/1", StartFrom::Empty);
    let status = client.until_running(&second).await;
    assert!(status.restored_from.is_some(), "{status:?}");
    let _: JobStatus = client.post(&second, endpoint::STOP, &stop_with("s")).await;
    let stopped = client.until(&second, "stopped", |status| status.phase == Phase::Stopped).await;
    let uri = stopped.stopped_with.and_then(|savepoint| savepoint.uri).expect("a savepoint");
    pod.assert_exactly_once();
    drop(second);

    // Two processes carry out another decision. The second one resumes where the first one was killed.
    let from = StartFrom::Savepoint { uri: uri.clone() };
    let third = pod.start("uid/2", from.clone());
    let status = client.until_running(&third).await;
    assert_eq!(status.restored_from.as_deref(), Some(uri.as_str()));
    drop(third);
    let fourth = pod.start("uid/2", from);
    let status = client.until_running(&fourth).await;
    assert_ne!(status.restored_from.as_deref(), Some(uri.as_str()), "the savepoint must not be restored again");
    pod.assert_exactly_once();
}

#[tokio::test]
async fn of_two_processes_that_believe_they_run_the_job_the_older_does_no_harm() {
    let pod = Pod::new();
    let client = pod.client();
    let older = pod.start("uid/1", StartFrom::Empty);
    client.until_running(&older).await;
    older.signal("-STOP");
    let newer = pod.start("uid/1", StartFrom::Empty);
    let status = client.until_running(&newer).await;
    assert_eq!(status.attempt, 2);
    older.signal("-CONT");
    let fenced = client.until(&older, "fenced", |status| status.phase == Phase::Fenced).await;
    assert!(fenced.message.is_some_and(|message| message.contains("attempt 2 has taken over")));
    let ready = reqwest::get(format!("http://127.0.0.1:{}/readyz", older.health)).await.expect("an answer");
    assert_eq!(ready.status(), 503);
    let mark = pod.results().len();
    client.until(&newer, "further results", |_| pod.results().len() > mark).await;
    assert_eq!(client.until_running(&newer).await.attempt, 2, "the older one has not come back");
    pod.assert_exactly_once();
}

#[tokio::test]
async fn only_clients_of_the_jobs_own_authority_are_served_and_its_certificates_can_change() {
    let pod = Pod::new();
    let worker = pod.start("uid/1", StartFrom::Empty);
    let client = pod.client();
    client.until_running(&worker).await;
    let foreign = Authority::new();
    let url = Client::url(&worker, endpoint::JOB);
    let nameless = Client::new(&pod.authority.certificate, None);
    assert!(nameless.http.get(&url).send().await.is_err(), "a client without a certificate");
    let stranger = Client::new(&pod.authority.certificate, Some(foreign.client()));
    assert!(stranger.http.get(&url).send().await.is_err(), "a client with a certificate of another job");

    pod.write_identity(&foreign);
    let other = Client::new(&foreign.certificate, Some(foreign.client()));
    other.until(&worker, "certificates reloaded", |_| true).await;
    assert!(client.http.get(&url).send().await.is_err(), "the old authority counts no more");
}

#[tokio::test]
async fn the_description_of_the_api_names_what_is_served() {
    let pod = Pod::new();
    let worker = pod.start("uid/1", StartFrom::Empty);
    let client = pod.client();
    client.until_running(&worker).await;
    let described: serde_json::Value = client.get(&worker, endpoint::OPENAPI).await;
    assert_eq!(described, openapi::document());
    let mut found = 0;
    for (method, path) in openapi::operations() {
        let path = path.replace("{name}", "nobody");
        // An empty body is refused where one is required, which shows that the path is served.
        let request =
            client.http.request(method.to_uppercase().parse().expect("a method"), Client::url(&worker, &path));
        let answer = request.send().await.expect("an answer");
        let body: serde_json::Value = answer.json().await.expect("every answer is JSON");
        assert_ne!(body["message"], "there is no such path", "{method} {path}");
        found += 1;
    }
    assert!(found >= 9, "{found}");
}

#[tokio::test]
async fn sql_that_cannot_be_planned_is_told_by_the_status() {
    let pod = Pod::new();
    pod.write(&format!("config/{}", mounts::SQL_FILE), "INSERT INTO nowhere SELECT 1;\n");
    let worker = pod.start("uid/1", StartFrom::Empty);
    let status = pod.client().until(&worker, "failed", |status| status.phase == Phase::Failed).await;
    let message = status.message.expect("why");
    assert!(message.contains("job.sql:1:13") && message.contains("nowhere"), "{message}");
}
