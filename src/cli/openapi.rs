//! `baton openapi`: the wire contract, written from the code.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::app;

/// Where to write it.
#[derive(Debug, Clone, Args)]
pub struct OpenapiArgs {
    /// The file [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Writes the document.
///
/// # Errors
/// When the file cannot be written.
pub fn run(args: &OpenapiArgs) -> anyhow::Result<ExitCode> {
    let text = app::document().to_pretty_json()?;
    match &args.output {
        Some(path) => std::fs::write(path, text)
            .with_context(|| format!("cannot write {}", path.display()))?,
        None => super::say(&text),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(target) if key == "$ref" => found.push(target.clone()),
                        other => references(other, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let json = serde_json::to_value(app::document()).expect("JSON");
        let mut found = Vec::new();
        references(&json, &mut found);
        assert!(!found.is_empty());
        for target in found {
            let pointer = target.trim_start_matches('#');
            assert!(json.pointer(pointer).is_some(), "{target} leads nowhere");
        }
        let paths = json["paths"].as_object().expect("paths");
        for path in ["/api/v1/auth/sign-in", "/api/v1/assistants/{id}", "/api/v1/contacts/{id}"] {
            assert!(paths.contains_key(path), "{path} is missing");
        }
    }

    /// Who is refused without credentials, and whom a visitor's token lets in, by the table that the journeys walk.
    #[test]
    fn every_operation_names_what_it_demands() {
        let json = serde_json::to_value(app::document()).expect("JSON");
        let schemes = json["components"]["securitySchemes"].as_object().expect("schemes");
        let table = include_str!("../../tests/walls/table.tsv");
        let mut seen = 0;
        for (path, item) in json["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let call = format!("{} {path}", method.to_uppercase());
                let mut rows = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
                let row = rows.find(|row| row[0] == call);
                let row = row.unwrap_or_else(|| panic!("{call} has no row"));
                let named: Vec<&str> = operation["security"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .flat_map(|all| all.as_object().expect("schemes").keys())
                    .map(String::as_str)
                    .collect();
                let demanded: &[&str] = match (row[1], row[2], method.as_str()) {
                    ("allow", _, _) => &[],
                    (_, "allow", _) => &["visitor"],
                    (_, _, "get") => &["session"],
                    _ => &["csrf", "session"],
                };
                let mut sorted = named.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, demanded, "{call}");
                assert!(named.iter().all(|name| schemes.contains_key(*name)), "{call}: {named:?}");
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen} operations");
    }
}
