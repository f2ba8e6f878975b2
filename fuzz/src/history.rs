//! Any bytes as a history: what is refused is refused with a reason, and what is accepted means the
//! same when it is written in our own format and read again.

use trandb_checker::history::{
    Event, Events, Format, Interval, Kind, Operations, Outcome, write::Writer,
};

/// JSON: our own lines, Jepsen's arrays, sessions.
pub fn history_json(data: &[u8]) {
    for format in [Format::JsonLines, Format::Json, Format::Sessions] {
        check(data, Some(format));
    }
    check(data, None);
}

/// EDN: Jepsen's maps.
pub fn history_edn(data: &[u8]) {
    check(data, Some(Format::Edn));
    check(data, None);
}

/// Lines of Jepsen's log.
pub fn history_log(data: &[u8]) {
    check(data, Some(Format::Log));
    check(data, None);
}

fn check(data: &[u8], format: Option<Format>) {
    let Ok(mut events) = Events::new(data, format) else {
        return;
    };
    let lines = data.split(|byte| *byte == b'\n').count() as u64;
    let compressed = data.starts_with(&[0x1f, 0x8b]);
    let mut accepted = Vec::new();
    for event in &mut events {
        match event {
            Ok(event) => {
                assert!(compressed || (1..=lines).contains(&event.line), "{event:?}");
                accepted.push(event);
            }
            Err(bad) => {
                assert!(!bad.reason.is_empty());
                assert!(
                    compressed || bad.line.is_none_or(|line| line <= lines),
                    "{bad}"
                );
            }
        }
    }
    assert!(events.next().is_none(), "nothing comes after the end");
    operations(&accepted);
    if accepted.iter().all(|event| event.kind != Kind::Committed) {
        survives(accepted);
    }
}

/// Every call is one operation, whatever its events are.
fn operations(events: &[Event]) {
    let mut calls = 0;
    for operation in Operations::new(events.iter().cloned().map(Ok)) {
        let Ok(operation) = operation else {
            return;
        };
        calls += 1;
        if let Some(Interval { call, ret }) = operation.interval {
            assert!(call < ret);
            assert_eq!(
                ret == Interval::NEVER,
                operation.outcome == Outcome::Unknown
            );
        }
        // Drawn and told to people.
        let _ = operation.to_string();
    }
    let is_call = |event: &&Event| matches!(event.kind, Kind::Invoke | Kind::Committed);
    assert_eq!(calls, events.iter().filter(is_call).count());
}

fn survives(mut events: Vec<Event>) {
    let mut writer = Writer::new(Vec::new());
    for event in &events {
        writer.event(event).expect("memory");
    }
    let bytes = writer.finish().expect("memory");
    for (event, line) in events.iter_mut().zip(1..) {
        event.line = line;
    }
    let again = Events::new(&bytes[..], Some(Format::JsonLines)).expect("a format is given");
    let again: Result<Vec<_>, _> = again.collect();
    match again {
        Ok(again) => assert_eq!(again, events),
        Err(bad) => assert!(events.is_empty(), "{bad}"),
    }
}
