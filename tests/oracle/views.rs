use crate::common::fixture;
use partstad::{
    io::npy,
    stages::views::{Camera, POSES},
};

#[test]
fn cameras() {
    let points = npy::read::<f32>(&fixture("cameras/probe_points.npy")).unwrap().data;
    let screen = npy::read::<f32>(&fixture("cameras/probe_screen.npy")).unwrap().data;
    let ndc = npy::read::<f32>(&fixture("cameras/probe_ndc_viewz.npy")).unwrap().data;
    let mut same = [0; 5];
    let mut worst = [0f32; 5];
    for (k, pose) in POSES.into_iter().enumerate() {
        let camera = Camera::new(pose);
        for i in 0..1000 {
            let p = [points[i * 3], points[i * 3 + 1], points[i * 3 + 2]];
            let at = (k * 1000 + i) * 3;
            let s = camera.screen(p, 800);
            let splat = camera.splat(p);
            for (j, (a, b)) in [
                (s[0], screen[at]),
                (s[1], screen[at + 1]),
                (splat.ndc[0], ndc[at]),
                (splat.ndc[1], ndc[at + 1]),
                (splat.depth, ndc[at + 2]),
            ]
            .into_iter()
            .enumerate()
            {
                same[j] += (a == b) as usize;
                worst[j] = worst[j].max((a - b).abs());
            }
        }
    }
    println!("{same:?} {worst:?}");
    assert!(worst[0] < 1e-3 && worst[1] < 1e-3);
}
