//! Which files are generated, and whether those of the checkout are up to date.

use std::io;
use std::path::Path;

use anyhow::Context;
use eddyline_crds::{Savepoint, StreamJob};
use kube::CustomResourceExt;

use crate::definition::Definition;
use crate::{chart, definition, reference};

/// A file that follows from the types.
pub struct Output {
    /// Where it is, from the top of the checkout.
    pub path: String,
    /// Its content.
    pub text: String,
}

impl Output {
    fn new(path: String, text: String) -> Self {
        Self { path, text }
    }

    /// Writes the file below `root`.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        let path = root.join(&self.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, &self.text)
    }
}

/// All files.
///
/// # Errors
/// When a type cannot be written as YAML or JSON.
pub fn all() -> anyhow::Result<Vec<Output>> {
    let definitions =
        [Definition::new("streamjob", &StreamJob::crd())?, Definition::new("savepoint", &Savepoint::crd())?];
    let mut outputs = Vec::new();
    for definition in &definitions {
        let yaml = definition.yaml().with_context(|| format!("{} as YAML", definition.name))?;
        let file = format!("{}s.yaml", definition.name);
        outputs.push(Output::new(format!("config/crd/{file}"), yaml));
        outputs.push(Output::new(format!("charts/eddyline/templates/crds/{file}"), chart::template(definition)?));
        outputs.push(Output::new(format!("docs/reference/{}.md", definition.name), reference::page(definition)));
    }
    let resources: String = definitions.iter().map(|definition| format!("  - {}s.yaml\n", definition.name)).collect();
    outputs.push(Output::new(
        "config/crd/kustomization.yaml".to_owned(),
        format!(
            "{}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{resources}",
            definition::HEAD
        ),
    ));
    let api = definition::sorted(&eddyline_api::openapi::document());
    outputs.push(Output::new(
        "docs/reference/worker-api.json".to_owned(),
        format!("{}\n", serde_json::to_string_pretty(&api)?),
    ));
    Ok(outputs)
}

/// The paths of those files below `root` that are missing or stale.
///
/// # Errors
/// As [`all`].
pub fn stale(root: &Path) -> anyhow::Result<Vec<String>> {
    let differs =
        |output: &Output| std::fs::read_to_string(root.join(&output.path)).map_or(true, |found| found != output.text);
    Ok(all()?.into_iter().filter(differs).map(|output| output.path).collect())
}
