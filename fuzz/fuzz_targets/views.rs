#![no_main]
//! View options, and the cameras that they ask for.

use libfuzzer_sys::fuzz_target;
use partstad::stages::views::{Camera, Options};

fuzz_target!(|data: &[u8]| {
    if let Ok(options) = serde_json::from_slice::<Options>(data) {
        for pose in options.poses {
            let _ = Camera::new(pose).screen([0.1, 0.2, 0.3], options.side);
        }
    }
});
