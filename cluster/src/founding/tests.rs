//! Candidates in a network that delays, loses and repeats what they say, and whose lives end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const PLACES: usize = 3;

fn description(place: usize) -> Description {
    let slot = ["a", "b", "c", "d", "e"][place];
    Description {
        slot: slot.to_owned(),
        at: slot.to_owned(),
        client_at: String::new(),
        zone: String::new(),
    }
}

fn charter() -> Charter {
    Charter {
        shards: NonZeroU16::MIN,
        version_epoch: 1,
        replicas: NonZeroU8::MIN,
        outcome_bytes: 1,
    }
}

fn place_at(at: &str) -> usize {
    let mut places = 0..5;
    places
        .find(|place| description(*place).at == at)
        .expect("a place")
}

#[derive(Debug, Clone)]
enum Message {
    Question {
        from: usize,
        /// Of the asker, so that an answer finds its question.
        call: u64,
        question: Question,
    },
    Answer {
        call: u64,
        from: usize,
        answer: Answer,
    },
}

/// What a place waits for.
enum Waiting {
    Nothing,
    Round {
        call: u64,
        round: u64,
        answers: BTreeMap<String, Option<Answer>>,
    },
    Registration {
        call: u64,
        nonce: Nonce,
    },
    Pledges {
        call: u64,
        cluster: ClusterId,
        of: BTreeMap<usize, Nonce>,
    },
}

struct Place {
    /// None: the process has ended.
    candidate: Option<Candidate>,
    waiting: Waiting,
}

/// Time passes by what is delivered; nothing has a clock.
struct World {
    places: Vec<Place>,
    wire: Vec<(usize, Message)>,
    last: u128,
    calls: u64,
    /// Lives that are members, ever, with their clusters.
    members: BTreeMap<Nonce, ClusterId>,
    /// Foundings that somebody has given up who had pledged itself.
    given_up: BTreeSet<ClusterId>,
}

impl World {
    fn new(places: usize) -> Self {
        let mut world = Self {
            places: Vec::new(),
            wire: Vec::new(),
            last: 0,
            calls: 0,
            members: BTreeMap::new(),
            given_up: BTreeSet::new(),
        };
        for place in 0..places {
            world.places.push(Place {
                candidate: None,
                waiting: Waiting::Nothing,
            });
            world.start(place);
        }
        world
    }

    fn fresh(&mut self) -> Nonce {
        self.last += 1;
        // Their order says nothing about their age.
        Nonce(
            self.last
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        )
    }

    fn start(&mut self, place: usize) {
        let nonce = self.fresh();
        let expect = self.places.len().max(PLACES);
        let candidate = Candidate::new(nonce, description(place), expect, charter());
        self.places[place] = Place {
            candidate: Some(candidate),
            waiting: Waiting::Nothing,
        };
    }

    fn end(&mut self, place: usize) {
        self.places[place].candidate = None;
        self.places[place].waiting = Waiting::Nothing;
    }

    /// Asks all again; who has not answered the last time is silent.
    fn round(&mut self, place: usize) {
        if !self.finish(place) {
            self.begin(place);
        }
    }

    /// Ends what the place waits for. Whether it asks for pledges now.
    fn finish(&mut self, place: usize) -> bool {
        let waiting = std::mem::replace(&mut self.places[place].waiting, Waiting::Nothing);
        let fresh = self.fresh();
        match (waiting, &mut self.places[place].candidate) {
            (Waiting::Round { round, answers, .. }, Some(candidate)) => {
                let pledged = candidate.pledged_to();
                let next = candidate.end_round(round, &answers, fresh);
                if candidate.nonce() == fresh {
                    self.given_up.extend(pledged);
                }
                self.act(place, next)
            }
            _ => false,
        }
    }

    fn begin(&mut self, place: usize) {
        self.calls += 1;
        let call = self.calls;
        let all = self.places.len();
        let Some(candidate) = &mut self.places[place].candidate else {
            return;
        };
        let (round, question) = candidate.begin_round();
        for to in 0..all {
            let question = question.clone();
            let from = place;
            let message = Message::Question {
                from,
                call,
                question,
            };
            self.wire.push((to, message));
        }
        let silent = (0..all).map(|to| (description(to).at, None));
        self.places[place].waiting = Waiting::Round {
            call,
            round,
            answers: silent.collect(),
        };
    }

