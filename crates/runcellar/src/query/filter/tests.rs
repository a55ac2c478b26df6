//! The language as a whole, through the door that callers use.

use std::borrow::Cow;
use std::collections::HashMap;

use super::*;

const NOW_US: i64 = 1_770_000_000_000_000;
const DAY_US: i64 = 86_400_000_000;

struct Run(HashMap<String, Scalar<'static>>);

impl Fields for Run {
    fn get(&self, field: &Field) -> Option<Scalar<'_>> {
        self.0.get(&field.to_string()).cloned()
    }
}

fn text(value: &'static str) -> Scalar<'static> {
    Scalar::Text(Cow::Borrowed(value))
}

fn run() -> Run {
    let values = [
        ("id", text("3fk2")),
        ("name", text("calm-owl-7")),
        ("state", text("finished")),
        ("notes", text("50% done_\\ \"x\"\n\u{e9}")),
        ("created", Scalar::Time(1_769_853_600_000_000)),
        ("duration", Scalar::Float(5_400.0)),
        ("tags", Scalar::List(vec![text("best"), text("v2")])),
        ("labels", Scalar::List(vec![])),
        ("config.lr", Scalar::Float(0.1)),
        ("config.layers", Scalar::Int(12)),
        ("config.big", Scalar::Int((1 << 53) + 1)),
        ("config.amp", Scalar::Bool(true)),
        ("config.nothing", Scalar::Null),
        ("config.sizes", Scalar::List(vec![Scalar::Int(64), Scalar::Float(f64::NAN), Scalar::Null])),
        ("config.a-b/c_d.0", Scalar::Int(1)),
        ("summary.\"val loss\"", Scalar::Float(0.25)),
        ("summary.\u{e9}t\u{e9}", Scalar::Int(1)),
        ("summary.nan", Scalar::Float(f64::NAN)),
        ("max(acc)", Scalar::Float(0.9)),
        ("first(\"val loss\")", text("warm")),
        ("at_best(acc).\"val loss\"", Scalar::Float(0.25)),
        ("summary.inf", Scalar::Float(f64::INFINITY)),
    ];
    Run(values.map(|(name, value)| (name.to_owned(), value)).into())
}

fn matches(filter: &str) -> bool {
    Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}")).matches(&run(), NOW_US)
}

/// Takes filters parted by semicolons.
#[track_caller]
fn all_match(filters: &str) {
    for filter in filters.split(';') {
        assert!(matches(filter), "{filter}");
    }
}

#[track_caller]
fn none_match(filters: &str) {
    for filter in filters.split(';') {
        assert!(!matches(filter), "{filter}");
    }
}

#[track_caller]
fn refused(filter: &str, column: usize, message: &str) {
    let error = Filter::parse(filter).expect_err(filter);
    assert_eq!((error.column, error.message.as_str()), (column, message), "{filter}");
}

#[test]
fn an_empty_filter_matches_everything() {
    all_match(";  ;\n\t\u{a0}");
    assert_eq!(Filter::parse(" ").map(|filter| filter.fields().count()), Ok(0));
}

#[test]
fn or_binds_weaker_than_and_and_that_weaker_than_not() {
    let spelled = |short: &str| short.replace('1', "id = '3fk2'").replace('0', "id = ''");
    all_match(&spelled(
        "1 or 1 and 0; 0 and 0 or 1; not 0 and 1; not 0 or 0 and 0; not 1 or 1; NOT not 1 Or 0; 1 and not(0)or(0)",
    ));
    none_match(&spelled("(1 or 1) and 0; 0 and (0 or 1); not (0 or 1); not 1 and 0; not (not 0 or 0 and 0)"));
}

