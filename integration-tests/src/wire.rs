//! Requests and answers byte by byte.
//!
//! Not an HTTP client: it sends exactly the bytes it is given, legal or not, and hides nothing of
//! what comes back. It reads HTTP/1.1 answers that have a length, since TranDB sends no others.

use std::{io, net::SocketAddr, str};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use trandb_common::Problem;

use crate::PATIENCE;

/// A request to be sent, with what the transcripts say about it.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be seen, for transcripts and failures.
    pub about: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path and query as they stand in the first line.
    pub target: String,
    /// Beside `host` and what frames the body.
    pub headers: Vec<(&'static str, String)>,
    /// What follows.
    pub body: Body,
}

/// What follows the head of a request.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing, and no header that says so.
    None,
    /// Bytes of a known length.
    Sized(Vec<u8>),
    /// Pieces, without a length in advance.
    Chunked(Vec<Vec<u8>>),
    /// These bytes, which the headers of the request itself frame. Over sockets only.
    Verbatim(Vec<u8>),
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            about: "",
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Body::None,
        }
    }

    /// A GET.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// A HEAD.
    pub fn head(target: impl Into<String>) -> Self {
        Self::new("HEAD", target)
    }

    /// A PUT of bytes with a known length.
    pub fn put(target: impl Into<String>, body: impl AsRef<[u8]>) -> Self {
        Self::new("PUT", target).body(Body::Sized(body.as_ref().to_vec()))
    }

    /// A POST with a body of this many bytes.
    pub fn post(target: impl Into<String>, body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", target).body(Body::Sized(body.as_ref().to_vec()))
    }

    /// A DELETE.
    pub fn delete(target: impl Into<String>) -> Self {
        Self::new("DELETE", target)
    }

    /// Says what is to be seen.
    #[must_use]
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// The head alone, as it goes over the wire, its framing headers included.
    pub fn head_to_wire(&self) -> Vec<u8> {
        let mut lines = vec![
            format!("{} {} HTTP/1.1", self.method, self.target),
            "host: trandb".to_owned(),
        ];
        lines.extend(
            self.headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        match &self.body {
            Body::None | Body::Verbatim(_) => {}
            Body::Sized(bytes) => lines.push(format!("content-length: {}", bytes.len())),
            Body::Chunked(_) => lines.push("transfer-encoding: chunked".to_owned()),
        }
        (lines.join("\r\n") + "\r\n\r\n").into_bytes()
    }

    /// The whole request as it goes over the wire.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut bytes = self.head_to_wire();
        match &self.body {
            Body::None => {}
            Body::Sized(body) | Body::Verbatim(body) => bytes.extend_from_slice(body),
            Body::Chunked(pieces) => {
                for piece in pieces {
                    bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    bytes.extend_from_slice(piece);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header that stands there once. Fails when it stands there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice: {self:?}");
        value
    }

    /// The version in `ETag`, which must be a strong one.
    pub fn version(&self) -> String {
        let tag = self
            .header("etag")
            .unwrap_or_else(|| panic!("no ETag: {self:?}"));
        let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        version
            .unwrap_or_else(|| panic!("not a strong tag: {tag}"))
            .to_owned()
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body of an error. Fails when the answer is anything else.
    pub fn problem(&self) -> Problem {
        let content_type = self.header("content-type");
        assert_eq!(content_type, Some("application/problem+json"), "{self:?}");
        let problem: Problem = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        assert_eq!(problem.status, self.status, "{self:?}");
        problem
    }

    /// Fails unless this is the error of that status and code.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.problem().code, code, "{}", self.text());
    }

    /// Fails unless the answer has this status.
    #[track_caller]
    pub fn assert_status(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
    }
}

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What has come and was not asked for yet.
    unread: Vec<u8>,
    /// What was asked last, for messages.
    asked: String,
}

impl Connection {
    /// Connects. Small requests are sent at once.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address))
            .await
            .expect("a connection in time")
            .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        stream.set_nodelay(true).expect("an open socket");
        Self {
            stream,
            unread: Vec::new(),
            asked: String::new(),
        }
    }

    /// Sends bytes. Fails when the server has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the server takes bytes");
    }

    /// Sends bytes to a server that may close the connection meanwhile.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap_or_else(|_| panic!("nothing is taken for {PATIENCE:?}"))
    }

    /// Says that nothing more will be sent.
    pub async fn finish_sending(&mut self) {
        self.stream.shutdown().await.expect("an open socket");
    }

    /// The next answer, to anything but HEAD.
    pub async fn answer(&mut self) -> Answer {
        self.expect_answer(false).await
    }

    /// The next answer, to HEAD: it has no body whatever its headers say.
    pub async fn answer_to_head(&mut self) -> Answer {
        self.expect_answer(true).await
    }

    async fn expect_answer(&mut self, to_head: bool) -> Answer {
        match self.try_answer(to_head).await {
            Ok(Some(answer)) => answer,
            Ok(None) => panic!("closed without an answer{}", self.asked),
            Err(error) => panic!("no whole answer{}: {error}", self.asked),
        }
    }

    /// The next answer; none when the connection is closed in good order before it.
    pub async fn try_answer(&mut self, to_head: bool) -> io::Result<Option<Answer>> {
        loop {
            if let Some((answer, bytes)) = parse(&self.unread, to_head)? {
                self.unread.drain(..bytes);
                return Ok(Some(answer));
            }
            if self.fill().await? == 0 {
                let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "half an answer");
                return if self.unread.is_empty() {
                    Ok(None)
                } else {
                    Err(broken())
                };
            }
        }
    }

    /// Waits until the server closes the connection, and fails if it sends anything before that.
    pub async fn closed(&mut self) {
        // A reset is an end, too: the server may close before it has read everything.
        while matches!(self.fill().await, Ok(1..)) {}
        let unread = String::from_utf8_lossy(&self.unread);
        assert!(unread.is_empty(), "closed only after {unread:?}");
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&mut self, request: &Request) -> Answer {
        let Request {
            method,
            target,
            about,
            ..
        } = request;
        self.asked = format!(" to {method} {target} ({about})");
        self.send(request.to_wire()).await;
        self.expect_answer(*method == "HEAD").await
    }

    /// Reads more, and says how much. Silence is no end of a connection: it fails the test.
    async fn fill(&mut self) -> io::Result<usize> {
        self.unread.reserve(64 * 1024);
        timeout(PATIENCE, self.stream.read_buf(&mut self.unread))
            .await
            .unwrap_or_else(|_| panic!("silence for {PATIENCE:?}{}", self.asked))
    }
}

