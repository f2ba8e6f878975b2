//! Versions as entity tags: `If-Match` and `If-None-Match` of any bytes, against an evaluator that
//! works on split texts.

use std::num::NonZeroU16;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use trandb_common::Version;
use trandb_server::{App, Local};

use super::{EPOCH, answer::Answer};

const STEPS_MAX: usize = 12;

#[derive(Debug, Arbitrary)]
struct Step<'a> {
    verb: Verb,
    if_match: Vec<Line<'a>>,
    if_none_match: Vec<Line<'a>>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Verb {
    Get,
    Head,
    Put,
    Delete,
}

/// One header line.
type Line<'a> = Vec<Part<'a>>;

#[derive(Debug, Arbitrary)]
enum Part<'a> {
    /// The key's version now, in quotes; of an absent key the one before.
    Current,
    /// The version that the key had some writes ago, in quotes.
    Earlier(u8),
    /// The counter of now in another epoch.
    OtherEpoch,
    Weak,
    Star,
    Comma,
    Space,
    Quote,
    Raw(&'a [u8]),
}

impl Part<'_> {
    fn bytes(&self, counter: u64) -> Vec<u8> {
        let tag = |epoch: u64, counter: u64| format!("\"e{epoch:x}-{counter:x}\"").into_bytes();
        match self {
            Self::Current => tag(EPOCH, counter),
            Self::Earlier(writes) => tag(EPOCH, counter.saturating_sub(u64::from(*writes))),
            Self::OtherEpoch => tag(EPOCH + 1, counter),
            Self::Weak => b"W/".to_vec(),
            Self::Star => b"*".to_vec(),
            Self::Comma => b",".to_vec(),
            Self::Space => b" ".to_vec(),
            Self::Quote => b"\"".to_vec(),
            Self::Raw(bytes) => bytes.to_vec(),
        }
    }
}

/// A few requests on one key, with preconditions of any bytes.
pub fn version_and_etag(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        only_the_canonical_text_is_a_version(text);
    }
    let Ok(steps) = Vec::<Step<'_>>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    super::run(async {
        let mut run = Run {
            app: super::app(NonZeroU16::MIN, 1 << 20),
            counter: 0,
            present: false,
        };
        for step in steps.iter().take(STEPS_MAX) {
            run.step(step).await;
        }
    });
}

fn only_the_canonical_text_is_a_version(text: &str) {
    if let Ok(version) = text.parse::<Version>() {
        assert_eq!(version.to_string(), text);
    }
    let number = |text| u64::from_str_radix(text, 16).ok();
    let written = text.split_once('-').and_then(|(epoch, counter)| {
        let version = Version {
            epoch: number(epoch.get(1..)?)?,
            counter: number(counter)?,
        };
        Some(version).filter(|version| version.to_string() == text)
    });
    assert_eq!(text.parse().ok(), written);
}

/// A server and what is known of its one key.
struct Run {
    app: App<Local>,
    /// Of the key's last write: there is one shard, and nothing else is in it.
    counter: u64,
    present: bool,
}

