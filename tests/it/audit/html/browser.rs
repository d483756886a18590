//! A real browser, run once for each thing that is asked of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::needed;

/// Chromium, and a folder for what it reads and writes.
pub struct Browser {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy)]
pub struct View {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
}

/// A picture, in 8 bits of red, green and blue.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Browser {
    /// None, said aloud, where there is none.
    pub fn find() -> Option<Self> {
        Some(Self {
            program: needed("ESCROW_TEST_CHROMIUM")?,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// What the page looks like. Fails if the browser has anything to complain about: something
    /// that was refused, was not found, or could not be parsed.
    pub fn picture(&self, page: &str, view: View) -> Picture {
        let place = self.folder.path().join("picture.png");
        let ran = self.run(page, view, &[&format!("--screenshot={}", place.display())]);
        assert_eq!(complaints(&ran), "");
        Picture::read(&place)
    }

    /// The document after it was laid out and its scripts have run, and complaints.
    pub fn document(&self, page: &str, view: View) -> (String, String) {
        let ran = self.run(page, view, &["--dump-dom"]);
        let complaints = complaints(&ran);
        (String::from_utf8(ran.stdout).unwrap(), complaints)
    }

    /// How many sheets of paper the page takes.
    pub fn sheets(&self, page: &str) -> usize {
        let place = self.folder.path().join("page.pdf");
        let view = View {
            width: 1200,
            height: 800,
            dark: false,
        };
        let print = format!("--print-to-pdf={}", place.display());
        self.run(page, view, &["--no-pdf-header-footer", &print]);
        let pdf = std::fs::read(place).unwrap();
        let text = String::from_utf8_lossy(&pdf);
        text.matches("/Type /Page\n").count()
    }

    fn run(&self, page: &str, view: View, more: &[&str]) -> Output {
        let file = self.folder.path().join("page.html");
        std::fs::write(&file, page).unwrap();
        let scheme = if view.dark { 0 } else { 1 };
        let mut command = Command::new("timeout");
        command.arg("120").arg(&self.program).args([
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--force-device-scale-factor=1",
            "--enable-logging=stderr",
            // The browser's own sandbox needs more than a container gives; what it opens is ours.
            "--no-sandbox",
        ]);
        command
            .arg(format!(
                "--user-data-dir={}",
                self.folder.path().join("profile").display()
            ))
            .arg(format!("--window-size={},{}", view.width, view.height))
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .args(more)
            .arg(format!("file://{}", file.display()));
        let ran = command.output().unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        ran
    }
}

/// What the page's console shows.
fn complaints(ran: &Output) -> String {
    let told = String::from_utf8_lossy(&ran.stderr);
    let lines = told.lines().filter(|line| line.contains("CONSOLE"));
    lines.collect::<Vec<_>>().join("\n")
}

impl Picture {
    fn read(path: &Path) -> Self {
        let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut bytes).unwrap();
        assert_eq!(frame.bit_depth, png::BitDepth::Eight);
        let each = frame.color_type.samples();
        assert!(each >= 3, "a picture in colours");
        let pixels = bytes[..frame.buffer_size()].chunks_exact(each);
        Self {
            width: frame.width as usize,
            height: frame.height as usize,
            pixels: pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        }
    }

    /// Means of squares of this side, row by row, each channel in 0 to 15.
    pub fn grid(&self, side: usize) -> Vec<Vec<[u8; 3]>> {
        let rows = 0..self.height / side;
        let columns = 0..self.width / side;
        rows.map(|row| {
            columns
                .clone()
                .map(|column| self.mean(row, column, side))
                .collect()
        })
        .collect()
    }

    fn mean(&self, row: usize, column: usize, side: usize) -> [u8; 3] {
        let mut sums = [0_usize; 3];
        for y in row * side..(row + 1) * side {
            let start = y * self.width + column * side;
            for pixel in &self.pixels[start..start + side] {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += usize::from(*value);
                }
            }
        }
        sums.map(|sum| u8::try_from((sum / (side * side) + 8) / 17).unwrap())
    }
}
