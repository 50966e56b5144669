//! `eddyline run`.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_connectors::print::screen;
use eddyline_crds::quantity;
use eddyline_operators::PIECE_ROWS;
use eddyline_plan::Planned;
use eddyline_stream::OperatorUid;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::info;

use super::progress::{self, Progress};
use super::{EXIT_INVALID_JOB, LAST_ANSWERS_WAIT, LogFormat, start_logging};
use crate::coordinator::job::{self, Config, LocalDirectory, Outcome, Restore, View};
use crate::coordinator::request::{Request, SavepointOrder};
use crate::job_file::JobFile;
use crate::memory;
use crate::runtime::connectors::{BuiltIn, Connectors};
use crate::runtime::metrics::Totals;

/// How often the progress is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(500);
/// The time between two checkpoints, unless it is set.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);

/// Arguments of `eddyline run`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A .sql file or a StreamJob manifest.
    file: PathBuf,
    /// The number of slots that run the job [default: from the file, or 1].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    parallelism: Option<u16>,
    /// Where to keep checkpoints: a folder, file:// or s3://. Without it, a job starts from the beginning after a
    /// crash.
    #[arg(long)]
    checkpoint_dir: Option<String>,
    /// A folder on a local disk for copies of the latest checkpoint. A restart reads its state from there if it can.
    #[arg(long)]
    local_directory: Option<PathBuf>,
    /// The most bytes that the job may have in the local directory, such as 5Gi [default: no limit].
    #[arg(long, value_parser = bytes, requires = "local_directory")]
    local_directory_size: Option<u64>,
    /// The memory that the process may have, such as 2Gi [default: the limit of its cgroup]. State that does not fit
    /// goes to the local directory.
    #[arg(long, value_parser = bytes)]
    memory: Option<u64>,
    /// The time between two checkpoints, such as 10s [default: from the file, or 10s].
    #[arg(long, value_parser = duration)]
    checkpoint_interval: Option<Duration>,
    /// Where to write a savepoint when the job is stopped [default: the folder `savepoints` beside the checkpoints].
    #[arg(long)]
    savepoint_dir: Option<String>,
    /// What to start from: latest, none, or the URI of a savepoint.
    #[arg(long, default_value = "latest", value_parser = restore)]
    restore: Restore,
    /// Drop the state of this operator if it fits no operator of the job. Can be given more than once. Errors about
    /// state name the operators.
    #[arg(long, value_name = "OPERATOR")]
    allow_non_restored_state: Vec<String>,
    /// The address at which to serve Prometheus metrics, such as 127.0.0.1:9090.
    #[arg(long)]
    metrics_addr: Option<SocketAddr>,
    /// What to show while the job runs [default: line on a terminal, none elsewhere].
    #[arg(long, value_enum)]
    progress: Option<Progress>,
    /// The format of log lines [default: text on a terminal, json elsewhere].
    #[arg(long, value_enum)]
    log: Option<LogFormat>,
    /// The endpoint of the S3 server for checkpoints, if it is not Amazon's.
    #[arg(long)]
    s3_endpoint: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    eddyline_connectors::table::parse_duration(text)
}

fn bytes(text: &str) -> Result<u64, String> {
    quantity::bytes(text).ok_or_else(|| "expected a size such as 512Mi or 5Gi".to_owned())
}

fn restore(text: &str) -> Result<Restore, String> {
    match text {
        "latest" => Ok(Restore::Latest),
        "none" => Ok(Restore::None),
        uri if uri.contains("://") || uri.contains('/') || uri.contains('.') => Ok(Restore::Uri(uri.to_owned())),
        _ => Err("expected latest, none, or the URI of a savepoint".to_owned()),
    }
}

