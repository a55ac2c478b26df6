//! `ledger`: every object that was ever sent.

use std::io::Write as _;

use runcellar::query::parse_time;
use runcellar::remotes::{Ledger, SentObject};

use crate::failure::{Code, Failure};
use crate::output;
use crate::render::number::{bytes, count};
use crate::render::table::{Cell, Column, Table};
use crate::render::time::rfc3339_us;
use crate::render::{Style, visible};
use crate::session::Session;
use crate::shapes::Time;

/// Objects that a terminal shows: the last ones.
const SHOWN: usize = 50;
/// Digits of a hash that a terminal shows.
const HASH_DIGITS: usize = 12;

/// List every object that was ever sent to remotes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An object is written down before it is sent, and its lines are chained by hash: a ledger that was altered or cut is told of, and \
the exit code is 5. The ledger of a remote stays when the remote is removed.

Examples:
  runcellar ledger
  runcellar ledger origin --since 2026-11-01
  runcellar ledger --csv > sent.csv
  runcellar ledger origin --consents")]
pub(crate) struct Args {
    /// The remote [default: all, and those that were removed]
    remote: Option<String>,
    /// Only what was sent since (UTC), such as 2026-11-01 or 2026-11-01T12:00
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// List what was agreed to instead, with who signed it
    #[arg(long, conflicts_with = "csv")]
    consents: bool,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    remote: &'a str,
    time: Time,
    object: &'a str,
    bytes: u64,
    hash: &'a str,
    class: Option<&'static str>,
    runs: &'a [String],
    consent: &'a str,
    terms: Option<&'a str>,
    stored: Option<Time>,
    deleted: Option<Time>,
}

impl<'a> Shape<'a> {
    fn of(remote: &'a str, object: &'a SentObject) -> Shape<'a> {
        Shape {
            remote,
            time: Time(object.time),
            object: &object.name,
            bytes: object.bytes,
            hash: &object.hash,
            class: object.class.map(|class| class.as_str()),
            runs: &object.runs,
            consent: &object.consent,
            terms: object.terms.as_deref(),
            stored: object.stored.map(Time),
            deleted: object.deleted.map(Time),
        }
    }
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let since = args.since.as_deref().map(parse_time).transpose().map_err(|error| Failure::usage(error.to_string()))?;
    let ledgers = session.open()?.ledgers(args.remote.as_deref())?;
    let all = ledgers.iter().flat_map(|ledger| ledger.objects.iter().map(|object| Shape::of(&ledger.remote, object)));
    let shapes: Vec<Shape<'_>> = all.filter(|shape| since.is_none_or(|since| shape.time.0 >= since)).collect();
    match (args.consents, args.csv) {
        (true, _) => consents(session, &ledgers, since)?,
        (false, true) => print_csv(&shapes)?,
        (false, false) => session.answer(&shapes, || text_of(session, &shapes))?,
    }
    let problems: Vec<(&Ledger, &String)> =
        ledgers.iter().flat_map(|ledger| ledger.problems.iter().map(move |problem| (ledger, problem))).collect();
    for (ledger, problem) in &problems {
        session.warn(&format!("ledger of {}: {}", visible(&ledger.remote), visible(problem)));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Code::Damage, "the ledger was altered or cut")),
    }
}

#[derive(serde::Serialize)]
struct ConsentShape<'a> {
    remote: &'a str,
    time: Time,
    consent: &'a str,
    terms: Option<&'a str>,
    holds: bool,
    public_key: &'a str,
    signature: &'a str,
    text: &'a str,
}

