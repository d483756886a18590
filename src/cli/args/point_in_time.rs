//! Reading a point in time that a person typed in the worst hour of the year.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Reads a time with its zone; refuses one without, and says what it could mean.
pub(super) fn point_in_time(text: &str) -> Result<Timestamp, String> {
    read(text, &TimeZone::system())
}

fn read(text: &str, local: &TimeZone) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(time) = with_zone(text).parse() {
        return Ok(time);
    }
    match text.parse::<DateTime>() {
        Ok(civil) => Err(readings(civil, local)),
        Err(_) => Err(
            "not a time; write 2026-11-23T14:31:59Z, or with an offset such as \
             '2026-11-23 15:31:59+01:00'"
                .to_owned(),
        ),
    }
}

/// `2026-11-23 14:31:59 UTC` is how PostgreSQL's logs and pg_waldump write it.
fn with_zone(text: &str) -> String {
    let bare = text.strip_suffix("UTC").or(text.strip_suffix("GMT"));
    match bare {
        Some(bare) => format!("{}Z", bare.trim_end()),
        None => text.to_owned(),
    }
}

fn readings(civil: DateTime, local: &TimeZone) -> String {
    let utc = format!("{civil}Z");
    let here = civil.to_zoned(local.clone()).map(|zoned| {
        let offset = zoned.strftime("%:z").to_string();
        (format!("{civil}{offset}"), zoned.timestamp())
    });
    match here {
        Ok((_, time)) if time.to_string() == utc => format!(
            "a time without a zone can mean anything: write {utc}, which is UTC and this host's \
             own time as well"
        ),
        Ok((here, time)) => format!(
            "a time without a zone can mean two: write {utc} for UTC, or {here} for this host's \
             own time, which is {time}"
        ),
        Err(_) => format!("a time without a zone can mean anything: write {utc} for UTC"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn berlin() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(1))
    }

    #[test]
    fn the_usual_ways_to_write_one_instant_are_read() {
        let expected: Timestamp = "2026-11-23T14:31:59Z".parse().unwrap();
        for text in [
            "2026-11-23T14:31:59Z",
            "2026-11-23 14:31:59Z",
            "2026-11-23 14:31:59+00",
            "2026-11-23 14:31:59 UTC",
            "2026-11-23T15:31:59+01:00",
            " 2026-11-23 15:31:59+0100 ",
        ] {
            assert_eq!(read(text, &berlin()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn microseconds_are_kept() {
        let time = read("2026-11-23 03:12:09.377576+00", &berlin()).unwrap();
        assert_eq!(time.to_string(), "2026-11-23T03:12:09.377576Z");
    }

    #[test]
    fn without_a_zone_both_readings_are_shown() {
        let told = read("2026-11-23 14:32", &berlin()).unwrap_err();
        assert_eq!(
            told,
            "a time without a zone can mean two: write 2026-11-23T14:32:00Z for UTC, or \
             2026-11-23T14:32:00+01:00 for this host's own time, which is 2026-11-23T13:32:00Z"
        );
        let told = read("2026-11-23T14:32:00", &TimeZone::UTC).unwrap_err();
        assert!(
            told.contains("write 2026-11-23T14:32:00Z, which is UTC and"),
            "{told}"
        );
    }

    #[test]
    fn what_is_no_time_is_told_how_to_write_one() {
        for text in [
            "",
            "yesterday",
            "14:32",
            "1732372319",
            "2026-13-01T00:00:00Z",
        ] {
            let told = read(text, &berlin()).unwrap_err();
            assert!(told.starts_with("not a time; write"), "{text}: {told}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9TZ:+. -]{0,40}|.{0,20}") {
            let _ = read(&text, &berlin());
        }
    }
}
