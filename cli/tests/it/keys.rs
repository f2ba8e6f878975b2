//! Single keys, listings, limits and status.

use std::fs;

use serde_json::{Value, json};

use crate::{
    fake::Fake,
    run::{json_of, trandb_at, trandb_fed},
};

#[test]
fn bytes_come_back_as_they_went() {
    let fake = Fake::start();
    let folder = tempfile::tempdir().expect("a folder");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let file = folder.path().join("value");
    fs::write(&file, &bytes).expect("written");
    let file = file.to_str().expect("UTF-8");

    let version = trandb_at(&fake.url(), &["put", "a/b c", "--file", file]).ok();
    let current = fake.version("a/b c").expect("written");
    assert_eq!(version, format!("{current}\n"));
    assert_eq!(trandb_at(&fake.url(), &["get", "a/b c"]).stdout, bytes);

    trandb_fed(&fake.url(), &["put", "stdin", "--file", "-"], &bytes).ok();
    assert_eq!(fake.value("stdin"), Some(bytes));
    trandb_at(&fake.url(), &["put", "empty", ""]).ok();
    assert_eq!(fake.value("empty"), Some(Vec::new()));
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_sent() {
    let fake = Fake::start();
    let stderr = trandb_fed(
        &fake.url(),
        &["put", "a", "--file", "-"],
        &vec![0; 4 * 1024 * 1024 + 1],
    )
    .fails_with(4);
    assert!(
        stderr.contains("standard input has more than 4194304 bytes"),
        "{stderr}"
    );
    assert_eq!(fake.requests(), [""; 0]);
}

#[test]
fn put_says_the_version_unless_it_is_to_be_quiet() {
    let fake = Fake::start();
    let url = fake.url();
    let written = json_of(&trandb_at(&url, &["put", "a", "1", "--json"]).ok());
    let version = fake.version("a").expect("written").to_string();
    assert_eq!(written, json!({"key": "a", "version": version}));
    let arguments = ["put", "a", "2", "--if-version", &version, "--quiet"];
    assert_eq!(trandb_at(&url, &arguments).ok(), "");
    assert_eq!(fake.value("a").as_deref(), Some(&b"2"[..]));
}

#[test]
fn get_as_json_has_text_or_base64() {
    let fake = Fake::with([
        ("text", &b"Ada\n"[..]),
        ("bytes", b"\xff\0"),
        ("empty", b""),
    ]);
    let get = |key: &str| {
        let mut entry = json_of(&trandb_at(&fake.url(), &["get", key, "--json"]).ok());
        assert_eq!(
            entry["version"],
            fake.version(key).expect("there").to_string()
        );
        entry.as_object_mut().expect("an object").remove("version");
        entry
    };
    assert_eq!(
        get("text"),
        json!({"key": "text", "size": 4, "text": "Ada\n"})
    );
    assert_eq!(
        get("bytes"),
        json!({"key": "bytes", "size": 2, "value": "/wA="})
    );
    assert_eq!(get("empty"), json!({"key": "empty", "size": 0, "text": ""}));
}

#[test]
fn delete_needs_no_value_and_prints_nothing() {
    let fake = Fake::with([("a", &b"1"[..])]);
    for _ in 0..2 {
        assert_eq!(trandb_at(&fake.url(), &["delete", "a"]).ok(), "");
    }
    assert_eq!(fake.value("a"), None);
}

#[test]
fn a_listing_goes_through_all_pages_in_order() {
    let names: Vec<String> = (0..2500).map(|i| format!("k/{i:04}")).collect();
    let fake = Fake::with(names.iter().map(|name| (name.as_str(), &b"v"[..])));
    fake_other(&fake);
    let url = fake.url();

    let all = trandb_at(&url, &["list", "k/"]).ok();
    assert_eq!(all.lines().collect::<Vec<_>>(), names);
    assert_eq!(fake.requests().len(), 1 + 3, "one PUT and three pages");

    let some = trandb_at(&url, &["list", "k/", "--limit", "1200"]).ok();
    assert_eq!(some.lines().collect::<Vec<_>>(), names[..1200]);
    let few = trandb_at(&url, &["list", "k/", "-n", "2"]).ok();
    assert_eq!(few.lines().collect::<Vec<_>>(), names[..2]);
    assert!(fake.requests().last().expect("one").ends_with("limit=2"));
    assert_eq!(trandb_at(&url, &["list", "no such"]).ok(), "");
}

/// A key outside of the prefix.
fn fake_other(fake: &Fake) {
    trandb_at(&fake.url(), &["put", "other", "1"]).ok();
}

#[test]
fn a_long_listing_has_version_and_size() {
    let fake = Fake::with([("a", &b"123"[..]), ("b\nc", b"")]);
    let (a, b) = (
        fake.version("a").expect("a"),
        fake.version("b\nc").expect("b"),
    );
    assert_eq!(
        trandb_at(&fake.url(), &["list", "--long"]).ok(),
        format!("{a}\t3\ta\n{b}\t0\tb\nc\n")
    );
    let rows = trandb_at(&fake.url(), &["list", "--json"]).ok();
    let rows: Vec<Value> = rows.lines().map(json_of).collect();
    assert_eq!(
        rows,
        [
            json!({"key": "a", "version": a.to_string(), "size": 3}),
            json!({"key": "b\nc", "version": b.to_string(), "size": 0}),
        ]
    );
}

#[test]
fn limits_are_shown() {
    let fake = Fake::start();
    let text = trandb_at(&fake.url(), &["limits"]).ok();
    assert!(
        text.contains("largest value                   4194304 bytes\n"),
        "{text}"
    );
    assert!(text.contains("16777216 bytes in a transaction\n"), "{text}");
    let json = json_of(&trandb_at(&fake.url(), &["limits", "--json"]).ok());
    assert_eq!(json["value_bytes_max"], 4_194_304);
    assert_eq!(json["memory_bytes_max"], 1);
}

#[test]
fn status_is_0_when_ready_and_5_when_not() {
    let fake = Fake::start();
    assert_eq!(trandb_at(&fake.url(), &["status"]).ok(), "ready\n");
    fake.set_not_ready();
    let stderr = trandb_at(&fake.url(), &["status"]).fails_with(5);
    assert_eq!(stderr, "error: the server is not ready\n");
    let ran = trandb_at(&fake.url(), &["status", "--json"]);
    assert_eq!(ran.stdout, b"{\"ready\":false}\n");
}
