//! Colours as shown (sRGB) and light.

/// Light of a colour as shown (IEC 61966-2-1), by operations whose bits are the same everywhere.
pub(crate) fn linear(shown: f32) -> f64 {
    let shown = f64::from(shown);
    match shown <= 0.04045 {
        true => shown / 12.92,
        false => {
            let x = (shown + 0.055) / 1.055;
            let y = root(x, 5);
            x * x * y * y
        }
    }
}

/// The colour that light is shown by.
pub(crate) fn shown(light: f64) -> f32 {
    let shown = match light <= 0.003_130_8 {
        true => light * 12.92,
        false => {
            let third = root(light, 3);
            // light^(5/12): a quarter of 5/3.
            1.055 * (light * third * third).sqrt().sqrt() - 0.055
        }
    };
    (shown as f32).clamp(0.0, 1.0)
}

/// By Newton's rule, from above.
fn root(x: f64, n: i32) -> f64 {
    let mut y = 1.0f64.max(x);
    for _ in 0..64 {
        let mut power = 1.0;
        (1..n).for_each(|_| power *= y);
        let next = y - (y - x / power) / f64::from(n);
        if next >= y {
            break;
        }
        y = next;
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_and_colours_are_those_of_the_standard() {
        for i in 0..=255 {
            let c = i as f32 / 255.0;
            let wanted = match f64::from(c) {
                c if c <= 0.04045 => c / 12.92,
                c => ((c + 0.055) / 1.055).powf(2.4),
            };
            assert!((linear(c) - wanted).abs() < 1e-9, "{i}: {} {wanted}", linear(c));
            assert!((shown(linear(c)) - c).abs() < 1e-6, "{i}");
        }
        assert_eq!((shown(0.0), shown(1.0)), (0.0, 1.0));
    }
}
