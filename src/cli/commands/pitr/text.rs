//! A listing as people read it.

use crate::base::text::{bytes, printable};
use crate::ops::pitr::listing::{
    ListedApart, ListedBase, ListedChain, ListedCluster, ListedEdge, ListedStretch, ListedWindow,
    Listing, Told,
};

/// How many lines of one kind are printed; `--json` has all.
const LINES: usize = 50;

pub(super) fn listing(listing: &Listing<'_>) -> String {
    let mut out = String::new();
    for cluster in &listing.clusters {
        push_cluster(&mut out, cluster);
    }
    if listing.clusters.is_empty() {
        let storage = printable(&listing.storage);
        line(
            &mut out,
            0,
            &format!("No backup of a cluster in {storage}."),
        );
    }
    let plain = |name: &String| printable(name).into_owned();
    section(
        &mut out,
        0,
        "Could not be read",
        listing.unread.iter().map(told),
    );
    section(
        &mut out,
        0,
        "No key opens",
        listing.closed.iter().map(plain),
    );
    section(
        &mut out,
        0,
        "Nothing can be built on",
        listing.unusable.iter().map(told),
    );
    section(
        &mut out,
        0,
        "Of a cluster that nothing tells",
        listing.unattributed.iter().map(plain),
    );
    push_counts(&mut out, listing);
    out
}

fn push_counts(out: &mut String, listing: &Listing<'_>) {
    let counts = [
        (
            listing.not_looked_into,
            "objects were not looked into: WAL of releases up to 3.42 may be among them",
        ),
        (listing.dumps, "backups of single databases are there too"),
        (
            listing.foreign_objects,
            "objects there are not of Databasus",
        ),
    ];
    for (count, words) in counts.iter().filter(|(count, _)| *count > 0) {
        line(out, 0, &format!("{count} {words}."));
    }
}

fn push_cluster(out: &mut String, cluster: &ListedCluster) {
    let names: Vec<_> = cluster.names.iter().map(|name| printable(name)).collect();
    let name = match names.as_slice() {
        [] => "(no name)".to_owned(),
        names => names.join(", once "),
    };
    let mut about = Vec::new();
    about.extend(cluster.pg_major.map(|major| format!("PostgreSQL {major}")));
    about.extend(
        cluster
            .system_identifier
            .as_ref()
            .map(|id| format!("system {id}")),
    );
    about.extend(cluster.database_id.map(|id| format!("database {id}")));
    line(out, 0, &format!("{name}: {}", about.join(", ")));
    for chain in &cluster.chains {
        push_chain(out, chain);
    }
    let duplicates = cluster.duplicates.iter();
    let duplicates = duplicates.map(|one| format!("{}: {}", one.segment, all(&one.objects)));
    section(out, 2, "Stored more than once", duplicates);
    section(out, 2, "Of no use", cluster.unusable.iter().map(told));
    section(out, 2, "Of no chain", cluster.apart.iter().map(apart));
    out.push('\n');
}

fn push_chain(out: &mut String, chain: &ListedChain) {
    let timelines: Vec<_> = chain.timelines.iter().map(ToString::to_string).collect();
    let word = if timelines.len() > 1 {
        "timelines"
    } else {
        "timeline"
    };
    line(
        out,
        2,
        &format!("Chain on {word} {}", timelines.join(" → ")),
    );
    push_base(out, "FULL", &chain.full);
    for incremental in &chain.incrementals {
        push_base(out, "INCR", incremental);
    }
    if chain.segments > 0 {
        let size = bytes(chain.wal_bytes);
        line(
            out,
            4,
            &format!("WAL   {}, {size}", segments(chain.segments)),
        );
    }
    for window in &chain.windows {
        line(out, 4, &reaches(window));
    }
    if chain.windows.is_empty() {
        line(out, 4, "reaches nothing");
    }
    for gap in &chain.gaps {
        let maybe = match gap.maybe_in_base {
            true => ", unless the base backup brings them along",
            false => "",
        };
        line(out, 4, &format!("GAP   {}{maybe}", gap.words));
        for object in &gap.unusable {
            line(out, 8, &told(object));
        }
    }
}

fn push_base(out: &mut String, kind: &str, base: &ListedBase) {
    let size = base.stored_size.map_or_else(|| "-".to_owned(), bytes);
    let when = base.completed.as_ref().unwrap_or(&base.begun);
    let key = match (&base.opened_by, base.encrypted) {
        (Some(source), _) => format!("key {}", printable(source)),
        (None, true) => "encrypted".to_owned(),
        (None, false) => "not encrypted".to_owned(),
    };
    let name = printable(&base.name);
    line(out, 4, &format!("{kind}  {name}"));
    line(out, 10, &format!("{when}, {size}, {key}"));
    if let Some(problem) = &base.problem {
        line(out, 10, &format!("CANNOT BE USED: {}", printable(problem)));
    }
}

fn reaches(window: &ListedWindow) -> String {
    let from = edge(&window.from);
    if window.backups_only {
        return format!("reaches the end of this backup alone, {from}");
    }
    let before = if window.to.exact { "before " } else { "" };
    format!("reaches {from} to {before}{}", edge(&window.to))
}

fn edge(edge: &ListedEdge) -> String {
    let mark = if edge.exact { "" } else { " (approximate)" };
    match &edge.time {
        Some(time) => format!("{time}{mark}"),
        None => edge.lsn.clone(),
    }
}

fn apart(one: &ListedApart) -> String {
    let what = match &one.wal {
        Some(wal) => stretch(wal),
        None => all(&one.objects),
    };
    format!("{what}: {}", printable(&one.why))
}

fn stretch(wal: &ListedStretch) -> String {
    match wal.count {
        1 => format!("WAL segment {}", wal.first),
        count => format!("WAL segments {} to {} ({count})", wal.first, wal.last),
    }
}

fn segments(count: u64) -> String {
    match count {
        1 => "1 segment".to_owned(),
        count => format!("{count} segments"),
    }
}

fn told(one: &Told) -> String {
    format!("{}: {}", printable(&one.name), printable(&one.why))
}

fn all(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
    names.join(", ")
}

/// A heading and its lines, where there are any.
fn section(out: &mut String, depth: usize, heading: &str, lines: impl Iterator<Item = String>) {
    let mut count = 0;
    for text in lines {
        if count == 0 {
            line(out, depth, &format!("{heading}:"));
        }
        if count < LINES {
            line(out, depth + 2, &text);
        }
        count += 1;
    }
    if count > LINES {
        let more = count - LINES;
        line(
            out,
            depth + 2,
            &format!("and {more} more, which --json tells"),
        );
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    out.push_str(&format!("{:depth$}{text}\n", ""));
}