#[test]
fn every_operator_compares_numbers() {
    all_match(
        "config.layers = 12; config.layers == 12.0; config.layers != 13; config.layers<13; config.layers <= 12;
         config.layers > -1; config.layers >= 1.2e1; config.lr = .1; config.lr > 1E-2; config.lr exists;
         exists config.lr; config.lr not exists or exists config.lr; config.layers in (1, 12);
         config.layers in [12.0]; config.layers not in (1, 2); config.a-b/c_d.0 = 1; summary.inf > 1e300",
    );
    none_match(
        "config.layers = 13; config.layers != 12; config.layers != 12.0; config.layers < 12; config.layers <= 11;
         config.layers > 12; config.layers >= 12.5; config.lr not exists; not exists config.lr;
         config.layers in (1, 2); config.layers not in [1, 12]",
    );
}

#[test]
fn large_integers_are_not_confused_with_floats_nearby() {
    all_match("config.big = 9007199254740993; config.big > 9007199254740992.0; config.big != 9007199254740992");
    none_match("config.big = 9007199254740992.0; config.big in (9007199254740992.0, 9007199254740994.0)");
}

#[test]
fn texts_compare_by_code_point_and_bools_with_bools() {
    all_match(
        "state = 'finished'; state == \"finished\"; state > 'failed'; state in ('finished', 'failed');
         notes like '%\\\"x\\\"\\n_'; config.amp = true; config.amp != FALSE; config.amp in (true)",
    );
    none_match("state = 'Finished'; state < 'failed'; config.amp = 1; config.amp = 'true'; config.amp = false");
}

#[test]
fn like_uses_the_wildcards_of_sql() {
    all_match(
        "name like 'calm-%'; name like '%owl%'; name like 'calm_owl__'; name like 'calm-owl-7'; id LIKE '%';
         notes like '50\\% done\\_\\\\%'; name not like 'owl%'; tags like 'b%t'; tags not like 'c%';
         labels not like '%'",
    );
    none_match(
        "name like 'Calm%'; name like 'calm'; name like '50\\%'; name like ''; name not like '%7';
         name like 'calm\\_owl\\_7'; tags like 'c%'; tags not like 'v_'; labels like '%'; config.lr like '%';
         config.lr not like 'x'; project like '%'; project not like 'x'; created like '2026%'",
    );
}

#[test]
fn an_absent_field_or_one_of_another_type_compares_false() {
    for operator in ["=", "!=", "<", "<=", ">", ">="] {
        for (field, literal) in [
            ("project", "'x'"),
            ("config.none", "1"),
            ("config.nothing", "1"),
            ("state", "1"),
            ("config.lr", "'x'"),
            ("config.lr", "true"),
            ("config.amp", "1"),
            ("created", "5"),
            ("duration", "'2h'"),
            ("finished", "-7d"),
        ] {
            none_match(&format!("{field} {operator} {literal}"));
            all_match(&format!("not ({field} {operator} {literal})"));
        }
    }
    none_match(
        "project in ('a'); project not in ('a'); 'a' in project; 'a' not in project; 'calm-owl-7' in name;
         'x' not in name; state not in (1, 2); project exists; config.nothing exists; exists config.none",
    );
    all_match("not (project in ('a')); state not in (1, 'x'); config.nothing not exists");
}

#[test]
fn null_equals_what_is_absent() {
    all_match(
        "project = null; config.nothing == NULL; state != null; summary.nan != null; labels != null;
         project in ('a', null); state not in (null)",
    );
    none_match("state = null; project != null; config.nothing != null; project not in ('a', null); labels = null");
}

#[test]
fn a_comparison_with_nan_is_false_but_for_unequal() {
    all_match("summary.nan != 1; summary.nan exists; summary.nan not in (1, 2)");
    none_match(
        "summary.nan = 1; summary.nan < 1; summary.nan <= 1; summary.nan > 1; summary.nan >= 1; summary.nan in (1);
         summary.nan != 'x'",
    );
}

