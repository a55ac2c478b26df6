//! Judging values: does this text look like a secret, given what its name suggests?

use super::name::Suspicion;

/// Shortest random text that counts as a secret whatever stands before it.
const ALONE_CHARS_MIN: usize = 32;
/// Longest one: what is longer is data (a picture in base64), not a key.
const ALONE_CHARS_MAX: usize = 256;
/// Share of letters in wordlike runs below which a text is no name. Names of models, files and metrics have over 0.7,
/// random texts of 32 characters under 0.35 (`the_two_kinds_of_text_lie_apart`).
const WORDY_MIN: f64 = 0.5;
/// Shannon entropy, bits a character, from which a text of 32 and more can be random.
const ALONE_BITS_MIN: f64 = 3.8;
/// The same for the values of `token`, which may be shorter.
const TOKEN_BITS_MIN: f64 = 3.0;
/// Bytes of a value that are looked at.
const LOOKED_AT_BYTES_MAX: usize = 512;

/// Letters that often follow each letter in English words and in names of code: the 300 most frequent pairs, which make up
/// 97% of the pairs in the words of this repository's documents and of Python's library, and 44% of random ones.
const FOLLOWERS: [&[u8]; 26] = [
    b"bcdgiklmnprstuvwxy",
    b"aceijlorsuy",
    b"acehiklmorstuy",
    b"abdeilorstu",
    b"abcdefgiklmnopqrstvwxy",
    b"aefilorstu",
    b"aeghilnorsu",
    b"aeiortu",
    b"abcdefglmnoprstvxz",
    b"e",
    b"eilsw",
    b"acdeilnopstuy",
    b"abdeilmopstu",
    b"acdefgiklnopstuvy",
    b"abcdfgiklmnoprstuvw",
    b"aehiloprstuy",
    b"u",
    b"abcdefgiklmnoprstuvy",
    b"acefghiklmnoprstuwy",
    b"acdefhilmnoprstuwy",
    b"abcdefgilmnprst",
    b"aeio",
    b"aehinors",
    b"ceipt",
    b"eimnpst",
    b"ei",
];

/// Returns true if the value of a name like this is to be taken for a secret. `text` is the whole value.
pub(super) fn is_secret(suspicion: Suspicion, text: &str) -> bool {
    let text = head(text);
    if is_placeholder(text) || is_path(text) {
        return false;
    }
    let (mut letters, mut digits, mut others) = (0, 0, 0);
    for letter in text.chars() {
        match letter {
            '0'..='9' => digits += 1,
            'a'..='z' | 'A'..='Z' => letters += 1,
            _ => others += 1,
        }
    }
    let length = letters + digits + others;
    let has_space = text.contains(char::is_whitespace);
    match suspicion {
        Suspicion::Password => length >= 4 || (length == 3 && others + digits > 0 && letters > 0),
        Suspicion::Secret => {
            let random = letters > 0 && (digits > 0 || wordiness(text) < WORDY_MIN || has_symbols(text));
            length >= 8 && !has_space && !text.contains("://") && random
        }
        Suspicion::Token | Suspicion::Key => {
            let long = length >= if suspicion == Suspicion::Key { 20 } else { 16 };
            let random = if is_hex_with_dashes(text) {
                suspicion == Suspicion::Token && length >= 32
            } else {
                wordiness(text) < WORDY_MIN && entropy_bits(text.as_bytes()) >= TOKEN_BITS_MIN
            };
            long && !has_space && !text.contains("://") && letters > 0 && digits > 0 && random
        }
    }
}

/// Returns true if a run of base64 characters is random enough to be a secret with nothing said about it. Content hashes,
/// commits and ids in hexadecimal are as random and no secrets: capital letters and small ones must be there.
pub(super) fn is_secret_alone(run: &[u8], length_min: usize) -> bool {
    let body = run.strip_suffix(b"==").or(run.strip_suffix(b"=")).unwrap_or(run);
    if !(length_min..=ALONE_CHARS_MAX).contains(&body.len()) || is_content_id(body) || is_composed(body) {
        return false;
    }
    let has = |class: fn(&u8) -> bool| body.iter().any(class);
    let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
    let bits_min = if body.len() < ALONE_CHARS_MIN { TOKEN_BITS_MIN } else { ALONE_BITS_MIN };
    mixed && entropy_bits(body) >= bits_min && std::str::from_utf8(body).is_ok_and(|text| wordiness(text) < WORDY_MIN)
}

/// [`is_secret_alone`] of a text that is whole.
pub(super) fn alone_chars_min() -> usize {
    ALONE_CHARS_MIN
}

/// Names of many parts, and alphabets.
fn is_composed(body: &[u8]) -> bool {
    let joints = body.iter().filter(|byte| matches!(byte, b'_' | b'-' | b'/' | b'+')).count();
    let in_order = body.windows(2).filter(|pair| pair[0].checked_add(1) == Some(pair[1])).count();
    joints * 6 > body.len() || in_order * 2 > body.len()
}

/// Addresses of content, which look like base58 and base32.
fn is_content_id(body: &[u8]) -> bool {
    (body.len() == 46 && body.starts_with(b"Qm")) || body.starts_with(b"bafy") || body.starts_with(b"bafk")
}

