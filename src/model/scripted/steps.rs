//! A streamed answer as a list of steps. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Behaviour, Fault, Gate};

/// What the scripted server does next in a stream.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Sends these bytes.
    Send(String),
    /// Lets time pass.
    Wait(Duration),
    /// Waits at a gate.
    Gate(Gate),
    /// Says nothing any more, and keeps the connection.
    Stall,
    /// Breaks the connection.
    Reset,
}

/// The steps of a streamed answer.
pub(super) fn stream(text: &str, behaviour: &Behaviour, usage: &Value) -> VecDeque<Step> {
    let fault = behaviour.fault.as_ref();
    let mut steps = VecDeque::new();
    if fault == Some(&Fault::EmptyStream) {
        return steps;
    }
    wait(&mut steps, behaviour.first_token_delay);
    if fault == Some(&Fault::MalformedToolCall) {
        steps.push_back(event(&tool_calls()));
        steps.push_back(event(&chunk(&json!({}), Some("tool_calls"))));
        steps.push_back(done());
        return steps;
    }
    steps.push_back(event(&chunk(&json!({ "role": "assistant", "content": "" }), None)));
    let tokens = match fault {
        // As few events as will do.
        Some(Fault::Huge(_)) => vec![text.to_owned()],
        _ => tokens(text),
    };
    for (at, token) in tokens.iter().enumerate() {
        if broken(fault, at, &mut steps) {
            return steps;
        }
        gate(&mut steps, behaviour, at);
        if at > 0 {
            wait(&mut steps, behaviour.token_delay);
        }
        steps.push_back(event(&chunk(&json!({ "content": token }), None)));
    }
    if broken(fault, tokens.len(), &mut steps) {
        return steps;
    }
    gate(&mut steps, behaviour, tokens.len());
    steps.push_back(event(&chunk(&json!({}), Some("stop"))));
    let mut last = chunk(&json!({}), None);
    last["choices"] = json!([]);
    last["usage"] = usage.clone();
    steps.push_back(event(&last));
    steps.push_back(done());
    steps
}

/// A fault that comes before the token at `at`; every fault comes at the latest when the text is over.
fn broken(fault: Option<&Fault>, at: usize, steps: &mut VecDeque<Step>) -> bool {
    match fault {
        Some(Fault::CutAfter(after)) => at >= *after,
        Some(Fault::ResetAfter(after)) if at >= *after => {
            steps.push_back(Step::Reset);
            true
        }
        Some(Fault::StallAfter(after)) if at >= *after => {
            steps.push_back(Step::Stall);
            true
        }
        Some(Fault::ErrorInStream(after)) if at >= *after => {
            let error = json!({ "error": { "message": "out of memory", "code": 500 } });
            steps.push_back(event(&error));
            true
        }
        _ => false,
    }
}

fn wait(steps: &mut VecDeque<Step>, time: Duration) {
    if !time.is_zero() {
        steps.push_back(Step::Wait(time));
    }
}

fn gate(steps: &mut VecDeque<Step>, behaviour: &Behaviour, at: usize) {
    if let Some(gate) = behaviour.gate.as_ref().filter(|gate| gate.position() == at) {
        steps.push_back(Step::Gate(gate.clone()));
    }
}

fn event(value: &Value) -> Step {
    Step::Send(format!("data: {value}\n\n"))
}

fn done() -> Step {
    Step::Send("data: [DONE]\n\n".to_owned())
}

fn chunk(delta: &Value, finish: Option<&str>) -> Value {
    json!({
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "scripted",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    })
}

fn tool_calls() -> Value {
    chunk(
        &json!({ "tool_calls": [{ "function": { "name": "refund", "arguments": { "all": true } } }] }),
        None,
    )
}

/// Pieces of about a token: words with the space behind them, long ones cut.
pub(super) fn tokens(text: &str) -> Vec<String> {
    const LONGEST: usize = 12;
    let mut tokens = Vec::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let chars: Vec<char> = word.chars().collect();
        tokens.extend(chars.chunks(LONGEST).map(|piece| piece.iter().collect::<String>()));
    }
    tokens
}
