//! How a node becomes a member: asks around, as its [`Candidate`](crate::founding::Candidate) says,
//! and answers others that do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{
    founding::{Answer, Founding, Next, Nonce, Question},
    group::{Group as _, ProposeError},
    identity::{GroupId, NodeId},
    peer::network::Network,
    system::{Command, Register, Reply, Tenant},
    transport::{Address, Refusal, Request, Transport as _},
};

use super::{
    EPOCH, Inner,
    forward::{decode, encode},
};

/// Between two rounds of questions.
const ROUND: Duration = Duration::from_millis(100);

/// How long an answer may take: who is silent for longer counts as silent.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How long a node that was told to register is waited for when it is called back.
const CALL_BACK_MAX: Duration = Duration::from_millis(500);

/// How often a node that has no cluster says what it waits for.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How long it looks before it does.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// How many nodes are asked to register, each one where the one before says.
const REGISTER_TRIES: usize = 4;

/// Until this node is a member, or stops.
pub(super) async fn run<N: Network>(inner: Arc<Inner<N>>) {
    let mut tell_at = Instant::now() + TELL_AFTER;
    while !inner.is_stopping() {
        let answers = |answers: &_| {
            if Instant::now() >= tell_at {
                tell_at = Instant::now() + TELL_EVERY;
                tell(&inner, answers);
            }
        };
        let mut next = ask_all(&inner, answers).await;
        if let Next::Propose { founding, to } = next {
            next = propose(&inner, founding, to).await;
        }
        if let Next::Join { at, supersedes } = next {
            next = register(&inner, at, supersedes).await;
        }
        if let Next::Member { founding, node, .. } = next {
            if let Err(error) = inner.become_member(&founding, node).await {
                tracing::error!(%error, "cannot take part in the cluster");
            }
            return;
        }
        sleep(ROUND).await;
    }
}

fn fresh<N: Network>(inner: &Inner<N>) -> Nonce {
    Nonce((inner.config.random)())
}

pub(super) async fn ask<N: Network>(
    inner: &Inner<N>,
    at: &str,
    question: &Question,
) -> Option<Answer> {
    ask_until(inner, at, question, Instant::now() + ANSWER_MAX).await
}

async fn ask_until<N: Network>(
    inner: &Inner<N>,
    at: &str,
    question: &Question,
    deadline: Instant,
) -> Option<Answer> {
    let to = Address {
        node: NodeId::NOBODY,
        at: at.to_owned(),
    };
    let request = Request {
        group: GroupId::BOOTSTRAP,
        epoch: EPOCH,
        body: encode(question),
    };
    let answer = inner.peers.call(&to, request, deadline);
    match answer.await {
        Ok(answer) => decode(&answer),
        Err(error) => {
            tracing::debug!(at, %error, "no answer");
            None
        }
    }
}

type Answers = BTreeMap<String, Option<Answer>>;

/// Says why there is no cluster yet.
fn tell<N: Network>(inner: &Inner<N>, answers: &Answers) {
    let silent = answers.iter().filter(|(_, answer)| answer.is_none());
    let silent: Vec<&str> = silent.map(|(at, _)| at.as_str()).collect();
    let nobodies = answers.iter().filter_map(|(at, answer)| match answer {
        Some(Answer::Nobody(nobody)) => Some((at, nobody)),
        _ => None,
    });
    let (expect, me) = (inner.config.bootstrap_expect, &inner.config.description);
    for (at, nobody) in nobodies {
        let founder = &nobody.founder;
        if nobody.expect != expect {
            tracing::warn!(
                at,
                theirs = nobody.expect,
                ours = expect,
                "--bootstrap-expect differs: no cluster is founded"
            );
        } else if founder.description.slot == me.slot && founder.nonce != inner.candidate().nonce()
        {
            tracing::warn!(
                at,
                name = me.slot,
                "two nodes have one name: no cluster is founded"
            );
        }
    }
    let heard = answers.len() - silent.len();
    tracing::info!(heard, ?silent, expect, "still looking for the cluster");
}

/// One round.
async fn ask_all<N: Network>(inner: &Inner<N>, heard: impl FnOnce(&Answers)) -> Next {
    let (round, question, others) = {
        let mut candidate = inner.candidate();
        let (round, question) = candidate.begin_round();
        (round, question, candidate.others())
    };
    let mut all: BTreeSet<String> = inner.config.seeds.iter().cloned().collect();
    all.extend(others);
    let asked = all.into_iter().map(|at| {
        let question = &question;
        async move {
            let answer = ask(inner, &at, question).await;
            (at, answer)
        }
    });
    let answers: Answers = join_all(asked).await.into_iter().collect();
    heard(&answers);
    inner.candidate().end_round(round, &answers, fresh(inner))
}