/// Sends one request over a connection of its own.
pub async fn ask(address: SocketAddr, request: &Request) -> Answer {
    Connection::open(address).await.ask(request).await
}

/// The first answer in `bytes` and its length, if it is there whole.
fn parse(bytes: &[u8], to_head: bool) -> io::Result<Option<(Answer, usize)>> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let parsed = head
        .parse(bytes)
        .map_err(|error| invalid(error.to_string()))?;
    let httparse::Status::Complete(head_bytes) = parsed else {
        return Ok(None);
    };
    let mut answer = Answer {
        status: head.code.unwrap_or_default(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    for header in head.headers.iter() {
        let value = str::from_utf8(header.value).map_err(|error| invalid(error.to_string()))?;
        answer
            .headers
            .push((header.name.to_ascii_lowercase(), value.to_owned()));
    }
    let body_bytes = if to_head || matches!(answer.status, 100..=199 | 204 | 304) {
        0
    } else {
        let length = answer
            .header("content-length")
            .and_then(|length| length.parse().ok());
        length.ok_or_else(|| invalid(format!("an answer without a length: {answer:?}")))?
    };
    let Some(body) = bytes.get(head_bytes..head_bytes + body_bytes) else {
        return Ok(None);
    };
    answer.body = body.to_vec();
    Ok(Some((answer, head_bytes + body_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_it_is_whole_and_not_before() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"e1-2\"\r\n\r\noneHTTP/1.1 ";
        let whole = bytes.len() - "HTTP/1.1 ".len();
        for cut in 0..whole {
            assert!(
                parse(&bytes[..cut], false).expect("legal").is_none(),
                "{cut}"
            );
        }
        let (answer, used) = parse(bytes, false).expect("legal").expect("whole");
        assert_eq!(
            (answer.status, answer.text().as_str(), used),
            (200, "one", whole)
        );
        assert_eq!(answer.version(), "e1-2");
    }

    #[test]
    fn answers_without_a_body_end_with_their_head() {
        let bytes = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(
            parse(bytes, false).expect("legal").expect("whole").1,
            bytes.len()
        );
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
        assert!(parse(bytes, false).expect("legal").is_none());
        assert_eq!(
            parse(bytes, true).expect("legal").expect("whole").1,
            bytes.len()
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(parse(b"SSH-2.0\r\n\r\n", false).is_err());
        assert!(
            parse(b"HTTP/1.1 200 OK\r\n\r\n", false).is_err(),
            "no length"
        );
    }
}
