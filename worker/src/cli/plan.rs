//! `eddyline explain` and `eddyline validate`, and planning for `eddyline run`.

use std::path::Path;
use std::process::ExitCode;

use eddyline_plan::{PlanOptions, Planned};

use super::EXIT_INVALID_JOB;
use crate::job_file::JobFile;

/// Plans a job. Warnings and errors go to standard error; `None` when there were errors.
pub fn plan(job: &JobFile) -> Option<Planned> {
    let options = PlanOptions { config: job.config.clone() };
    match eddyline_plan::plan(&job.script, &options) {
        Ok(planned) => {
            planned.warnings.iter().for_each(|warning| eprintln!("{}", warning.render_warning(&job.script)));
            Some(planned)
        }
        Err(diagnostics) => {
            eprintln!("{}", diagnostics.render(&job.script));
            None
        }
    }
}

fn with_plan(file: &Path, use_plan: impl FnOnce(&JobFile, Planned)) -> anyhow::Result<ExitCode> {
    let job = match JobFile::read(file) {
        Ok(job) => job,
        Err(error) => {
            eprintln!("error: {}", crate::chain_of(&error));
            return Ok(ExitCode::from(EXIT_INVALID_JOB));
        }
    };
    let Some(planned) = plan(&job) else { return Ok(ExitCode::from(EXIT_INVALID_JOB)) };
    use_plan(&job, planned);
    Ok(ExitCode::SUCCESS)
}

/// Prints the job graph.
pub fn explain(file: &Path) -> anyhow::Result<ExitCode> {
    with_plan(file, |_, planned| print!("{}", eddyline_plan::explain(&planned.graph)))
}

/// Says whether the job can be planned.
pub fn validate(file: &Path) -> anyhow::Result<ExitCode> {
    with_plan(file, |job, planned| {
        println!("{}: valid, {} operators", job.script.name, planned.graph.nodes.len());
    })
}
