//! Colours that tell parts, instances and superpoints apart; in files and in the report the same.

/// Points and superpoints without a part.
pub const NONE: [u8; 3] = [158, 161, 168];

/// Neighbours differ in lightness as well as in hue, so that the first few survive most colour blindness.
const FIRST: [[u8; 3]; 12] = [
    [47, 126, 216],
    [242, 142, 43],
    [44, 160, 90],
    [214, 64, 93],
    [146, 106, 214],
    [232, 197, 52],
    [23, 176, 181],
    [160, 98, 58],
    [229, 127, 192],
    [127, 154, 44],
    [75, 87, 184],
    [111, 197, 240],
];

/// The colour of a part or an instance; [`NONE`] for -1.
pub fn color(index: i32) -> [u8; 3] {
    match usize::try_from(index) {
        Err(_) => NONE,
        Ok(i) if i < FIRST.len() => FIRST[i],
        // Hues a golden angle apart never repeat; lightness and saturation take turns.
        Ok(i) => {
            let hue = (i as f32 * 0.618_034).fract();
            hsl(hue, [0.75, 0.5, 0.62][i % 3], [0.5, 0.62, 0.4][i / 3 % 3])
        }
    }
}

/// The colour of a superpoint: neighbouring numbers look nothing alike.
pub fn scattered(index: u32) -> [u8; 3] {
    let mixed = index.wrapping_add(1).wrapping_mul(0x9e37_79b1);
    let unit = |shift: u32| (mixed >> shift & 0xff) as f32 / 255.0;
    hsl((index as f32 * 0.618_034).fract(), 0.35 + 0.4 * unit(8), 0.38 + 0.3 * unit(20))
}

fn hsl(hue: f32, saturation: f32, lightness: f32) -> [u8; 3] {
    let chroma = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|n| {
        let k = (n + hue * 12.0) % 12.0;
        let level = lightness - chroma * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (level * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_parts_are_far_apart() {
        assert_eq!(color(-1), NONE);
        let colors: Vec<_> = (-1..12).map(color).collect();
        for (i, a) in colors.iter().enumerate() {
            for b in &colors[..i] {
                let distance: i32 = (0..3).map(|c| (a[c] as i32 - b[c] as i32).pow(2)).sum();
                assert!(distance > 40 * 40, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn neighbours_differ_however_many_there_are() {
        for i in 0..5000 {
            assert_ne!(color(i), color(i + 1));
            assert_ne!(scattered(i as u32), scattered(i as u32 + 1));
        }
    }
}
