//! A custom resource definition in the form that is checked in.
//!
//! The output of the derive macros is prepared for people and for the API server. Descriptions have no line breaks.
//! Values of enumerations are explained. What the server does not know, or would warn about, is left out. `null` in a
//! manifest means that a field is absent. So no field is nullable, and rules may ask with `has`. Fields of the status
//! have no defaults, because only the controller writes them.

use std::collections::BTreeMap;

use eddyline_crds::savepoint::{DeletionPolicy, SavepointPhase};
use eddyline_crds::status::{OperationKind, Phase};
use eddyline_crds::stream_job::{DesiredState, OnDelete, UpgradeMode};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::JsonSchema;
use serde_json::{Map, Value};

/// The first lines of every generated YAML file.
pub const HEAD: &str = "# Generated from the types in crds/src by make generate.\n";

/// A custom resource definition.
pub struct Definition {
    /// The kind in lower case.
    pub name: &'static str,
    /// The whole object.
    pub object: Value,
}

impl Definition {
    /// Makes the checked-in form.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn new(name: &'static str, definition: &CustomResourceDefinition) -> serde_json::Result<Self> {
        let mut object = serde_json::to_value(definition)?;
        let values = Values::known();
        if let Some(schema) = object.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
            let of_spec = schema.pointer("/properties/spec/description").cloned();
            if let (Some(root), Some(of_spec)) = (schema.as_object_mut(), of_spec) {
                root.insert("description".to_owned(), of_spec);
            }
            tidy(schema, &values);
            if let Some(status) = schema.pointer_mut("/properties/status") {
                without_defaults(status);
            }
        }
        Ok(Self { name, object: sorted(&object) })
    }

    /// The version's part of the definition.
    pub fn version(&self) -> &Value {
        &self.object["spec"]["versions"][0]
    }

    /// The schema of the whole object.
    pub fn schema(&self) -> &Value {
        &self.version()["schema"]["openAPIV3Schema"]
    }

    /// As a file for kustomize and kubectl.
    ///
    /// # Errors
    /// When it cannot be written as YAML.
    pub fn yaml(&self) -> serde_norway::Result<String> {
        Ok(format!("{HEAD}{}", serde_norway::to_string(&self.object)?))
    }
}

/// The same value with the keys of all maps sorted, whatever order the map type keeps.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<&String, &Value> = map.iter().collect();
            Value::Object(ordered.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// The meaning of each value of an enumeration. The macros keep only the values.
struct Values(Vec<Vec<(String, String)>>);

impl Values {
    fn known() -> Self {
        Self(vec![
            values_of::<DesiredState>(),
            values_of::<OnDelete>(),
            values_of::<UpgradeMode>(),
            values_of::<Phase>(),
            values_of::<OperationKind>(),
            values_of::<DeletionPolicy>(),
            values_of::<SavepointPhase>(),
        ])
    }

    fn explain(&self, listed: &[Value]) -> Option<String> {
        let known = self.0.iter().find(|known| {
            known.len() == listed.len() && known.iter().all(|(value, _)| listed.iter().any(|listed| listed == value))
        })?;
        Some(known.iter().map(|(value, meaning)| format!("`{value}`: {meaning}")).collect::<Vec<_>>().join(" "))
    }
}

fn values_of<T: JsonSchema>() -> Vec<(String, String)> {
    let schema = schemars::schema_for!(T).to_value();
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| flowing(value.as_str().unwrap_or_default());
    variants.iter().map(|variant| (text(&variant["const"]), text(&variant["description"]))).collect()
}

fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tidies a schema and its parts.
fn tidy(schema: &mut Value, values: &Values) {
    let Some(node) = schema.as_object_mut() else { return };
    node.remove("title");
    node.remove("nullable");
    if node.get("additionalProperties") == Some(&Value::Bool(false)) {
        node.remove("additionalProperties");
    }
    if let Some(default) = node.get_mut("default") {
        without_nulls(default);
    }
    number_format(node);
    describe(node, values);
    within(node, &mut |schema| tidy(schema, values));
}

/// Visits the schemas right below one.
fn within(node: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Value)) {
    for key in ["items", "additionalProperties"] {
        node.get_mut(key).into_iter().for_each(&mut *visit);
    }
    let properties = node.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(|all| all.values_mut()).for_each(visit);
}

