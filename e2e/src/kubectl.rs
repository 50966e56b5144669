//! Drives the cluster as a user does: with `kubectl`, `helm` and, for nodes, `docker`.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The time between two checks of a condition.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Runs a program and returns its output.
///
/// # Errors
/// When it cannot be run or fails. The message has the command and its output.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = output(program, arguments, None)?;
    if !output.status.success() {
        bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output(program: &str, arguments: &[&str], input: Option<&str>) -> Result<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes())?;
    }
    Ok(child.wait_with_output()?)
}

/// Waits until `look` returns something.
///
/// # Errors
/// When it does not in time. The message has what was expected, and the last error.
pub fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + patience;
    let mut last = None;
    while Instant::now() < deadline {
        match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            // A scenario may have stopped the API server.
            Err(error) => last = Some(error),
        }
        std::thread::park_timeout(LOOK_INTERVAL);
    }
    match last {
        Some(error) => Err(error.context(format!("{what}: not within {} s", patience.as_secs()))),
        None => bail!("{what}: not within {} s", patience.as_secs()),
    }
}

/// The node of a pod, and the main process of its first container as the node counts it.
///
/// # Errors
/// When the container does not run.
pub fn process_of(pod: &Value) -> Result<(String, String)> {
    let node = pod["spec"]["nodeName"].as_str().context("the pod has a node")?;
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().context("the pod has a container")?;
    let id = id.trim_start_matches("containerd://");
    let tasks = run("docker", &["exec", node, "ctr", "-n", "k8s.io", "task", "ls"])?;
    let line = tasks.lines().find(|line| line.starts_with(id)).context("the container runs")?;
    let process = line.split_whitespace().nth(1).context("the container has a process")?;
    Ok((node.to_owned(), process.to_owned()))
}

/// The namespace that the controller is installed in.
pub fn system() -> Namespace {
    Namespace { name: std::env::var("E2E_SYSTEM_NAMESPACE").unwrap_or_else(|_| "eddyline-system".to_owned()) }
}

/// The pods of all controllers.
///
/// # Errors
/// When `kubectl` fails, or there are none.
pub fn controllers() -> Result<Vec<Value>> {
    let pods = system().list("pods", "app.kubernetes.io/name=eddyline-operator")?;
    ensure!(!pods.is_empty(), "no controller runs in {}", system().name);
    Ok(pods)
}

/// A namespace of the cluster.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its name.
    pub name: String,
}

impl Namespace {
    /// Runs `kubectl` in the namespace.
    ///
    /// # Errors
    /// As [`run`].
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run("kubectl", &[&["-n", &self.name], arguments].concat())
    }

    /// The output of a `kubectl` command that must fail.
    ///
    /// # Errors
    /// When it succeeds.
    pub fn refused(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let output = output("kubectl", &[&["-n", &self.name], arguments].concat(), input)?;
        if output.status.success() {
            bail!("kubectl {} was accepted, and should have been refused", arguments.join(" "));
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Applies a manifest.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let output = output("kubectl", &["-n", &self.name, "apply", "-f", "-"], Some(manifest))?;
        if !output.status.success() {
            bail!("kubectl apply: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// An object as JSON. `None` if it does not exist.
    ///
    /// # Errors
    /// When `kubectl` fails.
    pub fn get(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let text = self.kubectl(&["get", kind, name, "-o", "json", "--ignore-not-found"])?;
        if text.trim().is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&text)?)) }
    }

    /// All objects of a kind with a label.
    ///
    /// # Errors
    /// When `kubectl` fails.
    pub fn list(&self, kind: &str, selector: &str) -> Result<Vec<Value>> {
        let mut arguments = vec!["get", kind, "-o", "json"];
        if !selector.is_empty() {
            arguments.extend(["-l", selector]);
        }
        let listed: Value = serde_json::from_str(&self.kubectl(&arguments)?)?;
        Ok(listed["items"].as_array().cloned().unwrap_or_default())
    }

    /// The reasons of all events about an object.
    ///
    /// # Errors
    /// When `kubectl` fails.
    pub fn events(&self, name: &str) -> Result<Vec<(String, String)>> {
        let selector = format!("--field-selector=involvedObject.name={name}");
        let listed: Value = serde_json::from_str(&self.kubectl(&["get", "events", "-o", "json", &selector])?)?;
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        Ok(items.iter().map(|event| (text(event, "reason"), text(event, "message"))).collect())
    }
}