fn consents(session: &Session, ledgers: &[Ledger], since: Option<i64>) -> Result<(), Failure> {
    let all = ledgers.iter().flat_map(|ledger| ledger.agreed.iter().map(|agreed| (ledger.remote.as_str(), agreed)));
    let all: Vec<ConsentShape<'_>> = all
        .filter(|(_, agreed)| since.is_none_or(|since| agreed.time >= since))
        .map(|(remote, agreed)| ConsentShape {
            remote,
            time: Time(agreed.time),
            consent: &agreed.hash,
            terms: agreed.terms.as_deref(),
            holds: agreed.holds,
            public_key: &agreed.public_key,
            signature: &agreed.signature,
            text: &agreed.text,
        })
        .collect();
    session.answer(&all, || {
        if all.is_empty() {
            return "nothing was sent, so nothing rests on a consent\n".to_owned();
        }
        let mut table = Table::new(vec![
            Column::left("time"),
            Column::left("remote").shrink_to(8),
            Column::left("consent"),
            Column::left("terms"),
            Column::left("signature"),
        ]);
        for consent in &all {
            table.push(vec![
                rfc3339_us(consent.time.0)[..19].replace('T', " ").as_str().into(),
                Cell::new(consent.remote, Style::Cyan),
                consent.consent[..HASH_DIGITS].into(),
                consent.terms.map_or("none", |terms| &terms[..HASH_DIGITS.min(terms.len())]).into(),
                if consent.holds { "holds" } else { "does not hold" }.into(),
            ]);
        }
        table.render(session.display.width, session.display.color)
    })?;
    match all.iter().all(|consent| consent.holds) {
        true => Ok(()),
        false => Err(Failure::new(Code::Damage, "a consent is not what was signed")),
    }
}

fn text_of(session: &Session, shapes: &[Shape<'_>]) -> String {
    if shapes.is_empty() {
        return "nothing was sent\n".to_owned();
    }
    let mut table = Table::new(vec![
        Column::left("time"),
        Column::left("remote").shrink_to(8),
        Column::left("object").shrink_to(16).priority(1),
        Column::right("size"),
        Column::left("hash").priority(3),
        Column::left("class").priority(2),
        Column::left("runs").shrink_to(8).priority(1),
        Column::left("state"),
    ]);
    let earlier = shapes.len().saturating_sub(SHOWN);
    for shape in &shapes[earlier..] {
        let state = match (&shape.deleted, &shape.stored) {
            (Some(_), _) => "deleted",
            (None, Some(_)) => "stored",
            (None, None) => "no answer",
        };
        table.push(vec![
            rfc3339_us(shape.time.0)[..19].replace('T', " ").as_str().into(),
            Cell::new(shape.remote, Style::Cyan),
            Cell::new(shape.object, Style::Plain),
            bytes(shape.bytes).as_str().into(),
            Cell::new(&shape.hash[..HASH_DIGITS.min(shape.hash.len())], Style::Dim),
            Cell::new(shape.class.unwrap_or_default(), Style::Dim),
            Cell::new(shape.runs.join(" "), Style::Plain),
            state.into(),
        ]);
    }
    let mut text = table.render(session.display.width, session.display.color);
    if earlier > 0 {
        text.push_str(&format!("{} before; --json or --csv tells all\n", count(earlier as u64, "object")));
    }
    text
}

fn print_csv(shapes: &[Shape<'_>]) -> Result<(), Failure> {
    let mut out = output::stdout();
    writeln!(out, "remote,time,object,bytes,hash,class,runs,consent,stored,deleted,terms")?;
    let time = |time: &Option<Time>| time.as_ref().map(|time| rfc3339_us(time.0)).unwrap_or_default();
    for shape in shapes {
        let runs = shape.runs.join(" ");
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{}",
            shape.remote,
            rfc3339_us(shape.time.0),
            shape.object,
            shape.bytes,
            shape.hash,
            shape.class.unwrap_or_default(),
            // An id may have a comma or a quote.
            if runs.contains([',', '"']) { format!("\"{}\"", runs.replace('"', "\"\"")) } else { runs },
            shape.consent,
            time(&shape.stored),
            time(&shape.deleted),
            shape.terms.unwrap_or_default()
        )?;
    }
    Ok(out.flush()?)
}
