//! Runs the job of a process: starts it, passes requests to it, and reports its outcome.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eddyline_api::savepoint::{Savepoint, SavepointRequest, StopRequest};
use eddyline_api::status::{Checkpoints, OperatorStatus, Plan, Savepoints};
use eddyline_api::{JobStatus, Phase, StartFrom, WorkerConfig};
use eddyline_operators::PIECE_ROWS;
use eddyline_plan::{PlanOptions, Planned};
use eddyline_stream::OperatorUid;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{error, info};

use super::progress::Sampler;
use super::secrets::WithSecrets;
use super::settings::Settings;
use crate::coordinator::job::{self, Config, LocalDirectory, RestartStrategy, Restore, View};
use crate::coordinator::request::{Request, SavepointOrder};
use crate::coordinator::status::now_ms;
use crate::job_file;
use crate::memory;
use crate::runtime::connectors::{BuiltIn, Connectors};
use crate::runtime::metrics::Role;

/// The share of its volume that copies of a checkpoint may have. File systems need some of it themselves.
const COPIES_OF_VOLUME: (u64, u64) = (9, 10);
/// How soon an attempt takes its first checkpoint.
const FIRST_CHECKPOINT_AFTER: Duration = Duration::from_secs(1);

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The job is in a state that does not allow the request.
    #[error("{0}")]
    Conflict(String),
}

/// The job of this process.
pub struct Supervisor {
    config: WorkerConfig,
    /// The job graph for people; absent when the SQL cannot be planned.
    plan: Option<String>,
    view: Arc<View>,
    sampler: Arc<Sampler>,
    started_at_ms: u64,

    requests: UnboundedSender<Request>,
    job: Mutex<Option<AbortHandle>>,
    ended: watch::Receiver<bool>,
}

impl Supervisor {
    /// Starts the job. The status reports its errors.
    pub fn start(settings: Settings, secrets: PathBuf) -> Self {
        let view = Arc::new(View { memory_limit: memory::limit(), ..View::default() });
        tokio::spawn(memory::watch(Arc::clone(&view), view.memory_limit));
        let sampler = Arc::new(Sampler::default());
        tokio::spawn(Arc::clone(&sampler).run(Arc::clone(&view)));
        let (requests, receiver) = unbounded_channel();
        let (ending, ended) = watch::channel(false);
        let config = settings.config.clone();
        let started_at_ms = now_ms();
        let (plan, job) = match plan(&settings) {
            Ok(planned) => {
                let text = eddyline_plan::explain(&planned.graph);
                let view = Arc::clone(&view);
                let task = tokio::spawn(run(planned, settings, secrets, view, receiver, ending));
                (Some(text), Some(task.abort_handle()))
            }
            Err(reason) => {
                error!(%reason, "the job cannot be planned");
                view.status.enter(Phase::Failed, Some(reason));
                let _nobody_waits_yet = ending.send(true);
                (None, None)
            }
        };
        Self { config, plan, view, sampler, started_at_ms, requests, job: Mutex::new(job), ended }
    }

    /// The observable state of the job.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    /// The phase of the job.
    pub fn phase(&self) -> Phase {
        self.view.status.phase()
    }

    /// The state of the job.
    pub fn status(&self) -> JobStatus {
        let state = self.view.status.snapshot();
        JobStatus {
            job: self.config.job.clone(),
            start: self.config.start.token.clone(),
            phase: state.phase,
            is_restart_limit_reached: state.is_restart_limit_reached,
            message: state.message,
            attempt: state.attempt,
            parallelism: state.parallelism,
            max_parallelism: self.config.max_parallelism,
            restarts: state.restarts,
            started_at_ms: self.started_at_ms,
            restored_from: state.restored_from,
            checkpoint: state.checkpoint,
            checkpoint_failures: state.consecutive_failures,
            checkpoint_error: state.checkpoint_error,
            progress: self.sampler.progress(&self.view),
            memory: memory::status(&self.view),
            last_restore: state.last_restore,
            last_rescale: state.last_rescale,
            last_failure: state.last_failure,
            stopped_with: state.stopped_with,
        }
    }

