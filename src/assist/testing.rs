//! A model that says what a test gave it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::model::{ChatModel, ChatRequest, ChatStream, Completion, ModelError, ModelKind};

/// Says these things in turn, then hangs.
pub struct Canned {
    answers: Mutex<VecDeque<Result<String, ModelError>>>,
    requests: Mutex<Vec<ChatRequest>>,
    asked: AtomicUsize,
}

impl Canned {
    fn of(answers: impl IntoIterator<Item = Result<String, ModelError>>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            requests: Mutex::default(),
            asked: AtomicUsize::new(0),
        })
    }

    pub fn says<'a>(answers: impl IntoIterator<Item = &'a str>) -> Arc<Self> {
        Self::of(answers.into_iter().map(|text| Ok(text.to_owned())))
    }

    pub fn fails(error: ModelError) -> Arc<Self> {
        Self::of(std::iter::repeat_n(Err(error), 10))
    }

    pub fn hangs() -> Arc<Self> {
        Self::of([])
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What it was last told to work on.
    pub fn last_prompt(&self) -> String {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let last = requests.last().expect("was asked");
        last.messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n")
    }
}

#[async_trait]
impl ChatModel for Canned {
    fn name(&self) -> &str {
        "canned"
    }

    fn kind(&self) -> ModelKind {
        ModelKind::Remote
    }

    fn context_tokens(&self) -> usize {
        16_000
    }

    async fn complete(&self, request: &ChatRequest) -> Result<Completion, ModelError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let next = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(next) = next else { return std::future::pending().await };
        let text = next?;
        Ok(Completion { text, usage: None, model: "canned".into() })
    }

    async fn stream(&self, _: &ChatRequest) -> Result<ChatStream, ModelError> {
        Err(ModelError::EmptyStream)
    }
}
