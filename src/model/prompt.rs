//! The prompt engine: templates from `prompts/`, embedded at build time, rendered strictly.
//!
//! A prompt is a folder with `system.md.j2` (rules, ours alone), `context.md.j2` (what the model works on, data fenced) and,
//! for structured answers, `output.schema.json`. An undefined variable is an error. A folder on disk may replace single
//! files; [`Prompts::check`] renders every replaced template with every sample before anything is served.
//!
//! The first line of every rendered system prompt is `Task: <name>`: the scripted model and readers of logs go by it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{ChatMessage, OutputSchema, Role, Task, fence};

/// What a prompt is rendered from.
pub trait PromptContext: Serialize + Sized {
    /// The task, which names the folder.
    const TASK: Task;

    /// Typical and awkward values, which every template must be able to render.
    fn samples() -> Vec<Self>;
}

/// Why a prompt cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A template that does not parse or render, or a schema that is no JSON.
    #[error("prompt {file}{}: {why}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Template {
        /// The file.
        file: String,
        /// The line in it, if known.
        line: Option<usize>,
        /// What is wrong.
        why: String,
    },
    /// A file of the override folder that replaces nothing.
    #[error("prompt {0}: there is no prompt of that name to replace")]
    Unknown(String),
    /// A file of the override folder that cannot be read.
    #[error("prompt {file}: cannot be read")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../prompts/", $path)))),*]
    };
}

/// Every prompt file: its path below `prompts/` and its text.
const EMBEDDED: [(&str, &str); 14] = embedded![
    "answer/system.md.j2",
    "answer/context.md.j2",
    "judge/system.md.j2",
    "judge/context.md.j2",
    "judge/output.schema.json",
    "brief/system.md.j2",
    "brief/context.md.j2",
    "brief/output.schema.json",
    "summary/system.md.j2",
    "summary/context.md.j2",
    "summary/output.schema.json",
    "suggest/system.md.j2",
    "suggest/context.md.j2",
    "suggest/output.schema.json",
];

/// The loaded prompts.
#[derive(Debug)]
pub struct Prompts {
    templates: Environment<'static>,
    schemas: BTreeMap<&'static str, Arc<serde_json::Value>>,
    versions: BTreeMap<&'static str, String>,
    /// Where a replaced file really lies, for error messages.
    origins: BTreeMap<&'static str, PathBuf>,
}

/// A rendered prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The rules.
    pub system: String,
    /// What to work on.
    pub context: String,
}

impl Rendered {
    /// The messages of a request.
    #[must_use]
    pub fn into_messages(self) -> Vec<ChatMessage> {
        vec![
            ChatMessage { role: Role::System, content: self.system },
            ChatMessage { role: Role::User, content: self.context },
        ]
    }
}

impl Prompts {
    /// The prompts this binary was built with.
    ///
    /// # Errors
    /// [`PromptError`] if one does not parse; a test rules it out.
    pub fn embedded() -> Result<Self, PromptError> {
        Self::build(&BTreeMap::new())
    }

