//! The command: exit codes, what is printed where, and which files it writes.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

const LEGAL: &str = "\
{:process 0 :type :invoke :f :write :value 1}
{:process 0 :type :ok :f :write :value 1}
{:process 1 :type :invoke :f :read}
{:process 1 :type :ok :f :read :value 1}
";
const ILLEGAL: &str = "\
{:process 0 :type :invoke :f :write :value 1}
{:process 0 :type :ok :f :write :value 1}
{:process 1 :type :invoke :f :read}
{:process 1 :type :ok :f :read :value 2}
";
const BANK: &str = "\
{:type :invoke :f :read} {:type :ok :f :read :value {0 10, 1 0}}
{:type :invoke :f :read} {:type :ok :f :read :value {0 10, 1 1}}
";

fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trandb-check"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command");
    // It may end without reading all.
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes());
    child.wait_with_output().expect("an end")
}

/// Exit code, standard output and standard error, for a golden text.
fn transcript(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(folder, arguments, input);
    format!(
        "exit code {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).expect("UTF-8"),
        String::from_utf8(output.stderr).expect("UTF-8"),
    )
}

fn code(folder: &Path, arguments: &[&str], input: &str) -> Option<i32> {
    run(folder, arguments, input).status.code()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

#[test]
fn a_legal_history() {
    let folder = folder(&[("a.edn", LEGAL)]);
    insta::assert_snapshot!(transcript(folder.path(), &["-m", "register", "a.edn"], ""));
    assert!(!folder.path().join("a.edn.html").exists());
}

#[test]
fn an_illegal_history_is_explained_and_drawn_beside_it() {
    let folder = folder(&[("a.edn", BANK)]);
    insta::assert_snapshot!(transcript(folder.path(), &["-m", "bank", "a.edn"], ""));
    let html = fs::read_to_string(folder.path().join("a.edn.html")).expect("a picture");
    assert!(
        html.starts_with("<!doctype html>") && html.ends_with("</html>\n"),
        "{html}"
    );
}

#[test]
fn an_illegal_register() {
    let folder = folder(&[("a.edn", ILLEGAL)]);
    assert_eq!(
        code(folder.path(), &["-m", "register", "a.edn", "--no-html"], ""),
        Some(1)
    );
    assert!(!folder.path().join("a.edn.html").exists());
    assert_eq!(
        code(
            folder.path(),
            &["-m", "register", "a.edn", "--html", "b"],
            ""
        ),
        Some(1)
    );
    assert!(folder.path().join("b").exists() && !folder.path().join("a.edn.html").exists());
}

#[test]
fn a_picture_that_cannot_be_written_changes_no_verdict() {
    let folder = folder(&[("a.edn", BANK)]);
    let arguments = ["-m", "bank", "a.edn", "--html", "no/such/folder.html"];
    let output = run(folder.path(), &arguments, "");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        error.starts_with("trandb-check: no/such/folder.html: "),
        "{error}"
    );
}

#[test]
fn a_history_that_cannot_be_judged() {
    let folder = folder(&[("a.edn", "{:process 0 :type :invoke :f :read}\n{:process 0")]);
    insta::assert_snapshot!(transcript(folder.path(), &["-m", "register", "a.edn"], ""));
}

