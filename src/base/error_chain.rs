//! An error told with its causes, on one line.

/// `error: cause: cause of the cause`. Causes that repeat what was already said are left out.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !next.is_empty() && !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the box")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_whole_chain_is_on_one_line() {
        let error = Outer(std::io::Error::other("it is locked"));
        assert_eq!(error_chain(&error), "cannot open the box: it is locked");
    }
}
