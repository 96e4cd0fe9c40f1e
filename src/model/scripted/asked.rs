//! What a request asks, read from the prompt it carries.

use serde_json::Value;

use crate::model::fence::{self, Block};
use crate::model::{Line, Material, MaterialPassage, Task, Tone};

/// A request as the scripted model understands it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// What it is asked to do, by the prompt's first line or the schema's name; none = something else.
    pub task: Option<Task>,
    /// The answer is to be streamed.
    pub streaming: bool,
    /// The visitor's last words, one message a line; without fences, the whole last message.
    pub words: String,
    /// Conditions to judge: key and text.
    pub conditions: Vec<(String, String)>,
    /// All that the prompt holds.
    pub material: Material,
}

impl Asked {
    /// Reads a request body.
    #[must_use]
    pub fn of(body: &Value) -> Self {
        let messages = body.get("messages").and_then(Value::as_array);
        let of_role = |role: &str| {
            let with_role = messages
                .into_iter()
                .flatten()
                .filter(move |message| message.get("role").and_then(Value::as_str) == Some(role));
            with_role.filter_map(|message| message.get("content")?.as_str()).collect::<Vec<_>>()
        };
        let system = of_role("system").join("\n");
        let context = of_role("user").join("\n");
        let first = system.lines().next().and_then(|line| line.strip_prefix("Task: "));
        let schema = body.pointer("/response_format/json_schema/name").and_then(Value::as_str);
        let task = first.or(schema).and_then(|name| Task::named(name.trim()));
        let blocks = fence::blocks(&context);
        let material = material(&system, &blocks);
        let words = if blocks.is_empty() { context } else { material.question.clone() };
        Self {
            task,
            streaming: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
            words,
            conditions: blocks
                .iter()
                .filter(|block| block.kind == "condition")
                .map(|block| (block.attribute("key").unwrap_or("").to_owned(), block.text.clone()))
                .collect(),
            material,
        }
    }
}

fn material(system: &str, blocks: &[Block]) -> Material {
    let of_kind = |kind: &'static str| blocks.iter().filter(move |block| block.kind == kind);
    let question: Vec<&str> = of_kind("unanswered").map(|block| block.text.as_str()).collect();
    let question = question.join("\n");
    let passages = (1..).zip(of_kind("passage")).map(|(place, block)| MaterialPassage {
        number: block.attribute("number").and_then(|n| n.parse().ok()).unwrap_or(place),
        title: block.attribute("title").unwrap_or("").to_owned(),
        section: block.attribute("section").map(str::to_owned),
        text: block.text.clone(),
        internal: block.attribute("audience") == Some("internal"),
    });
    let tone = if system.contains("\n- Formal and polite") {
        Tone::Formal
    } else if system.contains("\n- Neutral") {
        Tone::Neutral
    } else {
        Tone::Friendly
    };
    Material {
        locale: locale(system, &question),
        tone,
        passages: passages.collect(),
        transcript: blocks.iter().filter_map(line).collect(),
        note: of_kind("return_note").next_back().map(|block| block.text.clone()),
        conditions: of_kind("condition")
            .filter_map(|block| block.attribute("key").map(str::to_owned))
            .collect(),
        question,
    }
}

fn line(block: &Block) -> Option<Line> {
    let speaker = match (block.kind.as_str(), block.attribute("by")) {
        ("note", _) => "note",
        ("return_note", _) => "return_note",
        ("said" | "unanswered", Some("assistant")) => "assistant",
        ("said" | "unanswered", Some("agent")) => "agent",
        ("said" | "unanswered", _) => "visitor",
        _ => return None,
    };
    let sources = block.attribute("sources").unwrap_or("");
    Some(Line {
        speaker,
        name: block.attribute("name").map(str::to_owned),
        text: block.text.clone(),
        message: None,
        unanswered: block.kind == "unanswered",
        sources: sources.split("; ").filter(|s| !s.is_empty()).map(str::to_owned).collect(),
    })
}

/// The language to answer in: the visitor's, as far as a few words tell, else the one that the prompt names.
fn locale(system: &str, question: &str) -> String {
    const INDONESIAN: &str = "saya aku yang apa apakah bagaimana gimana berapa kapan dimana kenapa bisa tidak gak nggak \
        belum sudah mau untuk dengan ini itu kak min tolong ya dong pesanan barang uang pengiriman";
    const ENGLISH: &str =
        "the my is are i how when where what can do does you it please to for not have order";
    let lower = question.to_lowercase();
    let count = |list: &str| {
        let known = |word: &&str| list.split_whitespace().any(|listed| listed == *word);
        lower.split(|c: char| !c.is_alphanumeric()).filter(known).count()
    };
    let (indonesian, english) = (count(INDONESIAN), count(ENGLISH));
    if indonesian > english {
        return "id".to_owned();
    }
    let named = ["language `", "language (`"].iter().find_map(|before| {
        let (_, rest) = system.split_once(before)?;
        rest.split_once('`').map(|(locale, _)| locale.to_owned())
    });
    if english > 0 { "en".to_owned() } else { named.unwrap_or_else(|| "en".to_owned()) }
}