fn without_defaults(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    node.remove("default");
    within(node, &mut without_defaults);
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(without_nulls);
    }
}

/// The server knows only signed numbers.
fn number_format(node: &mut Map<String, Value>) {
    let known = match node.get("format").and_then(Value::as_str) {
        Some("uint8" | "uint16") => "int32",
        Some("uint32" | "uint64") => "int64",
        _ => return,
    };
    node.insert("format".to_owned(), known.into());
}

fn describe(node: &mut Map<String, Value>, values: &Values) {
    let meaning = node.get("enum").and_then(Value::as_array).and_then(|listed| values.explain(listed));
    let Some(description) = node.get("description").and_then(Value::as_str).map(flowing) else { return };
    let whole = match meaning {
        Some(meaning) => format!("{description} {meaning}"),
        None => description,
    };
    node.insert("description".to_owned(), whole.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline_crds::{Savepoint, StreamJob};
    use kube::CustomResourceExt;

    fn every_node(schema: &Value, visit: &mut dyn FnMut(&Map<String, Value>)) {
        let Some(node) = schema.as_object() else { return };
        visit(node);
        for key in ["items", "additionalProperties"] {
            node.get(key).into_iter().for_each(|within| every_node(within, visit));
        }
        let properties = node.get("properties").and_then(Value::as_object);
        properties.into_iter().flat_map(|all| all.values()).for_each(|property| every_node(property, visit));
    }

    fn definitions() -> [Definition; 2] {
        [("streamjob", StreamJob::crd()), ("savepoint", Savepoint::crd())]
            .map(|(name, definition)| Definition::new(name, &definition).expect("JSON"))
    }

    #[test]
    fn every_field_has_a_description_and_formats_the_server_knows() {
        for definition in definitions() {
            for part in ["spec", "status"] {
                let properties = definition.schema()["properties"][part]["properties"].as_object().expect("fields");
                for (name, field) in properties {
                    assert!(field["description"].is_string(), "{} {part}.{name} has no description", definition.name);
                }
            }
            every_node(definition.schema(), &mut |node| {
                if let Some(format) = node.get("format").and_then(Value::as_str) {
                    assert!(
                        ["int32", "int64", "double", "date-time"].contains(&format),
                        "{}: {format}",
                        definition.name
                    );
                }
                assert!(!node.contains_key("nullable"), "{node:?}");
            });
        }
    }

    #[test]
    fn every_number_of_a_spec_has_limits_that_its_type_holds() {
        for definition in definitions() {
            every_node(&definition.schema()["properties"]["spec"], &mut |node| {
                if node.get("type").and_then(Value::as_str) == Some("integer") {
                    let limit = |name: &str| node.get(name).and_then(Value::as_f64);
                    let (least, most) = (limit("minimum"), limit("maximum"));
                    assert!(least >= Some(0.0) && most.is_some_and(|most| most <= f64::from(u32::MAX)), "{node:?}");
                }
            });
        }
    }

    #[test]
    fn every_enumeration_is_explained() {
        for definition in definitions() {
            every_node(definition.schema(), &mut |node| {
                let description = node.get("description").and_then(Value::as_str).unwrap_or_default();
                for value in node.get("enum").and_then(Value::as_array).into_iter().flatten() {
                    let value = value.as_str().expect("a text");
                    assert!(description.contains(&format!("`{value}`: ")), "{value} is not explained: {description}");
                }
            });
        }
    }

    #[test]
    fn every_text_that_a_rule_reads_has_a_limit() {
        for definition in definitions() {
            every_node(definition.schema(), &mut |node| {
                let rules = node.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
                for rule in rules.filter_map(|rule| rule["rule"].as_str()) {
                    let properties = node.get("properties").and_then(Value::as_object).into_iter().flatten();
                    for (name, field) in properties {
                        if field["type"] == "string" && rule.contains(&format!("self.{name}")) {
                            let only_asked_for = rule.contains(&format!("has(self.{name})"));
                            assert!(only_asked_for || field["maxLength"].is_u64(), "{name} in {rule}");
                        }
                    }
                }
            });
        }
    }
}
