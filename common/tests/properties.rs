//! Round trips: what is encoded comes back as it was, whatever it was.

use bytes::Bytes;
use proptest::prelude::*;
use trandb_common::{Key, Value, Version, path};

/// Legal keys of all lengths, with the characters that paths trip over more often than chance.
fn any_key() -> impl Strategy<Value = Key> {
    let character = prop_oneof![
        4 => any::<char>(),
        2 => prop::sample::select(vec!['/', '%', '+', '.', '?', '#', ' ', '\0', '\n', '"', '\\']),
        2 => prop::char::range('a', 'z'),
    ];
    prop::collection::vec(character, 1..200)
        .prop_map(String::from_iter)
        .prop_filter_map("legal", |text| Key::new(&text).ok())
}

/// Numbers of every length.
fn any_number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(bits, shift)| bits >> shift)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_key_survives_its_path(key in any_key()) {
        let path = path::of_key(&key);
        let segment = path.strip_prefix("/keys/").expect("prefix");
        prop_assert!(!segment.contains('/'));
        prop_assert!(segment.is_ascii());
        prop_assert_eq!(path::decode_key(segment), Ok(key));
    }

    #[test]
    fn a_key_survives_json(key in any_key()) {
        let json = serde_json::to_string(&key).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Key>(&json).expect("key"), key);
    }

    #[test]
    fn keys_are_ordered_by_their_bytes(a in any_key(), b in any_key()) {
        prop_assert_eq!(a.cmp(&b), a.as_bytes().cmp(b.as_bytes()));
    }

    #[test]
    fn decoding_any_text_is_an_answer_and_never_more_than_the_text_says(text in "\\PC{0,64}") {
        if let Ok(key) = path::decode_key(&text) {
            prop_assert!(key.as_bytes().len() <= text.len());
            prop_assert_eq!(path::decode_key(&path::encode(key.as_str()).to_string()), Ok(key));
        }
    }

    #[test]
    fn a_version_survives_its_text(epoch in any_number(), counter in any_number()) {
        let version = Version { epoch, counter };
        let text = version.to_string();
        prop_assert!(text.len() <= Version::TEXT_BYTES_MAX);
        let mut room = [0; Version::TEXT_BYTES_MAX];
        let begin = version.write_text(&mut room);
        prop_assert_eq!(&room[begin..], text.as_bytes());
        prop_assert_eq!(text.parse(), Ok(version));
    }

    #[test]
    fn a_text_that_is_a_version_is_its_only_text(text in "e?[0-9a-fA-F]{0,18}-?[0-9a-f]{0,18}") {
        if let Ok(version) = text.parse::<Version>() {
            prop_assert_eq!(version.to_string(), text);
        }
    }

    #[test]
    fn a_value_keeps_its_bytes(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
        let value = Value::copy_from(&bytes).expect("legal");
        prop_assert_eq!(value.as_bytes(), &bytes[..]);
        prop_assert_eq!((value.len(), value.is_empty()), (bytes.len(), bytes.is_empty()));
        prop_assert_eq!(&value.into_bytes()[..], &bytes[..]);
    }

    #[test]
    fn every_way_to_make_a_value_keeps_its_bytes(text in "\\PC{0,40}", array in any::<[u8; 5]>()) {
        let bytes = text.as_bytes();
        let made = [
            Value::try_from(bytes),
            Value::try_from(&text[..]),
            Value::try_from(bytes.to_vec()),
            Value::try_from(Bytes::copy_from_slice(bytes)),
            Value::try_from(text.clone()),
        ];
        for value in made {
            let value = value.expect("legal");
            prop_assert_eq!(value.as_bytes(), bytes);
            prop_assert_eq!(value.as_ref(), bytes);
        }
        let value = Value::try_from(&array).expect("legal");
        prop_assert_eq!(value.as_bytes(), &array[..]);
    }
}
