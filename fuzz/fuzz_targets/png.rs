#![no_main]
//! Images of views, and the folders of views that they lie in.

use libfuzzer_sys::{
    arbitrary::{Arbitrary, Unstructured},
    fuzz_target,
};
use partstad::{
    io::png,
    stages::views::{Camera, POSES, Views},
};

fuzz_target!(|data: &[u8]| {
    partstad_fuzz::on_disk(data, "png", |path| {
        if let Ok(pixels) = png::read_rgb(path, 4, 4) {
            assert_eq!(pixels.len(), 4 * 4 * 3);
        }
    });
    let _ = folder(&mut Unstructured::new(data));
});

fn folder(from: &mut Unstructured) -> libfuzzer_sys::arbitrary::Result<()> {
    let cameras = match from.ratio(3, 4)? {
        true => {
            let count = from.int_in_range(0..=3)?;
            let cameras: Vec<Camera> = POSES[..count].iter().map(|&pose| Camera::new(pose)).collect();
            serde_json::to_vec(&cameras).expect("plain numbers")
        }
        false => Vec::arbitrary(from)?,
    };
    let (screen, shown) = (partstad_fuzz::array(from)?, partstad_fuzz::array(from)?);
    let side = from.int_in_range(1..=6)?;
    let image = png::encode_rgb(&vec![7; side * side * 3], side, side);
    let files = [
        ("cameras.json", &cameras[..]),
        ("screen.npy", &screen),
        ("pixel_to_point.npy", &shown),
        ("0.png", &image),
        ("1.png", &image),
    ];
    partstad_fuzz::in_folder(&files, |folder| {
        if let Ok(views) = Views::load(folder) {
            for k in 0..views.len() {
                let (shown, screen) = (views.pixel_to_point(k).unwrap(), views.screen(k).unwrap());
                assert!(shown.iter().all(|&p| p < screen.len() as i32));
                views.image(k).unwrap();
            }
        }
    });
    Ok(())
}