#[test]
fn a_list_compares_true_if_any_element_does() {
    all_match(
        "'best' in tags; \"v2\" IN tags; 'old' not in tags; tags = 'best'; tags != 'old'; tags > 'u';
         tags in ('old', 'v2'); tags not in ('old', 'new'); labels != 'x'; 'x' not in labels; tags != 1;
         64 in config.sizes; config.sizes = 64.0; config.sizes < 65; config.sizes != 65; labels exists",
    );
    none_match(
        "'old' in tags; 'best' not in tags; tags = 'old'; tags != 'v2'; tags < 'a'; tags in ('old');
         tags not in ('old', 'best'); labels = 'x'; 'x' in labels; 65 in config.sizes; 1 in config.layers",
    );
}

#[test]
fn times_compare_with_dates_and_with_durations_from_now() {
    all_match(
        "created = '2026-01-31T10:00:00Z'; created = '2026-01-31 12:00:00.000+02:00'; created > '2026-01-31';
         created < '2026-02-01'; created != '2026-01-31'; created in ('2026-01-31', '2026-01-31T10:00:00');
         created > -7d; created < -1d; created < 0s; created < 7d; created >= -146400s; created <= -146400s;
         created = -146400s; finished = null",
    );
    assert_eq!((1_769_853_600_000_000 - NOW_US) / 1_000_000, -146_400);
    none_match("created > -1d; created > 1w; finished > '2026-01-31'; created < '2026-01-31T10:00:00Z'");
    let filter = Filter::parse("created > -7d").expect("a filter");
    assert!(!filter.matches(&run(), NOW_US + 7 * DAY_US));
    refused("id = '' and created > 'soon'", 23, "\"soon\" is not a date: expected 4 digits of the year");
    refused("created in ('2026-01-31', '2026-02-30')", 27, "\"2026-02-30\" is not a date: day 30 is not in 1 to 28");
}

#[test]
fn durations_are_seconds() {
    all_match(
        "duration = 90m; duration = 1.5h; duration = 5400; duration > 89m; duration < 2h; duration < 7d;
         duration in (5400s); config.lr < 1s",
    );
    none_match("duration > 90m; duration > 1d; duration < 5400");
}

#[test]
fn names_may_be_quoted_by_segment_and_hold_any_script() {
    all_match(
        "summary.\"val loss\" < 0.3; summary.'val loss'<0.3; summary.\u{e9}t\u{e9} = 1; config.\"lr\" = 0.1;
         config.\"a-b/c_d\".0=1",
    );
}

#[test]
fn the_fields_read_are_listed_once() {
    let filter =
        Filter::parse("config.lr > 1 and ('x' in tags or not exists config.lr) and id in ('a')").expect("a filter");
    let fields: Vec<_> = filter.fields().cloned().collect();
    assert_eq!(fields, [Field::Config("lr".to_owned()), Field::Tags, Field::Id]);
}

