//! What is known of a region of features: enough for its mean and what merging costs.

/// Number and sum of the features of a region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region<const D: usize> {
    /// How many features.
    pub count: f64,
    /// Their sum.
    pub total: [f64; D],
}

impl<const D: usize> Default for Region<D> {
    fn default() -> Self {
        Region { count: 0.0, total: [0.0; D] }
    }
}

impl<const D: usize> Region<D> {
    /// The region of these features.
    pub fn of<'a>(features: impl Iterator<Item = &'a [f32; D]>) -> Region<D> {
        let mut region = Region::default();
        features.for_each(|feature| region.add(feature));
        region
    }

    /// Takes one more feature.
    pub fn add(&mut self, feature: &[f32; D]) {
        self.count += 1.0;
        for (total, &x) in self.total.iter_mut().zip(feature) {
            *total += x as f64;
        }
    }

    /// Gives a feature back.
    pub fn remove(&mut self, feature: &[f32; D]) {
        self.count -= 1.0;
        for (total, &x) in self.total.iter_mut().zip(feature) {
            *total -= x as f64;
        }
    }

    /// Both together.
    pub fn join(&self, other: &Region<D>) -> Region<D> {
        Region {
            count: self.count + other.count,
            total: std::array::from_fn(|i| self.total[i] + other.total[i]),
        }
    }

    /// Mean of the features.
    pub fn mean(&self) -> [f64; D] {
        self.total.map(|x| x / self.count)
    }

    /// |total|^2 / count: the sum of squares less the sum of squared distances to the mean.
    pub fn concentration(&self) -> f64 {
        if self.count > 0.0 { self.total.iter().map(|x| x * x).sum::<f64>() / self.count } else { 0.0 }
    }

    /// Spread that merging adds.
    pub fn merge_cost(&self, other: &Region<D>) -> f64 {
        let (a, b) = (self.mean(), other.mean());
        let squared: f64 = (0..D).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum();
        self.count * other.count / (self.count + other.count) * squared
    }
}
