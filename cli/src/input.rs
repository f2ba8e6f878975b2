//! The lines of an import: read and parsed in a thread of their own, and handed over in batches.
//!
//! Nothing here waits for the network, and nothing in the import waits for a file or a pipe.
//!
//! Bounded: a line longer than [`LINE_BYTES_MAX`] is refused without being read to its end, and a
//! few batches are held at a time.
//!
//! Tests: at the end of this file; the fuzz target `import_lines`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::fd::AsFd,
    path::Path,
    thread,
};

use tokio::sync::mpsc;

use crate::{
    failure::{Exit, Failure},
    line::{self, LINE_BYTES_MAX, Line},
};

const BUFFER_BYTES: usize = 256 * 1024;
const BATCHES_AHEAD: usize = 2;
const BATCH_LINES_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// A line and its place.
#[derive(Debug)]
pub struct NumberedLine {
    /// The first is 1.
    pub number: u64,
    /// How much of the input has been read for it: itself, its newline, and what was skipped.
    pub bytes: u64,
    /// What it says.
    pub line: Line,
}

/// Lines in their order. An error is the last.
pub type Batch = Vec<Result<NumberedLine, Failure>>;

/// An input that is open.
pub(crate) struct Input {
    file: File,
    name: String,
    /// In bytes; none for a pipe or a terminal.
    pub(crate) size: Option<u64>,
}

impl Input {
    /// The file of that name, or standard input without a name.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let (file, name) = match path {
            Some(path) => (File::open(path), path.display().to_string()),
            None => (
                io::stdin().as_fd().try_clone_to_owned().map(File::from),
                "standard input".to_owned(),
            ),
        };
        let file = file.map_err(|error| cannot_read(&name, &error))?;
        let metadata = file
            .metadata()
            .map_err(|error| cannot_read(&name, &error))?;
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self { file, name, size })
    }

    /// Begins to read at line `from`. The thread ends with the input, with the first error, or
    /// when nobody takes its batches any more; one that waits for a pipe then ends with the
    /// process.
    pub(crate) fn read(self, from: u64) -> Result<mpsc::Receiver<Batch>, Failure> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let name = self.name.clone();
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || {
                let mut lines = Lines::new(self.file, self.name, from);
                while let Some(batch) = lines.next_batch() {
                    if sender.blocking_send(batch).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| cannot_read(&name, &error))?;
        Ok(receiver)
    }
}

fn cannot_read(name: &str, error: &io::Error) -> Failure {
    Failure::local(format!("cannot read {name}"), error)
}

/// Reads lines from `R`, numbers and parses them.
#[derive(Debug)]
pub struct Lines<R> {
    input: BufReader<R>,
    name: String,
    /// Lines before this one are skipped.
    from: u64,
    /// The line read last.
    number: u64,
    buffer: Vec<u8>,
    /// Read since the last line that was handed over.
    bytes: u64,
    ended: bool,
}

