//! Looks for secrets in what was written, in every form in which a program may have written them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE;
use std::collections::BTreeSet;
use std::collections::HashMap;

/// Leaks in part are leaks: a long secret is looked for in pieces of so many bytes.
const PIECE: usize = 24;

/// Something that nobody may write down.
pub(crate) struct Secret {
    name: String,
    pieces: Vec<Vec<u8>>,
}

impl Secret {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        assert!(bytes.len() >= 8, "{name} is too short to be told from chance");
        let pieces = bytes.chunks(PIECE).filter(|piece| piece.len() >= 8).map(<[u8]>::to_vec);
        Self { name: name.to_owned(), pieces: pieces.collect() }
    }
}

/// The forms of these bytes.
fn forms(bytes: &[u8]) -> Vec<String> {
    let hex = |byte: &u8| format!("{byte:02x}");
    let list = |between: &str| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(between);
    let lower: String = bytes.iter().map(hex).collect();
    let colons = bytes.iter().map(hex).collect::<Vec<_>>().join(":");
    let mut forms = vec![lower.to_uppercase(), lower, colons, list(", "), list(",")];
    forms.push(bytes.iter().map(|byte| byte.escape_ascii().to_string()).collect());
    forms.extend(String::from_utf8(bytes.to_vec()));
    for engine in [&STANDARD, &URL_SAFE] {
        forms.extend((0..3).map(|shift| inner_base64(engine, bytes, shift)));
    }
    forms
}

/// What is in every base64 text of which these bytes are a part that begins so far into three bytes.
fn inner_base64(engine: &impl Engine, bytes: &[u8], shift: usize) -> String {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(bytes);
    shifted.truncate(shifted.len() / 3 * 3);
    let whole = engine.encode(shifted);
    // The first characters hold bits of what stands before.
    whole[if shift == 0 { 0 } else { shift + 1 }..].to_owned()
}

/// How many bytes of a form are looked up; shorter forms are no evidence.
const KEY: usize = 8;

/// The names of the secrets that are in this text.
pub(crate) fn found(text: &str, secrets: &[Secret]) -> BTreeSet<String> {
    // One pass over the text: there are thousands of forms.
    let mut by_beginning: HashMap<Vec<u8>, Vec<(String, &str)>> = HashMap::new();
    for (secret, piece) in
        secrets.iter().flat_map(|secret| secret.pieces.iter().map(move |piece| (secret, piece)))
    {
        for form in forms(piece).into_iter().filter(|form| form.len() >= KEY) {
            by_beginning.entry(form.as_bytes()[..KEY].to_vec()).or_default().push((form, &secret.name));
        }
    }
    let text = text.as_bytes();
    let at = text.windows(KEY).enumerate().filter_map(|(at, key)| Some((at, by_beginning.get(key)?)));
    let leaked = at.flat_map(|(at, forms)| {
        forms.iter().filter(move |(form, _)| text[at..].starts_with(form.as_bytes()))
    });
    leaked.map(|(_, name)| (*name).to_owned()).collect()
}

#[test]
fn a_secret_is_found_in_every_form_and_in_part() {
    let bytes: Vec<u8> = (0..96_u8).map(|byte| byte.wrapping_mul(89).wrapping_add(200)).collect();
    let secrets = [Secret::new("secret", &bytes)];
    for cut in [0..96, 3..80, 13..90, 24..48, 47..75] {
        let part = &bytes[cut.clone()];
        for text in [
            format!("{part:?}"),
            format!("{:?}", bytes::Bytes::copy_from_slice(part)),
            serde_json::to_string(part).unwrap(),
            STANDARD.encode(part),
            URL_SAFE.encode(part),
            part.iter().map(|byte| format!("{byte:02X}")).collect(),
        ] {
            let holds_a_piece = cut.start.next_multiple_of(PIECE) + PIECE <= cut.end;
            assert_eq!(
                !found(&format!("before {text} after"), &secrets).is_empty(),
                holds_a_piece,
                "{cut:?} {text}"
            );
        }
    }
    let text = Secret::new("text", "open sesame".as_bytes());
    assert_eq!(found("{\"p\":\"open sesame\"}", &[text]), BTreeSet::from(["text".to_owned()]));
    assert!(found("nothing", &secrets).is_empty());
}