/// Runs the job to its end.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let is_terminal = std::io::stderr().is_terminal();
    let progress = arguments.progress.unwrap_or(match arguments.log {
        Some(LogFormat::Json) => Progress::None,
        _ if is_terminal => Progress::Line,
        _ => Progress::None,
    });
    // The progress shows what lines of the level info would say.
    let level = if progress == Progress::None { "info" } else { "warn" };
    start_logging(arguments.log.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json }), level);
    let job = match JobFile::read(&arguments.file) {
        Ok(job) => job,
        Err(error) => {
            eprintln!("error: {}", crate::chain_of(&error));
            return Ok(ExitCode::from(EXIT_INVALID_JOB));
        }
    };
    let Some(planned) = super::plan::plan(&job) else {
        return Ok(ExitCode::from(EXIT_INVALID_JOB));
    };
    let (config, savepoint_dir) = match config(&arguments, &job, &planned) {
        Ok(settings) => settings,
        Err(reason) => {
            eprintln!("error: {reason}");
            return Ok(ExitCode::from(EXIT_INVALID_JOB));
        }
    };
    // I/O needs few threads; the slots do the work.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("io").enable_all().build()?;
    let started = Instant::now();
    let view = Arc::new(View { memory_limit: config.memory_limit, ..View::default() });
    let outcome =
        runtime.block_on(drive(&planned, &config, savepoint_dir, arguments.metrics_addr, Arc::clone(&view), progress));
    screen::clear();
    // A broker or store that does not answer may still block threads. Their answers are no longer needed.
    runtime.shutdown_timeout(LAST_ANSWERS_WAIT);
    let outcome = outcome?;
    match outcome {
        Outcome::Finished => {
            eprint!("{}", progress::summary(&config.name, &Totals::of(&view.operators()), started.elapsed()));
        }
        Outcome::Stopped { savepoint: None } => {
            eprintln!("{} stopped; it resumes from its latest checkpoint", config.name);
        }
        Outcome::Stopped { savepoint: Some(savepoint) } => {
            eprintln!("{} stopped with a savepoint: {savepoint}", config.name);
            eprintln!("resume it with: {}", resume_command(&arguments, &savepoint));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn drive(
    planned: &Planned,
    config: &Config,
    savepoint_dir: String,
    metrics_address: Option<SocketAddr>,
    view: Arc<View>,
    progress: Progress,
) -> anyhow::Result<Outcome> {
    if let Some(address) = metrics_address {
        let bound = crate::metrics_server::serve(address, Arc::clone(&view)).await?;
        info!(address = %bound, "serving metrics");
    }
    let (requests, receiver) = requests(savepoint_dir)?;
    tokio::spawn(memory::watch(Arc::clone(&view), view.memory_limit));
    let drawing = tokio::spawn(progress::draw(Arc::clone(&view), progress, DRAW_INTERVAL));
    let connectors: Arc<dyn Connectors> = Arc::new(BuiltIn);
    let outcome = job::run(&planned.graph, config, &connectors, &view, receiver).await;
    drop(requests);
    drawing.abort();
    Ok(outcome?)
}

/// Requests from outside: SIGINT and SIGTERM stop the job with a savepoint.
fn requests(savepoint_dir: String) -> std::io::Result<(UnboundedSender<Request>, UnboundedReceiver<Request>)> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = unbounded_channel();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let requests = sender.clone();
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked {
                eprintln!("stopped without a savepoint; the job resumes from its latest checkpoint");
                std::process::exit(130);
            }
            asked = true;
            info!("stopping with a savepoint; a second signal stops without one");
            let order = SavepointOrder { name: "stop".to_owned(), folder: savepoint_dir.clone() };
            if requests.send(Request::Stop { savepoint: Some(order), deadline: None }).is_err() {
                return;
            }
        }
    });
    Ok((sender, receiver))
}

/// The settings of the job, and the folder of its savepoints.
fn config(arguments: &Arguments, job: &JobFile, planned: &Planned) -> Result<(Config, String), String> {
    let settings = &planned.graph.settings;
    let parallelism = arguments.parallelism.or(settings.parallelism).or(job.parallelism).unwrap_or(1);
    if parallelism > settings.max_parallelism.get() {
        return Err(format!(
            "parallelism {parallelism} is greater than max parallelism {}; set pipeline.max-parallelism before the job has state",
            settings.max_parallelism
        ));
    }
    let checkpoint_dir = arguments
        .checkpoint_dir
        .clone()
        .or_else(|| settings.checkpoint_dir.clone())
        .or_else(|| job.checkpoint_dir.clone());
    let savepoint_dir = arguments.savepoint_dir.clone().unwrap_or_else(|| match &checkpoint_dir {
        Some(dir) => format!("{}/savepoints", dir.trim_end_matches('/')),
        None => "savepoints".to_owned(),
    });
    let interval = arguments.checkpoint_interval.or(settings.checkpoint_interval).or(job.checkpoint_interval);
    let mut storage_options = job.storage_options.clone();
    if let Some(endpoint) = &arguments.s3_endpoint {
        storage_options.insert("s3.endpoint".to_owned(), endpoint.clone());
    }
    let config = Config {
        name: settings.name.clone().unwrap_or_else(|| job.name.clone()),
        parallelism,
        rows_per_read: job::ROWS_PER_READ,
        rows_per_piece: PIECE_ROWS,
        memory_limit: arguments.memory.or_else(memory::limit),
        restore_part_bytes: None,
        checkpoint_dir,
        storage_options,
        local_directory: arguments
            .local_directory
            .clone()
            .map(|path| LocalDirectory { path, bytes_max: arguments.local_directory_size.unwrap_or(u64::MAX) }),
        checkpoint_interval: Some(interval.unwrap_or(CHECKPOINT_INTERVAL)),
        first_checkpoint_after: Duration::MAX,
        start: None,
        restore: arguments.restore.clone(),
        restore_first: job.restore_uri.clone(),
        allow_non_restored: allowed(&arguments.allow_non_restored_state, job),
        restart: job.restart,
    };
    Ok((config, savepoint_dir))
}

/// The operators whose state may be dropped, by the command line and by the file.
fn allowed(flags: &[String], job: &JobFile) -> BTreeSet<OperatorUid> {
    flags.iter().chain(&job.allow_non_restored_state).map(OperatorUid::new).collect()
}

fn resume_command(arguments: &Arguments, savepoint: &str) -> String {
    let mut command = format!("eddyline run {} --restore {savepoint}", arguments.file.display());
    if let Some(dir) = &arguments.checkpoint_dir {
        command.push_str(&format!(" --checkpoint-dir {dir}"));
    }
    if let Some(directory) = &arguments.local_directory {
        command.push_str(&format!(" --local-directory {}", directory.display()));
    }
    if let Some(parallelism) = arguments.parallelism {
        command.push_str(&format!(" --parallelism {parallelism}"));
    }
    command
}
