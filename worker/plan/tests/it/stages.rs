//! Checks that each stage of the planner uses only earlier stages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each stage, and the stages that it may use.
const STAGES: [(&str, &[&str]); 5] = [
    ("parse", &[]),
    ("bind", &["parse"]),
    ("rewrite", &["parse", "bind"]),
    ("build", &["parse", "bind", "rewrite"]),
    ("explain", &[]),
];

/// The modules that all stages may use. They use no stage.
const SHARED_MODULES: [&str; 3] = ["diagnostics", "duration", "suggestion"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The file of a module, and the files below it.
fn files(module: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(source().join(module)).into_iter().flatten();
    let below = folder.map(|entry| entry.expect("an entry of a folder").path());
    below.chain([source().join(format!("{module}.rs"))]).collect()
}

/// The modules of the crate that a file uses, without items of the crate's root.
fn modules_used(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let named = code.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>());
    named
        .inspect(|rest| assert!(!rest.starts_with('{'), "{}: name one module of the crate in a use", file.display()))
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| name.starts_with(char::is_lowercase))
        .collect()
}

#[test]
fn a_stage_uses_only_those_before_it() {
    for (stage, allowed) in STAGES {
        for file in files(stage) {
            for module in modules_used(&file) {
                let is_allowed = SHARED_MODULES.contains(&module.as_str()) || allowed.contains(&module.as_str());
                assert!(is_allowed || module == stage, "{} uses {module}", file.display());
            }
        }
    }
}

#[test]
fn what_all_stages_share_uses_no_stage() {
    for module in SHARED_MODULES {
        for used in files(module).iter().flat_map(|file| modules_used(file)) {
            assert!(SHARED_MODULES.contains(&used.as_str()), "{module} uses {used}");
        }
    }
}

#[test]
fn every_module_belongs_to_a_stage_or_to_what_they_share() {
    let roots = ["lib", "planner", "settings"];
    for entry in fs::read_dir(source()).expect("the crate's folder") {
        let path = entry.expect("an entry of a folder").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let is_stage = STAGES.iter().any(|(stage, _)| *stage == name);
        assert!(is_stage || SHARED_MODULES.contains(&name.as_str()) || roots.contains(&name.as_str()), "{name}");
    }
}
