//! Which model plays which task, by the name an assistant's configuration uses.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ChatModel, Task};

/// The models of one assistant, a model a task.
#[derive(Clone)]
pub struct ModelSet {
    /// Answers visitors.
    pub answer: Arc<dyn ChatModel>,
    /// Judges worded conditions.
    pub judge: Arc<dyn ChatModel>,
    /// Makes briefs and summaries.
    pub summarise: Arc<dyn ChatModel>,
    /// Suggests replies.
    pub suggest: Arc<dyn ChatModel>,
    /// Asked when the others fail.
    pub fallback: Option<Arc<dyn ChatModel>>,
}

impl ModelSet {
    /// One model for every task.
    #[must_use]
    pub fn of_one(model: &Arc<dyn ChatModel>) -> Self {
        Self {
            answer: Arc::clone(model),
            judge: Arc::clone(model),
            summarise: Arc::clone(model),
            suggest: Arc::clone(model),
            fallback: None,
        }
    }

    /// The model of a task.
    #[must_use]
    pub fn for_task(&self, task: Task) -> &Arc<dyn ChatModel> {
        match task {
            Task::Answer => &self.answer,
            Task::Judge => &self.judge,
            Task::Brief | Task::Summary => &self.summarise,
            Task::Suggest => &self.suggest,
        }
    }
}

/// Every set of models this process can use.
pub struct Models {
    default: ModelSet,
    built_in: ModelSet,
    named: BTreeMap<String, ModelSet>,
}

/// The name of the configured models.
pub const DEFAULT: &str = "default";
/// The name of the built-in answerer.
pub const BUILT_IN: &str = "built-in";

impl Models {
    /// The built-in answerer alone.
    #[must_use]
    pub fn new(built_in: &Arc<dyn ChatModel>) -> Self {
        let set = ModelSet::of_one(built_in);
        Self { default: set.clone(), built_in: set, named: BTreeMap::new() }
    }

    /// With these models as the default.
    #[must_use]
    pub fn with_default(mut self, set: ModelSet) -> Self {
        self.default = set;
        self
    }

    /// With these models under a name of their own.
    #[must_use]
    pub fn with_named(mut self, name: &str, set: ModelSet) -> Self {
        self.named.insert(name.to_owned(), set);
        self
    }

    /// The set of that name; the default for a name that is not (or no longer) configured.
    #[must_use]
    pub fn of(&self, name: &str) -> &ModelSet {
        if name == BUILT_IN {
            return &self.built_in;
        }
        self.named.get(name).unwrap_or(&self.default)
    }

    /// The built-in answerer, for work that needs no model.
    #[must_use]
    pub fn without_model(&self) -> &ModelSet {
        &self.built_in
    }

    /// Every name that can be chosen, with the answering model behind it.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Arc<dyn ChatModel>)> {
        [(DEFAULT, &self.default.answer), (BUILT_IN, &self.built_in.answer)]
            .into_iter()
            .chain(self.named.iter().map(|(name, set)| (name.as_str(), &set.answer)))
    }
}
