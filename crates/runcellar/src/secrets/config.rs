//! Secrets in nested values and in command lines, where names and values need not be told apart by signs.

use std::borrow::Cow;

use super::assign::rule_of;
use super::name::{self, Suspicion};
use super::scan::{Language, Span};
use super::{Finding, Scanner, value};
use crate::Json;

impl Scanner {
    /// Redacts the texts in a nested value that are secrets by their look or their names; nothing else changes. `path`
    /// names the value itself, such as `config`.
    pub fn config(&self, path: &str, value: Json) -> (Json, Vec<Finding>) {
        let mut findings = Vec::new();
        let value = if self.is_on() { self.nested(path, None, value, &mut findings) } else { value };
        (value, findings)
    }

    /// Redacts the value of one key of a config.
    pub fn config_key(&self, key: &str, value: Json) -> (Json, Vec<Finding>) {
        let mut findings = Vec::new();
        if !self.is_on() {
            return (value, findings);
        }
        (self.nested(&format!("config.{key}"), name::judge(key), value, &mut findings), findings)
    }

    /// Recursion ends where values may nest no deeper ([`runcellar_format::value::NESTING_MAX`]), which is checked when
    /// they are made into records.
    fn nested(&self, path: &str, suspicion: Option<Suspicion>, value: Json, findings: &mut Vec<Finding>) -> Json {
        match value {
            Json::Map(members) => {
                let redacted = members.into_iter().map(|(key, member)| {
                    let inside = name::judge(&key);
                    let member = self.nested(&format!("{path}.{key}"), inside, member, findings);
                    (key, member)
                });
                Json::Map(redacted.collect())
            }
            Json::List(items) => {
                let redacted = items.into_iter().enumerate();
                Json::List(
                    redacted
                        .map(|(at, item)| self.nested(&format!("{path}[{at}]"), suspicion, item, findings))
                        .collect(),
                )
            }
            Json::Text(text) => Json::Text(self.named(&|| path.to_owned(), suspicion, &text, findings).into_owned()),
            // A number of four digits and more is a password only where nothing else can be meant.
            Json::Int(number) if suspicion == Some(Suspicion::Password) && number.unsigned_abs() >= 1000 => {
                let text = number.to_string();
                let redacted = self.named(&|| path.to_owned(), suspicion, &text, findings).into_owned();
                if redacted == text { Json::Int(number) } else { Json::Text(redacted) }
            }
            other => other,
        }
    }

    /// Redacts a text that has a name: as a whole if the name says so, else what is found in it.
    pub(super) fn named<'a>(
        &self,
        place: &impl Fn() -> String,
        suspicion: Option<Suspicion>,
        text: &'a str,
        findings: &mut Vec<Finding>,
    ) -> Cow<'a, str> {
        let by_look = self.text(text, Language::Text, |_| place());
        if let Some(suspicion) = suspicion.filter(|suspicion| value::is_secret(*suspicion, text))
            // What a rule says more of is told by its name, if it is all there is.
            && !matches!(&by_look.1[..], [finding] if finding.length == text.trim().chars().count() as u64)
        {
            let span = Span { begin: 0, end: text.len(), rule: rule_of(suspicion) };
            let (redacted, found) = self.redacted(text, &[span], place);
            findings.extend(found);
            return redacted;
        }
        let (redacted, found) = by_look;
        findings.extend(found);
        redacted
    }

    /// Redacts the arguments of a program. They are named by their number, from 1.
    pub fn arguments(&self, arguments: &[String]) -> (Vec<String>, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut flagged = None;
        let mut redacted = Vec::with_capacity(arguments.len());
        for (at, argument) in arguments.iter().enumerate() {
            let place = || format!("argv {}", at + 1);
            let by_flag = std::mem::take(&mut flagged);
            let name = argument.trim_start_matches('-');
            let out = if !self.is_on() {
                argument.clone()
            } else if let Some((name, assigned)) = name.split_once('=')
                && let Some(suspicion) = name::judge(name)
            {
                let head = &argument[..argument.len() - assigned.len()];
                format!("{head}{}", self.named(&place, Some(suspicion), assigned, &mut findings))
            } else if argument.starts_with('-') {
                flagged = name::judge(name);
                self.named(&place, None, argument, &mut findings).into_owned()
            } else {
                self.named(&place, by_flag, argument, &mut findings).into_owned()
            };
            redacted.push(out);
        }
        (redacted, findings)
    }
}