#[test]
fn json_of_each_verdict() {
    let folder = folder(&[("legal", LEGAL), ("illegal", BANK), ("cut", "{:process 0")]);
    let json = |model: &str, file: &str| {
        let arguments = ["--json", "--no-html", "--model", model, file];
        transcript(folder.path(), &arguments, "")
    };
    let all = [
        json("register", "legal"),
        json("bank", "illegal"),
        json("bank", "cut"),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn nothing_to_judge_by_is_not_legal() {
    let folder = folder(&[("a.edn", "[]")]);
    assert_eq!(
        code(folder.path(), &["-m", "set-full", "a.edn"], ""),
        Some(2)
    );
    assert_eq!(
        code(folder.path(), &["-m", "register", "a.edn"], ""),
        Some(0),
        "legal and empty"
    );
}

#[test]
fn standard_input() {
    let folder = folder(&[]);
    for arguments in [&["-m", "register"][..], &["-m", "register", "-"]] {
        assert_eq!(code(folder.path(), arguments, LEGAL), Some(0));
        assert_eq!(code(folder.path(), arguments, ILLEGAL), Some(1));
        assert_eq!(code(folder.path(), arguments, ""), Some(2));
    }
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        0,
        "nothing is written"
    );
    let drawn = ["-m", "register", "--html", "x.html"];
    assert_eq!(code(folder.path(), &drawn, ILLEGAL), Some(1));
    assert!(folder.path().join("x.html").exists());
}

#[test]
fn judging_while_reading() {
    let folder = folder(&[]);
    let arguments = ["-m", "register", "--stream"];
    assert_eq!(code(folder.path(), &arguments, LEGAL), Some(0));
    assert_eq!(code(folder.path(), &arguments, ILLEGAL), Some(1));
    assert_eq!(
        code(folder.path(), &arguments, &LEGAL[..LEGAL.len() - 9]),
        Some(2)
    );
    // Open for ever, and seen or not.
    let open = "{:process 0 :type :invoke :f :write :value 2}\n".to_owned();
    let later = LEGAL.replace(":process 0", ":process 7");
    assert_eq!(code(folder.path(), &arguments, &(open + &later)), Some(0));
}

#[test]
fn arguments_that_make_no_sense() {
    let folder = folder(&[("a.edn", LEGAL)]);
    let cases: [&[&str]; 13] = [
        &["a.edn"],
        &["-m", "queue", "a.edn"],
        &["-m", "register", "a.edn", "--verbose"],
        &["-m", "register", "a.edn", "--format", "xml"],
        &["-m", "register", "a.edn", "--initial", "[1"],
        &["-m", "register", "a.edn", "--time-limit", "-1"],
        &["-m", "register", "a.edn", "--consistency", "serializable"],
        &["-m", "set", "a.edn", "--initial", "0"],
        &["-m", "bank", "a.edn", "--stream"],
        &[
            "-m",
            "register",
            "a.edn",
            "--stream",
            "--memory-limit",
            "1GiB",
        ],
        &["-m", "register", "a.edn", "--total", "5"],
        &["-m", "register", "a.edn", "--html", "x", "--no-html"],
        &["-m", "register", "no-such-file"],
    ];
    for arguments in cases {
        let output = run(folder.path(), arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(
        code(folder.path(), &["-m", "register", "."], ""),
        Some(2),
        "a folder"
    );
}

#[test]
fn the_initial_value_is_as_it_was_asked() {
    let folder = folder(&[]);
    let read = "{:type :invoke :f :read} {:type :ok :f :read :value 5}";
    for (initial, expected) in [("0", 1), ("5", 0), ("nil", 1)] {
        let arguments = ["-m", "register", "--initial", initial];
        assert_eq!(
            code(folder.path(), &arguments, read),
            Some(expected),
            "{initial}"
        );
    }
}

#[test]
fn a_hostile_history_sends_no_control_character_to_a_terminal() {
    let folder = folder(&[]);
    let hostile = BANK.replace("{0 10, 1 1}", "{\"\\u001b[2J\\u202e\\u009b\" 10}");
    for arguments in [&["-m", "bank"][..], &["-m", "bank", "--json"]] {
        let output = run(folder.path(), arguments, &hostile);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(text.contains("[2J"), "{text}");
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(acts), "{text:?}");
    }
    let unknown = "{:type :invoke :f \"\\u001b[2J\"}";
    let output = run(folder.path(), &["-m", "bank"], unknown);
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stderr.contains(&0x1b), "{output:?}");
}

#[test]
fn a_picture_does_not_replace_its_history() {
    let folder = folder(&[("a.edn", BANK)]);
    let output = run(
        folder.path(),
        &["-m", "bank", "a.edn", "--html", "./a.edn"],
        "",
    );
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("--html would overwrite the history"),
        "{told}"
    );
    let kept = fs::read_to_string(folder.path().join("a.edn")).expect("the history");
    assert_eq!(kept, BANK);
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_with_a_name_is_read_once() {
    let folder = folder(&[]);
    let output = run(folder.path(), &["-m", "bank", "/dev/stdin"], BANK);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty(), "{output:?}");
    let drawn = ["-m", "bank", "/dev/stdin", "--html", "a.html"];
    assert_eq!(code(folder.path(), &drawn, BANK), Some(1));
    assert!(folder.path().join("a.html").exists());
}

#[test]
fn a_stream_says_nothing_of_others_where_there_are_none() {
    let folder = folder(&[("a.edn", ILLEGAL)]);
    let arguments = ["-m", "register", "--stream", "--no-html", "a.edn"];
    let output = run(folder.path(), &arguments, "");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("what had returned before it.\n"), "{told}");
}

/// Others let a process go on after an `info`; ours takes a new number.
#[test]
fn a_process_comes_back_in_the_formats_of_others_only() {
    let folder = TempDir::new().expect("a folder");
    let others = "\
{:process 0 :type :invoke :f :write :value 1}
{:process 0 :type :info :f :write :value 1}
{:process 0 :type :invoke :f :read}
{:process 0 :type :ok :f :read :value VALUE}
";
    for (value, expected) in [("0", 0), ("1", 0), ("2", 1)] {
        let history = others.replace("VALUE", value);
        for flags in [
            &["--model", "register"][..],
            &["--model", "register", "--stream"][..],
        ] {
            assert_eq!(
                code(folder.path(), flags, &history),
                Some(expected),
                "{value} {flags:?}"
            );
        }
    }
    let ours = "\
{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}
{\"process\":0,\"type\":\"info\",\"f\":\"write\"}
{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"}
{\"process\":0,\"type\":\"ok\",\"f\":\"read\",\"value\":1}
";
    assert_eq!(code(folder.path(), &["--model", "register"], ours), Some(2));
}

#[test]
fn a_history_without_operations_is_legal_and_complained_about() {
    let folder = TempDir::new().expect("a folder");
    let nemesis = "{:process :nemesis :type :info :f :start}\n";
    let flags = ["--model", "register"];
    let output = run(folder.path(), &flags, nemesis);
    assert_eq!(output.status.code(), Some(0));
    let complaint = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        complaint.contains("no operations: nothing was judged"),
        "{complaint}"
    );
    assert!(run(folder.path(), &flags, LEGAL).stderr.is_empty());
}