impl Run {
    async fn step(&mut self, step: &Step<'_>) {
        let lines = |lines: &[Line<'_>]| -> Option<Vec<HeaderValue>> {
            let line = |parts: &Line<'_>| {
                let bytes: Vec<u8> = parts.iter().flat_map(|p| p.bytes(self.counter)).collect();
                HeaderValue::from_bytes(&bytes).ok()
            };
            lines.iter().map(line).collect()
        };
        // What is not a header at all never gets as far as this.
        let (Some(if_match), Some(if_none_match)) =
            (lines(&step.if_match), lines(&step.if_none_match))
        else {
            return;
        };
        let expected = self.expected(step.verb, &if_match, &if_none_match);
        let answer = self.send(step.verb, if_match, if_none_match).await;
        let context = format!("{step:?} at version {:x}: {answer:?}", self.counter);
        assert_eq!(answer.status, expected, "{context}");
        match answer.status {
            200 | 304 => {}
            204 => assert_eq!(answer.version(), None),
            412 => assert_eq!(answer.version(), self.current(), "{context}"),
            _ => assert!(
                matches!(
                    answer.code(),
                    None | Some("invalid_header" | "key_not_found")
                ),
                "{context}"
            ),
        }
        match (step.verb, answer.status) {
            (Verb::Put, 200) => (self.counter, self.present) = (self.counter + 1, true),
            (Verb::Delete, 204) => {
                self.counter += u64::from(self.present);
                self.present = false;
            }
            _ => {}
        }
        if matches!(answer.status, 200 | 304) {
            assert_eq!(answer.version(), self.current(), "{context}");
        }
    }

    async fn send(
        &self,
        verb: Verb,
        if_match: Vec<HeaderValue>,
        if_none_match: Vec<HeaderValue>,
    ) -> Answer {
        let method = match verb {
            Verb::Get => Method::GET,
            Verb::Head => Method::HEAD,
            Verb::Put => Method::PUT,
            Verb::Delete => Method::DELETE,
        };
        let mut request = Request::new(Full::new(Bytes::from_static(b"value")));
        *request.method_mut() = method.clone();
        *request.uri_mut() = http::Uri::from_static("/keys/k");
        let mut append = |name: HeaderName, values: Vec<HeaderValue>| {
            for value in values {
                request.headers_mut().append(&name, value);
            }
        };
        append(header::IF_MATCH, if_match);
        append(header::IF_NONE_MATCH, if_none_match);
        Answer::of(&method, self.app.handle(request).await).await
    }

    fn current(&self) -> Option<Version> {
        self.present.then_some(Version {
            epoch: EPOCH,
            counter: self.counter,
        })
    }

    /// The status by RFC 9110, section 13, and the contract.
    fn expected(&self, verb: Verb, if_match: &[HeaderValue], if_none_match: &[HeaderValue]) -> u16 {
        let (Ok(wanted), Ok(known)) = (tags(if_match), tags(if_none_match)) else {
            return 400;
        };
        let current = self.current().map(|version| format!("\"{version}\""));
        let is_wanted = wanted.is_none_or(|tags| {
            current
                .as_ref()
                .is_some_and(|tag| tags.any || tags.texts.contains(tag))
        });
        let is_known = known.is_some_and(|tags| {
            current.as_ref().is_some_and(|tag| {
                tags.any || tags.texts.contains(tag) || tags.texts.contains(&format!("W/{tag}"))
            })
        });
        match (verb, is_wanted, is_known) {
            (Verb::Get | Verb::Head, _, _) if current.is_none() => 404,
            (_, false, _) | (Verb::Put | Verb::Delete, _, true) => 412,
            (Verb::Get | Verb::Head, true, true) => 304,
            (Verb::Get | Verb::Head | Verb::Put, true, false) => 200,
            (Verb::Delete, true, false) => 204,
        }
    }
}

/// What a header names: `*`, or the texts of tags with their quotes and `W/`.
#[derive(Debug, Default)]
struct Named {
    any: bool,
    texts: Vec<String>,
}

/// None without the header.
fn tags(lines: &[HeaderValue]) -> Result<Option<Named>, ()> {
    let mut named = Named::default();
    for line in lines {
        let line = std::str::from_utf8(line.as_bytes()).map_err(|_| ())?;
        let elements = elements(line);
        match &elements[..] {
            [] => return Err(()),
            [star] if star == "*" => {
                if lines.len() > 1 {
                    return Err(());
                }
                named.any = true;
            }
            tags if tags.iter().all(|tag| is_tag(tag)) => named.texts.extend(elements),
            _ => return Err(()),
        }
        // A star stands alone: commas beside it make it a list, which has none.
        if named.any && line.contains(',') {
            return Err(());
        }
    }
    Ok((!lines.is_empty()).then_some(named))
}

/// The elements of a list that are not empty, split at the commas outside of quotes.
fn elements(line: &str) -> Vec<String> {
    let mut elements = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        quoted ^= character == '"';
        match elements.last_mut() {
            Some(last) if quoted || character != ',' => last.push(character),
            _ => elements.push(String::new()),
        }
    }
    let trimmed = elements
        .iter()
        .map(|e| e.trim_matches([' ', '\t']).to_owned());
    trimmed.filter(|element| !element.is_empty()).collect()
}

fn is_tag(element: &str) -> bool {
    let quoted = element.strip_prefix("W/").unwrap_or(element);
    quoted.len() >= 2
        && quoted.starts_with('"')
        && quoted.ends_with('"')
        && quoted.matches('"').count() == 2
        && quoted.bytes().all(|b| b > 0x20 && b != 0x7f)
}
