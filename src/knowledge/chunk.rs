//! Cuts an article into chunks: pieces that are found, shown and cited on their own. Pure.
//!
//! Chunks begin at headings; short neighbouring sections share one, each under its heading line. A long section is cut
//! between blocks; a long list between items; a long table between rows, its header repeated; a long paragraph between
//! sentences. Code stays whole as long as it is bearable.

use std::fmt::Write as _;
use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use sha2::{Digest, Sha256};

use crate::text::{count_words, sentences};

/// A chunk is closed before it would grow beyond this.
const MAX_WORDS: usize = 350;

/// A section longer than [`MAX_WORDS`] is cut into pieces of about this size.
const WANTED_WORDS: usize = 240;

/// Sections shorter than this are joined with what follows: a chunk of three lines is found less well, because a question
/// shares its words with the whole matter more than with one line of it.
const MIN_WORDS: usize = 120;

/// A remainder smaller than this stays with what it follows.
const TINY_WORDS: usize = 25;

/// A code block longer than this is cut after all, between lines.
const MAX_CODE_WORDS: usize = 700;

/// One piece of an article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkDraft {
    /// The headings above it, outermost first, joined by ` › `; those of several sections side by side, by ` · `. Empty at
    /// the top of an article.
    pub section: String,
    /// Its words, Markdown.
    pub text: String,
}

/// Between the headings of a section path.
const BELOW: &str = " › ";

/// Between the headings of sections that share a chunk.
const BESIDE: &str = " · ";

/// The chunks of an article, in order. A first-level heading that only repeats the title adds nothing to the path.
#[must_use]
pub fn chunk(title: &str, body: &str) -> Vec<ChunkDraft> {
    let sections = join_short(sections(title, body));
    sections
        .into_iter()
        .flat_map(|section| {
            let path = section.path.join(BELOW);
            pack(&section.blocks)
                .into_iter()
                .map(move |text| ChunkDraft { section: path.clone(), text })
        })
        .filter(|chunk| chunk.text.chars().any(char::is_alphanumeric))
        .collect()
}

/// What a chunk is indexed as: title and section belong to it.
#[must_use]
pub fn indexed_text(title: &str, section: &str, text: &str) -> String {
    format!("{title}\n{section}\n\n{text}")
}

/// Names the content of a chunk, with everything that its tokens and its vector depend on.
#[must_use]
pub fn content_hash(title: &str, locale: &str, chunk: &ChunkDraft) -> String {
    hash_of(&[title, locale, &chunk.section, &chunk.text])
}

/// SHA-256 over the parts, so that moving a border between two parts changes it.
#[must_use]
pub fn hash_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

#[derive(Debug, Clone, PartialEq)]
struct Section {
    path: Vec<String>,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq)]
struct Block {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Cut between sentences.
    Prose,
    /// Cut before each of these (offsets into the text).
    List(Vec<usize>),
    /// Cut between lines; the first two are the header.
    Table,
    /// Cut between lines only when far too long; the first line opens the fence.
    Code,
}

impl Section {
    fn words(&self) -> usize {
        self.blocks.iter().map(|block| count_words(&block.text)).sum()
    }
}

fn sections(title: &str, body: &str) -> Vec<Section> {
    let mut done = Vec::new();
    let mut current = Section { path: Vec::new(), blocks: Vec::new() };
    let mut open: Vec<(HeadingLevel, String)> = Vec::new();
    for (range, heading, kind) in blocks(body) {
        let Some((level, text)) = heading else {
            let text = body[range].trim_end().to_owned();
            current.blocks.push(Block { text, kind });
            continue;
        };
        open.retain(|(above, _)| *above < level);
        if text.is_empty() || (open.is_empty() && text.to_lowercase() == title.to_lowercase()) {
            continue;
        }
        open.push((level, text));
        let path = open.iter().map(|(_, text)| text.clone()).collect();
        done.push(std::mem::replace(&mut current, Section { path, blocks: Vec::new() }));
    }
    done.push(current);
    done.retain(|section| !section.blocks.is_empty());
    done
}

type Heading = Option<(HeadingLevel, String)>;

/// The top-level blocks of a document with their place; headings come with their plain text.
fn blocks(body: &str) -> Vec<(Range<usize>, Heading, Kind)> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut out = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    let mut heading: Heading = None;
    let mut items = Vec::new();
    for (event, range) in Parser::new_ext(body, options).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 {
                    start = line_start(body, range.start);
                    heading = None;
                    items.clear();
                    if let Tag::Heading { level, .. } = tag {
                        heading = Some((level, String::new()));
                    }
                } else if depth == 1 && matches!(tag, Tag::Item) {
                    items.push(line_start(body, range.start).max(start) - start);
                }
                depth += 1;
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let kind = match tag {
                        TagEnd::List(_) => Kind::List(items.clone()),
                        TagEnd::Table => Kind::Table,
                        TagEnd::CodeBlock => Kind::Code,
                        _ => Kind::Prose,
                    };
                    let heading = heading.take().map(|(l, t)| (l, t.trim().to_owned()));
                    out.push((start..range.end, heading, kind));
                }
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, words)) = &mut heading {
                    words.push_str(&text);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some((_, words)) = &mut heading {
                    words.push(' ');
                }
            }
            Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::FootnoteReference(_)
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }
    out
}

/// Indentation belongs to a block: without it, nested lists and code read differently.
fn line_start(body: &str, at: usize) -> usize {
    let line = body[..at].rfind('\n').map_or(0, |i| i + 1);
    if body[line..at].chars().all(|c| c == ' ' || c == '\t') { line } else { at }
}

