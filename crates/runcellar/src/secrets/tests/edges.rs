use super::super::{Finding, Language, Lines, Scanner};
use super::fakes::Dice;
use super::{scanner, text};
use crate::{Json, json};
use runcellar_format::Secret;

fn token() -> String {
    format!("ghp_{}", Dice::new(9).alnum(36))
}

#[test]
fn only_the_characters_of_the_secret_are_replaced() {
    let (redacted, findings) = text(&format!("na\u{ef}ve \u{1f511} {} \u{4f60}\u{597d}, and more\n", token()));
    let [Finding { id, rule, place, length }] = &findings[..] else { panic!("one finding: {findings:?}") };
    assert_eq!(redacted, format!("na\u{ef}ve \u{1f511} [redacted github-token {id}] \u{4f60}\u{597d}, and more\n"));
    assert_eq!((rule.as_str(), place.as_str(), *length, id.len()), ("github-token", "line 1", 40, 12));
    // What was redacted before holds nothing more to be found.
    assert_eq!(text(&redacted).1, []);
}

#[test]
fn an_id_tells_equal_secrets_and_confirms_no_guess_without_the_key() {
    let of = |key: u8, line: &str| {
        let scanner = Scanner::new(Secret::new([key; 32]), []);
        scanner.text(line, Language::Text, |_| String::new()).1[0].id.clone()
    };
    let (one, again) = (format!("password=\"{}\"", token()), format!("and {} once more", token()));
    assert_eq!(of(1, &one), of(1, &again));
    assert_ne!(of(1, &one), of(2, &one));
    let other = format!("ghp_{}", Dice::new(10).alnum(36));
    assert_ne!(of(1, &one), of(1, &other));
}

#[test]
fn what_is_allowed_is_kept_and_the_rest_is_not() {
    let other = format!("glpat-{}", Dice::new(1).alnum(20));
    let line = format!("{} {other}", token());
    let ids: Vec<String> = text(&line).1.into_iter().map(|finding| finding.id).collect();
    let allowing = Scanner::new(Secret::new([7; 32]), [ids[0].clone()]);
    let (redacted, findings) = allowing.text(&line, Language::Text, |_| String::new());
    assert_eq!(redacted, format!("{} [redacted gitlab-token {}]", token(), ids[1]));
    assert_eq!(findings.len(), 1);
    let (kept, findings) = Scanner::off().text(&line, Language::Text, |_| String::new());
    assert_eq!((kept.as_ref(), findings.len()), (line.as_str(), 0));
}

#[test]
fn other_keys_of_a_config_stay_exact() {
    let nan = f64::from_bits(0x7ff8_0000_0000_1234);
    let config = |password: &str| {
        Json::Map(vec![
            ("lr".into(), Json::Float(-0.0)),
            ("odd".into(), Json::Float(nan)),
            ("password".into(), Json::Text(password.into())),
            ("db".into(), json!({"passwords": ["swordfish", "abc"], "port": 5432, "name": "a = b: c"})),
            ("".into(), Json::Null),
            ("number".into(), Json::Int(i64::MIN)),
        ])
    };
    let (redacted, findings) = scanner().config("config", config("swordfish"));
    let places: Vec<_> = findings.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, ["config.password", "config.db.passwords[0]"]);
    assert_eq!(findings[0].id, findings[1].id);
    let Json::Map(members) = &redacted else { panic!("a map") };
    assert!(matches!(&members[1].1, Json::Float(value) if value.to_bits() == nan.to_bits()));
    assert!(matches!(&members[0].1, Json::Float(value) if value.to_bits() == (-0.0_f64).to_bits()));
    assert_eq!(members[2].1, Json::Text(format!("[redacted password {}]", findings[0].id)));
    assert_eq!(members[3].1.get("port"), Some(&Json::Int(5432)));
    assert_eq!(members[3].1.get("name"), Some(&Json::Text("a = b: c".into())));
    assert_eq!((&members[4].1, &members[5].1), (&Json::Null, &Json::Int(i64::MIN)));
}

#[test]
fn numbers_and_truth_values_are_no_secrets_but_for_a_password_of_digits() {
    let config = json!({"token": 50256, "api_key": 12_345_678, "password": true, "secret": 0.5, "passwd": 123});
    let (same, findings) = scanner().config("config", config.clone());
    assert_eq!((same, findings.len()), (config, 0));
    let (redacted, findings) = scanner().config("config", json!({"password": 20_240_601}));
    assert_eq!(findings[0].length, 8);
    assert!(!format!("{redacted:?}").contains("20240601"));
}

#[test]
fn a_secret_within_a_longer_value_leaves_the_rest() {
    let (redacted, findings) =
        scanner().config("config", json!({"uri": "mysql://root:swordfish@db:3306/x?charset=utf8"}));
    let expected = format!("mysql://root:[redacted url-password {}]@db:3306/x?charset=utf8", findings[0].id);
    assert_eq!(redacted.get("uri"), Some(&Json::Text(expected)));
}

