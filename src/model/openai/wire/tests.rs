//! Every known way in which servers differ, read.

use super::*;

fn read(text: &str) -> Result<Completion, ModelError> {
    completion(&serde_json::from_str(text).expect("JSON"), "asked-for")
}

fn check(text: &str, expected: &str) {
    assert_eq!(read(text).map(|completion| completion.text), Ok(expected.to_owned()), "{text}");
}

#[test]
fn what_nobody_needs_may_be_missing_or_odd() {
    check(r#"{"choices":[{"message":{"content":"a"}}]}"#, "a");
    check(
        r#"{"id":7,"object":null,"created":1.7e9,"model":"m","choices":[{"index":null,"message":{"role":null,"content":"b"},"finish_reason":""}]}"#,
        "b",
    );
    check(
        r#"{"created":"now","service_tier":"on_demand","choices":[{"message":{"content":"c"},"finish_reason":"eos"}],"usage":null}"#,
        "c",
    );
    check(r#"{"choices":[{"text":"legacy","finish_reason":"stop"}]}"#, "legacy");
    check(r#"{"error":null,"choices":[{"message":{"content":"no error"}}]}"#, "no error");
    assert_eq!(
        read(r#"{"choices":[{"message":{"content":"x"}}]}"#).expect("reads").model,
        "asked-for"
    );
}

#[test]
fn content_may_come_in_parts() {
    check(
        r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}}]}"#,
        "ab",
    );
    check(r#"{"choices":[{"message":{"content":["a","b"]}}]}"#, "ab");
    check(r#"{"choices":[{"message":{"content":{"type":"text","text":"a"}}}]}"#, "a");
    check(r#"{"choices":[{"message":{"content":null}}]}"#, "");
    check(r#"{"choices":[]}"#.replace("[]", "[{}]").as_str(), "");
}

#[test]
fn usage_may_be_partial_or_float() {
    let usage = |text: &str| {
        let text = format!(r#"{{"choices":[{{"message":{{"content":"x"}}}}],"usage":{text}}}"#);
        read(&text)
            .expect("reads")
            .usage
            .map(|usage| (usage.prompt_tokens, usage.completion_tokens))
    };
    assert_eq!(usage(r#"{"prompt_tokens":5}"#), Some((5, 0)));
    assert_eq!(usage(r#"{"input_tokens":5,"output_tokens":6}"#), Some((5, 6)));
    assert_eq!(usage(r#"{"prompt_tokens":5.0,"completion_tokens":-1}"#), Some((5, 0)));
    assert_eq!(usage(r#"{"total_tokens":9}"#), None);
    assert_eq!(usage("null"), None);
    assert_eq!(usage("\"none\""), None);
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let code = |text: &str| read(text).expect_err("no answer").code();
    assert_eq!(
        code(r#"{"choices":[{"message":{"content":"a"},"finish_reason":"content_filter"}]}"#),
        "filtered"
    );
    assert_eq!(
        code(r#"{"choices":[{"message":{"content":null,"refusal":"I cannot"}}]}"#),
        "filtered"
    );
    assert_eq!(
        code(r#"{"choices":[{"message":{"content":"cut of"},"finish_reason":"length"}]}"#),
        "too_long"
    );
    assert_eq!(code(r#"{"error":{"message":"x","code":"429"}}"#), "rate_limited");
    assert_eq!(code(r#"{"error":{"message":"x","code":503}}"#), "server_error");
    assert_eq!(code(r#"{"error":"text"}"#), "server_error");
    assert_eq!(code(r#"{"answer":"x"}"#), "bad_response");
    assert_eq!(code("[]"), "bad_response");
    let called = r#"{"choices":[{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{}}}]},"finish_reason":"tool_calls"}]}"#;
    assert_eq!(code(called), "bad_response");
}

#[test]
fn thinking_is_left_out() {
    check(r#"{"choices":[{"message":{"content":"\n<think>hm [1]</think>\n\nYes."}}]}"#, "Yes.");
    check(
        r#"{"choices":[{"message":{"content":"<thinking aloud> is fine"}}]}"#,
        "<thinking aloud> is fine",
    );
    let streamed = |whole: &str| {
        let mut thinking = Thinking::default();
        let mut said: String = whole.chars().map(|c| thinking.push(c.to_string())).collect();
        said.push_str(&thinking.finish());
        said
    };
    assert_eq!(streamed(" <think>a < b </thin</think>Yes <think> no"), "Yes <think> no");
    assert_eq!(streamed("<th"), "<th");
    assert_eq!(streamed("Plain"), "Plain");
    assert_eq!(streamed("<think>never ends é…"), "");
}

#[test]
fn calls_of_tools_are_collected_by_id() {
    let collect = |pieces: &str| {
        let mut calls = ToolCalls::default();
        for piece in serde_json::from_str::<Vec<Vec<Value>>>(pieces).expect("JSON") {
            calls.add(&piece);
        }
        calls.calls.into_iter().map(|(_, call)| (call.name, call.arguments)).collect::<Vec<_>>()
    };
    let two =
        |a: &str, b: &str| vec![("f".to_owned(), a.to_owned()), ("g".to_owned(), b.to_owned())];
    // As it should be: index for every piece, id for the first.
    assert_eq!(
        collect(
            r#"[[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}],[{"index":1,"id":"b","function":{"name":"g","arguments":""}}],[{"index":0,"function":{"arguments":":1}"}}],[{"index":1,"function":{"arguments":"{}"}}]]"#
        ),
        two("{\"x\":1}", "{}")
    );
    // Index 0 for every call.
    assert_eq!(
        collect(
            r#"[[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}],[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]]"#
        ),
        two("{}", "{}")
    );
    // No index at all, arguments as an object.
    assert_eq!(
        collect(
            r#"[[{"id":"a","function":{"name":"f","arguments":{"x":1}}}],[{"id":"b","function":{"name":"g"}}]]"#
        ),
        two("{\"x\":1}", "")
    );
    // Neither index nor id.
    assert_eq!(
        collect(
            r#"[[{"function":{"name":"f","arguments":"{"}}],[{"function":{"arguments":"}"}}],[{"function":{"name":"g","arguments":"{}"}}]]"#
        ),
        two("{}", "{}")
    );
}
