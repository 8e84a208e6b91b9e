//! Lifting measured: predictions made from the ground truth, or those of real models, go through the pipeline, and what
//! comes out is compared with the ground truth.

use crate::predictions::{self, predict};
use partstad::{
    Device, Parts, Result,
    io::points::PointCloud,
    lifting::{self, Lifted, Scene, Voters, Weigher},
    models::{Models, segmenter::Segmenter},
    observer::Progress,
    pipeline,
    stages::{boxes::Boxes, cloud::Cloud, masks::Masks, superpoints::Superpoints, views::Views},
    study::{
        dataset::Truth,
        evaluate::{self, Table},
        metrics::{Category, Summary},
    },
};
use std::{borrow::Cow, collections::BTreeMap};

/// A labelled cloud.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// Its category.
    pub category: String,
    /// The category's part names.
    pub parts: Parts,
    /// Its points.
    pub points: PointCloud,
    /// What is true of them.
    pub truth: Truth,
}

/// Where the predictions come from.
#[derive(Debug)]
pub enum Source<'a> {
    /// The ground truth, with faults.
    Truth(predictions::Options),
    /// A detector and, for masks, a segmenter.
    Models(&'a Models),
    /// Perfect boxes from the ground truth, masks from a segmenter.
    Segmenter(&'a Segmenter),
}

/// Predictions of one kind.
#[derive(Debug)]
pub struct Predictions<'a> {
    /// Where the predictions come from.
    pub source: Source<'a>,
    /// The figures wanted: their title, and what votes.
    pub figures: Vec<(&'static str, Voters)>,
}

impl Predictions<'_> {
    /// Faulty masks, the same predictions' boxes, and masks as good as the views allow.
    pub fn truth() -> Vec<Predictions<'static>> {
        let of =
            |options, figures: &[_]| Predictions { source: Source::Truth(options), figures: figures.into() };
        vec![
            of(
                predictions::Options::default(),
                &[("masks", Voters::Masks), ("boxes without masks", Voters::Boxes)],
            ),
            of(predictions::Options::perfect(), &[("perfect masks", Voters::Masks)]),
        ]
    }

    /// The models' masks, and their boxes alone.
    pub fn models(models: &Models) -> Predictions<'_> {
        let figures = vec![("models, masks", Voters::Masks), ("models, boxes without masks", Voters::Boxes)];
        Predictions { source: Source::Models(models), figures }
    }

    /// Perfect boxes: the segmenter's masks in them, the boxes alone, and perfect masks.
    pub fn segmenter(segmenter: &Segmenter) -> Vec<Predictions<'_>> {
        let figures =
            vec![("segmenter, perfect boxes", Voters::Masks), ("perfect boxes without masks", Voters::Boxes)];
        let perfect = Source::Truth(predictions::Options::perfect());
        vec![
            Predictions { source: Source::Segmenter(segmenter), figures },
            Predictions { source: perfect, figures: vec![("perfect masks", Voters::Masks)] },
        ]
    }

    /// The predictions for one cloud, `views` of it.
    fn predict(
        &self,
        shape: &Labelled,
        views: &Views,
        seed: u64,
        options: &pipeline::Options,
    ) -> Result<(Boxes, Masks)> {
        let truth = |faults: &_| {
            let Truth { semantic, instance } = &shape.truth;
            predict(views, semantic, instance, shape.parts.len(), seed, faults)
        };
        match &self.source {
            Source::Truth(faults) => Ok(truth(faults)),
            Source::Segmenter(segmenter) => {
                let (boxes, _) = truth(&predictions::Options::perfect());
                let masks = Masks::predict(views, &boxes, segmenter, &options.masks)?;
                Ok((boxes, masks))
            }
            Source::Models(models) => {
                lifting::predict(models, views, &shape.parts, options, &mut Progress::default())
            }
        }
    }
}

/// Segments a cloud with the predictions of each kind, and adds how well it went to their figures, by title.
///
/// # Errors
/// Those of the pipeline.
pub fn measure(
    shape: &Labelled,
    predictions: &[Predictions],
    seed: u64,
    options: &pipeline::Options,
    figures: &mut [Figures],
) -> Result<()> {
    let (device, progress) = (&Device::Cpu, &mut Progress::default());
    let cloud = Cloud::new(&shape.points)?;
    let superpoints = Superpoints::partition(device, &cloud, &options.superpoints)?;
    let views = Views::render(device, &cloud, &options.views)?;
    let (boxes, masks) = (Boxes::default(), Masks::Boxes);
    let mut scene = Scene { cloud: Cow::Owned(cloud), superpoints, views, boxes, masks };
    let mut figures = figures.iter_mut();
    for predictions in predictions {
        (scene.boxes, scene.masks) = predictions.predict(shape, &scene.views, seed, options)?;
        for (&(_, voters), figures) in predictions.figures.iter().zip(&mut figures) {
            let voters = if scene.voters().contains(&voters) { voters } else { Voters::Boxes };
            let gathered = scene.gather(device, voters, shape.parts.len(), options, progress)?;
            let weigher = Weigher::Plain(options.weights);
            let lifted = scene.lift(device, &gathered, &shape.parts, weigher, options, progress)?;
            figures.add(shape, &lifted)?;
        }
    }
    Ok(())
}

/// Figures by category.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<String, (Parts, Category)>);

impl Figures {
    /// Adds how well a cloud was segmented.
    ///
    /// # Errors
    /// [`partstad::Error::Invalid`] if the segmentation is another cloud's.
    pub fn add(&mut self, shape: &Labelled, found: &Lifted) -> Result<()> {
        let Labelled { category, parts, truth, .. } = shape;
        let entry = self.0.entry(category.clone());
        let (_, figures) = entry.or_insert_with(|| (parts.clone(), Category::new(parts.len())));
        figures.add(&found.labels, &found.instances, truth)
    }

    /// The figures so far.
    pub fn summaries(&self) -> BTreeMap<String, Summary> {
        self.0.iter().map(|(name, (_, category))| (name.clone(), category.summary())).collect()
    }

    /// A table in percent: a row per category, and the mean over them.
    pub fn table(&self, title: &str) -> Table {
        let parts = self.0.iter().map(|(name, (parts, _))| (name.clone(), parts.clone())).collect();
        evaluate::details(title, &self.summaries(), &parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Shape, generate};

    #[test]
    fn lifting_recovers_the_parts_from_what_the_views_say_about_them() {
        let Shape { cloud, parts, semantic, instance } = generate("Kettle", 1_000_000, 20_000).unwrap();
        let parts = Parts::new(parts).unwrap();
        let truth = Truth { semantic, instance };
        let shape = Labelled { category: "Kettle".into(), parts, points: cloud, truth };
        let mut figures = [(); 3].map(|()| Figures::default());
        measure(&shape, &Predictions::truth(), 0, &Default::default(), &mut figures).unwrap();
        let [masks, _, perfect] = figures.map(|f| f.summaries()["Kettle"].clone());
        assert!(masks.miou.unwrap() > 0.7 && perfect.miou.unwrap() > 0.8, "{masks:?} {perfect:?}");
        assert!(perfect.map50.unwrap() > 0.6, "{perfect:?}");
    }
}