#[test]
fn arguments_are_judged_with_the_flags_before_them() {
    let given =
        ["--password", "swordfish", "--lr", "0.1", "--db.password=tiger!", "-x", "api_key=abc-123-xyz", "--token"];
    let (redacted, findings) = scanner().arguments(&given.map(str::to_owned));
    let places: Vec<_> = findings.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, ["argv 2", "argv 5", "argv 7"]);
    assert!(redacted[4].starts_with("--db.password=[redacted password "));
    assert!(redacted[6].starts_with("api_key=[redacted secret "));
    assert_eq!([&redacted[0], &redacted[2], &redacted[3], &redacted[7]], ["--password", "--lr", "0.1", "--token"]);
    let plain = ["--password", "--verbose", "train", "--max-tokens", "4096"].map(str::to_owned);
    assert_eq!(scanner().arguments(&plain), (plain.to_vec(), Vec::new()));
}

#[test]
fn a_line_that_has_not_ended_shows_no_beginning_of_a_secret() {
    let lines = Lines::new(Language::Text);
    for line in [
        format!("using {}", token()),
        "password: swordfish-and-more".to_owned(),
        format!("key {}", Dice::new(3).alnum(40)),
    ] {
        let secret_at = line.rfind(' ').map_or(0, |at| at + 1);
        // The prefix of a token alone is no secret, nor are a few random characters.
        for end in secret_at + 17..line.len() {
            let shown = lines.open_line(&scanner(), &line[..end]);
            assert!(!shown.contains(&line[secret_at..end]), "{shown}");
        }
    }
    for line in ["Epoch 3/10:  45%|####  | 563/1250 [02:11<02:40,  4.29it/s]", "loss: 0.25", "tokenizer: bert", ""] {
        assert_eq!(lines.open_line(&scanner(), line), line);
    }
}

#[test]
fn a_private_key_is_redacted_line_by_line_and_what_follows_is_not() {
    let label = "OPENSSH PRIVATE KEY";
    let body: Vec<String> = (0..5).map(|seed| Dice::new(seed).base64(70)).collect();
    let key = format!("before\n-----BEGIN {label}-----\n{}\n-----END {label}-----\nafter\n", body.join("\n"));
    let (redacted, findings) = text(&key);
    assert!(body.iter().all(|line| !redacted.contains(line.as_str())));
    assert!(redacted.starts_with("before\n-----BEGIN") && redacted.ends_with("PRIVATE KEY-----\nafter\n"));
    assert_eq!(
        findings.iter().map(|finding| finding.place.as_str()).collect::<Vec<_>>(),
        ["line 3", "line 4", "line 5", "line 6", "line 7"]
    );
    // A public one is none, and a header in a sentence begins none.
    let public = key.replace("PRIVATE", "PUBLIC").replace(&body.join("\n"), "abc");
    assert_eq!(text(&public).1, []);
    assert_eq!(
        text(&format!("write -----BEGIN {label}----- first\nand then this")).0.lines().last(),
        Some("and then this")
    );
    // One without an end does not cover a whole log.
    let endless = format!("-----BEGIN {label}-----\n{}", "a line\n".repeat(1000));
    assert!(text(&endless).1.len() <= 200);
}

#[test]
fn hostile_texts_take_time_in_proportion_to_their_length() {
    // Were one quadratic, this test would take minutes.
    let pieces = [
        "sk-",
        "password=",
        "password: ",
        "eyJ",
        "eyJ.",
        "-----BEGIN PRIVATE KEY-----",
        "://a:b@",
        "=",
        ":",
        "\"",
        "\\\"",
        "--token ",
        "Authorization: ",
        "authorization=",
        "Bearer ",
        "login ",
        "x",
        "aB3",
        "\u{1f511}",
        "a.",
        "{\"",
        "'password':'",
        " ",
        "\n",
        "1234567890:AA",
        "api_key = ",
        "AKIA",
        "-",
        "--",
    ];
    for piece in pieces {
        let hostile = piece.repeat((1 << 16) / piece.len());
        let (redacted, _) = text(&hostile);
        assert!(redacted.len() <= 8 * hostile.len(), "{piece}");
        let cut: String = hostile.chars().take(5000).collect();
        let _ = Lines::new(Language::Code).open_line(&scanner(), &cut);
    }
}

#[test]
fn a_line_of_a_megabyte_is_looked_at_to_its_end() {
    let long = format!("{} {} {}", "loss=0.25, key='val/loss'; ".repeat(1 << 15), token(), "x=1 ".repeat(1 << 16));
    let (redacted, findings) = text(&long);
    assert_eq!((findings.len(), redacted.contains(&token())), (1, false));
    let password = format!("password=\"{}\" rest", "aB3 ".repeat(1 << 18));
    let (redacted, findings) = text(&password);
    assert_eq!(redacted, format!("password=\"[redacted password {}]\" rest", findings[0].id));
}

#[test]
fn any_text_is_taken() {
    let mut dice = Dice::new(77);
    let pieces = [
        "password",
        "=",
        ":",
        "\"",
        "'",
        "\\",
        "\u{e4}",
        "\u{1f511}",
        " ",
        "--",
        "ghp_",
        "://",
        "@",
        "eyJ",
        "a1B2",
        "\n",
        "[",
        "(",
    ];
    for _ in 0..20_000 {
        let line: String = (0..1 + dice.below(14)).map(|_| dice.one_of(&pieces)).collect();
        let _ = text(&line);
        let _ = Lines::new(Language::Code).open_line(&scanner(), &line);
    }
}
