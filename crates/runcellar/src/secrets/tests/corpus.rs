//! How many of the fake secrets are found where they usually stand, and how much of what is ordinary is taken for one.

use super::super::{Language, rules};
use super::fakes::{self, Dice};
use super::{ordinary, scanner};
use crate::Json;

/// Rounds of fakes; each makes every kind anew.
const ROUNDS: u64 = 40;
/// The share of findings that must be secrets, and of secrets that must be found.
const FLOOR: f64 = 0.98;

#[derive(Default)]
struct Tally {
    secrets: usize,
    missed: Vec<String>,
    ordinary: usize,
    mistaken: Vec<String>,
}

impl Tally {
    /// Counts a text that holds a secret.
    fn secret(&mut self, language: Language, text: &str, secret: &str) {
        let (redacted, _) = scanner().text(text, language, |_| String::new());
        self.count(secret, &redacted, text);
    }

    fn count(&mut self, secret: &str, redacted: &str, what: &str) {
        self.secrets += 1;
        if redacted.contains(secret) {
            self.missed.push(what.to_owned());
        }
    }

    /// Counts ordinary lines.
    fn lines(&mut self, language: Language, text: &str) {
        let (_, findings) = scanner().text(text, language, |line| line.to_string());
        self.ordinary += text.lines().count();
        for finding in findings {
            let line = finding.place.parse().ok().and_then(|line: usize| text.lines().nth(line - 1));
            self.mistaken.push(format!("{}: {}", finding.rule, line.unwrap_or_default()));
        }
    }

    /// Counts the values of an ordinary config.
    fn config(&mut self, config: &Json) {
        let (_, findings) = scanner().config("config", config.clone());
        self.ordinary += leaves(config);
        self.mistaken.extend(findings.iter().map(|finding| format!("{} at {}", finding.rule, finding.place)));
    }

    fn precision(&self) -> f64 {
        let found = self.secrets - self.missed.len();
        found as f64 / (found + self.mistaken.len()) as f64
    }

    fn recall(&self) -> f64 {
        1.0 - self.missed.len() as f64 / self.secrets as f64
    }

    #[allow(clippy::print_stdout, reason = "what is measured is shown by --nocapture")]
    fn print(&self, what: &str) {
        println!(
            "{what}: {} secrets, {} missed, recall {:.4}; {} ordinary values and lines, {} mistaken, precision {:.4}",
            self.secrets,
            self.missed.len(),
            self.recall(),
            self.ordinary,
            self.mistaken.len(),
            self.precision()
        );
        let show = |what: &str, items: &[String]| {
            let mut items = items.to_vec();
            items.sort();
            items.dedup();
            items.iter().take(100).for_each(|item| println!("  {what} {}", item.chars().take(160).collect::<String>()));
        };
        show("missed", &self.missed);
        show("mistaken", &self.mistaken);
    }
}

fn leaves(value: &Json) -> usize {
    match value {
        Json::Map(members) => members.iter().map(|(_, member)| leaves(member)).sum(),
        Json::List(items) => items.iter().map(leaves).sum(),
        _ => 1,
    }
}

fn config_of(path: &[&str], value: &str) -> Json {
    path.iter().rev().fold(Json::Text(value.to_owned()), |inner, key| {
        let lr = ("lr".to_owned(), Json::Float(0.1));
        Json::Map(vec![lr, ((*key).to_owned(), inner)])
    })
}

fn count_config(tally: &mut Tally, path: &[&str], secret: &str) {
    let (redacted, findings) = scanner().config("config", config_of(path, secret));
    tally.count(secret, &format!("{redacted:?}"), &format!("{path:?} {secret}"));
    assert!(findings.iter().all(|finding| finding.place == format!("config.{}", path.join("."))), "{findings:?}");
}

fn count_arguments(tally: &mut Tally, arguments: &[String], secret: &str) {
    let (redacted, _) = scanner().arguments(arguments);
    tally.count(secret, &redacted.join(" "), &arguments.join(" "));
}

