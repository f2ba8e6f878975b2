//! The formats in which histories are recorded, and how one is told from another.

use std::{fmt, str::FromStr};

/// How a history is written down. `docs/histories.md` describes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Our own: JSON objects, one a line.
    JsonLines,
    /// Jepsen's maps as JSON, in one array.
    Json,
    /// Jepsen's maps as EDN, one after another or in one vector or list.
    Edn,
    /// Lines of Jepsen's log.
    Log,
    /// EDN maps with a `:key` each, as Porcupine tests its key-value store with.
    Porcupine,
    /// JSON objects `{session, txn, ops}`, one a line: committed transactions without times.
    Sessions,
}

impl Format {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::JsonLines,
        Self::Json,
        Self::Edn,
        Self::Log,
        Self::Porcupine,
        Self::Sessions,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Json => "json",
            Self::Edn => "edn",
            Self::Log => "log",
            Self::Porcupine => "porcupine",
            Self::Sessions => "sessions",
        }
    }

    /// Whether its recorders may let a process go on after an `info`. Ours takes a new number.
    pub fn lets_processes_come_back(self) -> bool {
        self != Self::JsonLines
    }

    /// What a history that begins with `start` is written in, or nothing if that does not say.
    /// `start` holds at least the first event's line, or everything.
    pub(crate) fn detect(start: &[u8]) -> Option<Self> {
        let start = skip_blank(start);
        let line = start
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        match start.first()? {
            b'{' => match skip_blank(&start[1..]).first()? {
                b'"' if contains(line, b"\"session\"") => Some(Self::Sessions),
                b'"' => Some(Self::JsonLines),
                _ if contains(line, b":key ") => Some(Self::Porcupine),
                _ => Some(Self::Edn),
            },
            b'[' => match skip_blank(&start[1..]).first() {
                Some(b'{')
                    if skip_blank(skip_blank(&start[1..]).get(1..)?).first() == Some(&b'"') =>
                {
                    Some(Self::Json)
                }
                _ => Some(Self::Edn),
            },
            b'(' | b'#' => Some(Self::Edn),
            _ if contains(line, b" - ") => Some(Self::Log),
            _ => None,
        }
    }
}

/// Without leading blanks, and without the comments that EDN may begin with.
fn skip_blank(mut bytes: &[u8]) -> &[u8] {
    loop {
        match bytes.first() {
            Some(b';') => {
                let end = bytes
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .unwrap_or(bytes.len());
                bytes = &bytes[end..];
            }
            Some(byte) if byte.is_ascii_whitespace() => bytes = &bytes[1..],
            _ => return bytes,
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| format!("no format is called `{name}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_told_from_the_first_event() {
        let cases: [(&str, Option<Format>); 14] = [
            ("{\"index\":0,\"process\":1}\n", Some(Format::JsonLines)),
            ("\n { \"process\":1}\n", Some(Format::JsonLines)),
            (
                "{\"session\":0,\"txn\":0,\"ops\":[]}\n",
                Some(Format::Sessions),
            ),
            ("[{\"process\":1}]", Some(Format::Json)),
            ("[\n  {\n \"process\":1}]", Some(Format::Json)),
            ("[{:process 1}]", Some(Format::Edn)),
            ("; why\n[ ; it\n{:process 1}]", Some(Format::Edn)),
            ("({:process 1})", Some(Format::Edn)),
            ("#op {:process 1}", Some(Format::Edn)),
            ("[]", Some(Format::Edn)),
            (
                "{:process 0, :f :get, :key \"0\"}\n",
                Some(Format::Porcupine),
            ),
            (
                "INFO  jepsen.util - 0 :invoke :read nil\n",
                Some(Format::Log),
            ),
            ("so it goes", None),
            ("", None),
        ];
        for (start, format) in cases {
            assert_eq!(Format::detect(start.as_bytes()), format, "{start}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
    }
}
