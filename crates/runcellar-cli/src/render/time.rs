//! Times as text, always in UTC. A time is microseconds since 1970; the clock is read by the caller.

pub(crate) use runcellar::rfc3339 as rfc3339_us;

/// Returns how long before `now_us` a time was: `just now`, `42s ago`, `3m ago`, `2d ago`, `2y ago`.
///
/// Cut off to whole units; years are 365 days and begin with the second. Devices disagree about the time, so up to
/// a minute ahead is `just now` too; what is later is `in 3m`.
pub(crate) fn ago(now_us: i64, t_us: i64) -> String {
    let past = t_us <= now_us;
    let secs = now_us.abs_diff(t_us) / 1_000_000;
    if secs < if past { 5 } else { 60 } {
        return "just now".to_owned();
    }
    let (count, unit) = match secs {
        ..60 => (secs, "s"),
        60..3600 => (secs / 60, "m"),
        3600..86_400 => (secs / 3600, "h"),
        86_400..63_072_000 => (secs / 86_400, "d"),
        _ => (secs / 31_536_000, "y"),
    };
    if past { format!("{count}{unit} ago") } else { format!("in {count}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_use_one_unit() {
        let cases = [
            (0, "just now"),
            (4, "just now"),
            (5, "5s ago"),
            (59, "59s ago"),
            (60, "1m ago"),
            (3599, "59m ago"),
            (7200, "2h ago"),
            (172_800, "2d ago"),
            (63_071_999, "729d ago"),
            (63_072_000, "2y ago"),
            (-59, "just now"),
            (-180, "in 3m"),
        ];
        for (secs, text) in cases {
            assert_eq!(ago(1_769_853_600_000_000, 1_769_853_600_000_000 - secs * 1_000_000), text);
        }
        assert_eq!(ago(i64::MAX, i64::MIN), "584942y ago");
    }
}