#[test]
fn errors_point_at_the_column_and_say_what_was_expected() {
    refused("stat = 'x'", 1, "unknown field \"stat\" (did you mean \"state\"?)");
    refused(
        "id = 'a' and  loss < 1",
        15,
        "unknown field \"loss\" (parameters are config.NAME, metrics are summary.NAME)",
    );
    refused("'x' in tag", 8, "unknown field \"tag\" (did you mean \"tags\"?)");
    refused("config > 1", 1, "\"config\" needs a name after it: config.NAME");
    refused("config.lr <", 12, "expected a value after \"<\"");
    refused("config.lr <   ", 12, "expected a value after \"<\"");
    refused("\u{e9}", 1, "unknown field \"\u{e9}\" (parameters are config.NAME, metrics are summary.NAME)");
    refused("summary.\u{e9}\u{e9} < )", 14, "expected a value after \"<\", found \")\"");
    refused("state = running", 9, "expected a value after \"=\", found \"running\" (text is quoted)");
    refused("state <> 'x'", 8, "expected a value after \"<\", found \">\"");
    refused("state", 6, "expected an operator after \"state\"");
    refused("state 'x'", 7, "expected an operator after \"state\", found the text \"x\"");
    refused("state not = 'x'", 11, "expected \"in\", \"like\" or \"exists\" after \"not\", found \"=\"");
    refused("1 < config.lr", 3, "expected \"in\" and a field after \"1\", found \"<\"");
    refused("config.a < 1 < 2", 14, "expected \"and\" or \"or\" after \"1\", found \"<\"");
    refused("config.lr -5", 11, "expected an operator after \"config.lr\", found \"-5\"");
    refused("id = 'a' id = 'b'", 10, "expected \"and\" or \"or\" after the text \"a\", found \"id\"");
    refused("id = 'a' and", 13, "expected a field after \"and\"");
    refused("and id = 'a'", 1, "expected a field, found \"and\"");
    refused("not", 4, "expected a field after \"not\"");
    refused("exists", 7, "expected a field after \"exists\"");
    refused("exists 'x'", 8, "expected a field after \"exists\", found the text \"x\"");
    refused("()", 2, "expected a field after \"(\", found \")\"");
    refused("id = 'a' and (state = 'b'", 14, "unclosed \"(\"");
    refused("(id = 'a' state", 11, "expected \"and\", \"or\" or \")\" after the text \"a\", found \"state\"");
    refused("id = 'a')", 9, "expected \"and\" or \"or\" after the text \"a\", found \")\"");
    refused("id in 'a'", 7, "expected a list such as ('a', 'b') after \"in\", found the text \"a\"");
    refused("id in ()", 8, "expected a value after \"(\", found \")\"");
    refused("id in ('a', )", 13, "expected a value after \",\", found \")\"");
    refused("id in ('a' 'b')", 12, "expected \",\" or \")\" after the text \"a\", found the text \"b\"");
    refused("id in ('a']", 11, "expected \",\" or \")\" after the text \"a\", found \"]\"");
    refused("id in ['a', 'b'", 7, "unclosed \"[\"");
    refused("'a' in ('b')", 8, "expected a field after \"in\", found \"(\"");
    refused("name like 5", 11, "expected a text in quotes after \"like\", found \"5\"");
    refused("config.lr < null", 13, "null compares only with \"=\" and \"!=\"");
    refused("id = 'a' or null in tags", 13, "null is in no list (write FIELD = null)");
    refused("id = 'x", 6, "unclosed string");
    refused("created > 2026-1-31", 11, "bad number \"2026-1-31\" (dates and other text are quoted)");
    let error = Filter::parse("stat").expect_err("no field");
    assert_eq!(error.to_string(), "column 1: unknown field \"stat\" (did you mean \"state\"?)");
}

