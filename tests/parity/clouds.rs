//! Made-up clouds that are hard on a search.

use inputs::Random;

/// Clouds of `n` points, each with its name.
pub fn clouds(n: usize, random: &mut Random) -> Vec<(&'static str, Vec<[f32; 3]>)> {
    let mut cloud = |point: &mut dyn FnMut(&mut Random, usize) -> [f32; 3]| {
        (0..n).map(|i| point(random, i)).collect::<Vec<_>>()
    };
    let spread = |random: &mut Random| [0; 3].map(|_| 2.0 * random.uniform() - 1.0);
    vec![
        ("spread", cloud(&mut |random, _| spread(random))),
        // With both zeros.
        (
            "lattice",
            cloud(&mut |random, _| {
                [0; 3].map(|_| [-2.0, -1.0, -0.0, 0.0, 1.0, 2.0][random.below(6) as usize] / 5.0)
            }),
        ),
        ("coinciding", cloud(&mut |_, _| [0.25, -0.5, 0.125])),
        ("line", cloud(&mut |_, i| [i as f32 * 1e-3, 0.0, 0.0])),
        ("outlier", cloud(&mut |random, i| spread(random).map(|x| if i == n / 2 { 1.0 } else { 1e-4 * x }))),
        (
            "sphere",
            cloud(&mut |random, _| {
                let p = spread(random);
                let length = (p[0] * p[0] + p[1] * p[1] + p[2] * p[2]).sqrt().max(1e-3);
                p.map(|x| x / length)
            }),
        ),
    ]
}

/// Position after position.
pub fn flat<const D: usize>(rows: &[[f32; D]]) -> Vec<f32> {
    rows.concat()
}
