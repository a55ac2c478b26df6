//! Numbers, sizes and durations as short text for people, and numbers as exact text for programs.

/// Powers of 1024, smallest first; `u64::MAX` bytes are 16 EiB.
const BYTE_UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Returns `value` with up to 5 significant digits: `0.8132`, `1.2e-4`, `1.2346e6`.
///
/// Integers of up to 15 digits are shown whole. Others use an exponent below 0.001 and from 100000 on.
pub(crate) fn short_number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() || (value.fract() == 0.0 && value.abs() < 1e15) {
        return value.to_string();
    }
    // Taken after rounding, so that 99999.7 counts as 1e5.
    let rounded = format!("{value:.4e}");
    let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    match exponent.parse::<i32>() {
        Ok(power @ -3..=4) => trim_zeros(&format!("{value:.*}", (4 - power) as usize)).to_owned(),
        _ => format!("{}e{exponent}", trim_zeros(digits)),
    }
}

/// Returns the shortest text that reads back as the same double, always with a `.` or `e` unless it is
/// `NaN`, `Infinity` or `-Infinity`.
pub(crate) fn exact_number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    format!("{value:?}")
}

/// Returns a number of things: `1 run`, `2 runs`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Returns a size in powers of 1024: `0 B`, `1.5 KiB`, `214 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1024.0;
    let mut unit = 0;
    // What would round to 1024 belongs to the next unit.
    while size >= 1023.5 && unit + 1 < BYTE_UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(size < 99.95);
    format!("{size:.decimals$} {}", BYTE_UNITS[unit])
}

/// Returns a span of time in its two leading units: `35ms`, `1.2s`, `4m 12s`, `2h 05m`, `3d 4h`.
///
/// From a minute on the time is rounded to whole seconds, and what is smaller than the second unit cut off.
pub(crate) fn duration(secs: f64) -> String {
    if !secs.is_finite() {
        return short_number(secs);
    }
    if secs < 0.0 {
        return format!("-{}", duration(-secs));
    }
    if secs < 0.0995 {
        return format!("{:.0}ms", secs * 1e3);
    }
    if secs < 59.95 {
        return format!("{secs:.1}s");
    }
    let whole = secs.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m {:02}s", whole % 60),
        (0, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Returns a number's text without zeros at the end of its decimals.
pub(super) fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_keep_five_digits() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (0.8132, "0.8132"),
            (0.1 + 0.2, "0.3"),
            (std::f64::consts::PI, "3.1416"),
            (-2.5, "-2.5"),
            (0.001, "0.001"),
            (0.00012, "1.2e-4"),
            (0.000_999_999, "0.001"),
            (9.999_96, "10"),
            (12_345.6, "12346"),
            (99_999.7, "1e5"),
            (1_234_567.0, "1234567"),
            (1_234_567.5, "1.2346e6"),
            (-999_999_999_999_999.0, "-999999999999999"),
            (1e15, "1e15"),
            (f64::MAX, "1.7977e308"),
            (5e-324, "4.9407e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            assert_eq!(short_number(value), text, "{value:?}");
        }
    }

    #[test]
    fn exact_numbers_read_back_equal() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-7, "1e-7"),
            (1e16, "1e16"),
            (1.5e300, "1.5e300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(exact_number(value), text);
            assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
        }
        assert_eq!(exact_number(-f64::NAN), "NaN");
    }

    #[test]
    fn sizes_use_powers_of_1024() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (102_348, "99.9 KiB"),
            (102_399, "100 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1.0 MiB"),
            (214 << 20, "214 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text, "{count}");
        }
    }

    #[test]
    fn durations_show_two_units() {
        let cases = [
            (0.0, "0ms"),
            (0.035, "35ms"),
            (0.0996, "0.1s"),
            (1.2, "1.2s"),
            (59.94, "59.9s"),
            (59.96, "1m 00s"),
            (252.0, "4m 12s"),
            (3599.4, "59m 59s"),
            (3599.6, "1h 00m"),
            (9600.0, "2h 40m"),
            (86_399.0, "23h 59m"),
            (273_600.0, "3d 4h"),
            (-1.2, "-1.2s"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ];
        for (secs, text) in cases {
            assert_eq!(duration(secs), text, "{secs}");
        }
    }
}
