//! One node on its way into a cluster. The rules, and why they suffice, stand above.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    identity::{ClusterId, NodeId},
    system::{Description, Tenant},
};

use super::{Answer, Charter, Founder, Founding, Nobody, Nonce, Question};

/// What a life has bound itself to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    /// Nothing.
    Free,
    /// A founding; at its founder, with who has pledged so far.
    Pledged {
        founding: Founding,
        pledges: BTreeSet<Nonce>,
        /// Its founder is known to have ended.
        doomed: bool,
    },
    /// A cluster, for ever.
    Member { founding: Founding, node: NodeId },
}

/// What is to be done after a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask all again, after a while.
    Ask,
    /// Ask these for their pledges.
    Propose {
        /// The founding.
        founding: Founding,
        /// Whom: where, and which life.
        to: Vec<(String, Nonce)>,
    },
    /// Ask this seed to be registered.
    Join {
        /// The seed.
        at: String,
        /// Who is in this node's slot.
        supersedes: NodeId,
    },
    /// This node is a member now.
    Member {
        /// How the cluster began.
        founding: Founding,
        /// Who this node is.
        node: NodeId,
    },
}

/// A node that is to become a member of a cluster.
#[derive(Debug, Clone)]
pub struct Candidate {
    me: Founder,
    expect: usize,
    charter: Charter,
    bound: Bound,
    /// Grows whenever answers to earlier questions must not count any more.
    round: u64,
}

impl Candidate {
    /// A node that begins its life as `nonce`, and founds with `expect` nodes, itself included. If
    /// it is the one who founds, the cluster has this charter.
    pub fn new(nonce: Nonce, description: Description, expect: usize, charter: Charter) -> Self {
        Self {
            me: Founder { nonce, description },
            expect,
            charter,
            bound: Bound::Free,
            round: 0,
        }
    }

    /// Which life it is now.
    pub fn nonce(&self) -> Nonce {
        self.me.nonce
    }

    /// Which node of which cluster it is, if it is one.
    pub fn member(&self) -> Option<(&Founding, NodeId)> {
        match &self.bound {
            Bound::Member { founding, node } => Some((founding, *node)),
            _ => None,
        }
    }

    /// The founding that it has pledged itself to.
    #[cfg(test)]
    pub(super) fn pledged_to(&self) -> Option<ClusterId> {
        match &self.bound {
            Bound::Pledged { founding, .. } => Some(founding.cluster),
            _ => None,
        }
    }