    /// Whether something else goes on than the next round.
    fn act(&mut self, place: usize, next: Next) -> bool {
        match next {
            Next::Ask => false,
            Next::Join { at, .. } => {
                self.calls += 1;
                let call = self.calls;
                let candidate = self.places[place].candidate.as_ref().expect("alive");
                let nonce = candidate.nonce();
                let question = Question::Register(crate::system::Register {
                    nonce,
                    supersedes: NodeId::NOBODY,
                    description: description(place),
                });
                let message = Message::Question {
                    from: place,
                    call,
                    question,
                };
                self.wire.push((place_at(&at), message));
                self.places[place].waiting = Waiting::Registration { call, nonce };
                true
            }
            Next::Member { founding, .. } => {
                let candidate = self.places[place].candidate.as_ref().expect("alive");
                self.members.insert(candidate.nonce(), founding.cluster);
                false
            }
            Next::Propose { founding, to } => {
                self.calls += 1;
                let call = self.calls;
                let mut of = BTreeMap::new();
                for (at, nonce) in to {
                    let other = place_at(&at);
                    of.insert(other, nonce);
                    let question = Question::Pledge {
                        to: nonce,
                        founding: founding.clone(),
                    };
                    let from = place;
                    let message = Message::Question {
                        from,
                        call,
                        question,
                    };
                    self.wire.push((other, message));
                }
                let cluster = founding.cluster;
                self.places[place].waiting = Waiting::Pledges { call, cluster, of };
                true
            }
        }
    }

    fn deliver(&mut self, to: usize, message: Message) {
        match message {
            Message::Question {
                from,
                call,
                question,
            } => {
                let Some(candidate) = &mut self.places[to].candidate else {
                    return;
                };
                let answer = match question {
                    Question::Who { slot, doomed, .. } => candidate.who(&slot, doomed, None),
                    Question::Pledge { to, founding } => candidate.pledge(to, founding),
                    // As if its cluster had always a majority.
                    Question::Register(_) => match candidate.member() {
                        Some((founding, _)) => Answer::Welcome {
                            node: NodeId(100 + u64::try_from(self.last).expect("small")),
                            founding: founding.clone(),
                        },
                        None => Answer::TryAgain,
                    },
                };
                let from_here = to;
                let answer = Message::Answer {
                    call,
                    from: from_here,
                    answer,
                };
                self.wire.push((from, answer));
            }
            Message::Answer { call, from, answer } => self.answered(to, call, from, answer),
        }
    }

    fn answered(&mut self, place: usize, of: u64, from: usize, answer: Answer) {
        let fresh = self.fresh();
        let Place { candidate, waiting } = &mut self.places[place];
        let Some(candidate) = candidate else {
            return;
        };
        match waiting {
            Waiting::Round { call, answers, .. } if *call == of => {
                answers.insert(description(from).at, Some(answer));
                if answers.values().all(Option::is_some) {
                    self.finish(place);
                }
            }
            Waiting::Registration { call, nonce } if *call == of => {
                let Answer::Welcome { node, founding } = answer else {
                    return;
                };
                let next = candidate.welcomed(*nonce, node, founding);
                self.act(place, next);
            }
            Waiting::Pledges {
                call,
                cluster,
                of: nonces,
            } if *call == of => {
                let pledged = answer == Answer::Pledged;
                let (cluster, nonce) = (*cluster, nonces[&from]);
                let next = candidate.pledged(cluster, nonce, pledged, fresh);
                if matches!(next, Next::Member { .. }) {
                    self.places[place].waiting = Waiting::Nothing;
                }
                self.act(place, next);
            }
            _ => {}
        }
    }

    /// The clusters of lives that have not ended.
    fn clusters(&self) -> BTreeSet<ClusterId> {
        let alive = self
            .places
            .iter()
            .filter_map(|place| place.candidate.as_ref());
        let members = alive.filter_map(Candidate::member);
        members.map(|(founding, _)| founding.cluster).collect()
    }

