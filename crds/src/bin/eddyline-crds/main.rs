//! Writes the files that follow from the types: custom resource definitions for kustomize and for the chart, the
//! reference of their fields, and the description of the worker's API.
//!
//! `eddyline-crds generate` writes them into the checkout it is run in, `eddyline-crds check` says which of them are
//! stale. A test also does what `check` does.

mod chart;
mod definition;
mod outputs;
mod reference;

use std::process::ExitCode;

use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let root = std::env::current_dir()?;
    match std::env::args().nth(1).as_deref() {
        Some("generate") => {
            for output in outputs::all()? {
                output.write(&root).with_context(|| format!("cannot write {}", output.path))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Some("check") => {
            let stale = outputs::stale(&root)?;
            for path in &stale {
                eprintln!("{path} is stale: run make generate");
            }
            Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ => {
            eprintln!("usage: eddyline-crds generate|check");
            Ok(ExitCode::from(2))
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn generated_files_say_what_the_types_say() {
        // Where the tests run, not where they were built: checkouts may share what is built.
        let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
        let root = std::path::Path::new(&here).parent().expect("this crate lies in a folder of the checkout");
        let stale = super::outputs::stale(root).expect("outputs can be made");
        assert!(stale.is_empty(), "run make generate: {stale:?}");
    }
}