    /// The operators of the job.
    ///
    /// # Errors
    /// When its SQL cannot be planned.
    pub fn plan(&self) -> Result<Plan, Refused> {
        let text = self.plan.clone().ok_or_else(|| Refused::Conflict("the SQL cannot be planned".to_owned()))?;
        let mut operators: Vec<OperatorStatus> = Vec::new();
        for task in &self.view.operators() {
            let uid = task.uid.to_string();
            let position = operators.iter().position(|known| known.uid == uid).unwrap_or_else(|| {
                let name = task.label.clone();
                let operator = OperatorStatus { uid, name, ..OperatorStatus::default() };
                operators.push(operator);
                operators.len() - 1
            });
            let operator = &mut operators[position];
            operator.tasks += 1;
            operator.rows_in += task.rows_in.get();
            operator.rows_out += if task.role == Role::Sink { 0 } else { task.rows_out.get() };
            operator.state_bytes += task.state_bytes.get();
            operator.spilled_bytes += task.spilled_bytes.get();
        }
        Ok(Plan { text, operators })
    }

    /// The checkpoints that this process has taken.
    pub fn checkpoints(&self) -> Checkpoints {
        let state = self.view.status.snapshot();
        Checkpoints {
            completed: state.checkpoints_completed,
            failed: state.checkpoints_failed,
            latest: state.checkpoints.into(),
        }
    }

    /// The requested savepoints of this process.
    pub fn savepoints(&self) -> Savepoints {
        Savepoints { savepoints: self.view.status.snapshot().savepoints.into() }
    }

    /// A requested savepoint.
    pub fn savepoint(&self, name: &str) -> Option<Savepoint> {
        self.view.status.savepoint(name)
    }

    /// Takes a savepoint, or returns the state of the one with that name.
    ///
    /// # Errors
    /// When the job does not run, or no folder for savepoints is configured.
    pub fn take_savepoint(&self, request: SavepointRequest) -> Result<Savepoint, Refused> {
        let order = self.order(request)?;
        let name = order.name.clone();
        let known = self.view.status.savepoint(&name).filter(|known| known.error.is_none());
        if let Some(known) = known {
            return Ok(known);
        }
        self.must_run("take a savepoint")?;
        if self.view.status.savepoint_requested(&name) {
            self.send(Request::Savepoint(order))?;
        }
        self.view.status.savepoint(&name).ok_or_else(|| Refused::Conflict("too many savepoints at once".to_owned()))
    }

    /// Changes the number of slots.
    ///
    /// # Errors
    /// When the job does not run, or when it cannot have that many slots.
    pub fn rescale(&self, parallelism: u16) -> Result<(), Refused> {
        if parallelism == 0 || u32::from(parallelism) > self.config.max_parallelism {
            let most = self.config.max_parallelism;
            return Err(Refused::Invalid(format!("parallelism must be from 1 to {most}, not {parallelism}")));
        }
        if self.view.status.snapshot().parallelism == parallelism {
            return Ok(());
        }
        self.must_run("rescale")?;
        info!(parallelism, "asked to rescale");
        self.send(Request::Rescale { parallelism })
    }

    /// Stops the job with a savepoint or a checkpoint. A further request during the stop changes nothing.
    ///
    /// # Errors
    /// When the job neither runs nor is stopped already.
    pub fn stop(&self, request: StopRequest) -> Result<(), Refused> {
        if self.phase() == Phase::Stopped {
            return Ok(());
        }
        let deadline = request.timeout_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        let order = request.savepoint.map(|savepoint| self.order(savepoint)).transpose()?;
        if self.phase() == Phase::Stopping {
            return Ok(());
        }
        self.must_run("stop")?;
        if let Some(order) = &order {
            self.view.status.savepoint_to_stop_with(&order.name);
        }
        info!(savepoint = order.is_some(), "asked to stop");
        self.send(Request::Stop { savepoint: order, deadline })
    }

    /// Cancels a stop that has not ended the job yet.
    ///
    /// # Errors
    /// When the job has ended.
    pub fn resume(&self) -> Result<(), Refused> {
        match self.phase() {
            Phase::Starting | Phase::Running | Phase::Restarting | Phase::Rescaling | Phase::Stopping => {
                info!("a request cancels the stop");
                self.send(Request::Resume)
            }
            phase => Err(Refused::Conflict(format!("cannot resume: the job is {phase:?}"))),
        }
    }

    /// Ends the job at once, if it has not ended.
    pub fn cancel(&self) {
        if *self.ended.borrow() {
            return;
        }
        if let Some(job) = self.job.lock().expect("no holder of the job panics").take() {
            job.abort();
            self.view.status.abandon_savepoints("the job was canceled");
            self.view.status.enter(Phase::Canceled, None);
            info!("canceled");
        }
    }