/// Joins short neighbours, the last one backwards if it is short too.
fn join_short(sections: Vec<Section>) -> Vec<Section> {
    let mut groups: Vec<Vec<Section>> = Vec::new();
    for section in sections {
        match groups.last_mut() {
            Some(group) if has_room(group, &section) => group.push(section),
            _ => groups.push(vec![section]),
        }
    }
    groups.into_iter().map(joined).collect()
}

fn has_room(group: &[Section], next: &Section) -> bool {
    let words: usize = group.iter().map(Section::words).sum();
    let more = next.words();
    (words < MIN_WORDS || more < TINY_WORDS) && words + more <= MAX_WORDS
}

/// One section out of several: the path they share, their own headings side by side, and a heading line above each.
fn joined(mut group: Vec<Section>) -> Section {
    if group.len() == 1 {
        return group.remove(0);
    }
    let shared = (0..).find(|&i| {
        group.iter().any(|s| s.path.get(i) != group[0].path.get(i) || s.path.len() <= i)
    });
    let shared = shared.unwrap_or(0);
    let mut path: Vec<String> = group[0].path[..shared].to_vec();
    let mut beside: Vec<String> = Vec::new();
    let mut blocks = Vec::new();
    let mut above: Vec<String> = path.clone();
    for section in group {
        if let Some(own) = section.path.get(shared).filter(|own| !beside.contains(own)) {
            beside.push(own.clone());
        }
        for (depth, heading) in section.path.iter().enumerate().skip(shared) {
            if above.get(..=depth) != Some(&section.path[..=depth]) {
                let text = format!("{} {heading}", "#".repeat((depth + 2).min(6)));
                blocks.push(Block { text, kind: Kind::Prose });
            }
        }
        above = section.path;
        blocks.extend(section.blocks);
    }
    if !beside.is_empty() {
        path.push(beside.join(BESIDE));
    }
    Section { path, blocks }
}

/// Packs the blocks of one section into texts of bearable size.
fn pack(blocks: &[Block]) -> Vec<String> {
    let total: usize = blocks.iter().map(|block| count_words(&block.text)).sum();
    if total <= MAX_WORDS {
        return vec![join(blocks.iter().map(|block| block.text.as_str()))];
    }
    let mut texts = Vec::new();
    let mut current = String::new();
    let mut words = 0;
    for (piece, piece_words, glue) in blocks.iter().flat_map(pieces) {
        if words > 0 && (words >= WANTED_WORDS || words + piece_words > MAX_WORDS) {
            texts.push(std::mem::take(&mut current));
            words = 0;
        }
        if !current.is_empty() {
            current.push_str(if glue { "\n" } else { "\n\n" });
        }
        current.push_str(&piece);
        words += piece_words;
    }
    // A remainder too small to stand alone goes with what it follows.
    match texts.last_mut() {
        Some(last) if words < TINY_WORDS => {
            last.push_str("\n\n");
            last.push_str(&current);
        }
        _ => texts.push(current),
    }
    texts
}

fn join<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join("\n\n").trim_matches('\n').to_owned()
}

/// The pieces a block may be cut into, with their size and whether only a line end stands before them.
fn pieces(block: &Block) -> Vec<(String, usize, bool)> {
    let size = count_words(&block.text);
    let whole = |text: &str| vec![(text.to_owned(), count_words(text), false)];
    match &block.kind {
        Kind::Prose if size > MAX_WORDS => {
            grouped(sentences(&block.text), |group| group.concat().trim().to_owned())
        }
        Kind::List(items) if size > WANTED_WORDS => {
            let ends = items.iter().copied().skip(1).chain([block.text.len()]);
            let cut = items.iter().zip(ends).map(|(&from, to)| block.text[from..to].trim_end());
            cut.enumerate().map(|(i, item)| (item.to_owned(), count_words(item), i > 0)).collect()
        }
        Kind::Table if size > MAX_WORDS => {
            let mut lines = block.text.lines();
            let header: Vec<&str> = lines.by_ref().take(2).collect();
            grouped(lines.map(str::to_owned).collect(), |rows| {
                format!("{}\n{}", header.join("\n"), rows.join("\n"))
            })
        }
        Kind::Code if size > MAX_CODE_WORDS => {
            let fence = block.text.lines().next().filter(|line| line.trim().starts_with("```"));
            let inner: Vec<String> = block
                .text
                .lines()
                .filter(|l| !l.trim().starts_with("```"))
                .map(str::to_owned)
                .collect();
            grouped(inner, |lines| match fence {
                Some(fence) => format!("{fence}\n{}\n```", lines.join("\n")),
                None => lines.join("\n"),
            })
        }
        _ => whole(&block.text),
    }
}

fn grouped(parts: Vec<String>, render: impl Fn(&[String]) -> String) -> Vec<(String, usize, bool)> {
    let mut out = Vec::new();
    let mut group: Vec<String> = Vec::new();
    let mut words = 0;
    let mut close = |group: &mut Vec<String>, words: &mut usize| {
        if !group.is_empty() {
            out.push((render(group), *words, false));
            group.clear();
            *words = 0;
        }
    };
    for part in parts.into_iter().flat_map(bearable) {
        let size = count_words(&part);
        if words + size > WANTED_WORDS {
            close(&mut group, &mut words);
        }
        words += size;
        group.push(part);
    }
    close(&mut group, &mut words);
    out
}

/// A "sentence" of thousands of words (a dump without full stops) is cut by length, between characters.
fn bearable(part: String) -> Vec<String> {
    const MAX_CHARS: usize = 4_000;
    if part.len() <= MAX_CHARS {
        return vec![part];
    }
    let letters: Vec<char> = part.chars().collect();
    letters.chunks(MAX_CHARS / 2).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
