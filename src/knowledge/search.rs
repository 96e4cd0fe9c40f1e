//! Search: the passages that may answer a question, each with its score and whether it is good enough to count.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use crate::db::DbError;
use crate::ids::{ChunkId, KnowledgeBaseId, WorkspaceId};
use crate::metrics;
use crate::text::terms;

use super::embedder::EmbedPurpose;
use super::follow::Current;
use super::index::{Degraded, Found, Hit, IndexQuery, Reader, TokenCounts};
use super::relevance::{Question, Wording};
use super::service::{Knowledge, KnowledgeError, normalised};
use super::store::{self, MAX_PASSAGES, PassageRow, parsed};
use super::{Passage, PublicPassage};

/// A passage in the asker's language scores this much higher: enough to win against the same content in another language,
/// too little to beat a better answer.
const LOCALE_BOOST: f64 = 1.1;

/// The cosine from which a passage counts as an answer although its words do not reach the floor: the paraphrases that a
/// model is there for. Provisional: typical of current models, not yet measured on one.
const CLOSE_IN_MEANING: f32 = 0.5;

/// Passages that share this much of their words are one passage twice.
const DUPLICATE: f64 = 0.9;

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Searched<P> {
    /// The passages, best first.
    pub passages: Vec<P>,
    /// What was wrong with the search, if anything.
    pub degraded: Option<Degraded>,
}

impl Knowledge {
    /// The best passages that visitors may be told, best first. Bases the workspace does not have are empty.
    ///
    /// # Errors
    /// What the database or the index says; a failing embedder only means that words alone decide.
    pub async fn search_public(
        &self,
        workspace: WorkspaceId,
        bases: &[KnowledgeBaseId],
        query: &str,
        locale: Option<&str>,
        limit: usize,
    ) -> Result<Vec<PublicPassage>, KnowledgeError> {
        Ok(self.find_public(workspace, bases, query, locale, limit).await?.passages)
    }

    /// As [`Self::search_public`], with what was wrong with the search.
    ///
    /// # Errors
    /// As [`Self::search_public`].
    pub async fn find_public(
        &self,
        workspace: WorkspaceId,
        bases: &[KnowledgeBaseId],
        query: &str,
        locale: Option<&str>,
        limit: usize,
    ) -> Result<Searched<PublicPassage>, KnowledgeError> {
        let found = self.search(workspace, bases, query, locale, limit, Reader::Visitor).await?;
        let passages = found.passages.into_iter().filter_map(PublicPassage::of).collect();
        Ok(Searched { passages, degraded: found.degraded })
    }