impl<R: Read> Lines<R> {
    /// Reads from `input`, which messages call `name`. Lines before `from` are skipped; the first
    /// is 1.
    pub fn new(input: R, name: String, from: u64) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER_BYTES, input),
            name,
            from,
            number: 0,
            buffer: Vec::new(),
            bytes: 0,
            ended: false,
        }
    }

    /// As many lines as are there, up to the limits of a batch; none at the end.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let mut batch = Batch::new();
        let mut bytes = 0;
        while !self.ended && batch.len() < BATCH_LINES_MAX && bytes < BATCH_BYTES_MAX {
            let Some(line) = self.next() else {
                self.ended = true;
                break;
            };
            self.ended = line.is_err();
            bytes += self.buffer.len();
            batch.push(line);
            // The writer of a pipe may be slow: what is there is not to wait for what is not.
            if self.input.buffer().is_empty() {
                break;
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// The next line that is neither skipped nor blank.
    fn next(&mut self) -> Option<Result<NumberedLine, Failure>> {
        loop {
            match self.read_line() {
                Ok(0) => return None,
                Ok(bytes) => self.bytes += bytes as u64,
                Err(failure) => return Some(Err(failure)),
            }
            if self.number < self.from || self.buffer.trim_ascii().is_empty() {
                continue;
            }
            let line = match line::parse(&self.buffer) {
                Ok(line) => Ok(NumberedLine {
                    number: self.number,
                    bytes: std::mem::take(&mut self.bytes),
                    line,
                }),
                Err(why) => Err(self.refuse(why.to_string())),
            };
            return Some(line);
        }
    }

    /// Reads a line into the buffer, without its newline; returns its length with it.
    fn read_line(&mut self) -> Result<usize, Failure> {
        self.buffer.clear();
        self.number += 1;
        let newline = 1;
        let read = (&mut self.input)
            .take((LINE_BYTES_MAX + newline) as u64)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|error| cannot_read(&self.name, &error).at_line(self.number))?;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if self.buffer.len() > LINE_BYTES_MAX {
            return Err(self.refuse(format!(
                "it is longer than {LINE_BYTES_MAX} bytes, which no key and value need"
            )));
        }
        Ok(read)
    }

    fn refuse(&self, why: String) -> Failure {
        Failure::new(Exit::Refused, why).at_line(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, from: u64) -> Vec<Result<NumberedLine, Failure>> {
        let mut lines = Lines::new(text.as_bytes(), "x".to_owned(), from);
        std::iter::from_fn(|| lines.next_batch())
            .flatten()
            .collect()
    }

    fn numbers(text: &str, from: u64) -> Vec<u64> {
        let lines = lines(text, from).into_iter();
        lines.map(|line| line.expect("a line").number).collect()
    }

    fn line(key: &str) -> String {
        format!("{{\"key\":\"{key}\",\"text\":\"\"}}")
    }

    #[test]
    fn lines_keep_their_numbers_when_some_are_skipped() {
        let (a, b, c) = (line("a"), line("b"), line("c"));
        let text = format!("{a}\n\n  \r\n{b}\r\n{c}");
        assert_eq!(numbers(&text, 1), [1, 4, 5]);
        assert_eq!(numbers(&text, 3), [4, 5]);
        assert_eq!(numbers(&text, 6), [0; 0]);
        assert_eq!(numbers("", 1), [0; 0]);
    }

    #[test]
    fn bytes_add_up_to_the_input() {
        let text = format!("{}\n\n{}\n{}\n", line("a"), line("b"), line("c"));
        let bytes = lines(&text, 2)
            .into_iter()
            .map(|line| line.expect("a line").bytes);
        assert_eq!(bytes.sum::<u64>(), text.len() as u64);
    }

    #[test]
    fn the_first_error_is_the_last_line_and_has_its_number() {
        let text = format!("{}\n\n{{\n{}\n", line("a"), line("b"));
        let mut lines = lines(&text, 1).into_iter();
        assert!(lines.next().expect("line 1").is_ok());
        let error = format!("{:?}", lines.next().expect("line 3").expect_err("broken"));
        assert!(
            error.contains("line 3: the line ends in the middle"),
            "{error}"
        );
        assert!(lines.next().is_none());
    }

    #[test]
    fn an_endless_line_is_refused_at_the_limit() {
        let mut lines = Lines::new(io::repeat(b'x'), "x".to_owned(), 1);
        let batch = lines.next_batch().expect("a batch");
        let error = format!("{:?}", batch[0].as_ref().expect_err("too long"));
        assert!(error.contains("line 1: it is longer than"), "{error}");
        assert!(lines.next_batch().is_none());
    }

    #[test]
    fn an_endless_line_is_refused_even_where_lines_are_skipped() {
        let mut lines = Lines::new(io::repeat(b'x'), "x".to_owned(), 2);
        assert!(lines.next_batch().expect("a batch")[0].is_err());
    }

    #[test]
    fn the_longest_line_is_read_with_and_without_its_newline() {
        let mut text = line("a");
        text.push_str(&" ".repeat(LINE_BYTES_MAX - text.len()));
        assert_eq!(numbers(&text, 1), [1]);
        text.push('\n');
        assert_eq!(numbers(&text, 1), [1]);
        text.insert(0, ' ');
        assert!(lines(&text, 1)[0].is_err());
    }

    #[test]
    fn a_batch_ends_where_the_input_pauses() {
        let (first, second) = (line("a") + "\n", line("b") + "\n");
        let input = first.as_bytes().chain(second.as_bytes());
        let mut lines = Lines::new(input, "x".to_owned(), 1);
        assert_eq!(lines.next_batch().expect("what is there").len(), 1);
        assert_eq!(lines.next_batch().expect("the rest").len(), 1);
        assert!(lines.next_batch().is_none());
    }
}
