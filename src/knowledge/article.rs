//! Articles: what a business knows, one Markdown document each, and the front matter of article files. Pure.

use crate::clock::Timestamp;
use crate::ids::{ArticleId, KnowledgeBaseId};

use super::Audience;

/// The longest title, in characters.
pub const MAX_TITLE_CHARS: usize = 300;

/// The largest body, and the largest article file, in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Undetermined: the locale of an article that names none. Its words are searched without stems.
pub const NO_LOCALE: &str = "und";

/// A stored article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Its id.
    pub id: ArticleId,
    /// The base it belongs to.
    pub knowledge_base: KnowledgeBaseId,
    /// Where it came from: `folder`, `console`, `api`, `qa`, ….
    pub source: String,
    /// Its name there; together with the source it is unique within the base.
    pub source_key: String,
    /// The title.
    pub title: String,
    /// The words, Markdown.
    pub body: String,
    /// Who may read it.
    pub audience: Audience,
    /// The language it is written in, such as `pt-BR`; [`NO_LOCALE`] if nobody said.
    pub locale: String,
    /// Where a visitor can read it.
    pub url: Option<String>,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When its content last changed, as the source says or else as we saw it.
    pub updated_at: Timestamp,
}

/// An article as someone hands it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArticleDraft {
    /// The title.
    pub title: String,
    /// The words, Markdown.
    pub body: String,
    /// Who may read it.
    pub audience: Audience,
    /// The language it is written in.
    pub locale: String,
    /// Where a visitor can read it.
    pub url: Option<String>,
    /// When the source says that it last changed.
    pub updated: Option<Timestamp>,
}

/// A field that cannot be taken, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct InvalidField {
    /// The name of the field.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Why an article file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct FileProblem {
    /// The file, as the caller named it.
    pub file: String,
    /// What is wrong, naming the key, and what would be right.
    pub reason: String,
}

fn invalid(field: &str, problem: impl Into<String>) -> InvalidField {
    InvalidField { field: field.to_owned(), problem: problem.into() }
}

impl ArticleDraft {
    /// Tidies the fields and checks them.
    ///
    /// # Errors
    /// [`InvalidField`] for the first one that cannot be taken.
    pub fn checked(mut self) -> Result<Self, InvalidField> {
        self.title = self.title.split_whitespace().collect::<Vec<_>>().join(" ").replace('\0', "");
        self.body = self.body.replace("\r\n", "\n").replace('\0', "").trim().to_owned();
        self.locale = self.locale.trim().replace('_', "-");
        self.url = self.url.map(|url| url.trim().to_owned()).filter(|url| !url.is_empty());
        let title_chars = self.title.chars().count();
        if title_chars == 0 {
            return Err(invalid("title", "is empty: give the article a title"));
        }
        if title_chars > MAX_TITLE_CHARS {
            return Err(invalid(
                "title",
                format!("has {title_chars} characters: use at most {MAX_TITLE_CHARS}"),
            ));
        }
        if self.body.is_empty() {
            return Err(invalid("body", "is empty: write the article's text"));
        }
        if self.body.len() > MAX_BODY_BYTES {
            return Err(invalid("body", "is larger than 1 MiB: split the article"));
        }
        if !is_locale(&self.locale) {
            return Err(invalid("locale", "is not a language tag: write it like `en` or `pt-BR`"));
        }
        if let Some(url) = &self.url
            && !is_web_address(url)
        {
            return Err(invalid(
                "url",
                "is not a web address: it must start with https://, http:// or /",
            ));
        }
        Ok(self)
    }
}

