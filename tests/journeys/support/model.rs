//! What the model was sent.

use baton::model::Task;
use baton::model::scripted::ScriptedServer;
use serde_json::Value;

/// The words of every prompt so far for a task, oldest first: system and context together.
pub fn prompts(model: &ScriptedServer, task: Task) -> Vec<String> {
    model.requests().iter().map(words).filter(|words| is_for(words, task)).collect()
}

fn is_for(words: &str, task: Task) -> bool {
    let first = words.lines().next().and_then(|line| line.strip_prefix("Task: "));
    first.is_some_and(|name| name.trim() == task.as_str())
}

fn words(request: &Value) -> String {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = messages.iter().filter_map(|m| m["content"].as_str()).collect();
    texts.join("\n")
}
