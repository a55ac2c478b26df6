//! Judging names: what does a name such as `db_password` or `max_tokens` suggest of its value?

/// How much a name suggests that its value is a secret, and so how little the value must look like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// A password: any text, and long numbers.
    Password,
    /// A secret by name, such as `api_key`: texts that are more than words.
    Secret,
    /// A token: long random texts, in hexadecimal too.
    Token,
    /// A key of some kind: long random texts that are no hashes.
    Key,
}

/// Longest name that is looked at, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;
const WORDS_MAX: usize = 12;

/// Words that are secrets by themselves, as the last word of a name.
const SECRETS: [&str; 21] = [
    "secret",
    "secrets",
    "apikey",
    "apikeys",
    "apitoken",
    "accesskey",
    "secretkey",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "sessiontoken",
    "clientsecret",
    "privatekey",
    "accountkey",
    "sharedaccesskey",
    "credential",
    "credentials",
    "creds",
    "pass",
    "pw",
    "pin",
];
/// Words that make a secret of a following `key`.
const OF_KEYS: [&str; 34] = [
    "access",
    "account",
    "admin",
    "anthropic",
    "api",
    "auth",
    "client",
    "comet",
    "deploy",
    "encryption",
    "gemini",
    "google",
    "groq",
    "hf",
    "license",
    "master",
    "mistral",
    "neptune",
    "openai",
    "private",
    "replicate",
    "secret",
    "service",
    "session",
    "shared",
    "signing",
    "ssh",
    "storage",
    "stripe",
    "subscription",
    "together",
    "wandb",
    "webhook",
    "app",
];
/// Words that make a secret of a following `token`.
const OF_TOKENS: [&str; 29] = [
    "access",
    "api",
    "app",
    "auth",
    "bearer",
    "bot",
    "comet",
    "deploy",
    "gh",
    "git",
    "github",
    "gitlab",
    "hf",
    "hub",
    "huggingface",
    "id",
    "neptune",
    "npm",
    "oauth",
    "personal",
    "private",
    "pypi",
    "refresh",
    "secret",
    "service",
    "session",
    "slack",
    "telegram",
    "wandb",
];
/// Words before `key` that make it no secret.
const HARMLESS_KEYS: [&str; 22] = [
    "public",
    "pub",
    "cache",
    "primary",
    "foreign",
    "sort",
    "partition",
    "group",
    "row",
    "dict",
    "state",
    "hash",
    "idempotency",
    "object",
    "content",
    "lookup",
    "prng",
    "rng",
    "random",
    "seed",
    "metric",
    "monitor",
];
/// Words after a secret that change nothing; digits are no part of a word.
const SUFFIXES: [&str; 20] = [
    "value",
    "val",
    "b",
    "base",
    "hex",
    "string",
    "str",
    "text",
    "plain",
    "plaintext",
    "prod",
    "production",
    "dev",
    "test",
    "staging",
    "live",
    "old",
    "new",
    "primary",
    "secondary",
];

/// Judges a name by its last words. Parts are told apart by anything but letters, and by capitals: `apiKey`, `API_KEY`,
/// `db.password`, `--api-key`.
pub(super) fn judge(name: &str) -> Option<Suspicion> {
    let name = if name.len() > NAME_BYTES_MAX { tail(name) } else { name };
    let mut words = [""; WORDS_MAX];
    let count = split(name, &mut words);
    let mut words = words.get(..count)?;
    while let [rest @ .., last] = words
        && !rest.is_empty()
        && is_one_of(last, &SUFFIXES)
    {
        words = rest;
    }
    let [rest @ .., last] = words else { return None };
    let before = rest.last().copied().unwrap_or_default();
    if ["password", "passwd", "passphrase", "passcode", "passwort"].iter().any(|word| ends_with(last, word))
        || is_one_of(last, &["passwords", "pwd"])
    {
        return Some(Suspicion::Password);
    }
    let is = |words: &[&str]| is_one_of(last, words);
    if is(&SECRETS)
        || ends_with(last, "apikey")
        || (is(&["key", "keys"]) && is_one_of(before, &OF_KEYS))
        || (is(&["token", "tokens"]) && is_one_of(before, &OF_TOKENS))
    {
        return Some(Suspicion::Secret);
    }
    if is(&["token", "tokens", "auth", "authorization", "bearer", "cookie", "jwt", "sig", "signature", "sas", "pat"]) {
        return Some(Suspicion::Token);
    }
    (is(&["key", "keys"]) && !is_one_of(before, &HARMLESS_KEYS)).then_some(Suspicion::Key)
}

/// Splits a name into its last words; returns how many there are.
fn split<'a>(name: &'a str, words: &mut [&'a str; WORDS_MAX]) -> usize {
    let bytes = name.as_bytes();
    let (mut count, mut begin) = (0, 0);
    for at in 0..=bytes.len() {
        let letter = bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
        let class = |at: usize, is: fn(&u8) -> bool| bytes.get(at).is_some_and(is);
        let capital = at > begin
            && class(at, u8::is_ascii_uppercase)
            && (class(at - 1, u8::is_ascii_lowercase) || class(at + 1, u8::is_ascii_lowercase));
        if letter && !capital {
            continue;
        }
        let word = name.get(begin..at).unwrap_or_default();
        if !word.is_empty() {
            if count == WORDS_MAX {
                words.rotate_left(1);
                count -= 1;
            }
            words[count] = word;
            count += 1;
        }
        begin = if letter { at } else { at + 1 };
    }
    count
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn ends_with(word: &str, end: &str) -> bool {
    word.len().checked_sub(end.len()).and_then(|at| word.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

fn tail(name: &str) -> &str {
    let from = (name.len() - NAME_BYTES_MAX..=name.len()).find(|at| name.is_char_boundary(*at));
    from.and_then(|from| name.get(from..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_their_last_words() {
        use Suspicion::{Key, Password, Secret, Token};
        for (name, expected) in [
            ("password", Some(Password)),
            ("DB_PASSWORD", Some(Password)),
            ("PGPASSWORD", Some(Password)),
            ("db.admin.userPassword2", Some(Password)),
            ("api_key", Some(Secret)),
            ("apiKey", Some(Secret)),
            ("OPENAI_API_KEY_PROD", Some(Secret)),
            ("aws_secret_access_key", Some(Secret)),
            ("hf_token", Some(Secret)),
            ("client-secret", Some(Secret)),
            ("token", Some(Token)),
            ("max_tokens", Some(Token)),
            ("eos_token", Some(Token)),
            ("some_key", Some(Key)),
            ("tokenizer", None),
            ("token_count", None),
            ("num_tokens_seen", None),
            ("secret_santa", None),
            ("password_length", None),
            ("password_file", None),
            ("public_key", None),
            ("monitor_key", None),
            ("keyboard", None),
            ("author", None),
            ("bypass", None),
            ("passes", None),
            ("", None),
            ("_", None),
            ("\u{1f511}", None),
        ] {
            assert_eq!(judge(name), expected, "{name}");
        }
        assert_eq!(judge(&format!("{}_password", "\u{e4}".repeat(500))), Some(Password));
    }
}
