//! A namespace with the services of the samples, and a job in it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::kubectl::{self, Namespace, until};
use crate::readings::PARTITIONS;
use crate::topic::Broker;

/// How long a job may take to run, with images present.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A namespace of its own for a scenario; deleted when dropped.
pub struct Place {
    /// The namespace.
    pub namespace: Namespace,
    /// The broker that its jobs use.
    pub broker: Broker,
    keeps: bool,
}

impl Place {
    /// Makes the namespace, enforcing restricted Pod Security, with what the samples expect in it.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn new(scenario: &str) -> Result<Self> {
        let name = format!("e2e-{scenario}");
        kubectl::run(
            "kubectl",
            &["delete", "namespace", &name, "--ignore-not-found", "--wait=true", "--timeout=180s"],
        )?;
        kubectl::run("kubectl", &["create", "namespace", &name])?;
        kubectl::run(
            "kubectl",
            &["label", "namespace", &name, "pod-security.kubernetes.io/enforce=restricted", "eddyline.io/e2e=true"],
        )?;
        let namespace = Namespace { name };
        namespace.kubectl(&["apply", "-k", "config/samples/development"])?;
        let keeps = std::env::var_os("E2E_KEEP").is_some();
        Ok(Self { namespace, broker: Broker::of_environment()?, keeps })
    }

    /// The sensor job of the samples, with topics of its own, and a change to its manifest.
    ///
    /// # Errors
    /// When the sample cannot be read or the topics cannot be made.
    pub fn sensors(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<Job<'_>> {
        let (readings, results) =
            (format!("{}-{name}-in", self.namespace.name), format!("{}-{name}-out", self.namespace.name));
        let (readings, results) = (unique(&readings), unique(&results));
        self.broker.create(&readings, PARTITIONS)?;
        self.broker.create(&results, 2)?;
        let path = "config/samples/sensors.yaml";
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let text = text.replace("'topic' = 'readings'", &format!("'topic' = '{readings}'"));
        let text = text.replace("'topic' = 'per-minute'", &format!("'topic' = '{results}'"));
        let mut manifest: Value = serde_norway::from_str(&text)?;
        manifest["metadata"]["name"] = name.into();
        change(&mut manifest);
        Ok(Job { place: self, name: name.to_owned(), readings, results, manifest })
    }
}

/// A name that no earlier run of the scenario has used: topics outlive namespaces.
fn unique(name: &str) -> String {
    format!("{name}-{}", chrono::Utc::now().timestamp_millis())
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keeps {
            let delete = ["delete", "namespace", &self.namespace.name, "--wait=false", "--ignore-not-found"];
            if let Err(error) = kubectl::run("kubectl", &delete) {
                eprintln!("namespace {} is left behind: {error}", self.namespace.name);
            }
        }
    }
}

/// A StreamJob of a scenario.
pub struct Job<'a> {
    /// Where it is.
    pub place: &'a Place,
    /// Its name.
    pub name: String,
    /// The topic it reads.
    pub readings: String,
    /// The topic it writes.
    pub results: String,
    /// Its manifest.
    pub manifest: Value,
}

impl Job<'_> {
    fn namespace(&self) -> &Namespace {
        &self.place.namespace
    }

    /// Applies the manifest with `kubectl apply`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn apply(&self) -> Result<()> {
        self.namespace().apply(&self.manifest.to_string())
    }

    /// Changes the manifest and applies it.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) -> Result<()> {
        change(&mut self.manifest);
        self.apply()
    }

    /// The object as the cluster has it.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn object(&self) -> Result<Value> {
        self.namespace().get("streamjob", &self.name)?.with_context(|| format!("there is no StreamJob {}", self.name))
    }

    /// Its status.
    ///
    /// # Errors
    /// When the job does not exist.
    pub fn status(&self) -> Result<Value> {
        Ok(self.object()?["status"].take())
    }

    /// Waits with `kubectl wait` until the job is Ready.
    ///
    /// # Errors
    /// When it is not in time; the message has its status.
    pub fn wait_ready(&self) -> Result<Duration> {
        let started = Instant::now();
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let object = format!("streamjob/{}", self.name);
        self.namespace()
            .kubectl(&["wait", "--for=condition=Ready", &object, &timeout])
            .with_context(|| format!("status: {}", self.status().unwrap_or_default()))?;
        Ok(started.elapsed())
    }

    /// Waits until the status meets a condition.
    ///
    /// # Errors
    /// When it is not in time; the message has the last status.
    pub fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        self.until_within(what, PATIENCE, is_so)
    }

    /// As [`Self::until`], with another time limit.
    ///
    /// # Errors
    /// When it is not in time; the message has the last status.
    pub fn until_within(&self, what: &str, patience: Duration, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        until(what, patience, || {
            let status = self.status()?;
            Ok(if is_so(&status) { Some(status) } else { None })
        })
        .with_context(|| format!("{}: the last status: {}", self.name, self.status().unwrap_or_default()))
    }

    /// Waits until the job runs, is Ready, and has this number of slots.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn until_running_on(&self, parallelism: u64) -> Result<Value> {
        self.until(&format!("running on {parallelism} slots"), |status| {
            status["parallelism"] == parallelism && status["phase"] == "Running" && is_true(status, "Ready")
        })
    }

    /// Waits until the job runs in another attempt than `before` and is Ready.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn until_recovered(&self, before: u64) -> Result<Value> {
        self.until(&format!("running in an attempt after {before}"), |status| {
            status["attempt"].as_u64().is_some_and(|attempt| attempt > before)
                && status["phase"] == "Running"
                && is_true(status, "Ready")
        })
    }

    /// The number of the running attempt.
    ///
    /// # Errors
    /// When the job does not exist.
    pub fn attempt(&self) -> Result<u64> {
        Ok(self.status()?["attempt"].as_u64().unwrap_or(0))
    }

    /// The name of its pod.
    pub fn pod(&self) -> String {
        format!("{}-worker-0", self.name)
    }

    /// Waits for an event about the job.
    ///
    /// # Errors
    /// When there is none in time; the message has those there are.
    pub fn event(&self, reason: &str) -> Result<String> {
        until(&format!("an event {reason} of {}", self.name), Duration::from_secs(30), || {
            let events = self.namespace().events(&self.name)?;
            Ok(events.into_iter().find(|(found, _)| found == reason).map(|(_, message)| message))
        })
        .with_context(|| format!("the events: {:?}", self.namespace().events(&self.name)))
    }

    /// Deletes the object and waits until it is gone.
    ///
    /// # Errors
    /// When it is not gone in time.
    pub fn delete_within(&self, patience: Duration) -> Result<Duration> {
        let started = Instant::now();
        let timeout = format!("--timeout={}s", patience.as_secs());
        self.namespace().kubectl(&["delete", "streamjob", &self.name, &timeout])?;
        ensure!(self.namespace().get("streamjob", &self.name)?.is_none(), "{} is still there", self.name);
        Ok(started.elapsed())
    }
}

/// The status, reason and message of a condition.
pub fn condition(status: &Value, kind: &str) -> Option<(String, String, String)> {
    let conditions = status["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

/// Whether a condition is True.
pub fn is_true(status: &Value, kind: &str) -> bool {
    condition(status, kind).is_some_and(|(status, ..)| status == "True")
}