    /// The best passages for agents, internal knowledge included, best first.
    ///
    /// # Errors
    /// As [`Self::search_public`].
    pub async fn search_for_agents(
        &self,
        workspace: WorkspaceId,
        bases: &[KnowledgeBaseId],
        query: &str,
        locale: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Passage>, KnowledgeError> {
        Ok(self.search(workspace, bases, query, locale, limit, Reader::Agent).await?.passages)
    }

    async fn search(
        &self,
        workspace: WorkspaceId,
        bases: &[KnowledgeBaseId],
        query: &str,
        locale: Option<&str>,
        limit: usize,
        reader: Reader,
    ) -> Result<Searched<Passage>, KnowledgeError> {
        let started = Instant::now();
        let found = self.find(workspace, bases, query, locale, limit, reader).await;
        metrics::get().knowledge.search.record(started.elapsed());
        if let Some(part) = &self.part {
            match &found {
                Ok(searched) if searched.degraded.is_some() => part.fails("degraded"),
                Ok(_) => part.works(),
                Err(KnowledgeError::Db(_)) => part.fails("database"),
                Err(_) => part.fails("index"),
            }
        }
        found
    }

    async fn find(
        &self,
        workspace: WorkspaceId,
        bases: &[KnowledgeBaseId],
        query: &str,
        locale: Option<&str>,
        limit: usize,
        reader: Reader,
    ) -> Result<Searched<Passage>, KnowledgeError> {
        let (current, dense) =
            tokio::join!(self.follower.open(workspace, bases), self.embedded(query));
        let Current { reading, languages } = current?;
        let wording = Wording::new(terms(query, &languages), &languages);
        let statistics = reading.statistics(reader, &wording.ids());
        let question = Question::new(&wording, &statistics);
        let wanted = IndexQuery {
            reader,
            tokens: &wording.tokens,
            dense: dense.as_deref(),
            limit: MAX_PASSAGES,
        };
        let Found { hits, degraded } = reading.search(&wanted).await?;
        let tokens = wording.ids();
        // Few of the hits come into question, and most of the rest is never fetched.
        let mut fetched = likely(&hits, limit);
        let passages = loop {
            let (likely, others) = hits.split_at(fetched);
            let ids: Vec<ChunkId> = likely.iter().map(|hit| hit.chunk).collect();
            let counted = |hit: &Hit| (hit.chunk, (*hit, reading.counts(hit.chunk, &tokens)));
            let known: HashMap<ChunkId, (Hit, Option<TokenCounts>)> =
                likely.iter().map(counted).collect();
            let rows = store::passages(&mut self.db.read().await?, workspace, reader, &ids).await?;
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                found.push(candidate(row, &known, &question, locale)?);
            }
            let passages = ranked(found, limit);
            if are_best(&passages, others, limit) {
                break passages;
            }
            fetched = hits.len();
        };
        Ok(Searched { passages, degraded })
    }

    /// The question's vector, if there is a model and it answers.
    async fn embedded(&self, query: &str) -> Option<Vec<f32>> {
        let embedder = self.embedder.as_ref()?;
        match embedder.embed(&[query.to_owned()], EmbedPurpose::Query).await {
            Ok(mut vectors) => vectors.pop().map(normalised),
            Err(error) => {
                tracing::warn!(%error, "a question is searched by its words alone");
                None
            }
        }
    }
}

/// How many of the hits, best first, may be among the best so many: a language lifts a score so far and no further.
fn likely(hits: &[Hit], limit: usize) -> usize {
    let Some(last) = limit.checked_sub(1).and_then(|last| hits.get(last)) else {
        return hits.len();
    };
    hits.partition_point(|hit| hit.score * LOCALE_BOOST >= last.score)
}

/// Whether none of the other hits can come before the last of these passages.
fn are_best(passages: &[Passage], others: &[Hit], limit: usize) -> bool {
    let Some(best) = others.first() else { return true };
    passages.len() >= limit
        && passages.last().is_none_or(|last| last.score > best.score * LOCALE_BOOST)
}

/// A found chunk with its score, judged by the question's words.
fn candidate(
    row: PassageRow,
    known: &HashMap<ChunkId, (Hit, Option<TokenCounts>)>,
    question: &Question,
    locale: Option<&str>,
) -> Result<Passage, DbError> {
    let chunk_id: ChunkId = parsed(&row.id)?;
    let (hit, counts) = match known.get(&chunk_id) {
        Some((hit, counts)) => (Some(hit), counts.as_ref()),
        None => (None, None),
    };
    let mut fit = match counts {
        Some(counts) => question.fit(counts),
        None => {
            let counts = TokenCounts::of_chunk(&row.title, &row.section, &row.text, &row.locale);
            question.fit(&counts)
        }
    };
    if let Some(cosine) = hit.and_then(|hit| hit.cosine)
        && !fit.kept
        && cosine >= CLOSE_IN_MEANING
    {
        fit.kept = true;
        fit.why = format!("kept: close in meaning, cosine {cosine:.2}; by words {}", fit.why);
    }
    let boost =
        if locale.is_some_and(|l| same_language(l, &row.locale)) { LOCALE_BOOST } else { 1.0 };
    Ok(Passage {
        chunk_id,
        article_id: parsed(&row.article)?,
        title: row.title,
        section: Some(row.section).filter(|section| !section.is_empty()),
        url: row.url,
        audience: row.audience.parse().map_err(DbError::Broken)?,
        text: row.text,
        score: hit.map_or(0.0, |hit| hit.score) * boost,
        kept: fit.kept,
        why: fit.why,
    })
}