    fn pledges(&self) -> impl Iterator<Item = &Candidate> {
        let alive = self
            .places
            .iter()
            .filter_map(|place| place.candidate.as_ref());
        alive.filter(|candidate| candidate.member().is_none())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let clusters = self.clusters();
        prop_assert!(clusters.len() <= 1, "more than one cluster: {clusters:?}");
        let given_up = self.given_up.intersection(&clusters).next();
        prop_assert_eq!(
            given_up,
            None,
            "somebody had pledged itself to it, and left"
        );
        for candidate in self.pledges() {
            let nonce = candidate.nonce();
            prop_assert!(
                !self.members.contains_key(&nonce),
                "a member is a member for ever"
            );
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// Delivers something that is on the wire.
    Deliver(prop::sample::Index),
    /// Delivers it, and it stays on the wire.
    Repeat(prop::sample::Index),
    Lose(prop::sample::Index),
    /// A place has waited long enough.
    Round(usize),
    Restart(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        60 => any::<prop::sample::Index>().prop_map(Event::Deliver),
        4 => any::<prop::sample::Index>().prop_map(Event::Repeat),
        4 => any::<prop::sample::Index>().prop_map(Event::Lose),
        6 => (0..PLACES).prop_map(Event::Round),
        2 => (0..PLACES).prop_map(Event::Restart),
    ]
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Round(place) => world.round(place),
        Event::Restart(place) => {
            world.end(place);
            world.start(place);
        }
        Event::Deliver(_) | Event::Repeat(_) | Event::Lose(_) if world.wire.is_empty() => {}
        Event::Deliver(index) => {
            let index = index.index(world.wire.len());
            let (to, message) = world.wire.swap_remove(index);
            world.deliver(to, message);
        }
        Event::Repeat(index) => {
            let (to, message) = world.wire[index.index(world.wire.len())].clone();
            world.deliver(to, message);
        }
        Event::Lose(index) => {
            let index = index.index(world.wire.len());
            world.wire.swap_remove(index);
        }
    }
}

/// Nothing is lost any more, and everything comes in its order.
fn make_peace(world: &mut World) {
    for _ in 0..40 {
        for place in 0..world.places.len() {
            world.round(place);
        }
        while !world.wire.is_empty() {
            let (to, message) = world.wire.remove(0);
            world.deliver(to, message);
        }
    }
}

fn is_member(world: &World, place: usize) -> bool {
    let candidate = world.places[place].candidate.as_ref();
    candidate.is_some_and(|candidate| candidate.member().is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever happens.
    #[test]
    fn there_is_never_more_than_one_cluster(events in prop::collection::vec(event(), 0..400)) {
        let mut world = World::new(PLACES);
        for event in events {
            happen(&mut world, event);
            world.check()?;
        }
    }

    /// As long as no life ends that is bound to a founding: else a majority may be gone.
    #[test]
    fn in_peace_a_cluster_is_founded(events in prop::collection::vec(event(), 0..300)) {
        let mut world = World::new(PLACES);
        for event in events {
            if matches!(event, Event::Restart(_)) && !world.members.is_empty() {
                continue;
            }
            happen(&mut world, event);
            world.check()?;
        }
        make_peace(&mut world);
        world.check()?;
        prop_assert_eq!(world.clusters().len(), 1);
        let members = (0..PLACES).filter(|place| is_member(&world, *place));
        prop_assert_eq!(members.count(), PLACES);
    }
}

#[test]
fn without_faults_all_are_founders_of_one_cluster() {
    let mut world = World::new(PLACES);
    make_peace(&mut world);
    let found = |place: usize| {
        let candidate = world.places[place].candidate.as_ref();
        let (founding, node) = candidate.and_then(Candidate::member).expect("a member");
        (founding.cluster, node)
    };
    let cluster = found(0).0;
    assert_eq!(
        (0..3).map(found).collect::<Vec<_>>(),
        [
            (cluster, NodeId(1)),
            (cluster, NodeId(2)),
            (cluster, NodeId(3)),
        ]
    );
}

#[test]
fn one_alone_founds_at_once() {
    let mut one = Candidate::new(Nonce(7), description(0), 1, charter());
    let (round, _) = one.begin_round();
    let next = one.end_round(round, &BTreeMap::new(), Nonce(8));
    assert!(
        matches!(
            next,
            Next::Member {
                node: NodeId(1),
                ..
            }
        ),
        "{next:?}"
    );
}

fn nobody(place: usize, nonce: u128) -> Answer {
    Answer::Nobody(Nobody {
        founder: Founder {
            nonce: Nonce(nonce),
            description: description(place),
        },
        expect: PLACES,
        pledged: None,
    })
}

fn answers(all: [Option<Answer>; PLACES]) -> BTreeMap<String, Option<Answer>> {
    let at = |place| description(place).at;
    all.into_iter()
        .enumerate()
        .map(|(place, answer)| (at(place), answer))
        .collect()
}

/// The first of three, after one round.
fn first_after(all: [Option<Answer>; PLACES]) -> Next {
    let mut first = Candidate::new(Nonce(1), description(0), PLACES, charter());
    let (round, _) = first.begin_round();
    first.end_round(round, &answers(all), Nonce(99))
}

#[test]
fn nobody_founds_while_anybody_is_silent() {
    let next = first_after([Some(nobody(0, 1)), Some(nobody(1, 2)), Some(nobody(2, 3))]);
    assert!(matches!(next, Next::Propose { .. }), "{next:?}");
    assert_eq!(
        first_after([Some(nobody(0, 1)), Some(nobody(1, 2)), None]),
        Next::Ask
    );
    assert_eq!(first_after([Some(nobody(0, 1)), None, None]), Next::Ask);
}

#[test]
fn a_cluster_is_founded_when_the_last_has_pledged() {
    let mut first = Candidate::new(Nonce(1), description(0), PLACES, charter());
    let (round, _) = first.begin_round();
    let all = answers([Some(nobody(0, 1)), Some(nobody(1, 2)), Some(nobody(2, 3))]);
    let Next::Propose { founding, to } = first.end_round(round, &all, Nonce(99)) else {
        panic!("all are here");
    };
    assert_eq!(to.len(), 2);
    let cluster = founding.cluster;
    for _ in 0..2 {
        let next = first.pledged(cluster, Nonce(2), true, Nonce(99));
        assert_eq!(next, Next::Ask, "one is missing");
    }
    let next = first.pledged(cluster, Nonce(3), true, Nonce(99));
    assert!(matches!(next, Next::Member { .. }), "{next:?}");
}

/// There are more seeds than it takes: the third may know a cluster.
#[test]
fn nobody_founds_while_a_seed_is_silent_that_is_not_needed() {
    let of_two = |nonce, place| {
        Answer::Nobody(Nobody {
            founder: Founder {
                nonce: Nonce(nonce),
                description: description(place),
            },
            expect: 2,
            pledged: None,
        })
    };
    let all = answers([Some(of_two(1, 0)), Some(of_two(2, 1)), None]);
    let mut first = Candidate::new(Nonce(1), description(0), 2, charter());
    let (round, _) = first.begin_round();
    assert_eq!(first.end_round(round, &all, Nonce(99)), Next::Ask);
}

#[test]
fn who_finds_a_member_joins_its_cluster() {
    let member = Some(Answer::Member {
        nonce: Nonce(3),
        slot: "c".to_owned(),
        cluster: ClusterId(5),
        occupant: Some(NodeId(4)),
        removed: false,
    });
    let next = first_after([Some(nobody(0, 1)), None, member]);
    let expected = Next::Join {
        at: "c".to_owned(),
        supersedes: NodeId(4),
    };
    assert_eq!(next, expected);
}

#[test]
fn two_places_with_one_name_found_nothing() {
    assert_eq!(
        first_after([Some(nobody(0, 1)), Some(nobody(1, 2)), Some(nobody(1, 3))]),
        Next::Ask
    );
}

#[test]
fn a_life_pledges_itself_once() {
    let founding = |first: u128| {
        let founders = [(0, first), (1, 2), (2, 3)];
        let founder = |(place, nonce)| Founder {
            nonce: Nonce(nonce),
            description: description(place),
        };
        Founding::new(charter(), founders.map(founder).to_vec()).expect("founders")
    };
    let mut second = Candidate::new(Nonce(2), description(1), PLACES, charter());
    assert_eq!(
        second.pledge(Nonce(8), founding(1)),
        Answer::Declined,
        "another life"
    );
    assert_eq!(second.pledge(Nonce(2), founding(1)), Answer::Pledged);
    assert_eq!(
        second.pledge(Nonce(2), founding(1)),
        Answer::Pledged,
        "sent twice"
    );
    assert_eq!(
        second.pledge(Nonce(2), founding(7)),
        Answer::Declined,
        "another founding"
    );
    let welcome = second.welcomed(Nonce(2), NodeId(9), founding(7));
    assert_eq!(welcome, Next::Ask, "nor does it join another cluster");
}

/// The founder has ended, and nobody became a member: the life ends too, and says so first.
#[test]
fn a_founding_whose_founder_has_ended_is_given_up() {
    let mut world = World::new(PLACES);
    for place in 0..PLACES {
        world.round(place);
    }
    // Until everybody has pledged, but the founder has not heard of it.
    loop {
        let pledged = world.wire.iter().position(|(_, message)| {
            matches!(
                message,
                Message::Answer {
                    answer: Answer::Pledged,
                    ..
                }
            )
        });
        if let Some(pledged) = pledged {
            world.wire.remove(pledged);
            break;
        }
        let (to, message) = world.wire.remove(0);
        world.deliver(to, message);
        if world.wire.is_empty() {
            world.round(0);
        }
    }
    world.end(0);
    world.start(0);
    make_peace(&mut world);
    assert_eq!(world.clusters().len(), 1);
    assert!((0..PLACES).all(|place| is_member(&world, place)));
}
