//! The images of textures: kept as their files hold them, decoded when they are needed.

use image::ImageFormat;
use std::{
    io::Cursor,
    panic::{self, AssertUnwindSafe},
};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// A picture of more pixels than this is not decoded: 256 MB of them.
const MOST_PIXELS: u64 = 1 << 26;

/// An image as a file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What the mesh's file calls it.
    pub name: String,
    /// The content of a PNG, JPEG, WebP, TGA or BMP file.
    pub bytes: Vec<u8>,
}

/// An image's pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue, alpha, row 0 on top, `[height, width]`.
    pub rgba: Vec<[u8; 4]>,
}

impl Picture {
    /// `image/png` or `image/jpeg`, the two that glTF knows; None for others.
    pub fn mime_type(&self) -> Option<&'static str> {
        match self.format() {
            Some(ImageFormat::Png) => Some("image/png"),
            Some(ImageFormat::Jpeg) => Some("image/jpeg"),
            _ => None,
        }
    }

    fn format(&self) -> Option<ImageFormat> {
        // TGA has no signature.
        let tga = self.name.to_ascii_lowercase().ends_with(".tga").then_some(ImageFormat::Tga);
        image::guess_format(&self.bytes).ok().or(tga)
    }

    /// The pixels.
    ///
    /// # Errors
    /// In words, if it cannot be decoded.
    pub fn decode(&self) -> Result<Pixels, String> {
        let unfit = |why: String| format!("the image {} cannot be read: {why}", self.name);
        // Decoders of other projects may panic at damaged files.
        let decoded = panic::catch_unwind(AssertUnwindSafe(|| self.decoded()));
        decoded.unwrap_or_else(|_| Err("damaged".into())).map_err(unfit)
    }

    fn decoded(&self) -> Result<Pixels, String> {
        match self.format() {
            Some(ImageFormat::Jpeg) => jpeg(&self.bytes),
            Some(format @ (ImageFormat::Png | ImageFormat::WebP | ImageFormat::Tga | ImageFormat::Bmp)) => {
                by_image(&self.bytes, format)
            }
            Some(other) => Err(format!("it is {other:?}; save it as .png")),
            None => Err("it is no PNG, JPEG, WebP, TGA or BMP".into()),
        }
    }

    /// The same image as a PNG file, unless it is one that glTF knows.
    ///
    /// # Errors
    /// As [`Picture::decode`].
    pub fn for_gltf(&self) -> Result<Picture, String> {
        if self.mime_type().is_some() {
            return Ok(self.clone());
        }
        let Pixels { width, height, rgba } = self.decode()?;
        let mut bytes = Cursor::new(vec![]);
        let kind = image::ExtendedColorType::Rgba8;
        let (w, h) = (width as u32, height as u32);
        image::write_buffer_with_format(&mut bytes, rgba.as_flattened(), w, h, kind, ImageFormat::Png)
            .map_err(|e| format!("the image {} cannot be written: {e}", self.name))?;
        Ok(Picture { name: self.name.clone(), bytes: bytes.into_inner() })
    }
}

fn check_size(width: u64, height: u64) -> Result<(), String> {
    match width * height <= MOST_PIXELS && width * height > 0 {
        true => Ok(()),
        false => Err(format!("{width} x {height} pixels; the limit is {MOST_PIXELS}, make it smaller")),
    }
}

fn by_image(bytes: &[u8], format: ImageFormat) -> Result<Pixels, String> {
    let reader = || image::ImageReader::with_format(Cursor::new(bytes), format);
    let (width, height) = reader().into_dimensions().map_err(|e| e.to_string())?;
    check_size(width.into(), height.into())?;
    let image = reader().decode().map_err(|e| e.to_string())?.into_rgba8();
    Ok(Pixels {
        width: width as usize,
        height: height as usize,
        rgba: image.into_raw().as_chunks().0.to_vec(),
    })
}

/// By zune-jpeg without SIMD, whose bits do not depend on the machine.
fn jpeg(bytes: &[u8]) -> Result<Pixels, String> {
    let options = DecoderOptions::new_safe().set_use_unsafe(false).jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| format!("{e:?}"))?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    check_size(width as u64, height as u64)?;
    let pixels = decoder.decode().map_err(|e| format!("{e:?}"))?;
    let rgba: Vec<[u8; 4]> = match pixels.len() / (width * height) {
        3 => pixels.as_chunks::<3>().0.iter().map(|&[r, g, b]| [r, g, b, 255]).collect(),
        1 => pixels.iter().map(|&l| [l, l, l, 255]).collect(),
        channels => return Err(format!("{channels} channels")),
    };
    Ok(Pixels { width, height, rgba })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A picture of 2 x 2: red, green, blue, white.
    pub fn colors(format: ImageFormat) -> Picture {
        let rgba = [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [255, 255, 255, 255u8]];
        let mut bytes = Cursor::new(vec![]);
        let kind = image::ExtendedColorType::Rgba8;
        image::write_buffer_with_format(&mut bytes, rgba.as_flattened(), 2, 2, kind, format).unwrap();
        Picture { name: "a.tga".into(), bytes: bytes.into_inner() }
    }

    #[test]
    fn pictures_are_decoded_and_made_fit_for_gltf() {
        for format in [ImageFormat::Png, ImageFormat::Tga, ImageFormat::Bmp, ImageFormat::WebP] {
            let picture = colors(format);
            let pixels = picture.decode().unwrap();
            assert_eq!((pixels.width, pixels.height, pixels.rgba[1]), (2, 2, [0, 255, 0, 255]), "{format:?}");
            let fit = picture.for_gltf().unwrap();
            assert_eq!((fit.mime_type(), fit.decode().unwrap()), (Some("image/png"), pixels), "{format:?}");
        }
    }

    #[test]
    fn what_is_no_picture_is_said() {
        let message = |name: &str, bytes: &[u8]| {
            Picture { name: name.into(), bytes: bytes.into() }.decode().unwrap_err()
        };
        assert!(message("a.png", b"nothing").contains("the image a.png cannot be read: it is no PNG"));
        assert!(message("a.gif", b"GIF89a").contains("Gif; save it as .png"));
        let png = colors(ImageFormat::Png).bytes;
        for end in 8..png.len() - 12 {
            message("a.png", &png[..end]);
        }
        // A header that says 2^16 by 2^16.
        let mut large = png.clone();
        large[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        assert!(!message("a.png", &large).is_empty());
    }
}
