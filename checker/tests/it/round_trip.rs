//! What is written is read again, and means the same.

use proptest::prelude::*;
use trandb_checker::history::{Event, Events, Field, Format, Kind, Value, write::Writer};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<String>().prop_map(|text| Value::Text(text.into())),
        Just(Value::from("#map")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let pairs = prop::collection::btree_map(inner.clone(), inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::List),
            pairs.prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    })
}

fn fields() -> impl Strategy<Value = Vec<(Field, Value)>> {
    let version = || {
        prop_oneof![
            any::<i64>().prop_map(Value::Int),
            any::<[i64; 2]>().prop_map(|v| Value::List(v.map(Value::Int).to_vec())),
        ]
    };
    let flag = || any::<bool>().prop_map(Value::Bool);
    (
        prop::option::of(value()),
        prop::option::of(version()),
        prop::option::of(version()),
        prop::option::of(flag()),
        prop::option::of(flag()),
        prop::option::of(flag()),
        prop::option::of(prop_oneof![Just(Value::Nil), version()]),
    )
        .prop_map(
            |(key, version, if_version, if_absent, if_present, applied, current)| {
                let values = [
                    key, version, if_version, if_absent, if_present, applied, current,
                ];
                let fields = Field::ALL.into_iter().zip(values);
                fields
                    .filter_map(|(field, value)| Some((field, value?)))
                    .collect()
            },
        )
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        Just(Kind::Invoke),
        Just(Kind::Ok),
        Just(Kind::Fail),
        Just(Kind::Info)
    ];
    (
        any::<i64>(),
        kind,
        "[a-z\\u{e9}\"\n]{0,30}",
        value(),
        fields(),
    )
        .prop_map(|(process, kind, f, value, fields)| Event {
            line: 0,
            process,
            kind,
            f: f.into(),
            value,
            fields,
        })
}

proptest! {
    #[test]
    fn every_event_survives(mut events in prop::collection::vec(event(), 1..20)) {
        let mut writer = Writer::new(Vec::new());
        for event in &events {
            writer.event(event).expect("memory");
        }
        let bytes = writer.finish().expect("memory");
        for (event, line) in events.iter_mut().zip(1..) {
            event.line = line;
        }
        let read = Events::new(&bytes[..], Some(Format::JsonLines)).expect("a format");
        let read: Vec<_> = read.collect::<Result<_, _>>().expect("what was written");
        prop_assert_eq!(&read, &events);
        prop_assert_eq!(Events::new(&bytes[..], None).expect("a format").format(), Format::JsonLines);
    }
}

#[test]
fn a_line_is_as_documented() {
    let event = Event {
        line: 0,
        process: 3,
        kind: Kind::Ok,
        f: "put".into(),
        value: Value::Int(7),
        fields: vec![(Field::Key, "a".into()), (Field::Version, Value::Int(9))],
    };
    let mut writer = Writer::new(Vec::new());
    writer.event(&event).expect("memory");
    writer.event(&event).expect("memory");
    let text = String::from_utf8(writer.finish().expect("memory")).expect("UTF-8");
    assert_eq!(
        text,
        "{\"index\":0,\"time\":0,\"process\":3,\"type\":\"ok\",\"f\":\"put\",\"key\":\"a\",\
         \"version\":9,\"value\":7}\n\
         {\"index\":1,\"time\":1,\"process\":3,\"type\":\"ok\",\"f\":\"put\",\"key\":\"a\",\
         \"version\":9,\"value\":7}\n"
    );
    let committed = Event {
        kind: Kind::Committed,
        ..event
    };
    let error = Writer::new(Vec::new())
        .event(&committed)
        .expect_err("no times");
    assert_eq!(
        error.to_string(),
        "a transaction without times has no place among events"
    );
}
