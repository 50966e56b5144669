//! The controller killed at every step of a rescale and of an upgrade.
//!
//! The controller writes the status of the job and the job's own objects. A watch counts these writes. After the first
//! write of the first change all controllers are killed from their nodes, after the second write of the second change,
//! and so on, until a change has fewer writes. The controllers are killed so soon that they rarely reach the next
//! write.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::job::{Job, Place, is_true};
use crate::kubectl::{Namespace, controllers, process_of, system, until};
use crate::readings::Load;

/// After this time without a write, the watches have caught up, or the controller is done.
const QUIET: Duration = Duration::from_secs(2);
/// A change is carried out within this time.
const PATIENCE: Duration = Duration::from_secs(180);
/// A change has fewer writes than this.
const WRITES_MAX: usize = 40;

/// Kills programs on nodes without delay: a shell waits on each node.
struct Killer {
    nodes: Vec<(Child, ChildStdin, String)>,
}

impl Killer {
    /// A killer of all controllers, once they run.
    fn of_controllers() -> Result<Self> {
        let processes = until("the controllers run", PATIENCE, || {
            let mut processes: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for pod in controllers()? {
                if !is_true(&pod["status"], "Ready") {
                    return Ok(None);
                }
                let (node, process) = process_of(&pod)?;
                processes.entry(node).or_default().push(process);
            }
            Ok(Some(processes))
        })?;
        let shell = |(node, processes): (String, Vec<String>)| {
            let mut shell = Command::new("docker")
                .args(["exec", "-i", &node, "sh"])
                .stdin(Stdio::piped())
                .spawn()
                .context("cannot run docker")?;
            let stdin = shell.stdin.take().context("the shell has an input")?;
            Ok((shell, stdin, format!("kill -9 {}\n", processes.join(" "))))
        };
        Ok(Self { nodes: processes.into_iter().map(shell).collect::<Result<_>>()? })
    }

    /// Kills the controllers, and has their pods replaced: the kubelet would wait longer each time before it restarts
    /// containers.
    fn kill(mut self) -> Result<()> {
        for (_, stdin, command) in &mut self.nodes {
            stdin.write_all(command.as_bytes())?;
            stdin.flush()?;
        }
        for (mut shell, stdin, _) in self.nodes {
            drop(stdin);
            ensure!(shell.wait()?.success(), "a controller was gone before it was killed");
        }
        for pod in controllers()? {
            let name = pod["metadata"]["name"].as_str().context("the pod has a name")?;
            system().kubectl(&["delete", "pod", name, "--force", "--grace-period=0", "--ignore-not-found"])?;
        }
        Ok(())
    }
}

/// The writes of the controller in a namespace.
struct Writes {
    watches: Vec<Child>,
    seen: Receiver<String>,
    known: BTreeSet<String>,
}

impl Writes {
    fn watch(namespace: &Namespace) -> Result<Self> {
        let (sender, seen) = channel();
        let mut watches = Vec::new();
        for kind in ["streamjobs", "statefulsets", "configmaps"] {
            let mut watch = Command::new("kubectl")
                .args(["-n", &namespace.name, "get", kind, "--watch", "-o", "json"])
                .stdout(Stdio::piped())
                .spawn()
                .context("cannot run kubectl")?;
            let stdout = watch.stdout.take().context("the watch has an output")?;
            let sender: Sender<String> = sender.clone();
            std::thread::spawn(move || {
                for object in serde_json::Deserializer::from_reader(stdout).into_iter::<Value>() {
                    let Ok(object) = object else { return };
                    if sender.send(write_of(kind, &object)).is_err() {
                        return;
                    }
                }
            });
            watches.push(watch);
        }
        let mut writes = Self { watches, seen, known: BTreeSet::new() };
        while writes.next(QUIET)?.is_some() {}
        Ok(writes)
    }

    /// The next write that does not repeat an earlier one. `None` if there is none in time.
    fn next(&mut self, patience: Duration) -> Result<Option<String>> {
        loop {
            match self.seen.recv_timeout(patience) {
                Ok(write) if !self.known.insert(write.clone()) => {}
                Ok(write) => return Ok(Some(write)),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!("the watches have ended"),
            }
        }
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        for watch in &mut self.watches {
            let _has_ended = watch.kill();
            let _status = watch.wait();
        }
    }
}

/// The part of an object that the controller decides: not the progress of a job, and not what Kubernetes adds.
fn write_of(kind: &str, object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if kind != "streamjobs" {
        return format!("{kind} {name} {} {}", object["metadata"]["generation"], object["data"]);
    }
    let status = &object["status"];
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let conditions: Vec<String> = conditions.iter().map(|one| format!("{}={}", one["type"], one["status"])).collect();
    let (operation, revision) = (&status["operation"], &status["revision"]["generation"]);
    let observed = &status["observedGeneration"];
    format!("{kind} {name} {observed} {} {revision} {operation} {}", status["phase"], conditions.join(" "))
}

/// Changes the job repeatedly, each time in another way, and kills the controllers one write later each time. Returns
/// how many writes there are.
fn at_every_step(
    job: &mut Job<'_>,
    change: impl Fn(usize, &mut Value),
    is_done: impl Fn(usize, &Value) -> bool,
) -> Result<usize> {
    for round in 1..WRITES_MAX {
        let killer = Killer::of_controllers()?;
        let mut writes = Writes::watch(&job.place.namespace)?;
        job.change(|manifest| change(round, manifest))?;
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        while seen < round {
            match writes.next(QUIET)? {
                Some(_) => seen += 1,
                None if is_done(round, &job.object()?) => return Ok(seen),
                None => ensure!(Instant::now() < deadline, "not carried out: {}", job.status()?),
            }
        }
        killer.kill()?;
        drop(writes);
        until("carried out by another controller", PATIENCE, || Ok(is_done(round, &job.object()?).then_some(())))
            .with_context(|| format!("killed at write {round}: {}", job.status().unwrap_or_default()))?;
    }
    bail!("the controller does not come to rest")
}

fn is_settled(object: &Value) -> bool {
    let status = &object["status"];
    status["observedGeneration"] == object["metadata"]["generation"]
        && status["operation"].is_null()
        && status["phase"] == "Running"
        && is_true(status, "Ready")
}

/// The scenario.
pub fn run() -> Result<()> {
    let place = Place::new("controller-loss")?;
    let mut job = place.sensors("sensors", |manifest| manifest["spec"]["parallelism"] = json!(1))?;
    job.apply()?;
    job.wait_ready()?;
    let load = Load::start(&place.broker, &job.readings, 500)?;
    let slots = |round: usize| if round.is_multiple_of(2) { 1 } else { 3 };
    let rescale = at_every_step(
        &mut job,
        |round, manifest| manifest["spec"]["parallelism"] = json!(slots(round)),
        |round, object| is_settled(object) && object["status"]["parallelism"] == slots(round),
    )?;
    println!("   killed at each of {rescale} writes of a rescale");
    let upgrade = at_every_step(
        &mut job,
        |round, manifest| {
            manifest["spec"]["config"] = json!({ "table.exec.source.idle-timeout": format!("{} s", 60 + round) })
        },
        |_, object| {
            is_settled(object) && object["status"]["revision"]["generation"] == object["metadata"]["generation"]
        },
    )?;
    println!("   killed at each of {upgrade} writes of an upgrade");
    ensure!(rescale >= 2 && upgrade >= 4, "these are too few to have seen them all");
    println!("   {} results, each once and right", load.finish(&job.results)?);
    Ok(())
}
