//! The description of the API, generated from the same types.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::savepoint::{Problem, RescaleRequest, Savepoint, SavepointRequest, StopRequest};
use crate::status::{Checkpoints, JobStatus, Plan, Savepoints};
use crate::{endpoint, mounts};

type Schema = fn(&mut SchemaGenerator) -> Value;

struct Operation {
    path: &'static str,
    method: &'static str,
    id: &'static str,
    summary: &'static str,
    takes: Option<Schema>,
    status: u16,
    gives: Schema,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

const fn get(path: &'static str, id: &'static str, summary: &'static str, gives: Schema) -> Operation {
    Operation { path, method: "get", id, summary, takes: None, status: 200, gives }
}

const fn post(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    takes: Option<Schema>,
    gives: Schema,
) -> Operation {
    Operation { path, method: "post", id, summary, takes, status: 202, gives }
}

const OPERATIONS: [Operation; 10] = [
    get(endpoint::JOB, "getJob", "The state of the job.", schema_of::<JobStatus>),
    get(endpoint::PLAN, "getPlan", "The operators of the job.", schema_of::<Plan>),
    get(endpoint::CHECKPOINTS, "listCheckpoints", "Checkpoints of this process.", schema_of::<Checkpoints>),
    get(endpoint::SAVEPOINTS, "listSavepoints", "The requested savepoints of this process.", schema_of::<Savepoints>),
    get(endpoint::SAVEPOINT, "getSavepoint", "One savepoint by the name of its request.", schema_of::<Savepoint>),
    post(
        endpoint::SAVEPOINTS,
        "takeSavepoint",
        "Takes a savepoint. The same name asks for the same one.",
        Some(schema_of::<SavepointRequest>),
        schema_of::<Savepoint>,
    ),
    post(
        endpoint::RESCALE,
        "rescale",
        "Runs the job on another number of slots, without leaving the process.",
        Some(schema_of::<RescaleRequest>),
        schema_of::<JobStatus>,
    ),
    post(
        endpoint::STOP,
        "stop",
        "Stops the job with a savepoint or a checkpoint.",
        Some(schema_of::<StopRequest>),
        schema_of::<JobStatus>,
    ),
    post(
        endpoint::RESUME,
        "resume",
        "Cancels a stop that has not ended the job yet: sources continue to read.",
        None,
        schema_of::<JobStatus>,
    ),
    post(endpoint::CANCEL, "cancel", "Ends the job at once.", None, schema_of::<JobStatus>),
];

/// The described paths and methods, in order.
pub fn operations() -> impl Iterator<Item = (&'static str, &'static str)> {
    OPERATIONS.iter().map(|operation| (operation.method, operation.path))
}

/// The description of the API, as OpenAPI 3.1.
pub fn document() -> Value {
    let mut generator = settings().into_generator();
    let mut paths: Map<String, Value> = Map::new();
    let problem = schema_of::<Problem>(&mut generator);
    for operation in &OPERATIONS {
        let gives = (operation.gives)(&mut generator);
        let mut described = json!({
            "operationId": operation.id,
            "summary": operation.summary,
            "responses": {
                operation.status.to_string(): content("The answer.", gives),
                "default": content("Why the request was refused or failed.", problem.clone()),
            },
        });
        if let Some(takes) = operation.takes {
            let takes = takes(&mut generator);
            described["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": takes } } });
        }
        let parameters: Vec<Value> = parameters(operation.path)
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        if !parameters.is_empty() {
            described["parameters"] = parameters.into();
        }
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Eddyline worker",
            "version": "v1",
            "description": format!(
                "Served on port {} of each worker to clients with a certificate of the job's own authority.",
                mounts::API_PORT
            ),
        },
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

fn content(description: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_description_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let mut found = 0;
        for reference in text.split("\"$ref\":\"").skip(1) {
            let pointer = reference.split('"').next().expect("split gives a first part").trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{pointer} is missing");
            found += 1;
        }
        assert!(found > OPERATIONS.len(), "{found} references");
    }
}
