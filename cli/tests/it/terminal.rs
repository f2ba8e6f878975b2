//! What a terminal is shown. The terminal is a pseudo-terminal of the test's.

use std::{
    fs::File,
    io::{self, Read},
    process::Stdio,
    thread,
    time::Duration,
};

use nix::pty::openpty;

use crate::{fake::Fake, run::command_at};

/// Everything that `trandb ARGUMENTS` writes to a terminal, which is its standard output and error.
fn on_terminal(fake: &Fake, arguments: &[&str]) -> Vec<u8> {
    let pty = openpty(None, None).expect("a terminal");
    let stdout = Stdio::from(pty.slave.try_clone().expect("a handle"));
    let mut command = command_at(&fake.url(), arguments);
    command.stdout(stdout).stderr(Stdio::from(pty.slave));
    command.env("TERM", "xterm");
    let mut child = command.spawn().expect("it runs");
    // Its copies of the terminal's other end: the last to close ends the reading.
    drop(command);
    let shown = thread::spawn(move || read_to_end(File::from(pty.master)));
    child.wait().expect("it ends");
    shown.join().expect("no panic").expect("readable")
}

/// A terminal ends with an error when its other end has closed.
fn read_to_end(mut terminal: File) -> io::Result<Vec<u8>> {
    let mut shown = Vec::new();
    match terminal.read_to_end(&mut shown) {
        Err(error) if error.raw_os_error() != Some(nix::libc::EIO) => Err(error),
        _ => Ok(shown),
    }
}

const HOSTILE: &[u8] = b"\x1b]0;title\x07\x1b[2J\xc2\x9b31m\xff";

fn hostile() -> Fake {
    Fake::with([("key\u{1b}[31m\n\u{7f}\u{9b}", HOSTILE)])
}

#[test]
fn a_value_is_escaped_unless_raw_is_asked_for() {
    let fake = hostile();
    let key = fake.entries().into_keys().next().expect("one");
    let shown = on_terminal(&fake, &["get", &key]);
    let text = String::from_utf8(shown).expect("visible");
    assert!(
        text.contains(r"\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\xff"),
        "{text}"
    );
    assert!(text.contains("--raw or --output FILE"), "{text}");
    assert_eq!(on_terminal(&fake, &["get", &key, "--raw"]), HOSTILE);
}

#[test]
fn text_of_several_lines_is_shown_as_it_is() {
    let fake = Fake::with([("a", "Łódź\n\t日本\\".as_bytes())]);
    let shown = on_terminal(&fake, &["get", "a"]);
    assert_eq!(
        String::from_utf8(shown).expect("text"),
        "Łódź\r\n\t日本\\\r\n"
    );
}

#[test]
fn no_control_character_of_a_key_or_value_gets_through() {
    let fake = hostile();
    let key = fake.entries().into_keys().next().expect("one");
    for arguments in [
        &["list"][..],
        &["list", "--long"],
        &["list", "--json"],
        &["export"],
        &["get", &key],
        &["get", &key, "--json"],
        &["get", "absent\u{1b}[31m"],
    ] {
        let shown = on_terminal(&fake, arguments);
        let text = String::from_utf8(shown).expect("UTF-8");
        assert!(!text.is_empty(), "{arguments:?}");
        let bad: Vec<char> = text
            .chars()
            .filter(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t'))
            .collect();
        assert!(bad.is_empty(), "{arguments:?}: {text:?}");
    }
    assert_eq!(
        String::from_utf8(on_terminal(&fake, &["list"])).expect("text"),
        "key\\u{1b}[31m\\n\\u{7f}\\u{9b}\r\n"
    );
    let raw = on_terminal(&fake, &["list", "--raw"]);
    assert!(raw.starts_with(b"key\x1b[31m"), "{raw:?}");
}

#[test]
fn an_import_draws_a_bar_on_a_terminal_and_takes_it_away() {
    let fake = Fake::start();
    fake.delay("b", Duration::from_millis(500));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lines");
    let lines = "{\"key\":\"a\",\"text\":\"1\"}\n{\"key\":\"b\",\"text\":\"2\"}\n";
    std::fs::write(&file, lines).expect("written");
    let file = file.to_str().expect("UTF-8");
    let shown = on_terminal(&fake, &["import", "--input", file]);
    let text = String::from_utf8(shown).expect("UTF-8");
    assert!(
        text.contains("50% 1 key, ") && text.contains("23 B of 46 B"),
        "{text:?}"
    );
    let last = text.rsplit("\u{1b}[2K").next().expect("cleared");
    assert!(
        last.trim_start().starts_with("imported 2 keys: 46 B in "),
        "{text:?}"
    );
}