    /// Ends the job with a checkpoint if it runs. Returns when it has ended.
    pub async fn stop_for_exit(&self) {
        let has_tasks = matches!(self.phase(), Phase::Running | Phase::Rescaling | Phase::Stopping);
        if !has_tasks || self.requests.send(Request::Stop { savepoint: None, deadline: None }).is_err() {
            self.cancel();
            return;
        }
        let mut ended = self.ended.clone();
        let _job_gone_is_ended = ended.wait_for(|ended| *ended).await;
    }

    fn order(&self, request: SavepointRequest) -> Result<SavepointOrder, Refused> {
        if request.name.is_empty() {
            return Err(Refused::Invalid("the name of the savepoint is empty".to_owned()));
        }
        let folder = request.folder.or_else(|| self.config.savepoint_folder()).ok_or_else(|| {
            Refused::Conflict("the job has no checkpoint storage, so the request must name a folder".to_owned())
        })?;
        Ok(SavepointOrder { name: request.name, folder })
    }

    fn must_run(&self, action: &str) -> Result<(), Refused> {
        match self.phase() {
            Phase::Running => Ok(()),
            phase => Err(Refused::Conflict(format!("cannot {action}: the job is {phase:?}"))),
        }
    }

    fn send(&self, request: Request) -> Result<(), Refused> {
        self.requests.send(request).map_err(|_| Refused::Conflict("the job has ended".to_owned()))
    }
}

fn plan(settings: &Settings) -> Result<Planned, String> {
    let config = &settings.config;
    let mut keys = config.config.clone();
    let timeout = Duration::from_millis(config.checkpoint.timeout_ms);
    job_file::add_checkpoint_keys(&mut keys, config.max_parallelism, config.checkpoint.retain, timeout);
    let options = PlanOptions { config: keys };
    eddyline_plan::plan(&settings.script, &options).map_err(|diagnostics| diagnostics.render(&settings.script))
}

fn job_config(settings: &Settings, planned: &Planned) -> Config {
    let config = &settings.config;
    let restore = match &config.start.from {
        StartFrom::Latest => Restore::Latest,
        StartFrom::Empty => Restore::None,
        StartFrom::Savepoint { uri } => Restore::Uri(uri.clone()),
    };
    let interval = Duration::from_millis(config.checkpoint.interval_ms);
    Config {
        name: config.folder(),
        parallelism: config.parallelism,
        rows_per_read: job::ROWS_PER_READ,
        rows_per_piece: PIECE_ROWS,
        memory_limit: memory::limit(),
        restore_part_bytes: None,
        checkpoint_dir: config.checkpoint.uri.clone(),
        storage_options: settings.storage_options.clone(),
        checkpoint_interval: Some(planned.graph.settings.checkpoint_interval.unwrap_or(interval)),
        // A job is Ready with its first checkpoint.
        first_checkpoint_after: FIRST_CHECKPOINT_AFTER,
        start: Some(config.start.token.clone()),
        local_directory: config.local_storage.as_ref().map(|volume| LocalDirectory {
            path: settings.data_folder.clone(),
            bytes_max: volume.bytes / COPIES_OF_VOLUME.1 * COPIES_OF_VOLUME.0,
        }),
        restore,
        restore_first: None,
        allow_non_restored: config.start.allow_non_restored_state.iter().map(OperatorUid::new).collect(),
        restart: RestartStrategy {
            max_per_window: config.restart.max_per_window as usize,
            window: Duration::from_millis(config.restart.window_ms),
            backoff_initial: Duration::from_millis(config.restart.backoff_initial_ms),
            backoff_max: Duration::from_millis(config.restart.backoff_max_ms),
            waits_at_first_start: true,
        },
    }
}

async fn run(
    planned: Planned,
    settings: Settings,
    secrets: PathBuf,
    view: Arc<View>,
    requests: UnboundedReceiver<Request>,
    ending: watch::Sender<bool>,
) {
    let config = job_config(&settings, &planned);
    let connectors: Arc<dyn Connectors> = Arc::new(WithSecrets::new(Arc::new(BuiltIn), secrets));
    match job::run(&planned.graph, &config, &connectors, &view, requests).await {
        Ok(outcome) => info!(?outcome, "the job has ended"),
        Err(reason) => {
            let message = crate::chain_of(&reason);
            error!(error = %message, "the job has failed");
            // The status already shows most failures, but not those before the first attempt.
            if !matches!(view.status.phase(), Phase::Failed | Phase::Fenced) {
                view.status.enter(Phase::Failed, Some(message));
            }
        }
    }
    view.status.abandon_savepoints("the job has ended");
    let _nobody_waits = ending.send(true);
}
