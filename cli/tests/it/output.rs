//! Files, full disks and pipes that close.

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use trandb_common::{ErrorCode, Problem};

use crate::{
    fake::Fake,
    run::{Ran, command_at, trandb_at},
};

fn names_in(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_when_everything_is_there_and_not_before() {
    let fake = Fake::with([("a", &b"1"[..]), ("b", b"2")]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out");
    let out = path.to_str().expect("UTF-8");
    fs::write(&path, "before").expect("written");

    trandb_at(&fake.url(), &["get", "absent", "--output", out]).fails_with(1);
    fake.fail(
        "GET",
        "b",
        &Problem::new(ErrorCode::InvalidHeader, "as told"),
    );
    let stderr = trandb_at(&fake.url(), &["export", "--output", out]).fails_with(4);
    assert!(
        stderr.contains(&format!("{out} is left as it was")),
        "{stderr}"
    );
    assert_eq!(fs::read_to_string(&path).expect("there"), "before");

    trandb_at(&fake.url(), &["export", "a", "--output", out]).ok();
    assert_eq!(
        fs::read_to_string(&path).expect("there"),
        "{\"key\":\"a\",\"text\":\"1\"}\n"
    );
    trandb_at(&fake.url(), &["get", "a", "--output", out]).ok();
    assert_eq!(fs::read_to_string(&path).expect("there"), "1");
    assert_eq!(names_in(folder.path()), ["out"]);
}

#[test]
fn a_replaced_file_keeps_its_permissions_and_a_link_stays_one() {
    let fake = Fake::with([("a", &b"1"[..])]);
    let folder = tempfile::tempdir().expect("a folder");
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    fs::write(&target, "before").expect("written");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).expect("set");
    symlink(&target, &link).expect("linked");

    let link_name = link.to_str().expect("UTF-8");
    trandb_at(&fake.url(), &["get", "a", "--output", link_name]).ok();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&target).expect("there"), "1");
    let mode = fs::metadata(&target).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn a_new_file_is_as_open_as_any_other() {
    let fake = Fake::with([("a", &b"1"[..])]);
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
    File::create(&other).expect("made");
    let name = ours.to_str().expect("UTF-8");
    trandb_at(&fake.url(), &["get", "a", "--output", name]).ok();
    let mode = |path| fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode(&ours), mode(&other));
}

#[test]
fn a_full_disk_is_7() {
    let fake = Fake::with([("a", &b"1"[..])]);
    let full = || {
        OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Linux has one")
    };
    for arguments in [
        &["get", "a"][..],
        &["list"],
        &["export"],
        &["put", "a", "2"],
        &["limits"],
    ] {
        let mut command = command_at(&fake.url(), arguments);
        let ran = Ran::from(command.stdout(full()).output().expect("it runs"));
        let stderr = ran.fails_with(7);
        assert!(
            stderr.contains("cannot write to standard output"),
            "{stderr}"
        );
        assert!(!stderr.contains("exported"), "{stderr}");
    }
    let arguments = ["export", "--output", "/dev/full"];
    let stderr = trandb_at(&fake.url(), &arguments).fails_with(7);
    assert!(stderr.contains("cannot write to /dev/full"), "{stderr}");

    let mut command = command_at(&fake.url(), &["put", "a", "2"]);
    let ran = Ran::from(command.stdout(full()).output().expect("it runs"));
    let stderr = ran.fails_with(7);
    assert!(
        stderr.contains("hint: the value is written, as e"),
        "{stderr}"
    );
}

/// A device or a pipe is written to as it is: nothing is left as it was.
#[test]
fn a_device_that_is_full_in_the_middle_of_an_export_is_told_how_far_it_came() {
    let names: Vec<String> = (0..2_000).map(|i| format!("{i:0>100}")).collect();
    let fake = Fake::with(names.iter().map(|name| (name.as_str(), &b"v"[..])));
    let arguments = ["export", "--output", "/dev/full"];
    let stderr = trandb_at(&fake.url(), &arguments).fails_with(7);
    assert!(stderr.contains(" keys exported, up to "), "{stderr}");
    assert!(!stderr.contains("left as it was"), "{stderr}");
}

#[test]
fn whoever_stops_reading_hears_nothing_of_it() {
    let names: Vec<String> = (0..20_000).map(|i| format!("{i:0>100}")).collect();
    let fake = Fake::with(names.iter().map(|name| (name.as_str(), &b"v"[..])));
    for command in ["list", "export"] {
        let mut child = command_at(&fake.url(), &[command])
            .spawn()
            .expect("it runs");
        let mut first = [0; 100];
        let mut stdout = child.stdout.take().expect("piped");
        stdout.read_exact(&mut first).expect("a line");
        drop(stdout);
        let ran = Ran::from(child.wait_with_output().expect("it ends"));
        assert_eq!(ran.fails_with(141), "", "{command}");
    }
}
