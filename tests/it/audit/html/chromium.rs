//! The page in a real browser: light, dark, narrow, and on paper.

use std::path::PathBuf;

use super::browser::{Browser, Picture, View};
use super::example::{Example, bad, good, nothing, thousand};
use databasus_escrow::model::audit::facts::Scope;

const WIDE: View = View {
    width: 1200,
    height: 2400,
    dark: false,
};

const DARK: View = View { dark: true, ..WIDE };

const NARROW: View = View {
    width: 360,
    height: 2400,
    dark: false,
};

/// Pixels of a square whose mean is compared.
const SIDE: usize = 60;

fn every_kind() -> [(&'static str, Example); 4] {
    [
        ("good", good()),
        ("bad", bad()),
        ("thousand", thousand()),
        ("nothing", nothing(Scope::Head)),
    ]
}

/// The page in a frame of this width, narrower than any window of the browser may be, and a script
/// around it that measures: in the page none would run.
fn framed(page: &str, width: u32) -> String {
    let inside = page.replace('&', "&amp;").replace('"', "&quot;");
    let measure = "onload = () => { const root = frames[0].document.documentElement; \
        document.body.dataset.width = root.clientWidth; \
        document.body.dataset.over = root.scrollWidth - root.clientWidth; }";
    format!(
        "<!DOCTYPE html><body><iframe width=\"{width}\" height=\"9000\" style=\"border:0\" \
         srcdoc=\"{inside}\"></iframe><script>{measure}</script></body>"
    )
}

#[test]
fn nothing_is_wider_than_the_window() {
    let Some(browser) = Browser::find() else {
        return;
    };
    for (name, example) in every_kind() {
        // Folded parts must not be wider, either.
        let page = example.page().replace("<details>", "<details open>");
        for width in [WIDE.width, NARROW.width] {
            let (document, complaints) = browser.document(&framed(&page, width), WIDE);
            assert_eq!(complaints, "", "{name}");
            let fits = format!("data-width=\"{width}\" data-over=\"0\"");
            let (body, _) = document.split_once("<iframe").unwrap();
            assert!(body.contains(&fits), "{name} at {width}: {body}");
        }
    }
}

#[test]
fn the_browser_has_nothing_to_complain_about() {
    let Some(browser) = Browser::find() else {
        return;
    };
    for (name, example) in every_kind() {
        let (document, complaints) = browser.document(&example.signed_page(), WIDE);
        assert_eq!(complaints, "", "{name}");
        assert!(document.contains("What this page rests on"), "{name}");
    }
}

#[test]
fn what_the_page_does_not_bring_along_is_refused() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let planted =
        "<img src=\"http://127.0.0.1:9/x.png\"><script>document.title = 'run'</script></body>";
    let page = good().page().replace("</body>", planted);
    let (document, complaints) = browser.document(&page, WIDE);
    assert!(
        complaints.contains("Content Security Policy"),
        "{complaints}"
    );
    assert!(document.contains("<title>Pass: "), "nothing has run");
}

#[test]
fn on_paper_everything_is_open() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let page = bad().page();
    let open = page.replace("<details>", "<details open>");
    let without = page.replace("<details>", "<details style=\"display: none !important\">");
    assert_eq!(browser.sheets(&page), browser.sheets(&open));
    assert!(browser.sheets(&page) > browser.sheets(&without));
}

#[test]
fn the_page_looks_as_it_did() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let page = bad().page();
    for (name, view) in [("light", WIDE), ("dark", DARK), ("narrow", NARROW)] {
        let picture = browser.picture(&page, view);
        assert_eq!(
            (picture.width, picture.height),
            (view.width as usize, view.height as usize)
        );
        compare(name, &picture);
    }
}

/// Fonts differ from machine to machine, so text may lie a little elsewhere: most squares are much
/// as they were, and the whole is as light as it was.
fn compare(name: &str, picture: &Picture) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/audit/html/looks")
        .join(format!("{name}.txt"));
    let now = told(picture);
    if std::env::var_os("ESCROW_WRITE_LOOKS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let (kept, now) = (values(&kept), values(&now));
    assert_eq!(kept.len(), now.len(), "{name}");
    let apart: Vec<u32> = kept.iter().zip(&now).map(|(a, b)| a.abs_diff(*b)).collect();
    let far = apart.iter().filter(|apart| **apart > 3).count();
    let sum: u32 = apart.iter().sum();
    let most = u32::try_from(apart.len()).unwrap();
    assert!(
        far * 20 <= apart.len() && sum <= most,
        "{name}: {far} of {most} are far off; {sum} in all"
    );
}

/// One line for each row of squares, three hexadecimal digits for each square.
fn told(picture: &Picture) -> String {
    let rows = picture.grid(SIDE).into_iter().map(|row| {
        let squares = row.iter().map(|[r, g, b]| format!("{r:x}{g:x}{b:x}"));
        squares.collect::<Vec<_>>().join(" ") + "\n"
    });
    rows.collect()
}

fn values(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(16)).collect()
}
