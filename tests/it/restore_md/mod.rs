//! The break-glass instructions do what they say: their SQL on a real PostgreSQL with the
//! metadata of running instances, their commands with stock tools alone.

mod sealed;
mod shell;
mod sql;

use databasus_escrow::databasus::restore_md::restore_md;

/// The code block of a language that holds `mark`, exactly as a person would paste it.
fn block(language: &str, mark: &str) -> String {
    let opening = format!("```{language}\n");
    let blocks = restore_md().split(&opening).skip(1);
    let mut bodies = blocks.map(|rest| rest.split("```").next().unwrap());
    let found = bodies.find(|body| body.contains(mark));
    found
        .unwrap_or_else(|| panic!("no block with {mark}"))
        .to_owned()
}
