//! What the scripted model does with a request. Pure: a request goes in, a behaviour comes out.

use std::time::Duration;

use serde_json::Value;

use super::{Asked, Gate, Reply};
use crate::model::Task;

/// What to do with one request.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// What to say.
    pub reply: Reply,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// How long to think.
    pub first_token_delay: Duration,
    /// How long each token takes.
    pub token_delay: Duration,
    /// Where to stop until a test opens it.
    pub gate: Option<Gate>,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// No answer at all, not even a status.
    Hang,
    /// Another status than 200.
    Status {
        /// The status.
        code: u16,
        /// The header of that name.
        retry_after: Option<String>,
        /// The body.
        body: String,
    },
    /// A web page with status 200.
    Html200,
    /// A whole JSON answer to a request for a stream.
    PlainJsonToStream,
    /// The body ends after so many tokens, without a reason and without `[DONE]`.
    CutAfter(usize),
    /// The connection breaks after so many tokens.
    ResetAfter(usize),
    /// Silence after so many tokens.
    StallAfter(usize),
    /// An error object after so many tokens.
    ErrorInStream(usize),
    /// Calls of tools that nobody offered, without index and with arguments that are no text.
    MalformedToolCall,
    /// An answer of so many bytes.
    Huge(usize),
    /// A stream without any event.
    EmptyStream,
    /// Exactly this.
    Raw {
        /// The status.
        code: u16,
        /// The type of the body.
        content_type: String,
        /// The body.
        body: String,
    },
}

impl Behaviour {
    /// Says this, at once.
    #[must_use]
    pub fn reply(reply: Reply) -> Self {
        Self {
            reply,
            fault: None,
            first_token_delay: Duration::ZERO,
            token_delay: Duration::ZERO,
            gate: None,
        }
    }

    /// Says these words, at once.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Self::reply(Reply::Say(text.to_owned()))
    }

    /// Fails like this.
    #[must_use]
    pub fn fail(fault: Fault) -> Self {
        Self::reply(Reply::ByTask).with_fault(fault)
    }

    /// Answers with a bare status.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::fail(Fault::Status { code, retry_after: None, body: String::new() })
    }

    /// Fails like this while saying what it says.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Takes its time.
    #[must_use]
    pub fn with_delays(mut self, first_token: Duration, token: Duration) -> Self {
        self.first_token_delay = first_token;
        self.token_delay = token;
        self
    }

    /// Stops at a gate.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }
}

/// A behaviour and when it is shown.
#[derive(Debug, Clone)]
pub struct Rule {
    task: Option<Task>,
    said: Option<String>,
    left: Option<usize>,
    behaviour: Behaviour,
}

impl Rule {
    /// For every request.
    #[must_use]
    pub fn always(behaviour: Behaviour) -> Self {
        Self { task: None, said: None, left: None, behaviour }
    }

    /// For requests of one task.
    #[must_use]
    pub fn on(task: Task, behaviour: Behaviour) -> Self {
        Self { task: Some(task), ..Self::always(behaviour) }
    }

    /// Only if the visitor's last words contain this, whatever its case.
    #[must_use]
    pub fn when_said(mut self, words: &str) -> Self {
        self.said = Some(words.to_lowercase());
        self
    }

    /// Only so many times.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    /// Only the first time.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn fits(&self, asked: &Asked) -> bool {
        self.left != Some(0)
            && self.task.is_none_or(|task| asked.task == Some(task))
            && self.said.as_ref().is_none_or(|words| asked.words.to_lowercase().contains(words))
    }
}

/// Rules in order; the first that fits counts.
#[derive(Debug, Clone)]
pub struct Script {
    rules: Vec<Rule>,
    otherwise: Behaviour,
}

impl Default for Script {
    fn default() -> Self {
        Self::instant()
    }
}

impl Script {
    /// Does what fits the task, at once.
    #[must_use]
    pub fn instant() -> Self {
        Self { rules: Vec::new(), otherwise: Behaviour::reply(Reply::ByTask) }
    }

    /// Does what fits the task, at the pace of a model.
    #[must_use]
    pub fn demo() -> Self {
        let pace = Behaviour::reply(Reply::ByTask)
            .with_delays(Duration::from_millis(350), Duration::from_millis(40));
        // Verdicts and briefs are not watched while they come.
        let quick =
            Behaviour::reply(Reply::ByTask).with_delays(Duration::from_millis(250), Duration::ZERO);
        let mut script = Self { rules: Vec::new(), otherwise: pace };
        for task in [Task::Judge, Task::Brief, Task::Summary, Task::Suggest] {
            script.rules.push(Rule::on(task, quick.clone()));
        }
        script
    }

    /// With one more rule, before all others.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        self.add(rule);
        self
    }

    /// Adds a rule before all others.
    pub fn add(&mut self, rule: Rule) {
        self.rules.insert(0, rule);
    }

    /// What to do with a request; a rule with a limit is used up by it.
    pub fn decide(&mut self, body: &Value) -> (Asked, Behaviour) {
        let asked = Asked::of(body);
        let behaviour = match self.rules.iter_mut().find(|rule| rule.fits(&asked)) {
            Some(rule) => {
                rule.left = rule.left.map(|left| left.saturating_sub(1));
                rule.behaviour.clone()
            }
            None => self.otherwise.clone(),
        };
        (asked, behaviour)
    }
}
