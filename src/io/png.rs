//! 8-bit RGB images as PNG files.

use super::staged;
use crate::error::{Error, Result};
use std::{fs::File, io::BufReader, path::Path};

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
    staged::write(path, |to| Ok(write_to(to, pixels, width, height)?))
}

/// Reads an 8-bit RGB or RGBA image of the given size as `[height, width, 3]`, dropping alpha.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it is no such image.
pub fn read_rgb(path: &Path, width: usize, height: usize) -> Result<Vec<u8>> {
    let wrong = |e: png::DecodingError| Error::format(path, format!("not a readable PNG image: {e}"));
    let file = File::open(path).map_err(Error::io(path))?;
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().map_err(wrong)?;
    let (w, h) = (reader.info().width as usize, reader.info().height as usize);
    if (w, h) != (width, height) {
        return Err(Error::format(path, format!("{w} x {h} pixels where {width} x {height} are expected")));
    }
    let channels = match reader.output_color_type() {
        (png::ColorType::Rgb, png::BitDepth::Eight) => 3,
        (png::ColorType::Rgba, png::BitDepth::Eight) => 4,
        (color, depth) => {
            return Err(Error::format(path, format!("{color:?} at {depth:?} bits; need 8-bit RGB")));
        }
    };
    let mut pixels = vec![0; width * height * channels];
    reader.next_frame(&mut pixels).map_err(wrong)?;
    Ok(match channels {
        3 => pixels,
        _ => pixels.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
    })
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