    /// The addresses that a round asks beside the seeds.
    pub fn others(&self) -> Vec<String> {
        match &self.bound {
            Bound::Pledged { founding, .. } => founding
                .founders
                .iter()
                .filter(|founder| founder.nonce != self.me.nonce)
                .map(|founder| founder.description.at.clone())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Begins a round: its number, and what to ask everybody.
    pub fn begin_round(&mut self) -> (u64, Question) {
        self.round += 1;
        let doomed = match &self.bound {
            Bound::Pledged {
                founding, doomed, ..
            } if *doomed => Some(founding.cluster),
            _ => None,
        };
        let question = Question::Who {
            nonce: self.me.nonce,
            slot: self.me.description.slot.clone(),
            doomed,
        };
        (self.round, question)
    }

    /// Answers `Who`, asked by who is in `slot`, of which `tenant` is known.
    pub fn who(&mut self, slot: &str, doomed: Option<ClusterId>, tenant: Option<Tenant>) -> Answer {
        let pledged = match &self.bound {
            Bound::Member { founding, .. } => {
                return Answer::Member {
                    nonce: self.me.nonce,
                    slot: self.me.description.slot.clone(),
                    cluster: founding.cluster,
                    occupant: tenant.map(|tenant| tenant.node),
                    removed: tenant.is_some_and(|tenant| tenant.removed),
                };
            }
            Bound::Pledged { founding, .. } => Some(founding.cluster),
            Bound::Free => None,
        };
        // In the order of names: else all would throw away each other's rounds for ever.
        if pledged.is_some() && pledged == doomed && slot < self.me.description.slot.as_str() {
            self.round += 1;
        }
        Answer::Nobody(Nobody {
            founder: self.me.clone(),
            expect: self.expect,
            pledged,
        })
    }

    /// Answers `Pledge`.
    pub fn pledge(&mut self, to: Nonce, founding: Founding) -> Answer {
        if to != self.me.nonce {
            return Answer::Declined;
        }
        match &self.bound {
            Bound::Free => {
                let names_me = founding.founders.contains(&self.me);
                if !names_me || founding.founders.len() != self.expect {
                    return Answer::Declined;
                }
                self.round += 1;
                self.bound = Bound::Pledged {
                    founding,
                    pledges: BTreeSet::new(),
                    doomed: false,
                };
                Answer::Pledged
            }
            Bound::Pledged { founding: mine, .. } | Bound::Member { founding: mine, .. } => {
                if *mine == founding {
                    Answer::Pledged
                } else {
                    Answer::Declined
                }
            }
        }
    }

    /// What the answer to a `Register` of the life `nonce` makes of this one.
    pub fn welcomed(&mut self, nonce: Nonce, node: NodeId, founding: Founding) -> Next {
        if nonce != self.me.nonce || self.bound != Bound::Free {
            return Next::Ask;
        }
        self.become_member(founding, node)
    }

    /// What the answer to a `Pledge` makes of the founding; at its founder.
    pub fn pledged(&mut self, cluster: ClusterId, by: Nonce, answer: bool, fresh: Nonce) -> Next {
        let Bound::Pledged {
            founding, pledges, ..
        } = &mut self.bound
        else {
            return Next::Ask;
        };
        if founding.cluster != cluster || cluster != ClusterId(self.me.nonce.0) {
            return Next::Ask;
        }
        if !answer {
            self.give_up(fresh);
            return Next::Ask;
        }
        pledges.insert(by);
        let all = founding.founders.iter();
        if all
            .map(|founder| founder.nonce)
            .all(|nonce| pledges.contains(&nonce))
        {
            let (founding, node) = (founding.clone(), NodeId(1));
            return self.become_member(founding, node);
        }
        Next::Ask
    }

    /// Ends a round with what the seeds answered; none for who was silent. `fresh` is the nonce of
    /// the next life, should this one end.
    pub fn end_round(
        &mut self,
        round: u64,
        answers: &BTreeMap<String, Option<Answer>>,
        fresh: Nonce,
    ) -> Next {
        if round != self.round {
            return Next::Ask;
        }
        match &self.bound {
            Bound::Free => self.end_free(answers),
            Bound::Pledged { .. } => self.end_pledged(answers, fresh),
            Bound::Member { .. } => Next::Ask,
        }
    }

    fn end_free(&mut self, answers: &BTreeMap<String, Option<Answer>>) -> Next {
        let member = answers.iter().find_map(|(at, answer)| match answer {
            Some(Answer::Member { occupant, .. }) => Some((at, *occupant)),
            _ => None,
        });
        if let Some((at, occupant)) = member {
            return Next::Join {
                at: at.clone(),
                supersedes: occupant.unwrap_or(NodeId::NOBODY),
            };
        }
        // One of the seeds may be this node.
        let mut here = BTreeMap::from([(self.me.nonce, &self.me)]);
        for answer in answers.values() {
            let Some(Answer::Nobody(nobody)) = answer else {
                return Next::Ask;
            };
            if nobody.pledged.is_some() || nobody.expect != self.expect {
                return Next::Ask;
            }
            here.insert(nobody.founder.nonce, &nobody.founder);
        }
        match self.founding_of(&here) {
            Some(founding) => self.found(&founding),
            None => Next::Ask,
        }
    }

    /// The founding by all that are `here`, if these are all and this node is the one who founds.
    fn founding_of(&self, here: &BTreeMap<Nonce, &Founder>) -> Option<Founding> {
        let slots = here.values().map(|founder| &founder.description.slot);
        let slots: BTreeSet<&String> = slots.collect();
        if here.len() != self.expect || slots.len() != here.len() {
            return None;
        }
        let founders = here.values().map(|founder| (*founder).clone()).collect();
        let founding = Founding::new(self.charter, founders)?;
        founding.is_founded_by(&self.me).then_some(founding)
    }

    fn found(&mut self, founding: &Founding) -> Next {
        self.round += 1;
        self.bound = Bound::Pledged {
            founding: founding.clone(),
            pledges: [self.me.nonce].into(),
            doomed: false,
        };
        self.propose_again(founding)
    }

    /// To all that have not pledged themselves yet; to nobody means that the cluster is founded.
    fn propose_again(&mut self, founding: &Founding) -> Next {
        let Bound::Pledged { pledges, .. } = &self.bound else {
            return Next::Ask;
        };
        let to: Vec<(String, Nonce)> = founding
            .founders
            .iter()
            .filter(|founder| !pledges.contains(&founder.nonce))
            .map(|founder| (founder.description.at.clone(), founder.nonce))
            .collect();
        if to.is_empty() {
            return self.become_member(founding.clone(), NodeId(1));
        }
        Next::Propose {
            founding: founding.clone(),
            to,
        }
    }

    fn end_pledged(&mut self, answers: &BTreeMap<String, Option<Answer>>, fresh: Nonce) -> Next {
        let Bound::Pledged {
            founding, doomed, ..
        } = &mut self.bound
        else {
            return Next::Ask;
        };
        let founding = founding.clone();
        let founds = founding.is_founded_by(&self.me);
        let seen = Seen::of(&founding, answers);
        if seen.is_founded {
            // The founder hears this of nobody before it is one itself.
            return match founding.number(self.me.nonce) {
                Some(node) => self.become_member(founding, node),
                None => Next::Ask,
            };
        }
        if founds {
            if seen.ended.is_empty() {
                return self.propose_again(&founding);
            }
            self.give_up(fresh);
            return Next::Ask;
        }
        let first_ended = founding
            .first()
            .is_some_and(|first| seen.ended.contains(&first.nonce));
        let my_slot = &self.me.description.slot;
        let all_heard = founding.founders.iter().all(|founder| {
            let nonce = founder.nonce;
            let waits = seen.pledged.contains(&nonce) && founder.description.slot >= *my_slot;
            seen.ended.contains(&nonce) || seen.free.contains(&nonce) || waits
        });
        if *doomed && all_heard {
            self.give_up(fresh);
        } else if first_ended {
            *doomed = true;
        }
        Next::Ask
    }

    /// A new life, which owes nothing to anybody.
    fn give_up(&mut self, fresh: Nonce) {
        self.me.nonce = fresh;
        self.bound = Bound::Free;
        self.round += 1;
    }

    fn become_member(&mut self, founding: Founding, node: NodeId) -> Next {
        self.round += 1;
        self.bound = Bound::Member {
            founding: founding.clone(),
            node,
        };
        Next::Member { founding, node }
    }
}

/// What a round tells about the founders of a founding.
#[derive(Default)]
struct Seen {
    /// Somebody is a member of its cluster.
    is_founded: bool,
    /// Lives that are members of any cluster.
    members: BTreeSet<Nonce>,
    /// Lives that have ended.
    ended: BTreeSet<Nonce>,
    /// Lives that are no members and not pledged to it.
    free: BTreeSet<Nonce>,
    /// Lives that are pledged to it.
    pledged: BTreeSet<Nonce>,
}

impl Seen {
    fn of(founding: &Founding, answers: &BTreeMap<String, Option<Answer>>) -> Self {
        let mut seen = Self::default();
        for answer in answers.values().flatten() {
            let (nonce, slot, lives) = match answer {
                Answer::Nobody(Nobody {
                    founder, pledged, ..
                }) => {
                    let is_pledged = *pledged == Some(founding.cluster);
                    let lives = if is_pledged {
                        &mut seen.pledged
                    } else {
                        &mut seen.free
                    };
                    (founder.nonce, &founder.description.slot, lives)
                }
                Answer::Member {
                    nonce,
                    slot,
                    cluster,
                    ..
                } => {
                    seen.is_founded |= *cluster == founding.cluster;
                    (*nonce, slot, &mut seen.members)
                }
                _ => continue,
            };
            let Some(founder) = founding.of_slot(slot) else {
                continue;
            };
            if founder.nonce == nonce {
                lives.insert(nonce);
            } else {
                seen.ended.insert(founder.nonce);
            }
        }
        seen
    }
}