#[test]
fn long_names_are_cut_in_messages() {
    let error = Filter::parse(&format!("{} = 1", "x".repeat(10_000))).expect_err("no field");
    assert!(error.message.len() < 200, "{error}");
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow() {
    let parens = |depth| format!("{}id = 'a'{}", "(".repeat(depth), ")".repeat(depth));
    let nots = |depth| format!("{}id = 'a'", "not ".repeat(depth));
    let message = format!("nested deeper than {FILTER_DEPTH_MAX}");
    assert!(Filter::parse(&parens(FILTER_DEPTH_MAX)).is_ok());
    assert!(!matches(&nots(FILTER_DEPTH_MAX)));
    refused(&parens(FILTER_DEPTH_MAX + 1), FILTER_DEPTH_MAX + 1, &message);
    refused(&nots(FILTER_DEPTH_MAX + 1), FILTER_DEPTH_MAX * 4 + 1, &message);
    refused(&"(".repeat(FILTER_BYTES_MAX), FILTER_DEPTH_MAX + 1, &message);
    refused(&"not(".repeat(FILTER_BYTES_MAX / 4), FILTER_DEPTH_MAX / 2 * 4 + 1, &message);
    assert!(matches(&["id = 'x'"; 1_000].join(" or ").replacen('x', "3fk2", 1)));
}

#[test]
fn text_and_lists_are_limited() {
    let fitting = format!("id != '{}'", "\u{e9}".repeat((FILTER_BYTES_MAX - 8) / 2));
    assert_eq!(fitting.len(), FILTER_BYTES_MAX);
    assert!(Filter::parse(&fitting).is_ok());
    let message = format!("the filter is longer than {FILTER_BYTES_MAX} bytes");
    refused(&format!("{fitting} "), fitting.chars().count() + 1, &message);
    let list = |count: usize| format!("config.lr in ({})", vec!["1"; count].join(","));
    assert!(Filter::parse(&list(FILTER_LIST_MAX)).is_ok());
    let message = format!("more than {FILTER_LIST_MAX} values in a list");
    refused(&list(FILTER_LIST_MAX + 1), "config.lr in (".len() + 2 * FILTER_LIST_MAX + 1, &message);
}

/// Aim: no text makes parsing or matching panic, and every error points into the text or just behind it.
/// Method: random bytes, random tokens, and mutations of filters that are right, from a fixed seed.
#[test]
fn no_text_makes_it_panic() {
    const WORDS: [&str; 46] = [
        "and",
        "or",
        "not",
        "in",
        "like",
        "exists",
        "true",
        "null",
        "(",
        ")",
        "[",
        "]",
        ",",
        "=",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "'",
        "\"",
        "\\",
        ".",
        "-",
        "7d",
        "-1.5e3",
        "9007199254740993",
        "'a%'",
        "'2026-01-31'",
        "config.",
        "config.lr",
        "summary.\"val loss\"",
        "tags",
        "created",
        "state",
        "max",
        "at_best",
        "now",
        "2026-01-31T10",
        "2h30m",
        ".b",
        "\u{e9}",
        "\u{301}",
        "\0",
        " ",
    ];
    const RIGHT: [&str; 6] = [
        "at_best(val/acc).'train loss'.x < 0.1 and max(acc) >= 0.9 or not config.amp and mean(\"a b\") = null",
        "created > now-2h30m and created < 2026-11-01T10:00:00.5+02:00 and duration in (1h30m, 5ms) or config.x",
        "config.lr > 1e-3 and not ('best' in tags or state not in ('failed', \"crashed\"))",
        "created > -7d and created < '2026-01-31T10:00:00.5+02:00' or duration >= 2h",
        "summary.\"val loss\" <= 0.5 or name like 'a\\%_%' and config.\u{e9}t\u{e9} exists",
        "exists config.a.\"b\\\"c\".d and notes != null and id in ['a', 'b', null, 3]",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let run = run();
    let mut parsed = 0;
    for round in 0..60_000 {
        let text = match round % 3 {
            0 => {
                let bytes: Vec<u8> = (0..random(40)).map(|_| random(256) as u8).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            1 => {
                let space = ["", " "][random(2)];
                (0..random(12)).map(|_| WORDS[random(WORDS.len())]).collect::<Vec<_>>().join(space)
            }
            _ => {
                let mut chars: Vec<char> = RIGHT[random(RIGHT.len())].chars().collect();
                for _ in 0..1 + random(3) {
                    let at = random(chars.len());
                    match random(4) {
                        0 if chars.len() > 1 => drop(chars.remove(at)),
                        1 => chars.truncate(at.max(1)),
                        2 => drop(chars.splice(at..at, WORDS[random(WORDS.len())].chars())),
                        _ => chars[at] = char::from(random(128) as u8),
                    }
                }
                chars.into_iter().collect()
            }
        };
        match Filter::parse(&text) {
            Ok(filter) => {
                parsed += 1;
                filter.matches(&run, NOW_US);
                for field in filter.fields() {
                    assert_eq!(Field::parse(&field.to_string()).as_ref(), Some(field), "{text:?}");
                }
            }
            Err(error) => {
                let columns = 1..=text.chars().count() + 1;
                assert!(columns.contains(&error.column) && !error.message.is_empty(), "{text:?}: {error}");
            }
        }
    }
    assert!(parsed > 1_000, "only {parsed} texts were right");
}

#[test]
fn a_field_that_stands_alone_asks_whether_it_is_true() {
    all_match("config.amp; not config.layers; config.amp and not config.none; (config.amp) or config.none");
    none_match("config.layers; config.none; summary.inf; not config.amp; config.nothing");
    refused("tags", 5, "expected an operator after \"tags\"");
    refused("max(acc)", 9, "expected an operator after \")\"");
    refused("config.amp config.lr", 12, "expected an operator after \"config.amp\", found \"config.lr\"");
}

#[test]
fn statistics_of_metrics_are_fields() {
    all_match("max(acc) > 0.5; max( acc )<1 and max(\"acc\") = 0.9; max(acc) in (0.9, 1); first('val loss') like 'w%'");
    all_match("at_best(acc).'val loss' = 0.25; not min(acc) > 0; max(acc) exists; min(acc) = null");
    none_match("min(acc) > 0; mean(acc) < 1; at_best(acc).loss > 0; at_best(loss).'val loss' > 0");
    refused("max > 1", 1, "\"max\" is a function: max(METRIC)");
    refused("max() > 1", 5, "expected a metric after \"(\", found \")\"");
    refused("max(a, b) > 1", 6, "expected \")\" after \"a\", found \",\"");
    refused("max(a) .b > 1", 8, "unexpected character \".\"");
    refused("at_best(acc) > 1", 14, "expected \".\" and the metric to read there after \")\", found \">\"");
    refused("max(acc).loss > 1", 9, "expected an operator after \")\", found \".loss\"");
    refused("median(acc) > 1", 1, "unknown field \"median\" (parameters are config.NAME, metrics are summary.NAME)");
    assert!(Filter::parse("config.amp and (max) = 1").is_err());
}

#[test]
fn dates_need_no_quotes_and_times_count_from_now() {
    all_match("created >= 2026-01-31; created < 2026-02-01T00:00:00Z and created = 2026-01-31T12:00:00+02:00");
    all_match("created < now; created > now-7d; created > now -1w; created < now+1h; created > -1d23h30m");
    all_match(
        "duration > 1h29m; duration = 1h30m; duration >= 5400s and duration < 5400s1us; created in (2026-01-31T10:00:00)",
    );
    none_match("created > now; created > now-1h; duration > 1h30m1ms");
    refused("created > 2026-02-30", 11, "\"2026-02-30\" is not a date: day 30 is not in 1 to 28");
    refused("config.day = 2026-01-31", 14, "\"2026-01-31\" is a date: only created and finished compare with one");
    refused("duration > 30m2h", 12, "bad number \"30m2h\" (dates and other text are quoted)");
    refused("duration > now", 12, "expected a value after \">\", found \"now\" (text is quoted)");
}

#[test]
fn what_is_dear_is_looked_at_last() {
    struct Counting(std::cell::Cell<usize>);
    impl Fields for Counting {
        fn get(&self, field: &Field) -> Option<Scalar<'_>> {
            if matches!(field, Field::AtBest(..)) {
                self.0.set(self.0.get() + 1);
            }
            Some(Scalar::Int(1))
        }
    }
    let reads = |filter: &str| {
        let fields = Counting(std::cell::Cell::new(0));
        Filter::parse(filter).expect(filter).matches(&fields, NOW_US);
        fields.0.get()
    };
    assert_eq!(reads("at_best(a).b > 0 and config.x = 2"), 0);
    assert_eq!(reads("(at_best(a).b > 0 or config.y = 1) and config.x = 2"), 0);
    assert_eq!(reads("at_best(a).b > 0 or config.x = 1"), 0);
    assert_eq!(reads("at_best(a).b > 0 and config.x = 1"), 1);
}
