//! Times as text, always in UTC. A time is microseconds since 1970.

/// 0000-01-01T00:00:00.000000Z.
const EARLIEST_US: i64 = -62_167_219_200_000_000;
/// 9999-12-31T23:59:59.999999Z.
const LATEST_US: i64 = 253_402_300_799_999_999;
/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;

/// Returns a time as `2026-01-31T10:00:00.000000Z`, in the proleptic Gregorian calendar.
///
/// RFC 3339 has years 0 to 9999 only; a time before or after becomes the first or last of them.
#[must_use]
pub fn rfc3339(t_us: i64) -> String {
    let t_us = t_us.clamp(EARLIEST_US, LATEST_US);
    let (year, month, day) = civil_from_days(t_us.div_euclid(DAY_US));
    let in_day_us = t_us.rem_euclid(DAY_US);
    let (secs, micros) = (in_day_us / 1_000_000, in_day_us % 1_000_000);
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Returns year, month and day of a day counted from 1970-01-01.
///
/// Source: `civil_from_days`, Howard Hinnant, <https://howardhinnant.github.io/date_algorithms.html>.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // Eras of 400 years, each of years that begin on 1 March, so that the leap day comes last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_exactly_six_decimals() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1, "1970-01-01T00:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_769_853_600_000_000, "2026-01-31T10:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_709_251_199_500_000, "2024-02-29T23:59:59.500000Z"),
            (1_709_251_200_000_000, "2024-03-01T00:00:00.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (-2_203_891_200_000_000, "1900-03-01T00:00:00.000000Z"),
            (-2_203_977_600_000_000, "1900-02-28T00:00:00.000000Z"),
        ];
        for (t_us, text) in cases {
            assert_eq!(rfc3339(t_us), text);
        }
    }

    #[test]
    fn times_out_of_range_become_the_first_or_last() {
        assert_eq!(rfc3339(EARLIEST_US), "0000-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(LATEST_US), "9999-12-31T23:59:59.999999Z");
        assert_eq!(rfc3339(i64::MIN), rfc3339(EARLIEST_US));
        assert_eq!(rfc3339(i64::MAX), rfc3339(LATEST_US));
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
        let mut expected = (0, 1, 1);
        for day in EARLIEST_US / DAY_US..=LATEST_US / DAY_US {
            assert_eq!(civil_from_days(day), expected);
            let (y, m, d) = expected;
            let last = match m {
                2 => 28 + i64::from(leap(y)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (m, d) {
                (12, 31) => (y + 1, 1, 1),
                _ if d == last => (y, m + 1, 1),
                _ => (y, m, d + 1),
            };
        }
    }
}
