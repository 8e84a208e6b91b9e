//! Network: what learns to weigh boxes; its parameters and the null weight.

#[cfg(feature = "cuda")]
mod device;

use super::{
    boxes::{Box2d, Boxes},
    memberships::Memberships,
    views::{Camera, Views},
    weights::{self, Weights},
};
use crate::{
    device::Device,
    error::{Error, Result},
    ops::{
        basic::{matmul::cpu::Real, random::Random},
        learn::{
            mlp,
            positional::{self, CODE, PLACE},
        },
        lift::labels::Rule,
    },
};
use serde::{Deserialize, Serialize};

/// What a network's weights begin from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Those of [`weights::Options::Agreement`]: boxes that other views speak against weigh nothing, whatever is learned.
    Agreement,
    /// The same weight for every box, and for null (the paper).
    Constant,
}

impl Basis {
    /// The label rule that the weights are on the scale of.
    pub fn rule(self) -> Rule {
        match self {
            Basis::Agreement => Rule::Votes,
            Basis::Constant => Rule::Threshold,
        }
    }

    /// W_null before anything is learned.
    fn null(self) -> f32 {
        match self {
            Basis::Agreement => weights::AGREED,
            Basis::Constant => weights::INITIAL,
        }
    }
}

/// The weight network of section 4.2 with the null weight of section 4.1.
#[derive(Debug, Clone, PartialEq)]
pub struct Network<T = f32> {
    basis: Basis,
    channels: usize,
    values: Vec<T>,
}

impl<T: Real> Network<T> {
    /// As training begins: weights from a normal distribution, biases 0, the null weight that of the basis.
    ///
    /// `channels`: C, the detector's features and the positional code; `deviation`: of the weights; the paper's is 1e-4.
    pub fn initial(basis: Basis, channels: usize, deviation: f64, seed: u64) -> Network<T> {
        let mut random = Random::new(seed, 0);
        let mut normal =
            |count: usize| -> Vec<T> { (0..count).map(|_| T::of(deviation * random.normal())).collect() };
        let (weight_in, weight_out) = (normal(channels * channels), normal(channels));
        let values =
            [weight_in, vec![T::zero(); channels], weight_out, vec![T::zero(), T::of(basis.null().into())]];
        Network { basis, channels, values: values.concat() }
    }

    /// From its numbers: those of [`mlp::parameters`] and the null weight.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are not so many, or one is not finite.
    pub fn new(basis: Basis, channels: usize, values: Vec<T>) -> Result<Network<T>> {
        let wanted = mlp::parameters(channels) + 1;
        if channels <= CODE || values.len() != wanted {
            return Err(Error::invalid(format!(
                "network: {} parameters of {channels} channels; {wanted} and more than {CODE} are needed",
                values.len()
            )));
        }
        match values.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(Error::invalid(format!("network: parameter {i} is {:?}, not finite", values[i]))),
            None => Ok(Network { basis, channels, values }),
        }
    }

    /// As training left them: [`Network::new`] without its checks.
    #[cfg(feature = "study")]
    pub(crate) fn of(basis: Basis, channels: usize, values: Vec<T>) -> Network<T> {
        Network { basis, channels, values }
    }

    /// What its weights begin from.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Numbers per box that it reads, C.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Numbers per box that it reads from the detector, F.
    pub fn feature_dim(&self) -> usize {
        self.channels - CODE
    }

    /// All its numbers: those of [`mlp::parameters`], then the null weight.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// To be learned.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// Those of [`mlp::parameters`].
    pub fn mlp(&self) -> &[T] {
        &self.values[..self.values.len() - 1]
    }

    /// The same by name.
    pub fn parameters(&self) -> mlp::Parameters<'_, T> {
        mlp::Parameters::split(self.mlp(), self.channels).expect("as many as new checked")
    }

    /// W_null as it was learned.
    pub fn null(&self) -> T {
        self.values[self.values.len() - 1]
    }

    /// The numbers in another type.
    pub fn cast<U: Real>(&self) -> Network<U> {
        let cast = |v: &T| U::from(*v).expect("a float is a float");
        let Network { basis, channels, ref values } = *self;
        Network { basis, channels, values: values.iter().map(cast).collect() }
    }
}