fn is_locale(locale: &str) -> bool {
    let mut parts = locale.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && locale.len() <= 35
        && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// A full address, or a path on the site that the visitor is on.
fn is_web_address(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let named = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
    let path = url.starts_with('/') && !url.starts_with("//") && !url.starts_with("/\\");
    (named || path)
        && url.len() <= 2_000
        && !url.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A question and its answer as an article: the question is the heading, so that it is the section that is cited.
#[must_use]
pub fn question_and_answer(
    question: &str,
    answer: &str,
    audience: Audience,
    locale: &str,
) -> ArticleDraft {
    let question = question.split_whitespace().collect::<Vec<_>>().join(" ");
    ArticleDraft {
        title: question.chars().take(MAX_TITLE_CHARS).collect(),
        body: format!("## {question}\n\n{}", answer.trim()),
        audience,
        locale: locale.to_owned(),
        url: None,
        updated: None,
    }
}

/// Reads an article file: Markdown after an optional block of `key: value` lines between two `---` lines. The keys are
/// title (or else the first `# ` heading), locale, audience (public or internal), url and updated.
///
/// Other keys are refused, so that a misspelt `audience: internal` cannot make an article public.
///
/// # Errors
/// [`FileProblem`] names the file, the key and the remedy.
pub fn parse_article(file: &str, text: &str) -> Result<ArticleDraft, FileProblem> {
    let fail = |reason: String| FileProblem { file: file.to_owned(), reason };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text).replace("\r\n", "\n");
    let (matter, body) = split_front_matter(&text).map_err(|reason| fail(reason.to_owned()))?;
    let mut draft = ArticleDraft {
        title: String::new(),
        body: body.to_owned(),
        audience: Audience::Public,
        locale: NO_LOCALE.to_owned(),
        url: None,
        updated: None,
    };
    let mut seen: Vec<&str> = Vec::new();
    for line in matter.lines().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'))
    {
        let (key, value) = line.split_once(':').ok_or_else(|| {
            fail(format!("front matter line `{}` is not `key: value`", line.trim()))
        })?;
        let (key, value) = (key.trim(), unquoted(value));
        if seen.contains(&key) {
            return Err(fail(format!("`{key}` appears twice: keep one")));
        }
        seen.push(key);
        match key {
            "title" => draft.title = value.to_owned(),
            "locale" => draft.locale = value.to_owned(),
            "url" => draft.url = Some(value.to_owned()),
            "audience" => {
                draft.audience = value.parse().map_err(|_| {
                    fail(format!("`audience` is `{value}`: write `public` or `internal`"))
                })?;
            }
            "updated" => {
                draft.updated = Some(date(value).ok_or_else(|| {
                    fail(format!("`updated` is `{value}`: write a date like 2026-01-31"))
                })?);
            }
            other => {
                return Err(fail(format!(
                    "`{other}` is not known: the keys are title, locale, audience, url and updated"
                )));
            }
        }
    }
    if draft.title.trim().is_empty() {
        draft.title = first_heading(body).map(str::to_owned).ok_or_else(|| {
            fail("`title` is missing: add it to the front matter, or a `# ` heading".to_owned())
        })?;
    }
    draft.checked().map_err(|problem| fail(problem.to_string()))
}

fn split_front_matter(text: &str) -> Result<(&str, &str), &'static str> {
    let Some(rest) = text.strip_prefix("---\n") else { return Ok(("", text)) };
    if let Some(body) = rest.strip_prefix("---\n") {
        return Ok(("", body));
    }
    if let Some((matter, body)) = rest.split_once("\n---\n") {
        return Ok((matter, body));
    }
    rest.strip_suffix("\n---")
        .map(|matter| (matter, ""))
        .ok_or("the front matter has no end: close it with a line `---`")
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    ['"', '\'']
        .iter()
        .find_map(|&q| value.strip_prefix(q).and_then(|v| v.strip_suffix(q)))
        .unwrap_or(value)
}

fn date(value: &str) -> Option<Timestamp> {
    if let Ok(at) = value.parse::<jiff::Timestamp>() {
        return Some(Timestamp::from_millis(at.as_millisecond()));
    }
    let day: jiff::civil::Date = value.parse().ok()?;
    let at = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_millis(at.timestamp().as_millisecond()))
}

fn first_heading(body: &str) -> Option<&str> {
    body.lines().find_map(|line| line.strip_prefix("# ")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_front_matter() {
        let text = "---\ntitle: \"Returns: how\"\nlocale: en\naudience: internal\n# note\nurl: https://a.example/r\n\
                    updated: 2026-01-31\n---\n\n# Ignored\n\nWords.\n";
        let draft = parse_article("a.md", text).expect("reads");
        assert_eq!(draft.title, "Returns: how");
        assert_eq!(draft.audience, Audience::Internal);
        assert_eq!(draft.url.as_deref(), Some("https://a.example/r"));
        assert_eq!(draft.updated.map(Timestamp::millis), Some(1_769_817_600_000));
        assert_eq!(draft.body, "# Ignored\n\nWords.");
    }

    #[test]
    fn a_heading_is_title_enough() {
        let draft = parse_article("a.md", "# Shipping\r\n\r\nThree days.").expect("reads");
        assert_eq!((draft.title.as_str(), draft.locale.as_str()), ("Shipping", NO_LOCALE));
    }

    #[test]
    fn problems_name_file_and_key() {
        for (text, word) in [
            ("---\ntitle: A\naudiance: internal\n---\nx", "`audiance`"),
            ("---\ntitle: A\naudience: everyone\n---\nx", "`audience`"),
            ("---\ntitle: A\nupdated: soon\n---\nx", "`updated`"),
            ("---\ntitle: A\nurl: javascript:alert(1)\n---\nx", "`url`"),
            ("---\ntitle: A\nurl: //evil.example\n---\nx", "`url`"),
            ("---\ntitle: A\nlocale: english!\n---\nx", "`locale`"),
            ("---\ntitle: A\ntitle: B\n---\nx", "`title`"),
            ("---\ntitle: A\n", "no end"),
            ("no title", "`title`"),
            ("---\ntitle: A\n---\n \n", "`body`"),
        ] {
            let problem = parse_article("shop/a.md", text).expect_err(text).to_string();
            assert!(problem.starts_with("shop/a.md: ") && problem.contains(word), "{problem}");
        }
    }
}
