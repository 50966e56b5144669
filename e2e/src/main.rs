//! Tests that need a cluster: the chart and the samples, driven with real `kubectl` and `helm`.
//!
//! `eddyline-e2e core` runs the scenarios of CI, `eddyline-e2e full` all of them, and names run single ones. Each
//! scenario has its own namespace, prints what it measured, and removes everything that it created. `make e2e` starts
//! what they need. Run it in the root of the project.

mod job;
mod kubectl;
mod readings;
mod scenario;
mod topic;

use std::process::ExitCode;
use std::time::Instant;

use scenario::SCENARIOS;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str, is_core: bool| {
        wanted.iter().any(|wanted| wanted == name || wanted == "full" || (wanted == "core" && is_core))
    };
    let unknown = wanted.iter().find(|wanted| {
        !["core", "full"].contains(&wanted.as_str()) && !SCENARIOS.iter().any(|known| known.name == *wanted)
    });
    if wanted.is_empty() || unknown.is_some() {
        eprintln!("usage: eddyline-e2e core | full | SCENARIO...\nscenarios:");
        SCENARIOS.iter().for_each(|known| eprintln!("  {:<24} {}", known.name, known.shows));
        return ExitCode::from(2);
    }
    let mut failed = Vec::new();
    let started = Instant::now();
    for scenario in SCENARIOS.iter().filter(|scenario| is_wanted(scenario.name, scenario.is_core)) {
        let began = Instant::now();
        println!("== {}: {}", scenario.name, scenario.shows);
        match (scenario.run)() {
            Ok(()) => println!("   passed in {:.0} s", began.elapsed().as_secs_f64()),
            Err(error) => {
                println!("   FAILED after {:.0} s: {error:#}", began.elapsed().as_secs_f64());
                failed.push(scenario.name);
            }
        }
    }
    println!("{} s in all", started.elapsed().as_secs());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}
