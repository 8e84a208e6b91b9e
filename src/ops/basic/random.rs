//! Numbers from a seed: the same on every machine and in every version, unlike those of a library.

/// SplitMix64 (Steele, Lea & Flood 2014): its state.
#[derive(Debug, Clone)]
pub struct Random(pub(crate) u64);

impl Random {
    /// The numbers of a seed; `stream` tells several uses of one seed apart.
    pub fn new(seed: u64, stream: u64) -> Random {
        Random(mix(seed) ^ mix(stream))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From the standard normal distribution (Box & Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// 0 to `n` - 1 in random order (Fisher & Yates).
    pub fn order(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, (self.uniform() * (i + 1) as f64) as usize);
        }
        order
    }
}

/// The bits that follow the state `x`: random ones that depend on nothing else.
pub fn mix(x: u64) -> u64 {
    Random(x).bits()
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_and_a_stream_decide() {
        let three = |seed, stream| {
            let mut random = Random::new(seed, stream);
            [random.bits(), random.bits(), random.bits()]
        };
        assert_eq!(three(5, 0), three(5, 0));
        assert_ne!(three(5, 0), three(5, 1));
        assert_ne!(three(5, 0), three(6, 0));
        assert_eq!(Random(0).bits(), 0xe220_a839_7b1d_cdaf, "as the reference program");
    }

    #[test]
    fn distributions() {
        let mut random = Random::new(1, 0);
        let normal: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = normal.iter().sum::<f64>() / 20_000.0;
        let variance = normal.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let mut firsts = [0; 4];
        for _ in 0..4000 {
            let order = random.order(4);
            firsts[order[0]] += 1;
            assert_eq!(order.iter().sum::<usize>(), 6);
        }
        assert!(firsts.iter().all(|&n| (900..1100).contains(&n)), "{firsts:?}");
    }
}
