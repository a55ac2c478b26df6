//! Dates and date-times of RFC 3339, as written in filters.

/// Reads a date (its start at UTC) or a date-time as microseconds UTC since 1970.
///
/// Accepted are `YYYY-MM-DD` and, after `T` or a space, `HH:MM:SS` with any fraction of a second that is a whole
/// number of microseconds, then `Z`, `+HH:MM`, `-HH:MM` or nothing, which means UTC. Leap seconds are refused: no run
/// has one in its times.
///
/// Source: RFC 3339, section 5.6.
///
/// # Errors
/// What is wrong, to follow the text in a message.
pub(in crate::query) fn parse(text: &str) -> Result<i64, String> {
    let mut cursor = Cursor(text.as_bytes());
    let year = cursor.digits(4, "year", 0, 9999)?;
    cursor.expect(b"-", "\"-\" after the year")?;
    let month = cursor.digits(2, "month", 1, 12)?;
    cursor.expect(b"-", "\"-\" after the month")?;
    let day = cursor.digits(2, "day", 1, days_in_month(year, month))?;
    let mut seconds = days_since_1970(year, month, day) * 86_400;
    let mut micros = 0;
    if !cursor.0.is_empty() {
        cursor.expect(b"Tt ", "\"T\" after the date")?;
        seconds += cursor.digits(2, "hour", 0, 23)? * 3_600;
        cursor.expect(b":", "\":\" after the hour")?;
        seconds += cursor.digits(2, "minute", 0, 59)? * 60;
        cursor.expect(b":", "\":\" after the minute")?;
        seconds += cursor.digits(2, "second", 0, 59)?;
        micros = cursor.fraction()?;
        seconds -= cursor.offset_secs()?;
        if !cursor.0.is_empty() {
            return Err("something follows the time".to_owned());
        }
    }
    Ok(seconds * 1_000_000 + micros)
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn expect(&mut self, any_of: &[u8], what: &str) -> Result<u8, String> {
        match self.0.split_first() {
            Some((byte, rest)) if any_of.contains(byte) => {
                self.0 = rest;
                Ok(*byte)
            }
            _ => Err(format!("expected {what}")),
        }
    }

    fn digits(&mut self, count: usize, what: &str, min: i64, max: i64) -> Result<i64, String> {
        let digits = self.0.get(..count).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let digits = digits.ok_or_else(|| format!("expected {count} digits of the {what}"))?;
        let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        if !(min..=max).contains(&value) {
            return Err(format!("{what} {value} is not in {min} to {max}"));
        }
        self.0 = &self.0[count..];
        Ok(value)
    }

    fn fraction(&mut self) -> Result<i64, String> {
        let Some(rest) = self.0.strip_prefix(b".") else {
            return Ok(0);
        };
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = rest.split_at(count);
        if digits.is_empty() {
            return Err("expected digits after \".\"".to_owned());
        }
        // Times are whole microseconds. Rounding would make `=` and `<` true of instants that were not asked for.
        if digits.iter().skip(6).any(|digit| *digit != b'0') {
            return Err("finer than a microsecond".to_owned());
        }
        self.0 = rest;
        let padded = digits.iter().copied().chain([b'0'; 6]).take(6);
        Ok(padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    fn offset_secs(&mut self) -> Result<i64, String> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let sign = match self.expect(b"Zz+-", "\"Z\" or an offset such as +02:00 after the time")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Ok(0),
        };
        let hours = self.digits(2, "offset hour", 0, 23)?;
        self.expect(b":", "\":\" in the offset")?;
        let minutes = self.digits(2, "offset minute", 0, 59)?;
        Ok(sign * (hours * 3_600 + minutes * 60))
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar.
///
/// Source: `days_from_civil` in H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years are counted from March, so that the leap day is the last day of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_become_microseconds() {
        let cases = [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2026-01-31", 1_769_817_600_000_000),
            ("2026-01-31T10:00:00Z", 1_769_853_600_000_000),
            ("2026-01-31 10:00:00", 1_769_853_600_000_000),
            ("2026-01-31t12:00:00.5+02:00", 1_769_853_600_500_000),
            ("2026-01-31T04:30:00.000001000-05:30", 1_769_853_600_000_001),
            ("2000-02-29T00:00:00z", 951_782_400_000_000),
            ("0000-01-01", -62_167_219_200_000_000),
            ("9999-12-31T23:59:59.999999-23:59", 253_402_387_139_999_999),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = days_since_1970(0, 1, 1);
        for year in 0..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_1970(year, month, day), expected);
                    expected += 1;
                }
            }
        }
        assert_eq!(days_since_1970(1970, 1, 1), 0);
    }

    #[test]
    fn what_is_no_date_is_refused_with_the_reason() {
        let cases = [
            ("", "expected 4 digits of the year"),
            ("yesterday", "expected 4 digits of the year"),
            ("26-01-31", "expected 4 digits of the year"),
            ("2026", "expected \"-\" after the year"),
            ("2026/01/31", "expected \"-\" after the year"),
            ("2026-1-31", "expected 2 digits of the month"),
            ("2026-13-01", "month 13 is not in 1 to 12"),
            ("2026-00-01", "month 0 is not in 1 to 12"),
            ("2026-02-29", "day 29 is not in 1 to 28"),
            ("1900-02-29", "day 29 is not in 1 to 28"),
            ("2026-01-311", "expected \"T\" after the date"),
            ("2026-01-31T", "expected 2 digits of the hour"),
            ("2026-01-31T24:00:00", "hour 24 is not in 0 to 23"),
            ("2026-01-31T10:00", "expected \":\" after the minute"),
            ("2026-01-31T10:00:60Z", "second 60 is not in 0 to 59"),
            ("2026-01-31T10:00:00.Z", "expected digits after \".\""),
            ("2026-01-31T10:00:00.0000001Z", "finer than a microsecond"),
            ("2026-01-31T10:00:00 UTC", "expected \"Z\" or an offset such as +02:00 after the time"),
            ("2026-01-31T10:00:00+0200", "expected \":\" in the offset"),
            ("2026-01-31T10:00:00Zulu", "something follows the time"),
            ("\u{662}\u{660}26-01-31", "expected 4 digits of the year"),
        ];
        for (text, reason) in cases {
            assert_eq!(parse(text), Err(reason.to_owned()), "{text}");
        }
    }
}