    /// The embedded prompts with those files replaced that lie in a folder of the same layout.
    ///
    /// # Errors
    /// [`PromptError`] naming the file and line; also for a file that replaces nothing.
    pub fn with_overrides(folder: &Path) -> Result<Self, PromptError> {
        let mut replaced = BTreeMap::new();
        for task in Task::ALL {
            let below = folder.join(task.as_str());
            if !below.is_dir() {
                continue;
            }
            let unreadable =
                |source| PromptError::Unreadable { file: below.display().to_string(), source };
            for entry in std::fs::read_dir(&below).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                let Some(name) = name.filter(|name| !name.starts_with('.')) else { continue };
                let wanted = format!("{}/{name}", task.as_str());
                let Some((key, _)) = EMBEDDED.iter().find(|(key, _)| *key == wanted) else {
                    return Err(PromptError::Unknown(path.display().to_string()));
                };
                let text = std::fs::read_to_string(&path).map_err(|source| {
                    PromptError::Unreadable { file: path.display().to_string(), source }
                })?;
                replaced.insert(*key, (path, text));
            }
        }
        Self::build(&replaced)
    }

    fn build(replaced: &BTreeMap<&'static str, (PathBuf, String)>) -> Result<Self, PromptError> {
        let mut templates = Environment::empty();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_| AutoEscape::None);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        templates.set_syntax(syntax.map_err(|error| PromptError::Template {
            file: "syntax".into(),
            line: None,
            why: error.to_string(),
        })?);
        templates.add_filter("fenced", fenced);
        templates.add_filter("join", minijinja::filters::join);
        templates.add_filter("trim", minijinja::filters::trim);
        templates.add_filter("length", minijinja::filters::length);
        let mut prompts = Self {
            templates,
            schemas: BTreeMap::new(),
            versions: BTreeMap::new(),
            origins: BTreeMap::new(),
        };
        let mut hashes: BTreeMap<&'static str, Sha256> = BTreeMap::new();
        for (key, embedded) in EMBEDDED {
            let text = match replaced.get(key) {
                Some((path, text)) => {
                    prompts.origins.insert(key, path.clone());
                    text.clone()
                }
                None => embedded.to_owned(),
            };
            let task = key.split_once('/').map_or(key, |(task, _)| task);
            hashes.entry(task).or_default().update(text.as_bytes());
            if key.ends_with(".json") {
                let schema = serde_json::from_str(&text)
                    .map_err(|error| prompts.error(key, Some(error.line()), error.to_string()))?;
                prompts.schemas.insert(task, Arc::new(schema));
            } else {
                prompts
                    .templates
                    .add_template_owned(key, text)
                    .map_err(|error| prompts.template_error(key, &error))?;
            }
        }
        for (task, hash) in hashes {
            let mut version = String::new();
            for byte in hash.finalize().iter().take(6) {
                // Writing to a String cannot fail.
                let _ = write!(version, "{byte:02x}");
            }
            prompts.versions.insert(task, version);
        }
        Ok(prompts)
    }

    /// Renders a prompt.
    ///
    /// # Errors
    /// [`PromptError`] naming the file and line; impossible for contexts like the samples that were checked.
    pub fn render<C: PromptContext>(&self, context: &C) -> Result<Rendered, PromptError> {
        let task = C::TASK.as_str();
        // Rendered once for both templates: a context may be large.
        let values = minijinja::Value::from(Serde(context));
        let render = |file: &str| {
            let key = format!("{task}/{file}");
            self.templates
                .get_template(&key)
                .and_then(|template| template.render(&values))
                .map(|text| text.trim().to_owned())
                .map_err(|error| self.template_error(&key, &error))
        };
        Ok(Rendered { system: render("system.md.j2")?, context: render("context.md.j2")? })
    }

    /// Renders every sample, so that a broken template is found at start and not in front of a visitor.
    ///
    /// # Errors
    /// [`PromptError`] naming the file and line.
    pub fn check<C: PromptContext>(&self) -> Result<(), PromptError> {
        let header = format!("Task: {}", C::TASK.as_str());
        for sample in C::samples() {
            let rendered = self.render(&sample)?;
            if rendered.system.lines().next() != Some(header.as_str()) {
                let file = format!("{}/system.md.j2", C::TASK.as_str());
                let why = format!("the first line must be `{header}`");
                return Err(self.error(&file, Some(1), why));
            }
        }
        Ok(())
    }

    /// The shape of a task's answer; none = plain text.
    #[must_use]
    pub fn schema(&self, task: Task) -> Option<OutputSchema> {
        let schema = self.schemas.get(task.as_str())?;
        Some(OutputSchema { name: task.as_str(), schema: Arc::clone(schema) })
    }

    /// A short hash of a task's prompt files, for records.
    #[must_use]
    pub fn version(&self, task: Task) -> &str {
        self.versions.get(task.as_str()).map_or("", String::as_str)
    }

    fn template_error(&self, key: &str, error: &minijinja::Error) -> PromptError {
        let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        self.error(key, error.line(), why)
    }

    fn error(&self, key: &str, line: Option<usize>, why: String) -> PromptError {
        let file = self
            .origins
            .get(key)
            .map_or_else(|| format!("prompts/{key}"), |path| path.display().to_string());
        PromptError::Template { file, line, why }
    }
}