/// Returns true if the body of a token shape is more than a stand-in such as `xxxxxxxx`.
pub(super) fn is_varied(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    body.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let distinct = seen.iter().filter(|seen| **seen).count();
    distinct >= body.len().min(32) / 5 + 2
}

/// Returns true if a text has capital letters, small letters or digits as random ones do, not as names do.
pub(super) fn is_random(text: &str) -> bool {
    let text = head(text);
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    has_digit && wordiness(text) < WORDY_MIN && entropy_bits(text.as_bytes()) >= TOKEN_BITS_MIN
}

/// Returns the share of letters that stand in runs which could be words: three letters and more, nearly all of whose
/// neighbours are often neighbours. A run ends at anything but a letter and where a capital begins a word. 1 without letters.
pub(super) fn wordiness(text: &str) -> f64 {
    let bytes = text.as_bytes();
    let (mut letters, mut wordlike, mut begin) = (0, 0, 0);
    for at in 0..=bytes.len() {
        if at < bytes.len() && at > begin && !is_cut(bytes, at) {
            continue;
        }
        let run = bytes.get(begin..at).unwrap_or_default();
        if run.first().is_some_and(u8::is_ascii_alphabetic) {
            letters += run.len();
            wordlike += if is_wordlike(run) { run.len() } else { 0 };
        }
        begin = at;
    }
    if letters == 0 { 1.0 } else { wordlike as f64 / letters as f64 }
}

/// Returns true if a run ends before this place.
fn is_cut(bytes: &[u8], at: usize) -> bool {
    let class = |at: usize| bytes.get(at).map_or((false, false), |b| (b.is_ascii_lowercase(), b.is_ascii_uppercase()));
    match (class(at - 1), class(at)) {
        ((true, _), (_, true)) => true,
        ((_, true), (_, true)) => class(at + 1).0,
        (before, now) => (before.0 || before.1) != (now.0 || now.1),
    }
}

fn is_wordlike(run: &[u8]) -> bool {
    let number = |byte: u8| usize::from(byte.to_ascii_lowercase() - b'a');
    let follows = |pair: &&[u8]| matches!(pair, [a, b] if FOLLOWERS[number(*a)].contains(&b.to_ascii_lowercase()));
    let natural = run.windows(2).filter(follows).count();
    match run.len() {
        0..=2 => false,
        3..=4 => natural + 1 == run.len(),
        // Composed words have an odd pair at the joint.
        _ => natural * 5 >= (run.len() - 1) * 3,
    }
}

/// Returns the Shannon entropy of bytes, in bits a byte.
pub(super) fn entropy_bits(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let total = bytes.len() as f64;
    let share = |count: u32| f64::from(count) / total;
    counts.iter().filter(|count| **count > 0).map(|count| -share(*count) * share(*count).log2()).sum()
}

/// Returns true if a text stands for a secret that is somewhere else, or for none.
pub(super) fn is_placeholder(text: &str) -> bool {
    const NOTHING: [&str; 30] = [
        "none",
        "null",
        "nil",
        "true",
        "false",
        "undefined",
        "nan",
        "str",
        "string",
        "int",
        "bytes",
        "bool",
        "any",
        "object",
        "required",
        "optional",
        "default",
        "empty",
        "missing",
        "invalid",
        "incorrect",
        "expired",
        "unset",
        "hidden",
        "prompt",
        "unknown",
        "wrong",
        "accepted",
        "masked",
        "disabled",
    ];
    const PARTS: [&str; 12] = [
        "redacted",
        "your",
        "example",
        "placeholder",
        "changeme",
        "change_me",
        "change-me",
        "replace",
        "environ",
        "getenv",
        "dummy",
        "todo",
    ];
    const BEGINNINGS: [&str; 12] =
        ["${", "{{", "<", "%(", "[", "env:", "env.", "vault:", "secret:", "file:", "ref+", "arn:"];
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let first = text.chars().next();
    let variable = |rest: &str| rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    text.is_empty()
        || text.chars().all(|letter| Some(letter) == first)
        || text.strip_prefix('$').is_some_and(variable)
        || (text.starts_with('%') && text.ends_with('%'))
        || NOTHING.contains(&lower.as_str())
        || BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning))
        || PARTS.iter().any(|part| lower.contains(part))
        || lower.bytes().all(|byte| matches!(byte, b'x' | b'*' | b'.' | b'-' | b'_' | b'#'))
}

/// Returns true if a text is a path of a file.
fn is_path(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Random base64 begins with a slash, too.
    let absolute = text.starts_with('/') && (wordiness(text) >= WORDY_MIN || text.contains('.'));
    let relative = ["./", "../", "~/", "\\\\"].iter().any(|root| text.starts_with(root));
    absolute || relative || matches!(bytes, [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic())
}

fn has_symbols(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*' | b'+' | b'~' | b'?'))
}

fn is_hex_with_dashes(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Returns the beginning of a text, whole characters.
fn head(text: &str) -> &str {
    let end = (0..=LOOKED_AT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or(text)
}