fn same_language(a: &str, b: &str) -> bool {
    let language =
        |locale: &str| locale.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    language(a) == language(b)
}

/// Best first, near-duplicates once, at most `limit`.
fn ranked(mut found: Vec<Passage>, limit: usize) -> Vec<Passage> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.chunk_id.cmp(&b.chunk_id)));
    let mut kept: Vec<(Passage, Vec<u64>)> = Vec::new();
    for passage in found {
        if kept.len() >= limit {
            break;
        }
        let words = words_of(&passage);
        if !kept.iter().any(|(_, others)| overlap(others, &words) >= DUPLICATE) {
            kept.push((passage, words));
        }
    }
    kept.into_iter().map(|(passage, _)| passage).collect()
}

/// The different words of a passage, as they are written but for their case: enough to see that two are one. Each is a
/// number made of it, in the order of the numbers.
fn words_of(passage: &Passage) -> Vec<u64> {
    let number = |word: &str| {
        let mut hasher = DefaultHasher::new();
        word.chars().flat_map(char::to_lowercase).for_each(|letter| letter.hash(&mut hasher));
        hasher.finish()
    };
    let mut words: Vec<u64> =
        [passage.title.as_str(), passage.section.as_deref().unwrap_or_default(), &passage.text]
            .into_iter()
            .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
            .filter(|word| !word.is_empty())
            .map(number)
            .collect();
    words.sort_unstable();
    words.dedup();
    words
}

#[expect(clippy::cast_precision_loss, reason = "counts of words")]
fn overlap(a: &[u64], b: &[u64]) -> f64 {
    // Most have too different numbers of words to be the same.
    let (fewer, more) = (a.len().min(b.len()), a.len().max(b.len()));
    if (fewer as f64) < more as f64 * DUPLICATE {
        return 0.0;
    }
    let shared = a.iter().filter(|word| b.binary_search(word).is_ok()).count();
    shared as f64 / (a.len() + b.len() - shared).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;
    use crate::knowledge::Audience;

    fn hits(scores: &[f64]) -> Vec<Hit> {
        let hit = |score: &f64| Hit { chunk: Ids.fresh(), score: *score, cosine: None };
        scores.iter().map(hit).collect()
    }

    fn passages(scores: &[f64]) -> Vec<Passage> {
        let passage = |score: &f64| Passage {
            chunk_id: Ids.fresh(),
            article_id: Ids.fresh(),
            title: String::new(),
            section: None,
            url: None,
            audience: Audience::Public,
            text: String::new(),
            score: *score,
            kept: true,
            why: String::new(),
        };
        scores.iter().map(passage).collect()
    }

    #[test]
    fn what_a_language_may_lift_among_the_best_is_fetched() {
        let found = hits(&[10.0, 9.0, 8.5, 8.0, 1.0]);
        assert_eq!(likely(&found, 1), 1, "9.0 would need more than its language");
        assert_eq!(likely(&found, 2), 3, "8.5 may become 9.35");
        assert_eq!(likely(&found, 4), 4);
        assert_eq!(likely(&found, 9), 5);
        assert_eq!(likely(&found, 0), 5);
    }

    #[test]
    fn the_rest_is_fetched_when_duplicates_leave_room_for_it() {
        let others = hits(&[5.0, 4.0]);
        assert!(are_best(&passages(&[9.0, 6.0]), &others, 2));
        assert!(!are_best(&passages(&[9.0, 5.4]), &others, 2), "5.0 may become 5.5");
        assert!(!are_best(&passages(&[9.0]), &others, 2), "one was there twice");
        assert!(are_best(&passages(&[9.0]), &[], 2), "there is nothing else");
    }
}
