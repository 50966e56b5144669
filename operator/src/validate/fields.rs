//! Finds unknown fields: reading a value into types and writing it again loses them.

use serde_json::Value;

/// The paths of fields in `given` that are missing in `known`, which was read from it. Null and empty fields do not
/// count.
pub(super) fn dropped(given: &Value, known: &Value, path: &str) -> Vec<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given
            .iter()
            .flat_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(known) => dropped(value, known, &path),
                    None if says_nothing(value) => Vec::new(),
                    None => vec![path],
                }
            })
            .collect(),
        (Value::Array(given), Value::Array(known)) => given
            .iter()
            .zip(known)
            .enumerate()
            .flat_map(|(index, (given, known))| dropped(given, known, &format!("{path}[{index}]")))
            .collect(),
        // Numbers and texts have several spellings: 1 and "1" are the same quantity.
        _ => Vec::new(),
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
