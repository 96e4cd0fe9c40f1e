//! The model of the simulation: in this process, in virtual time, as unreliable as the weather.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::time::sleep;

use super::chance::Chance;
use super::power::Power;
use super::sights::Sight;
use super::sim::Sim;
use crate::model::{
    ChatModel, ChatRequest, ChatStream, Completion, Delta, ModelError, ModelKind, Task,
};

/// Answers, judges and helps one node.
pub struct Moody {
    sim: Arc<Sim>,
    power: Arc<Power>,
    chance: Mutex<Chance>,
}

/// What comes of a stream next, after a while.
enum Piece {
    Says(String),
    Ends,
    Breaks,
    Hangs,
}

impl Moody {
    pub fn new(sim: &Arc<Sim>, power: &Arc<Power>) -> Arc<Self> {
        let chance = sim.chance(&format!("model {:?}", power.life));
        Arc::new(Self {
            sim: Arc::clone(sim),
            power: Arc::clone(power),
            chance: Mutex::new(chance),
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Chance) -> T) -> T {
        f(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether something goes wrong this time.
    fn is_bad(&self) -> bool {
        let odds = if self.sim.is_calm() { 0.0 } else { self.sim.weather.model_faults };
        self.with(|chance| chance.odds(odds))
    }

    fn failure(&self) -> ModelError {
        self.sim.saw(Sight::ModelFailed);
        self.with(|chance| match chance.within(0..5) {
            0 => ModelError::RateLimited { retry_after: Some(chance.millis(100..6_000)) },
            1 => ModelError::Connect,
            2 => ModelError::Unauthorized,
            3 => ModelError::Filtered,
            _ => ModelError::Server { status: 503 },
        })
    }

    /// How an answer comes.
    fn answer(&self) -> VecDeque<(Duration, Piece)> {
        let bad = self.is_bad();
        let slow = if self.sim.is_calm() { 0.0 } else { self.sim.weather.model_slow };
        let hands_off = self.with(|chance| chance.odds(0.12));
        self.with(|chance| {
            let mut pieces = VecDeque::new();
            let mut say = |chance: &mut Chance, text: String| {
                let pause = if chance.odds(slow) {
                    chance.millis(3_000..9_000)
                } else if chance.odds(0.1) {
                    chance.millis(200..4_000)
                } else {
                    chance.millis(5..300)
                };
                pieces.push_back((pause, Piece::Says(text)));
            };
            let sentences = chance.within(1..5);
            if hands_off && !bad {
                self.sim.saw(Sight::ModelHandedOff);
                if chance.odds(0.3) {
                    say(chance, "Let me see. ".to_owned());
                }
                let mark = *chance.pick(&["[[no_answer]]", "[[handoff]] a person must do it"]);
                say(chance, mark.to_owned());
            } else {
                for number in 0..sentences {
                    say(chance, format!("Point {number} "));
                    say(chance, "is as the passage says. ".to_owned());
                }
            }
            let pause = chance.millis(5..400);
            if !bad {
                pieces.push_back((pause, Piece::Ends));
                return pieces;
            }
            let (sight, end) = match chance.within(0..3) {
                0 => (Sight::ModelHung, Piece::Hangs),
                _ => (Sight::StreamCut, Piece::Breaks),
            };
            self.sim.saw(sight);
            let said = usize::try_from(chance.within(0..6)).unwrap_or(0);
            pieces.truncate(said);
            pieces.push_back((pause, end));
            pieces
        })
    }

    fn verdict(&self, request: &ChatRequest) -> String {
        let bad = self.is_bad();
        if bad && self.with(|chance| chance.odds(0.5)) {
            self.sim.saw(Sight::JudgeFailed);
            return "I cannot judge that.".to_owned();
        }
        let fires = !self.sim.is_calm() && self.with(|chance| chance.odds(0.1));
        if fires {
            self.sim.saw(Sight::JudgeFired);
        }
        let quote = request.material.question.lines().last().unwrap_or_default().to_owned();
        let verdicts: Vec<_> = request
            .material
            .conditions
            .iter()
            .map(|key| serde_json::json!({"condition": key, "fired": fires, "evidence": quote}))
            .collect();
        serde_json::json!({ "verdicts": verdicts }).to_string()
    }

    fn help(&self, task: Task) -> String {
        if self.is_bad() {
            self.sim.saw(Sight::NonsenseForJob);
            return "Sorry?".to_owned();
        }
        match task {
            Task::Brief => serde_json::json!({"wants": "Help", "tried": [], "mood": "calm",
                "open_question": "", "next_step": "Answer"}),
            Task::Summary => serde_json::json!({"text": "They talked."}),
            Task::Suggest | Task::Answer | Task::Judge => {
                serde_json::json!({"replies": [{"text": "Hello", "sources": []}]})
            }
        }
        .to_string()
    }
}

#[async_trait]
impl ChatModel for Moody {
    fn name(&self) -> &'static str {
        "moody"
    }

    fn kind(&self) -> ModelKind {
        ModelKind::Remote
    }

    fn context_tokens(&self) -> usize {
        16_000
    }

    async fn complete(&self, request: &ChatRequest) -> Result<Completion, ModelError> {
        let pause = self.with(|chance| {
            if chance.odds(0.1) { chance.millis(1_000..5_000) } else { chance.millis(5..700) }
        });
        sleep(pause).await;
        self.power.breath().await;
        if self.is_bad() {
            if request.task == Task::Judge {
                self.sim.saw(Sight::JudgeFailed);
            }
            if self.with(|chance| chance.odds(0.2)) {
                self.sim.saw(Sight::ModelHung);
                std::future::pending::<()>().await;
            }
            return Err(self.failure());
        }
        let text = match request.task {
            Task::Judge => self.verdict(request),
            task => self.help(task),
        };
        Ok(Completion { text, usage: None, model: "moody".to_owned() })
    }

    async fn stream(&self, _: &ChatRequest) -> Result<ChatStream, ModelError> {
        let pause = self.with(|chance| chance.millis(5..500));
        sleep(pause).await;
        self.power.breath().await;
        if self.is_bad() && self.with(|chance| chance.odds(0.4)) {
            return Err(self.failure());
        }
        let state = (self.answer(), Arc::clone(&self.power));
        Ok(unfold(state, |(mut pieces, power)| async move {
            let (pause, piece) = pieces.pop_front()?;
            sleep(pause).await;
            power.breath().await;
            let item = match piece {
                Piece::Says(text) => Ok(Delta::Text(text)),
                Piece::Ends => Ok(Delta::Done { usage: None, model: "moody".to_owned() }),
                Piece::Breaks => Err(ModelError::CutStream),
                Piece::Hangs => std::future::pending().await,
            };
            Some((item, (pieces, power)))
        })
        .boxed())
    }
}
