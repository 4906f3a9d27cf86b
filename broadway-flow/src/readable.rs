//! Numbers, sizes, times and names as people read them, for plans and progress.

use std::time::Duration;

/// `1,234,567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 worker`, `2,000 workers`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

/// `850 bytes`, `1.5 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1_024 {
        return count(n, "byte");
    }
    let mut size = n as f64 / 1_024.0;
    let mut unit = 0;
    // Not 1,024, so that nothing is rounded up to `1024.0 KiB`.
    while size >= 1_023.95 && unit + 1 < UNITS.len() {
        size /= 1_024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A time that has passed: `0.4 ms`, `1.25 s`, `3 min 20 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.999_95 {
        format!("{:.1} ms", seconds * 1_000.0)
    } else if seconds < 59.995 {
        format!("{seconds:.2} s")
    } else {
        in_units(seconds.round() as u64)
    }
}

/// A time that is expected: `1 s`, `3 min 20 s`. Seconds are rounded up, so that it is zero only at the end.
pub(crate) fn expected(time: Duration) -> String {
    in_units(
        time.as_secs()
            .saturating_add(u64::from(time.subsec_nanos() > 0)),
    )
}

/// A name without line breaks and other control characters, which would break the layout or the terminal: they are escaped.
pub(crate) fn one_line(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for char in name.chars() {
        match char.is_control() {
            true => text.extend(char.escape_debug()),
            false => text.push(char),
        }
    }
    text
}

/// The two largest units.
fn in_units(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let (large, small) = match (days, hours, minutes) {
        (0, 0, 0) => (format!("{seconds} s"), String::new()),
        (0, 0, _) => (format!("{minutes} min"), unless_zero(seconds % 60, "s")),
        (0, ..) => (format!("{hours} h"), unless_zero(minutes % 60, "min")),
        _ => (
            format!("{} d", thousands(days)),
            unless_zero(hours % 24, "h"),
        ),
    };
    large + &small
}

fn unless_zero(n: u64, unit: &str) -> String {
    match n {
        0 => String::new(),
        n => format!(" {n} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_comma_before_every_three_digits() {
        let texts = [0, 999, 1_000, 100_000, 1_234_567].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "100,000", "1,234,567"]);
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(
            (count(1, "worker"), count(0, "worker")),
            ("1 worker".into(), "0 workers".into())
        );
    }

    #[test]
    fn sizes_have_the_largest_unit_that_leaves_a_whole_part() {
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1_023), "1,023 bytes");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(1_024 * 1_024 - 1), "1.0 MiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn a_name_has_one_line() {
        assert_eq!(
            one_line("a\nb\u{1b}[31m \"ü\" \\"),
            "a\\nb\\u{1b}[31m \"ü\" \\"
        );
    }

    #[test]
    fn a_time_that_has_passed_has_a_fraction_below_a_minute() {
        let texts = [
            0,
            400,
            999_940,
            999_950,
            1_250_000,
            59_994_000,
            59_995_000,
            200_000_000,
        ]
        .map(|micros| elapsed(Duration::from_micros(micros)));
        let expected = [
            "0.0 ms",
            "0.4 ms",
            "999.9 ms",
            "1.00 s",
            "1.25 s",
            "59.99 s",
            "1 min",
            "3 min 20 s",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn an_expected_time_is_rounded_up_and_has_at_most_two_units() {
        assert_eq!(expected(Duration::ZERO), "0 s");
        assert_eq!(expected(Duration::from_nanos(1)), "1 s");
        let texts = [59, 60, 61, 3_599, 3_600, 7_500, 86_400, 90_000]
            .map(|s| expected(Duration::from_secs(s)));
        assert_eq!(
            texts,
            [
                "59 s",
                "1 min",
                "1 min 1 s",
                "59 min 59 s",
                "1 h",
                "2 h 5 min",
                "1 d",
                "1 d 1 h"
            ]
        );
        assert!(expected(Duration::MAX).ends_with(" h"));
    }
}
