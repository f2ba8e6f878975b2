//! Any bytes on a connection, at any pace: it ends, every answer is well formed, and what was
//! written was answered.

use std::{collections::BTreeSet, num::NonZeroU16, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};
use trandb_server::connection::{Settings, serve_stream};

use super::{BODY_TIMEOUT, CONNECTIONS_MAX, answer::Answer};

/// In the input: what stands before it is sent, and then nothing for [`PAUSE`].
const PAUSE_MARK: u8 = 0xfe;
/// In the input: what stands before it is sent by itself.
const SPLIT_MARK: u8 = 0xfd;
const PAUSE: Duration = Duration::from_secs(7);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const PAUSES_MAX: u32 = 200;

/// Neither mark can stand in the text of a request, so that inputs can be read.
pub fn connection_bytes(data: &[u8]) {
    // Every pause ends a piece, so one piece more than the pauses.
    let pieces = data.split(|byte| *byte == PAUSE_MARK).count();
    if pieces > PAUSES_MAX as usize {
        return;
    }
    super::run(async {
        let app = super::app(NonZeroU16::MIN, 1 << 20);
        let settings = Settings {
            connections_max: CONNECTIONS_MAX,
            header_timeout: HEADER_TIMEOUT,
            write_timeout: HEADER_TIMEOUT,
            drain_delay: Duration::ZERO,
            drain_timeout: HEADER_TIMEOUT,
        };
        // Smaller than most answers, so that some of them wait for the client.
        let (client, server) = tokio::io::duplex(512);
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let write = async {
            for piece in data.split_inclusive(|b| [PAUSE_MARK, SPLIT_MARK].contains(b)) {
                let (mark, bytes) = match piece.split_last() {
                    Some((&mark @ (PAUSE_MARK | SPLIT_MARK), bytes)) => (mark, bytes),
                    _ => (0, piece),
                };
                // The server may have closed already, for good reasons.
                if to_server.write_all(bytes).await.is_err() {
                    return;
                }
                match mark {
                    PAUSE_MARK => tokio::time::sleep(PAUSE).await,
                    _ => tokio::task::yield_now().await,
                }
            }
            let _ = to_server.shutdown().await;
        };
        let mut output = Vec::new();
        let read = from_server.read_to_end(&mut output);
        let begun = Instant::now();
        let serve = serve_stream(server, app.clone(), &settings);
        let (_, read, ()) = tokio::join!(serve, read, write);
        read.expect("the end of a connection is orderly");
        let longest = PAUSE * PAUSES_MAX + BODY_TIMEOUT + HEADER_TIMEOUT;
        assert!(begun.elapsed() < longest, "it is kept open for too long");
        assert_eq!(app.in_flight().bytes(), 0, "nothing is on its way");

        let written = writes_before(&app).await;
        if can_be_read_alone(data) {
            let answers = answers(&output);
            let done = answers.iter().filter(|status| [200, 204].contains(*status));
            assert!(
                written <= done.count() as u64,
                "{written} writes were done, and only {answers:?} answered"
            );
        }
    });
}

/// How many writes there were before this one, which the version tells.
async fn writes_before(app: &trandb_server::App<trandb_server::Local>) -> u64 {
    let mut request = Request::new(Full::new(Bytes::from_static(b"value")));
    *request.method_mut() = Method::PUT;
    *request.uri_mut() = http::Uri::from_static("/keys/afterwards");
    let answer = Answer::of(&Method::PUT, app.handle(request).await).await;
    assert_eq!(
        answer.status, 200,
        "the server goes on to serve: {answer:?}"
    );
    answer.version().expect("a version").counter - 1
}

/// The statuses of all answers, in their order. The last one may be cut off only if it is that of
/// a value.
fn answers(mut output: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !output.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut fields);
        let length = match head.parse(output) {
            Ok(httparse::Status::Complete(length)) => length,
            other => panic!("{other:?}: {}", output.escape_ascii()),
        };
        let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.expect("a status");
        let headers: HeaderMap = head.headers.iter().map(field).collect();
        output = &output[length..];
        let bodiless = status.is_informational() || [204, 304].contains(&status.as_u16());
        let body_length = if bodiless { 0 } else { body_length(&headers) };
        let (body, rest) = output.split_at_checked(body_length).expect("a whole body");
        output = rest;
        if is_of_the_http_library(status, &headers) {
            assert!(output.is_empty(), "nothing follows what was not HTTP");
        } else if !status.is_informational() {
            Answer::checked(&Method::GET, status, headers, Bytes::copy_from_slice(body));
        }
        statuses.push(status.as_u16());
    }
    statuses
}

/// What is no request at all is refused below us, without a word and for good.
fn is_of_the_http_library(status: StatusCode, headers: &HeaderMap) -> bool {
    let known = BTreeSet::from([400, 414, 431]);
    known.contains(&status.as_u16()) && !headers.contains_key(header::CONTENT_TYPE)
}

fn field(field: &httparse::Header<'_>) -> (HeaderName, HeaderValue) {
    let name = field.name.parse().expect("a name");
    (name, HeaderValue::from_bytes(field.value).expect("a value"))
}

fn body_length(headers: &HeaderMap) -> usize {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .expect("every answer says its length");
    length
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

/// Whether the answers to this input can be told apart without the requests.
fn can_be_read_alone(data: &[u8]) -> bool {
    let is_mark = |byte: &u8| [PAUSE_MARK, SPLIT_MARK].contains(byte);
    let sent: Vec<u8> = data.iter().copied().filter(|byte| !is_mark(byte)).collect();
    let contains = |word: &[u8]| {
        let mut windows = sent.windows(word.len());
        windows.any(|window| window.eq_ignore_ascii_case(word))
    };
    // An answer to HEAD looks as if its body had been forgotten.
    !contains(b"HEAD")
}
