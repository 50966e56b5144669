//! A definition as a template of the chart, so that `helm upgrade` also upgrades the definition.

use crate::definition::{Definition, HEAD};

/// The template.
///
/// # Errors
/// When the definition cannot be written as YAML.
pub fn template(definition: &Definition) -> serde_norway::Result<String> {
    let spec = serde_norway::to_string(&serde_json::json!({ "spec": definition.object["spec"] }))?;
    let name = definition.object["metadata"]["name"].as_str().unwrap_or_default();
    Ok(format!(
        "{HEAD}{{{{- if .Values.crds.install }}}}
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {name}
  labels:
    {{{{- include \"eddyline.labels\" . | nindent 4 }}}}
  {{{{- if .Values.crds.keep }}}}
  annotations:
    helm.sh/resource-policy: keep
  {{{{- end }}}}
{}{{{{- end }}}}
",
        escaped(&spec)
    ))
}

/// Escapes a text, so that helm does not read it as a template.
fn escaped(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn braces_of_a_description_are_no_template() {
        assert_eq!(super::escaped("a {{ b }} c"), "a {{ \"{{\" }} b }} c");
    }
}
