//! The exponential function below zero: the same bits on every machine, which those of a library are not.

/// e^x within two units of the last place, x not positive.
///
/// x = k ln 2 + r with |r| <= ln 2 / 2; e^r by its series.
pub fn exp(x: f64) -> f64 {
    if x < -745.2 {
        return 0.0;
    }
    // ln 2 in two parts: k times the first has no rounding.
    let (high, low) = (f64::from_bits(0x3fe6_2e42_fee0_0000), f64::from_bits(0x3dea_39ef_3579_3c76));
    let k = (x * std::f64::consts::LOG2_E - 0.5).trunc();
    let r = x - k * high - k * low;
    let mut sum = 1.0;
    for n in (1..=14).rev() {
        sum = 1.0 + r / f64::from(n) * sum;
    }
    // In two steps, so that results below the least normal number round once.
    let half = (k * 0.5).trunc();
    let power = |k: f64| f64::from_bits(((k as i64 + 1023) as u64) << 52);
    sum * power(half) * power(k - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_exact_to_the_last_places() {
        for i in 0..40_000 {
            let x = -f64::from(i) * 0.0188;
            let (found, exact) = (exp(x), x.exp());
            assert!((found - exact).abs() <= 5e-16 * exact + 5e-324, "{x}: {found} against {exact}");
        }
        assert_eq!((exp(0.0), exp(-1e9), exp(f64::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp(f64::NAN).is_nan());
    }
}