/// `{{ words | fenced("passage", number=1, title=title) }}`; values that are none are left out.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands filters owned arguments")]
fn fenced(text: &str, kind: &str, attributes: Kwargs) -> Result<String, minijinja::Error> {
    let mut pairs = Vec::new();
    for key in attributes.args() {
        let value: minijinja::Value = attributes.get(key)?;
        if !value.is_none() && !value.is_undefined() {
            pairs.push((key.to_owned(), value.to_string()));
        }
    }
    let pairs: Vec<(&str, &str)> =
        pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Ok(fence::write(kind, &pairs, text))
}

/// Snapshots every sample of a prompt, and proves that it renders.
#[cfg(test)]
pub(crate) fn snapshot<C: PromptContext>() {
    let prompts = Prompts::embedded().expect("prompts parse");
    prompts.check::<C>().expect("samples render");
    for (number, sample) in C::samples().iter().enumerate() {
        let rendered = prompts.render(sample).expect("samples render");
        let whole = format!("{}\n\n=== context ===\n\n{}", rendered.system, rendered.context);
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "../../prompts/snapshots" }, {
            insta::assert_snapshot!(format!("{}-{number}", C::TASK.as_str()), whole);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Probe {
        nothing: bool,
    }
    impl PromptContext for Probe {
        const TASK: Task = Task::Summary;
        fn samples() -> Vec<Self> {
            vec![Self { nothing: true }]
        }
    }

    #[test]
    fn embedded_prompts_parse_and_say_what_they_are_for() {
        Prompts::embedded().expect("parse");
        for (key, text) in EMBEDDED {
            if key.ends_with(".j2") {
                let comment = text.strip_prefix("{#").and_then(|rest| rest.split_once("#}"));
                let (comment, _) = comment.expect("starts with a comment");
                for word in ["Purpose:", "Receives:", "Returns:"] {
                    assert!(comment.contains(word), "{key} lacks {word}");
                }
            }
        }
    }

    #[test]
    fn an_override_with_an_undefined_variable_names_file_and_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("summary");
        std::fs::create_dir(&below).expect("a folder");
        std::fs::write(below.join("system.md.j2"), "Task: summary\n\n{{ nonsense }}").expect("ok");
        let prompts = Prompts::with_overrides(folder.path()).expect("parses");
        let error = prompts.check::<Probe>().expect_err("must fail").to_string();
        assert!(error.contains("summary/system.md.j2, line 3"), "{error}");
    }

    #[test]
    fn an_override_of_nothing_or_with_bad_syntax_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("answer");
        std::fs::create_dir(&below).expect("a folder");
        std::fs::write(below.join("sytem.md.j2"), "x").expect("ok");
        assert!(matches!(
            Prompts::with_overrides(folder.path()),
            Err(PromptError::Unknown(file)) if file.ends_with("sytem.md.j2")
        ));
        std::fs::remove_file(below.join("sytem.md.j2")).expect("ok");
        std::fs::write(below.join("system.md.j2"), "x\n{% if %}").expect("ok");
        let error = Prompts::with_overrides(folder.path()).expect_err("must fail").to_string();
        assert!(error.contains("answer/system.md.j2, line 2"), "{error}");
    }

    #[test]
    fn the_version_follows_the_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("answer");
        std::fs::create_dir(&below).expect("a folder");
        std::fs::write(below.join("system.md.j2"), "Task: answer").expect("ok");
        let plain = Prompts::embedded().expect("parses");
        let other = Prompts::with_overrides(folder.path()).expect("parses");
        assert_ne!(plain.version(Task::Answer), other.version(Task::Answer));
        assert_eq!(plain.version(Task::Judge), other.version(Task::Judge));
        assert_eq!(plain.version(Task::Judge).len(), 12);
    }
}