fn measure() -> Tally {
    let mut tally = Tally::default();
    for seed in 1..=ROUNDS {
        let dice = &mut Dice::new(seed);
        for (_, token) in fakes::tokens(dice) {
            count_config(&mut tally, &["service", "value"], &token);
            for line in [format!("using {token} for access"), format!("[INFO] client ready ({token})"), token.clone()] {
                tally.secret(Language::Text, &line, &token);
            }
            tally.secret(Language::Code, &format!("+    client = Client(\"{token}\", retries=3)"), &token);
            count_arguments(&mut tally, &["train.py".into(), "--credentials-of".into(), token.clone()], &token);
        }
        for (name, secret) in fakes::named(dice) {
            count_config(&mut tally, &["db", name], &secret);
            let flag = format!("--{}", name.replace('_', "-"));
            count_arguments(&mut tally, &["--lr".into(), "0.1".into(), flag.clone(), secret.clone()], &secret);
            count_arguments(&mut tally, &[format!("{flag}={secret}")], &secret);
            count_arguments(&mut tally, &[format!("db.{name}={secret}")], &secret);
            for line in [
                format!("{name}={secret}"),
                format!("export {}={secret}", name.to_uppercase()),
                format!("{name}: {secret}"),
                format!("  {name}: \"{secret}\""),
                format!("{{\"lr\": 0.1, \"{name}\": \"{secret}\", \"x\": 1}}"),
                format!("{{'lr': 0.1, '{name}': '{secret}'}}"),
                format!("Config(lr=0.1, {name}='{secret}', epochs=3)"),
                format!("$ train --lr 0.1 {flag} {secret} --epochs 3"),
                format!("$ train {flag}={secret}"),
            ] {
                tally.secret(Language::Text, &line, &secret);
            }
            for line in [
                format!("+{name} = \"{secret}\""),
                format!("-    {name}: str = '{secret}'"),
                format!("+    connect({name}=\"{secret}\")"),
                format!("+  \"{name}\": \"{secret}\","),
            ] {
                tally.secret(Language::Code, &line, &secret);
            }
        }
        let (password, credential) = (dice.password().replace('@', "#"), dice.url(48));
        for line in [
            format!("postgresql://admin:{password}@db.internal:5432/mlflow"),
            format!("MLFLOW_TRACKING_URI=https://someone:{password}@mlflow.internal/api"),
            format!("remote: https://oauth2:{credential}@gitlab.internal/group/project.git"),
            format!("origin https://{credential}@github.com/someone/project.git (push)"),
        ] {
            let secret = if line.contains(&credential) { &credential } else { &password };
            tally.secret(Language::Text, &line, secret);
        }
        for line in [
            format!("Authorization: Bearer {credential}"),
            format!("curl -H 'authorization: token {credential}' https://api.internal"),
            format!("{{\"Authorization\": \"Basic {credential}\"}}"),
            format!("> GET /v1 bearer {credential}"),
        ] {
            tally.secret(Language::Text, &line, &credential);
        }
        let key = dice.hex(40);
        tally.secret(Language::Text, &format!("$ wandb login {key}"), &key);
        tally.secret(Language::Text, &format!("machine api.wandb.ai login user password {key}"), &key);
        let body: Vec<String> = (0..6).map(|_| dice.base64(64)).collect();
        let (begin, end) =
            (format!("-----BEGIN {}-----", "RSA PRIVATE KEY"), format!("-----END {}-----", "RSA PRIVATE KEY"));
        tally.secret(Language::Text, &format!("{begin}\n{}\n{end}\nafter", body.join("\n")), &body[3]);
        tally.secret(Language::Code, &format!("+{begin}\n+{}\n+{end}\n+x", body.join("\n+")), &body[5]);
        tally.secret(
            Language::Text,
            &format!("\"private_key\": \"{begin}\\n{}\\n{end}\\n\"", body.join("\\n")),
            &body[0],
        );
        ordinary::configs(dice).iter().for_each(|config| tally.config(config));
        tally.lines(Language::Text, &ordinary::output(dice).join("\n"));
        tally.lines(Language::Code, &ordinary::code().join("\n"));
    }
    tally
}

#[test]
fn nearly_all_fake_secrets_are_found_and_nearly_nothing_else_is() {
    let tally = measure();
    tally.print("corpus");
    assert!(tally.recall() >= FLOOR, "recall {}", tally.recall());
    assert!(tally.precision() >= FLOOR, "precision {}", tally.precision());
    // Precision depends on how many secrets there are; this does not.
    assert!(tally.mistaken.len() * 1000 <= tally.ordinary, "{} of {}", tally.mistaken.len(), tally.ordinary);
}

#[test]
fn every_rule_finds_its_fake_and_is_listed_in_the_documents() {
    let privacy = include_str!("../../../../../docs/PRIVACY.md");
    let mut seen: Vec<String> = Vec::new();
    for seed in 1..=5 {
        for (rule, token) in fakes::tokens(&mut Dice::new(seed)) {
            let (_, findings) = super::text(&format!("x {token} y"));
            assert_eq!(findings.iter().map(|f| f.rule.as_str()).collect::<Vec<_>>(), [rule], "{token}");
            seen.push(rule.to_owned());
        }
    }
    for rule in rules() {
        assert!(
            privacy.contains(&format!("| `{}` | {} |", rule.name, rule.looks_like)),
            "docs/PRIVACY.md: {}",
            rule.name
        );
        let is_written = super::super::rule::OTHERS.contains(&rule);
        assert!(is_written || seen.contains(&rule.name.to_owned()), "no fake of {}", rule.name);
    }
}

/// Real files of other people's runs, where a directory of them is named: none of them has secrets.
#[test]
fn files_of_real_runs_are_left_alone() {
    let Some(directory) = std::env::var_os("RUNCELLAR_TEST_RUNS") else { return };
    let mut tally = Tally::default();
    let mut waiting = vec![std::path::PathBuf::from(directory)];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).expect("lists").map(|entry| entry.expect("an entry").path()));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            let language = if ["py", "rs", "ipynb"].contains(&extension) { Language::Code } else { Language::Text };
            tally.lines(language, &text);
        }
    }
    tally.secrets = 1;
    tally.print("files");
    assert!(tally.mistaken.len() * 10_000 <= tally.ordinary, "{} of {}", tally.mistaken.len(), tally.ordinary);
}