async fn propose<N: Network>(
    inner: &Inner<N>,
    founding: Founding,
    to: Vec<(String, Nonce)>,
) -> Next {
    let cluster = founding.cluster;
    let asked = to.into_iter().map(|(at, nonce)| {
        let founding = founding.clone();
        async move {
            let question = Question::Pledge {
                to: nonce,
                founding,
            };
            (nonce, ask(inner, &at, &question).await)
        }
    });
    let answers = join_all(asked).await;
    let mut candidate = inner.candidate();
    for (nonce, answer) in answers {
        let pledged = match answer {
            Some(Answer::Pledged) => true,
            Some(Answer::Declined) => false,
            // Not heard: asked again.
            _ => continue,
        };
        let next = candidate.pledged(cluster, nonce, pledged, fresh(inner));
        if matches!(next, Next::Member { .. }) {
            return next;
        }
    }
    Next::Ask
}

async fn register<N: Network>(inner: &Inner<N>, mut at: String, mut supersedes: NodeId) -> Next {
    let nonce = inner.candidate().nonce();
    for _ in 0..REGISTER_TRIES {
        let question = Question::Register(Register {
            nonce,
            supersedes,
            description: inner.config.description.clone(),
        });
        match ask(inner, &at, &question).await {
            Some(Answer::Welcome { node, founding }) => {
                return inner.candidate().welcomed(nonce, node, founding);
            }
            Some(Answer::Outdated(occupant)) => supersedes = occupant,
            Some(Answer::Elsewhere(leader)) => at = leader,
            Some(Answer::Full) => {
                tracing::warn!(
                    "the cluster has as many nodes as it can have: see `trandb cluster remove`"
                );
                return Next::Ask;
            }
            Some(Answer::Refused) => {
                tracing::warn!("the cluster does not take a node of this name and these addresses");
                return Next::Ask;
            }
            Some(Answer::Unreachable) => {
                let at = &inner.config.description.at;
                tracing::warn!(
                    at,
                    "the cluster does not reach this node where it says that it is: see \
                     --peer-advertise"
                );
                return Next::Ask;
            }
            _ => return Next::Ask,
        }
    }
    Next::Ask
}

impl<N: Network> Inner<N> {
    pub(super) async fn answer_question(&self, body: &[u8]) -> Result<Bytes, Refusal> {
        let answer = match decode(body).ok_or(Refusal::Unreadable)? {
            Question::Who { slot, doomed, .. } => {
                let tenant = self.tenant_of(&slot);
                self.candidate().who(&slot, doomed, tenant)
            }
            Question::Pledge { to, founding } => self.candidate().pledge(to, founding),
            Question::Register(register) => self.answer_register(register).await,
        };
        Ok(encode(&answer))
    }

    /// Who is there, and who is in this node's slot?
    pub(super) fn who(&self) -> Question {
        Question::Who {
            nonce: self.candidate().nonce(),
            slot: self.config.description.slot.clone(),
            doomed: None,
        }
    }

    fn tenant_of(&self, slot: &str) -> Option<Tenant> {
        let groups = self.groups.get()?;
        groups.map(|map| map.tenant(slot))
    }

    /// Whether who registers is where it says, as seen from here. If nobody could call it, it would
    /// take its predecessor's place and never have a vote.
    async fn reaches(&self, register: &Register) -> bool {
        let at = &register.description.at;
        let answer = ask_until(self, at, &self.who(), Instant::now() + CALL_BACK_MAX).await;
        match answer {
            Some(Answer::Nobody(nobody)) => nobody.founder.nonce == register.nonce,
            Some(Answer::Member { nonce, .. }) => nonce == register.nonce,
            _ => false,
        }
    }

    async fn answer_register(&self, register: Register) -> Answer {
        let Some(groups) = self.groups.get() else {
            return Answer::TryAgain;
        };
        if !self.reaches(&register).await {
            return Answer::Unreachable;
        }
        let deadline = Instant::now() + ANSWER_MAX;
        let registered = groups.system.propose(Command::Register(register), deadline);
        match registered.await {
            Ok(Reply::Registered(node)) => Answer::Welcome {
                node,
                founding: groups.system.read_with(|map| map.founding().clone()),
            },
            Ok(Reply::Outdated(occupant)) => Answer::Outdated(occupant),
            Ok(Reply::Full) => Answer::Full,
            Ok(Reply::Illegal) => Answer::Refused,
            Err(ProposeError::NotLeader {
                leader: Some(leader),
            }) => Answer::Elsewhere(leader.at),
            Ok(Reply::Noted | Reply::Removed | Reply::LastMember) | Err(_) => Answer::TryAgain,
        }
    }
}
