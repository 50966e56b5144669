//! A definition as a reference page: every field with type, default and meaning; the rules; the columns.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::definition::Definition;

/// Types of Kubernetes that its own documentation describes.
const NOT_OPENED: [&str; 2] = [".resources", ".conditions[]"];

/// The page.
pub fn page(definition: &Definition) -> String {
    let kind = definition.object["spec"]["names"]["kind"].as_str().unwrap_or_default();
    let schema = definition.schema();
    let mut page = format!(
        "<!-- Generated from the types in crds/src by make generate. -->\n\n# {kind}, `eddyline.io/v1alpha1`\n\n{}\n\n{}\n",
        schema["description"].as_str().unwrap_or_default(),
        names(definition)
    );
    for part in ["spec", "status"] {
        let _ = write!(page, "\n## {part}\n\n{}", table(&schema["properties"][part], part));
    }
    let mut rules = Vec::new();
    collect_rules(schema, &mut rules);
    page.push_str("\n## Rules\n\nThe API server refuses an object that breaks one of them.\n\n");
    for rule in rules {
        let _ = writeln!(page, "- {rule}.");
    }
    page.push_str("\n## Columns of `kubectl get`\n\n| Column | Field | Shown |\n|---|---|---|\n");
    for column in definition.version()["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let shown = if column["priority"].as_i64().unwrap_or(0) > 0 { "with `-o wide`" } else { "always" };
        let cell = |key: &str| column[key].as_str().unwrap_or_default();
        let _ = writeln!(page, "| {} | `{}` | {shown} |", cell("name"), cell("jsonPath").trim_start_matches('.'));
    }
    page
}

fn names(definition: &Definition) -> String {
    let names = &definition.object["spec"]["names"];
    let listed = |key: &str| {
        let all = names[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        all.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    format!(
        "Namespaced. Short name {}, category {}: `kubectl get {}` lists all resources of Eddyline.",
        listed("shortNames"),
        listed("categories"),
        names["categories"][0].as_str().unwrap_or_default()
    )
}

fn table(schema: &Value, path: &str) -> String {
    let mut table = "| Field | Type | Default | Meaning |\n|---|---|---|---|\n".to_owned();
    rows(schema, path, &mut table);
    table
}

fn rows(schema: &Value, path: &str, table: &mut String) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in properties {
        let path = format!("{path}.{name}");
        let default =
            if required.contains(&Value::from(name.as_str())) { "required".to_owned() } else { default(field) };
        let meaning = cell(field["description"].as_str().unwrap_or_default());
        let _ = writeln!(table, "| `{path}` | {} | {default} | {meaning} |", kind(field));
        let (within, path) = match field.get("items") {
            Some(items) => (items, format!("{path}[]")),
            None => (field, path),
        };
        if !NOT_OPENED.iter().any(|closed| path.ends_with(closed)) {
            rows(within, &path, table);
        }
    }
}

/// The defaults of an object follow from those of its fields.
fn default(field: &Value) -> String {
    match &field["default"] {
        Value::Null | Value::Object(_) => String::new(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn kind(field: &Value) -> String {
    let Some(node) = field.as_object() else { return "any".to_owned() };
    if node.get("x-kubernetes-int-or-string").is_some() {
        return "quantity".to_owned();
    }
    match node.get("type").and_then(Value::as_str) {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") => match node.get("additionalProperties") {
            Some(values) => format!("map to {}", kind(values)),
            None => "object".to_owned(),
        },
        Some("integer") => number(node),
        Some("string") if node.contains_key("enum") => "one of the values".to_owned(),
        Some("string") if node.get("format").and_then(Value::as_str) == Some("date-time") => "time".to_owned(),
        Some("string") if field["pattern"] == "^[0-9]+(ms|s|m|h|d)$" => "duration".to_owned(),
        Some("string") => match node.get("maxLength") {
            Some(most) => format!("string, at most {most} characters"),
            None => "string".to_owned(),
        },
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

fn number(node: &Map<String, Value>) -> String {
    let limit = |key: &str| node.get(key).and_then(Value::as_f64);
    match (limit("minimum"), limit("maximum")) {
        (Some(least), Some(most)) => format!("integer, {least} to {most}"),
        (Some(least), None) if least > 0.0 => format!("integer, at least {least}"),
        _ => "integer".to_owned(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn collect_rules(schema: &Value, rules: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let said = rule["message"].as_str().or(rule["rule"].as_str()).unwrap_or_default();
        rules.push(said.trim_end_matches('.').to_owned());
    }
    for key in ["items", "additionalProperties"] {
        if let Some(within) = schema.get(key) {
            collect_rules(within, rules);
        }
    }
    for property in schema["properties"].as_object().into_iter().flat_map(|all| all.values()) {
        collect_rules(property, rules);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_says_type_default_and_meaning() {
        let schema = json!({ "required": ["name"], "properties": {
            "name": { "type": "string", "maxLength": 9, "description": "A | B." },
            "count": { "type": "integer", "minimum": 1, "maximum": 8, "default": 2, "description": "How many." },
        }});
        let table = table(&schema, "spec");
        assert!(table.contains("| `spec.name` | string, at most 9 characters | required | A \\| B. |"), "{table}");
        assert!(table.contains("| `spec.count` | integer, 1 to 8 | `2` | How many. |"), "{table}");
    }
}
