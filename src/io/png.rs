//! 8-bit RGB images as PNG files.

use crate::error::{Error, Result};
use std::{fs::File, io::BufWriter, path::Path};

/// Encodes an RGB image, row 0 on top. `pixels`: `[height, width, 3]`.
pub fn encode_rgb(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut file = Vec::new();
    write_to(&mut file, pixels, width, height).expect("a PNG written to memory cannot fail");
    file
}

/// Writes an RGB image to a PNG file, row 0 on top. `pixels`: `[height, width, 3]`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_rgb(path: &Path, pixels: &[u8], width: usize, height: usize) -> Result<()> {
    let file = File::create(path).map_err(Error::io(path))?;
    write_to(BufWriter::new(file), pixels, width, height)
        .map_err(|e| Error::Io { path: path.to_path_buf(), source: e.into() })
}

fn write_to(
    to: impl std::io::Write,
    pixels: &[u8],
    width: usize,
    height: usize,
) -> Result<(), png::EncodingError> {
    assert_eq!(pixels.len(), width * height * 3, "pixels: [height, width, 3]");
    let mut encoder = png::Encoder::new(to, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()
}
