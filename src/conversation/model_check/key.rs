//! What two states must share to count as one.
//!
//! The key leaves out what no later step can tell apart, and numbers the rest by rank:
//!
//! - Sequence numbers are only compared with each other: the key holds their ranks among the numbers that the state
//!   remembers. (The one sum, "the message just before this exemption", is of two records of one step.)
//! - Epochs are only compared for equality with the present one, and never come back: the key holds whether they are it.
//! - Ids of turns are only compared for equality: numbered as they come. Message and alarm ids are not read again.
//! - A unit that has loaded an older row cannot commit; whatever it loaded, it will load again: the key holds that it is
//!   stale. One that has loaded the present row would load it again, so the key holds only its facts. (With the
//!   compare-and-set broken neither is true, and the key holds how old the row is.)
//! - Counts that the machine keeps for others (replies, failures, episodes, participants) and words about the past (why it
//!   is in the queue, who closed it, when it was numbered) are not read by `step`.
//!
//! Everything is taken apart field by field: what is added to a conversation does not compile until it is decided here.

use super::super::*;
use super::witness::Witness;
use super::world::{Left, NOW, State, Unit, Worker};
use crate::clock::Timestamp;
use crate::guard::Guard;
use crate::ids::{AgentId, TurnId};

/// The key of a state.
pub fn key(state: &State) -> Vec<u8> {
    let mut seqs = Key { epoch: state.db.c.epoch, ..Key::default() };
    seqs.state(state);
    seqs.seqs.sort_unstable();
    seqs.seqs.dedup();
    let mut key = Key { seqs: seqs.seqs, ranked: true, epoch: state.db.c.epoch, ..Key::default() };
    key.state(state);
    key.bytes
}

/// Written twice: first to learn the sequence numbers, then with their ranks.
#[derive(Default)]
struct Key {
    bytes: Vec<u8>,
    seqs: Vec<u64>,
    ranked: bool,
    turns: Vec<TurnId>,
    epoch: u64,
}

impl Key {
    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn count(&mut self, n: usize) {
        self.byte(u8::try_from(n).expect("a small number"));
    }

    fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }

    fn seq(&mut self, seq: u64) {
        if self.ranked {
            let rank = self.seqs.binary_search(&seq).expect("learnt before");
            self.count(rank + 1);
        } else {
            self.seqs.push(seq);
        }
    }

    fn seqs(&mut self, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            self.seq(seq);
        }
        self.byte(0);
    }

    fn epoch(&mut self, epoch: u64) {
        self.flag(epoch == self.epoch);
    }

    fn turn(&mut self, turn: TurnId) {
        let known = self.turns.iter().position(|t| *t == turn).unwrap_or_else(|| {
            self.turns.push(turn);
            self.turns.len() - 1
        });
        self.count(known + 1);
    }

    fn at(&mut self, at: Timestamp) {
        let millis = at.millis() - NOW.millis();
        self.byte(u8::try_from(millis + 1).expect("close to now"));
    }

    fn agent(&mut self, agent: Option<AgentId>) {
        let known = (0..2).find(|n| agent == Some(super::world::agent(*n)));
        self.count(known.map_or(usize::from(agent.is_some()) * 3, |n| n + 1));
    }

    fn mark(&mut self, mark: Option<Mark>) {
        match mark {
            Some(Mark { seq, at }) => {
                self.seq(seq);
                self.at(at);
            }
            None => self.byte(0),
        }
    }

    fn state(&mut self, state: &State) {
        let State { db, workers, units, visitor, screens, assistant, left, witness, .. } = state;
        self.conversation(&db.c);
        match db.lease {
            Some(lease) => {
                self.count(lease.node + 1);
                self.flag(lease.over);
            }
            None => self.byte(0),
        }
        self.bytes.extend(&db.client_ids);
        self.byte(0xFE);
        for worker in workers {
            self.worker(worker.as_ref());
        }
        for unit in units {
            self.unit(unit.as_deref(), &db.c);
        }
        self.byte(visitor.ids);
        self.bytes.extend(&visitor.heard);
        self.byte(0xFE);
        match visitor.unheard {
            Some((client_id, thanks)) => {
                self.byte(client_id);
                self.flag(thanks);
            }
            None => self.byte(0),
        }
        for screen in screens {
            self.epoch(*screen);
        }
        self.flag(*assistant);
        self.left(*left);
        self.witness(witness);
    }

    fn conversation(&mut self, c: &Conversation) {
        let Conversation {
            id: _,
            workspace: _,
            inbox: _,
            contact: _,
            holder,
            epoch: _,
            seq: _,
            public_seq: _,
            ai_mode,
            blocked,
            erased,
            episode: _,
            unanswered,
            waiting,
            asked,
            obligation,
            alarmed,
            last_visitor,
            last_public,
            nudged,
            last_human,
            returned,
            notice_at,
            superseded,
            ai_turns: _,
            failed_answers: _,
            participants: _,
        } = c;
        self.holder(holder);
        self.byte(*ai_mode as u8);
        self.flag(*blocked);
        self.flag(*erased);
        for mark in [unanswered, waiting, asked, last_visitor, last_public] {
            self.mark(*mark);
        }
        match obligation {
            Some(Obligation { anchor, opened_at: _, due_at, step }) => {
                self.seq(*anchor);
                self.at(due_at.unwrap_or(NOW - std::time::Duration::from_millis(1)));
                self.count(*step as usize);
            }
            None => self.byte(0),
        }
        // Of an anchor that nothing waits on any more there is no second alarm.
        let live = [unanswered, waiting, asked, last_visitor];
        match alarmed.filter(|(anchor, _)| live.iter().any(|m| m.is_some_and(|m| m.seq == *anchor)))
        {
            Some((anchor, step)) => {
                self.seq(anchor);
                self.count(step as usize);
            }
            None => self.byte(0),
        }
        self.flag(nudged.is_some() && *nudged == last_public.map(|mark| mark.seq));
        self.agent(*last_human);
        match returned {
            Some(Return { seq, at, by: _, note }) => {
                self.seq(*seq);
                self.at(*at);
                self.flag(note.is_some());
            }
            None => self.byte(0),
        }
        self.flag(notice_at.is_some());
        self.count(*superseded as usize);
    }

    fn holder(&mut self, holder: &Holder) {
        match holder {
            Holder::Assistant { turn } => {
                self.byte(1);
                match turn {
                    None => self.byte(0),
                    Some(Turn { id, attempt, phase }) => {
                        self.turn(*id);
                        self.count(*attempt as usize);
                        match phase {
                            Phase::Due { run_at } => self.at(*run_at),
                            Phase::Running { assistant: _, through, beyond } => {
                                self.byte(0xFD);
                                self.seq(*through);
                                self.mark(*beyond);
                            }
                        }
                    }
                }
            }
            Holder::Queue { since: _, reason: _, team, snooze } => {
                self.byte(2);
                self.flag(team.is_some());
                self.snooze(*snooze);
            }
            Holder::Assigned { agent, team, snooze, offline } => {
                self.byte(3);
                self.agent(Some(*agent));
                self.flag(team.is_some());
                self.snooze(*snooze);
                self.mark(*offline);
            }
            Holder::Closed { by: _, outcome: _, at: _ } => self.byte(4),
        }
    }

    fn snooze(&mut self, snooze: Option<Snooze>) {
        match snooze {
            Some(Snooze { until, anchor }) => {
                self.at(until);
                self.seq(anchor);
            }
            None => self.byte(0),
        }
    }

    fn fence(&mut self, fence: Fence) {
        self.epoch(fence.epoch);
        self.turn(fence.turn);
        self.count(fence.attempt as usize);
    }

    fn worker(&mut self, worker: Option<&Worker>) {
        let Some(Worker { turn, attempt, plan, shut, released, silenced }) = worker else {
            return self.byte(0);
        };
        self.turn(*turn);
        self.count(*attempt as usize);
        self.byte(u8::from(*shut) | u8::from(*released) << 1 | u8::from(*silenced) << 2);
        match plan {
            Some(plan) => {
                self.fence(plan.fence);
                self.seqs(plan.evidence);
            }
            None => self.byte(0xFD),
        }
    }

    fn unit(&mut self, unit: Option<&Unit>, now: &Conversation) {
        let Some(Unit { ask, read, facts, step: _ }) = unit else { return self.byte(0) };
        self.count(ask.node + 1);
        self.byte(ask.client_id.unwrap_or(0));
        self.seqs(ask.evidence);
        self.at(ask.now);
        self.event(&ask.event);
        let stale = (read.seq, read.epoch) != (now.seq, now.epoch);
        self.flag(stale);
        if stale && Guard::CompareAndSet.is_broken() {
            self.seq(read.seq);
        } else if !stale {
            let (released, expired) = (facts.turn_released, facts.lease_expired);
            let assistant = facts.assistant.is_some();
            self.byte(u8::from(released) | u8::from(expired) << 1 | u8::from(assistant) << 2);
        }
    }

    fn by(&mut self, by: By) {
        self.agent(Some(by.agent));
        match by.expected_epoch {
            Some(epoch) => self.epoch(epoch),
            None => self.byte(2),
        }
    }

    /// Only what the model makes events of.
    fn event(&mut self, event: &Event) {
        match event {
            Event::VisitorWrote { message: _, bare_thanks } => {
                self.byte(1);
                self.flag(*bare_thanks);
            }
            Event::VisitorAskedForPerson { .. } => self.byte(2),
            Event::TurnLeased { turn, seen_attempt } => {
                self.byte(3);
                self.turn(*turn);
                self.count(*seen_attempt as usize);
            }
            Event::TurnAnswered { fence, reply: _ } => {
                self.byte(4);
                self.fence(*fence);
            }
            Event::TurnHandsOff { fence, reason: _ } => {
                self.byte(5);
                self.fence(*fence);
            }
            Event::TurnFailed { fence, reason: _, released } => {
                self.byte(6);
                self.fence(*fence);
                self.flag(released.is_some());
            }
            Event::AgentTakesOver { by, from_colleague } => {
                self.byte(7);
                self.by(*by);
                self.flag(*from_colleague);
            }
            Event::AgentWrites { by, message: _ } => {
                self.byte(8);
                self.by(*by);
            }
            Event::Assign { by, agent, team } => {
                self.byte(9);
                self.by(*by);
                self.agent(*agent);
                self.flag(team.is_some());
            }
            Event::ReturnToQueue { by } => {
                self.byte(10);
                self.by(*by);
            }
            Event::AssignToAi { by, note } => {
                self.byte(11);
                self.by(*by);
                self.flag(note.is_some());
            }
            Event::Snooze { by, until } => {
                self.byte(12);
                self.by(*by);
                self.at(*until);
            }
            Event::Close { by, outcome: _ } => {
                self.byte(13);
                match by {
                    Closer::Agent(by) => self.by(*by),
                    Closer::Visitor(_) => self.byte(0xFD),
                }
            }
            Event::Reopen { by } => {
                self.byte(14);
                self.by(*by);
            }
            Event::ChannelEcho { owner, message: _, sent_at } => {
                self.byte(15);
                self.agent(Some(*owner));
                self.at(*sent_at);
            }
            Event::SetAiMode { by, mode } => {
                self.byte(16);
                self.by(*by);
                self.byte(*mode as u8);
            }
            Event::AssigneePresence { agent, online } => {
                self.byte(17);
                self.agent(Some(*agent));
                self.flag(*online);
            }
            Event::TimerFired { kind, anchor } => {
                self.byte(18);
                self.byte(*kind as u8);
                self.seq(*anchor);
            }
            other => unreachable!("the model has no {other:?}"),
        }
    }

    fn left(&mut self, left: Left) {
        let Left {
            words,
            thanks,
            asks,
            commands,
            unheard,
            fails,
            crashes,
            leases,
            switches,
            presence,
            timers,
        } = left;
        self.bytes.extend([
            words, thanks, asks, unheard, fails, crashes, leases, switches, presence, timers,
        ]);
        self.bytes.extend(commands);
    }

    fn witness(&mut self, witness: &Witness) {
        let Witness {
            log: _,
            public: _,
            held: _,
            assignee: _,
            running,
            open,
            answered_through,
            promised,
            alarms,
            fired,
            returned,
            said,
            snoozed,
            offline,
            last_public: _,
            broken,
        } = witness;
        if let Some(running) = running {
            self.turn(running.turn);
            self.count(running.attempt as usize);
            self.epoch(running.epoch);
        }
        self.byte(0);
        for (seq, request) in open {
            self.seq(*seq);
            self.flag(*request);
        }
        self.byte(0xFD);
        self.seq(*answered_through);
        self.seqs(*promised);
        for (anchor, step) in alarms {
            self.seq(*anchor);
            self.count(*step as usize);
        }
        self.byte(0xFD);
        self.seqs(fired.iter().copied());
        self.seq(*returned);
        self.bytes.extend(said);
        self.byte(0xFE);
        self.seqs(*snoozed);
        self.seqs(*offline);
        self.bytes.extend(broken.bits().to_le_bytes());
    }
}