impl Network {
    /// What each box's vote counts, and what null counts. The boxes of one shape are weighed together. `labels`: L.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it reads other features than the boxes have, if the memberships are of other boxes or views, or,
    /// on the CPU, if a weight is not finite;
    /// [`Error::Device`] if a device fails.
    pub fn weigh(
        &self,
        device: &Device,
        boxes: &Boxes,
        memberships: &Memberships,
        views: &Views,
        labels: usize,
    ) -> Result<Weights> {
        memberships.check(boxes, labels)?;
        if views.len() != memberships.views {
            let (found, wanted) = (views.len(), memberships.views);
            return Err(Error::invalid(format!("network: {found} views for memberships in {wanted}")));
        }
        if boxes.feature_dim == 0 && !boxes.is_empty() {
            return Err(Error::invalid(
                "network: the boxes have no features, which learned weights read; give those of the detector (of lift: --features)",
            ));
        }
        if boxes.feature_dim != self.feature_dim() && !boxes.is_empty() {
            return Err(Error::invalid(format!(
                "network: the boxes have features of {} channels; it was learned from {}: use the detector that it was \
                 learned with",
                boxes.feature_dim,
                self.feature_dim()
            )));
        }
        let null = self.null();
        match device {
            Device::Cpu => {
                let places = places(boxes, views)?;
                let x = inputs::<f32>(boxes, &places)?;
                let mut found = mlp::cpu::forward(self.mlp(), &x, self.channels())?.weights;
                if self.basis == Basis::Agreement {
                    weights::silence(boxes, memberships, labels, &mut found)?;
                }
                let weights = Weights { boxes: found.into(), null };
                weights.check(places.len())?;
                Ok(weights)
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => self.weigh_on_gpu(gpu, boxes, memberships, views, labels),
        }
    }
}

/// The direction of every view, `[K]`.
pub fn directions(views: &Views) -> Vec<[f64; 3]> {
    let direction =
        |camera: &Camera| positional::direction(camera.pose.elevation.into(), camera.pose.azimuth.into());
    views.cameras.iter().map(direction).collect()
}

/// Where every box lies and from where it is seen, `[B]`.
///
/// # Errors
/// [`Error::Device`] if the boxes lie on a device that failed.
pub fn places(boxes: &Boxes, views: &Views) -> Result<Vec<[f64; PLACE]>> {
    let directions = directions(views);
    let place = |b: &Box2d| positional::place(directions[b.view as usize], b.bbox.map(f64::from), views.side);
    Ok(boxes.list()?.iter().map(place).collect())
}

/// What a network reads of every box: its feature and its positional code, `[B, C]`.
///
/// `places`: `[B]`.
///
/// # Errors
/// [`Error::Device`] if the features lie on a device that failed.
pub fn inputs<T: Real>(boxes: &Boxes, places: &[[f64; PLACE]]) -> Result<Vec<T>> {
    positional::cpu::inputs(boxes.features.host()?, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_equal_weights() {
        let initial = |seed| Network::<f32>::initial(Basis::Constant, 150, 1e-4, seed);
        let network = initial(7);
        assert_eq!(network, initial(7));
        assert_ne!(network, initial(8));
        assert_eq!((network.null(), network.feature_dim()), (10.0, 3));
        assert_eq!(Network::<f32>::initial(Basis::Agreement, 150, 1e-4, 7).null(), 3.5);
        let p = network.parameters();
        assert!(p.bias_in.iter().chain([p.bias_out]).all(|&b| b == 0.0));
        let spread = p.weight_in.iter().map(|&w| w as f64 * w as f64).sum::<f64>() / 150.0 / 150.0;
        approx::assert_relative_eq!(spread.sqrt(), 1e-4, epsilon = 2e-6);
        let boxes = Boxes::with_features(vec![], vec![0.5; 6], 3);
        let mut places = [[0.1; PLACE]; 2];
        places[1][3] = 0.9;
        let x = inputs::<f32>(&boxes, &places).unwrap();
        assert_eq!((x.len(), x[0], x[3]), (300, 0.5, 0.1));
        let seen = mlp::cpu::forward(network.mlp(), &x, 150).unwrap();
        seen.weights.iter().for_each(|&w| approx::assert_relative_eq!(w, 10.0, epsilon = 1e-2));
    }

    #[test]
    fn broken_numbers_are_refused() {
        let network = Network::<f64>::initial(Basis::Constant, 150, 1.0, 7);
        let new = |channels, values| Network::new(Basis::Constant, channels, values);
        let mut values = network.values().to_vec();
        assert!(new(149, values.clone()).unwrap_err().to_string().contains("149 channels"));
        values[3] = f64::NAN;
        assert!(new(150, values).unwrap_err().to_string().contains("parameter 3"));
    }
}
