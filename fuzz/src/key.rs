//! Keys in a path and in a body, against a decoder that knows nothing of ours.

use trandb_common::{InvalidKey, Key, path};

const KEY_BYTES_MAX: usize = 1024;

/// A raw segment of a path, and any bytes on their way through one.
pub fn key_path(data: &[u8]) {
    if let Ok(segment) = std::str::from_utf8(data) {
        let decoded = path::decode_key(segment);
        assert_eq!(decoded, expected_of_segment(segment), "{segment:?}");
        decoded.iter().for_each(survives_a_path);
    }
    // Every byte may be escaped, in digits of either case.
    let twice: Vec<u8> = data.iter().flat_map(|b| [*b, *b]).collect();
    if twice.len() <= KEY_BYTES_MAX {
        let escaped: Vec<String> = data.iter().map(|b| format!("%{b:02x}%{b:02X}")).collect();
        let escaped = escaped.concat();
        assert_eq!(path::decode_key(&escaped), expected_of_bytes(&twice));
    }
    assert_eq!(Key::try_from(data), expected_of_bytes(data));
}

/// What `segment` names.
pub(super) fn expected_of_segment(segment: &str) -> Result<Key, InvalidKey> {
    let mut bytes = Vec::new();
    let mut malformed = false;
    let mut rest = segment.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let digits = (digit(behind.first()), digit(behind.get(1)));
        if let (b'%', (Some(high), Some(low))) = (first, digits) {
            bytes.push(16 * high + low);
            rest = &behind[2..];
        } else {
            malformed |= first == b'%';
            bytes.push(first);
        }
    }
    // No legal key is so long; it is not looked at any further.
    let hopeless = segment.len() > 3 * KEY_BYTES_MAX;
    match (hopeless, malformed) {
        (true, _) => Err(InvalidKey::TooLong {
            actual: bytes.len(),
        }),
        (false, true) => Err(InvalidKey::BadEscape),
        (false, false) => expected_of_bytes(&bytes),
    }
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    let digits = b"0123456789abcdef0123456789ABCDEF";
    let position = digits.iter().position(|digit| Some(digit) == byte)?;
    u8::try_from(position % 16).ok()
}

/// What these bytes are as a key.
pub(super) fn expected_of_bytes(bytes: &[u8]) -> Result<Key, InvalidKey> {
    let text = String::from_utf8(bytes.to_vec()).map_err(|_| InvalidKey::NotUtf8)?;
    let error = match (text.as_str(), text.len()) {
        (_, 0) => InvalidKey::Empty,
        ("." | "..", _) => InvalidKey::DotSegment,
        (_, actual @ 1025..) => InvalidKey::TooLong { actual },
        _ => {
            let key = Key::new(&text).expect("a legal key is taken");
            assert_eq!(key.as_bytes(), bytes, "a key is its bytes");
            return Ok(key);
        }
    };
    Err(error)
}

/// Its own path names it again, is one segment, and has nothing that a proxy may normalise.
fn survives_a_path(key: &Key) {
    let path = path::of_key(key);
    let segment = path.strip_prefix("/keys/").expect("under /keys/");
    let untouchable = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
    assert!(segment.bytes().all(untouchable), "{segment}");
    assert!(!matches!(segment, "" | "." | ".."), "a dot segment");
    let uri: http::Uri = path.parse().expect("a path is a URI");
    assert_eq!((uri.path(), uri.query()), (path.as_str(), None));
    assert_eq!(path::decode_key(segment).as_ref(), Ok(key));
}

/// A key as it stands in a body: a text in JSON.
pub fn key_body(data: &[u8]) {
    let key: Result<Key, _> = serde_json::from_slice(data);
    let text: Option<String> = serde_json::from_slice(data).ok();
    let expected = text.and_then(|text| expected_of_bytes(text.as_bytes()).ok());
    assert_eq!(key.as_ref().ok(), expected.as_ref());
    let Ok(key) = key else { return };
    let written = serde_json::to_vec(&key).expect("a key is JSON");
    assert_eq!(serde_json::from_slice::<Key>(&written).ok(), Some(key));
}
