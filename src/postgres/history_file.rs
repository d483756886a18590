//! Timeline history files, `00000002.history`: where a timeline left the ones before it
//! (PostgreSQL's `timeline.c`, `readTimeLineHistory`).

use super::lsn::Lsn;

/// The end of a timeline, as the history of a later one tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The timeline that was left.
    pub timeline: u32,
    /// Where the next one begins.
    pub at: Lsn,
    /// Why, in the words of the server that left it.
    pub reason: String,
}

/// A text that is no history of a timeline.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A line is not `timeline, position, reason`.
    #[error("line {0} is not a timeline, a position and a reason")]
    Line(usize),
    /// Timelines are entered in ascending order.
    #[error("line {0} tells of a timeline out of order")]
    Order(usize),
    /// The file's own timeline is later than all that it tells of.
    #[error("it tells of timeline {0}, which is not before its own")]
    NotBefore(u32),
}

/// The name of the file that tells the history of `timeline`.
pub fn file_name(timeline: u32) -> String {
    format!("{timeline:08X}.history")
}

/// Reads the history of `timeline`, oldest first. Comments and empty lines are passed over, as
/// PostgreSQL does.
pub fn parse(text: &str, timeline: u32) -> Result<Vec<Left>, HistoryError> {
    let mut history: Vec<Left> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let left = parse_line(line).ok_or(HistoryError::Line(number))?;
        let last = history.last().map_or(0, |last| last.timeline);
        if left.timeline <= last {
            return Err(HistoryError::Order(number));
        }
        history.push(left);
    }
    match history.last() {
        Some(last) if last.timeline >= timeline => Err(HistoryError::NotBefore(last.timeline)),
        _ => Ok(history),
    }
}

fn parse_line(line: &str) -> Option<Left> {
    let mut fields = line.splitn(3, '\t');
    let timeline = fields.next()?.trim().parse().ok()?;
    let at = fields.next()?.trim().parse().ok()?;
    let reason = fields.next().unwrap_or_default().trim().to_owned();
    Some(Left {
        timeline,
        at,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As PostgreSQL 17.10 wrote one after two promotions.
    const THIRD: &str = "1\t0/5000110\tno recovery target specified\n\n\
                         2\t0/7001A28\tbefore 2026-11-23 03:09:59.674082+00\n";

    #[test]
    fn a_history_tells_where_each_timeline_was_left() {
        let history = parse(THIRD, 3).unwrap();
        let ends: Vec<_> = history.iter().map(|l| (l.timeline, l.at.0)).collect();
        assert_eq!(ends, [(1, 0x0500_0110), (2, 0x0700_1A28)]);
        assert_eq!(history[1].reason, "before 2026-11-23 03:09:59.674082+00");
        assert_eq!(file_name(27), "0000001B.history");
    }

    #[test]
    fn other_texts_are_refused_by_line() {
        for (text, timeline, expected) in [
            ("x", 2, HistoryError::Line(1)),
            ("1\t0/1\n\n1", 2, HistoryError::Line(3)),
            ("# a\n2\t0/1\tx\n1\t0/2\ty", 3, HistoryError::Order(3)),
            ("0\t0/1\tx", 3, HistoryError::Order(1)),
            (THIRD, 2, HistoryError::NotBefore(2)),
        ] {
            assert_eq!(parse(text, timeline), Err(expected), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_a_server_would_write_round_trips(
            ends in prop::collection::btree_map(1..1000_u32, (any::<u64>(), "[ -~]{0,40}"), 0..20),
        ) {
            let line = |(timeline, (at, reason)): (&u32, &(u64, String))| {
                format!("{timeline}\t{}\t{reason}\n\n", Lsn(*at))
            };
            let text: String = ends.iter().map(line).collect();
            let history = parse(&text, 1001).unwrap();
            let found: Vec<_> = history.iter().map(|l| (l.timeline, l.at.0)).collect();
            let expected: Vec<_> = ends.iter().map(|(t, (at, _))| (*t, *at)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,200}", timeline: u32) {
            let _ = parse(&text, timeline);
        }
    }
}
