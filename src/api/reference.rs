//! The reference page: the OpenAPI document as plain HTML, rendered once, without scripts.

use minijinja::value::Serde;
use minijinja::{Environment, Value as Shown, context};
use serde_json::{Map, Value, json};

/// One page for people, from the document for machines.
///
/// # Errors
/// When the template cannot be rendered: a fault of ours, found by the test.
pub fn page(document: &Value) -> Result<String, minijinja::Error> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    env.add_template("reference", include_str!("reference.html.j2"))?;
    let empty = Map::new();
    let schemas =
        document.pointer("/components/schemas").and_then(Value::as_object).unwrap_or(&empty);
    let shapes: Vec<Value> = schemas
        .iter()
        .map(|(name, schema)| {
            json!({ "name": name, "text": text(schema, "description"), "fields": fields(schema), "values": schema.get("enum") })
        })
        .collect();
    env.get_template("reference")?.render(context! {
        title => text(&document["info"], "title"),
        version => text(&document["info"], "version"),
        groups => Shown::from(Serde(&groups(document))),
        schemes => Shown::from(Serde(&schemes(document))),
        shapes => Shown::from(Serde(&shapes)),
    })
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Operations by tag, in the order of the document.
fn groups(document: &Value) -> Vec<Value> {
    let mut groups: Vec<(String, Vec<Value>)> = Vec::new();
    let empty = Map::new();
    for (path, item) in document["paths"].as_object().unwrap_or(&empty) {
        for method in ["get", "post", "put", "patch", "delete"] {
            let Some(operation) = item.get(method) else { continue };
            let tag =
                operation.pointer("/tags/0").and_then(Value::as_str).unwrap_or("other").to_owned();
            let entry = operation_entry(path, method, operation);
            match groups.iter_mut().find(|(name, _)| *name == tag) {
                Some((_, entries)) => entries.push(entry),
                None => groups.push((tag, vec![entry])),
            }
        }
    }
    groups
        .into_iter()
        .map(|(name, operations)| json!({ "name": name, "operations": operations }))
        .collect()
}

fn operation_entry(path: &str, method: &str, operation: &Value) -> Value {
    let none = Vec::new();
    let parameters: Vec<Value> = operation["parameters"]
        .as_array()
        .unwrap_or(&none)
        .iter()
        .map(|p| {
            json!({
                "name": text(p, "name"),
                "place": text(p, "in"),
                "type": type_of(&p["schema"]),
                "required": p["required"].as_bool().unwrap_or(false),
                "text": text(p, "description"),
            })
        })
        .collect();
    let empty = Map::new();
    let answers: Vec<Value> = operation["responses"]
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .map(|(status, answer)| {
            let body = answer.pointer("/content/application~1json/schema");
            json!({ "status": status, "text": text(answer, "description"), "type": body.map(type_of) })
        })
        .collect();
    let body = operation.pointer("/requestBody/content/application~1json/schema");
    json!({
        "method": method.to_uppercase(),
        "path": path,
        "summary": text(operation, "summary"),
        "text": text(operation, "description"),
        "needs": needs(operation),
        "parameters": parameters,
        "body": body.map(type_of),
        "answers": answers,
    })
}

/// The names of the schemes that an operation demands, all of them at once.
fn needs(operation: &Value) -> Vec<&String> {
    let demands = operation["security"].as_array().into_iter().flatten();
    demands.filter_map(Value::as_object).flat_map(Map::keys).collect()
}

/// How callers prove who they are: where each proof stands in a request, and where it comes from.
fn schemes(document: &Value) -> Vec<Value> {
    let named = document.pointer("/components/securitySchemes").and_then(Value::as_object);
    let entry = |(name, scheme): (&String, &Value)| {
        let place = match scheme["in"].as_str() {
            Some(place) => format!("{place} {}", text(scheme, "name")),
            None => format!("header authorization: {}", text(scheme, "scheme")),
        };
        json!({ "name": name, "place": place, "text": text(scheme, "description") })
    };
    named.into_iter().flatten().map(entry).collect()
}

fn fields(schema: &Value) -> Vec<Value> {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    properties
        .iter()
        .map(|(name, field)| {
            json!({
                "name": name,
                "type": type_of(field),
                "required": required.contains(&name.as_str()),
                "text": text(field, "description"),
            })
        })
        .collect()
}

/// A type as people write it: `Message`, `string`, `Message[]`, `A or B`.
fn type_of(schema: &Value) -> String {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return target.rsplit('/').next().unwrap_or(target).to_owned();
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema.get(key).and_then(Value::as_array) {
            let names: Vec<String> = choices.iter().map(type_of).collect();
            return names.join(" or ");
        }
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "array" => format!("{}[]", type_of(&schema["items"])),
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => {
            let names: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            names.join(" or ")
        }
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_operations_and_escapes_what_it_quotes() {
        let document = json!({
            "info": { "title": "Baton", "version": "1" },
            "paths": { "/api/v1/things/{id}": { "get": {
                "tags": ["things"], "summary": "Read <one>", "security": [{ "key": [] }],
                "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }],
                "responses": { "200": { "description": "It", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } } } },
            } } },
            "components": { "securitySchemes": { "key": { "type": "apiKey", "in": "cookie", "name": "the_cookie" } }, "schemas": { "Thing": { "type": "object", "required": ["a"], "properties": { "a": { "type": "array", "items": { "type": "integer" } } } } } },
        });
        let html = page(&document).expect("renders");
        for part in [
            "things",
            "Read &lt;one&gt;",
            "Thing",
            "integer[]",
            "GET",
            "cookie the_cookie",
            "Needs: <code>key</code>",
        ] {
            assert!(html.contains(part), "{part} is missing");
        }
        assert!(!html.contains("<script"));
    }
}
