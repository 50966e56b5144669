//! The objects of a fake API server, and its verbs. It has only the parts of Kubernetes that the controller uses.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::clock::Timestamp;

/// The finalizer that keeps an object until the objects that it owns are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// The place of an object: the path of its collection, and its name.
pub(crate) type Key = (String, String);

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) all: BTreeMap<Key, Value>,
    /// Counts changes. Uids are also made from it.
    pub(crate) version: u64,
    /// Whether the namespace is being deleted.
    pub(crate) is_namespace_going: bool,
}

/// An answer: a code and a body.
pub(crate) type Answer = (u16, Value);

fn failure(code: u16, reason: &str, message: &str) -> Answer {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}),
    )
}

impl Objects {
    pub(crate) fn get(&self, collection: &str, name: &str) -> Option<&Value> {
        self.all.get(&(collection.to_owned(), name.to_owned()))
    }

    /// The objects of a collection.
    pub(crate) fn of<'a>(&'a self, collection: &str) -> impl Iterator<Item = &'a Value> {
        let collection = collection.to_owned();
        self.all.iter().filter(move |((at, _), _)| *at == collection).map(|(_, object)| object)
    }

    /// The objects of a collection with the labels of a selector. For events, those about the object with a uid.
    pub(crate) fn list(&self, collection: &str, selector: Option<&str>, about: Option<&str>) -> Answer {
        let wanted: Vec<(String, String)> = selector
            .into_iter()
            .flat_map(|selector| selector.split(','))
            .filter_map(|pair| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect();
        let items: Vec<&Value> = self
            .of(collection)
            .filter(|object| about.is_none_or(|uid| object["regarding"]["uid"] == json!(uid)))
            .filter(|object| {
                wanted.iter().all(|(key, value)| object["metadata"]["labels"][key.as_str()].as_str() == Some(value))
            })
            .collect();
        (
            200,
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": self.version.to_string()}, "items": items}),
        )
    }

    pub(crate) fn create(&mut self, collection: &str, mut object: Value, now: Timestamp) -> Answer {
        if self.is_namespace_going && !collection.ends_with("/events") {
            let mut refused = failure(403, "Forbidden", "unable to create because it is being terminated");
            refused.1["details"] = json!({"causes": [{"reason": "NamespaceTerminating", "message": "", "field": ""}]});
            return refused;
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if self.get(collection, &name).is_some() {
            return failure(409, "AlreadyExists", &format!("{name} exists"));
        }
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["uid"] =
            json!(metadata["uid"].as_str().map_or_else(|| format!("uid-{}", self.version), str::to_owned));
        metadata["resourceVersion"] = json!(self.version.to_string());
        metadata["generation"] = json!(1);
        metadata["creationTimestamp"] = json!(now.to_string());
        self.all.insert((collection.to_owned(), name), object.clone());
        (201, object)
    }

    pub(crate) fn patch(
        &mut self,
        collection: &str,
        name: &str,
        subresource: Option<&str>,
        patch: &Value,
        is_apply: bool,
        now: Timestamp,
    ) -> Answer {
        let Some(before) = self.get(collection, name).cloned() else {
            if is_apply {
                return self.create(collection, patch.clone(), now);
            }
            return failure(404, "NotFound", &format!("{name} not found"));
        };
        for field in ["resourceVersion", "uid"] {
            let wanted = &patch["metadata"][field];
            if !wanted.is_null() && *wanted != before["metadata"][field] {
                return failure(409, "Conflict", &format!("{name} has changed"));
            }
        }
        let mut after = before.clone();
        let is_status = subresource == Some("status");
        if let Value::Object(fields) = patch {
            for (field, value) in fields {
                let is_meant = if is_status { field == "status" } else { field != "status" };
                if is_meant {
                    merge(&mut after[field.as_str()], value);
                }
            }
        }
        for field in ["resourceVersion", "uid", "generation", "creationTimestamp"] {
            after["metadata"][field] = before["metadata"][field].clone();
        }
        if after == before {
            return (200, after);
        }
        if after["spec"] != before["spec"] {
            after["metadata"]["generation"] = json!(before["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        self.store(collection, name, after)
    }

    /// Stores an object. Removes it if it is being deleted and has no finalizers.
    pub(crate) fn store(&mut self, collection: &str, name: &str, mut object: Value) -> Answer {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = (collection.to_owned(), name.to_owned());
        let is_held = object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        if object["metadata"]["deletionTimestamp"].is_string() && !is_held {
            self.all.remove(&key);
        } else {
            self.all.insert(key, object.clone());
        }
        (200, object)
    }

    pub(crate) fn delete(&mut self, collection: &str, name: &str, options: &Value, now: Timestamp) -> Answer {
        let Some(object) = self.get(collection, name).cloned() else {
            return failure(404, "NotFound", &format!("{name} not found"));
        };
        let wanted = &options["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != object["metadata"]["uid"] {
            return failure(409, "Conflict", &format!("{name} is another one"));
        }
        let mut going = object;
        if going["metadata"]["deletionTimestamp"].is_null() {
            going["metadata"]["deletionTimestamp"] = json!(now.to_string());
            going["metadata"]["generation"] = json!(going["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        if options["propagationPolicy"] == json!("Foreground") {
            add_finalizer(&mut going, FOREGROUND);
        }
        // A pod on a node that does not answer stays until it is deleted by force.
        let is_stuck = going["lost"] == json!(true) && options["gracePeriodSeconds"] != json!(0);
        if is_stuck {
            let key = (collection.to_owned(), name.to_owned());
            self.all.insert(key, going.clone());
            return (200, going);
        }
        self.store(collection, name, going)
    }
}

fn add_finalizer(object: &mut Value, finalizer: &str) {
    match object["metadata"]["finalizers"].as_array_mut() {
        Some(finalizers) if finalizers.contains(&json!(finalizer)) => {}
        Some(finalizers) => finalizers.push(json!(finalizer)),
        None => object["metadata"]["finalizers"] = json!([finalizer]),
    }
}

/// Merges as both kinds of patches of the controller do: objects by key, other values as a whole; null removes.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let Value::Object(known) = into else { return };
    for (key, value) in fields {
        if value.is_null() {
            known.remove(key);
        } else {
            merge(known.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
