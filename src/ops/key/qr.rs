//! QR codes: a text that a phone reads back from paper or from a screen.

use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

/// Empty modules around a code, which readers need (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;

/// Side of a module in a picture, in pixels.
const SCALE: usize = 8;

/// A text as black and white modules, the quiet zone included.
pub struct Qr {
    side: usize,
    dark: Vec<bool>,
}

/// A text too long for any QR code: they end at 2953 bytes.
#[derive(Debug, thiserror::Error)]
#[error("{0} bytes do not fit into a QR code; print the text")]
pub struct TooLong(usize);

impl Qr {
    /// Encodes a text with as much redundancy as it leaves room for.
    pub fn of(text: &str) -> Result<Self, TooLong> {
        let levels = [EcLevel::M, EcLevel::L].into_iter();
        let mut codes = levels
            .filter_map(|level| QrCode::with_error_correction_level(text.as_bytes(), level).ok());
        let code = codes.next().ok_or(TooLong(text.len()))?;
        let side = code.width() + 2 * QUIET;
        let mut dark = vec![false; side * side];
        for (at, color) in code.to_colors().into_iter().enumerate() {
            let (x, y) = (at % code.width() + QUIET, at / code.width() + QUIET);
            if let Some(module) = dark.get_mut(y * side + x) {
                *module = color == Color::Dark;
            }
        }
        Ok(Self { side, dark })
    }

    /// For a terminal: two modules above each other in each character, light on dark, so that it
    /// reads on black and, inverted, on white.
    pub fn terminal(&self) -> String {
        let mut out = String::new();
        for y in (0..self.side).step_by(2) {
            for x in 0..self.side {
                out.push(match (self.is_dark(x, y), self.is_dark(x, y + 1)) {
                    (false, false) => '█',
                    (false, true) => '▀',
                    (true, false) => '▄',
                    (true, true) => ' ',
                });
            }
            out.push('\n');
        }
        out
    }

    /// As a PNG picture of one bit per pixel.
    pub fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let side = self.side * SCALE;
        let pixels = u32::try_from(side).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, pixels, pixels);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rows(side))?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Rows of pixels, eight to a byte, white ones set.
    fn rows(&self, side: usize) -> Vec<u8> {
        let stride = side.div_ceil(8);
        let mut rows = vec![0; stride * side];
        for y in 0..side {
            for x in (0..side).filter(|x| !self.is_dark(x / SCALE, y / SCALE)) {
                if let Some(byte) = rows.get_mut(y * stride + x / 8) {
                    *byte |= 0x80 >> (x % 8);
                }
            }
        }
        rows
    }

    /// Beyond the edge all is light.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        self.dark.get(y * self.side + x).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader sees in a picture.
    fn read(side: usize, is_dark: impl Fn(usize, usize) -> bool) -> Option<String> {
        let gray = |x, y| if is_dark(x, y) { 0 } else { 255 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, gray);
        let grid = image.detect_grids().pop()?;
        Some(grid.decode().ok()?.1)
    }

    fn read_png(bytes: &[u8]) -> Option<String> {
        let decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let side = info.width as usize;
        read(side, |x, y| {
            pixels[y * info.line_size + x / 8] & (0x80 >> (x % 8)) == 0
        })
    }

    #[test]
    fn a_picture_reads_back() {
        let text = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n".repeat(20);
        let qr = Qr::of(&text).unwrap();
        assert_eq!(read_png(&qr.png().unwrap()).as_deref(), Some(text.as_str()));
    }

    #[test]
    fn a_terminal_shows_the_same_modules() {
        let qr = Qr::of("what must not be lost").unwrap();
        let lines: Vec<Vec<char>> = qr.terminal().lines().map(|l| l.chars().collect()).collect();
        let seen = read(qr.side * 4, |x, y| {
            let (x, y) = (x / 4, y / 4);
            match lines[y / 2][x] {
                '█' => false,
                '▀' => y % 2 == 1,
                '▄' => y % 2 == 0,
                _ => true,
            }
        });
        assert_eq!(seen.as_deref(), Some("what must not be lost"));
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        assert!(Qr::of(&"x".repeat(2_953)).is_ok());
        assert!(Qr::of(&"x".repeat(2_954)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn any_armoured_text_reads_back(text in "[A-Za-z0-9+/=\n]{1,1200}") {
            let png = Qr::of(&text).unwrap().png().unwrap();
            prop_assert_eq!(read_png(&png), Some(text));
        }
    }
}
