//! Bodies that are right, made from the OpenAPI document.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Values for fields whose schema does not say all: by the field's name.
pub type Hints = BTreeMap<&'static str, Value>;

/// A value of a schema. Optional fields are given where there is a hint for them.
pub fn of(document: &Value, schema: &Value, hints: &Hints) -> Value {
    let schema = resolved(document, schema);
    if let Some(values) = schema["enum"].as_array() {
        return values[0].clone();
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let prefix = pattern.trim_start_matches('^').split('_').next().unwrap_or_default();
        return json!(format!("{prefix}_{}", "0".repeat(32)));
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let found = choices.iter().find(|choice| choice["type"] != "null");
            return of(document, found.unwrap_or(&Value::Null), hints);
        }
    }
    match kind(schema) {
        "object" => object(document, schema, hints),
        "array" => json!([of(document, &schema["items"], hints)]),
        "integer" | "number" => json!(1),
        "boolean" => json!(false),
        "string" if schema["format"] == "date-time" => json!("2199-01-01T00:00:00Z"),
        "string" => json!("words"),
        other => panic!("a schema of the kind `{other}`: {schema}"),
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(target) => {
            let found = document.pointer(target.trim_start_matches('#'));
            resolved(document, found.unwrap_or_else(|| panic!("{target} is nowhere")))
        }
        None => schema,
    }
}

fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).find(|k| *k != "null").unwrap_or_default()
        }
        _ => "",
    }
}

fn object(document: &Value, schema: &Value, hints: &Hints) -> Value {
    let none = Map::new();
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object().unwrap_or(&none).iter();
    let given = fields.filter_map(|(name, field)| match hints.get(name.as_str()) {
        Some(hint) => Some((name.clone(), hint.clone())),
        None => {
            required.contains(&name.as_str()).then(|| (name.clone(), of(document, field, hints)))
        }
    });
    Value::Object(given.collect())
}

/// Every field of a schema and of what it holds, by its path.
pub fn fields(document: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(document, schema, "", 0, &mut found);
    found
}

fn walk(document: &Value, schema: &Value, path: &str, depth: usize, found: &mut Vec<String>) {
    let schema = resolved(document, schema);
    assert!(depth < 20, "a schema without end at {path}");
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        walk(document, field, &path, depth + 1, found);
        found.push(path);
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        for inner in schema[choice].as_array().into_iter().flatten() {
            walk(document, inner, path, depth + 1, found);
        }
    }
    if schema["items"].is_object() {
        walk(document, &schema["items"], path, depth + 1, found);
    }
}
