//! Lifting measured: predictions made from the ground truth, or those of real models, go through the pipeline, and what
//! comes out is compared with the ground truth.

use crate::predictions::{self, predict};
use partstad::{
    Device, Pipeline, Predictions, Result, Segmentation,
    io::points::PointCloud,
    models::{Models, segmenter::Segmenter},
    pipeline,
    stages::{boxes::Boxes, cloud::Cloud, masks::Masks, superpoints::Superpoints, views::Views},
    study::{
        evaluate::{self, Table},
        metrics::{Category, Summary, Truth},
    },
};
use std::collections::BTreeMap;

/// A labelled cloud.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// Its category.
    pub category: String,
    /// The category's part names.
    pub parts: Vec<String>,
    /// Its points.
    pub points: PointCloud,
    /// Label of every point, -1 = none, `[N]`.
    pub semantic: Vec<i32>,
    /// Instance of every point, -1 = none, `[N]`.
    pub instance: Vec<i32>,
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

/// What votes.
#[derive(Debug)]
pub struct Voters<'a> {
    /// Where the predictions come from.
    pub source: Source<'a>,
    /// The figures wanted: their title, and whether the masks vote or the boxes.
    pub figures: Vec<(&'static str, bool)>,
}

impl Voters<'_> {
    /// Faulty masks, the same predictions' boxes, and masks as good as the views allow.
    pub fn truth() -> Vec<Voters<'static>> {
        let voters =
            |options, figures: &[_]| Voters { source: Source::Truth(options), figures: figures.into() };
        vec![
            voters(predictions::Options::default(), &[("masks", true), ("boxes without masks", false)]),
            voters(predictions::Options::perfect(), &[("perfect masks", true)]),
        ]
    }

    /// The models' masks, and their boxes alone.
    pub fn models(models: &Models) -> Voters<'_> {
        let figures = vec![("models, masks", true), ("models, boxes without masks", false)];
        Voters { source: Source::Models(models), figures }
    }

    /// Perfect boxes: the segmenter's masks in them, the boxes alone, and perfect masks.
    pub fn segmenter(segmenter: &Segmenter) -> Vec<Voters<'_>> {
        let figures = vec![("segmenter, perfect boxes", true), ("perfect boxes without masks", false)];
        let perfect = Source::Truth(predictions::Options::perfect());
        vec![
            Voters { source: Source::Segmenter(segmenter), figures },
            Voters { source: perfect, figures: vec![("perfect masks", true)] },
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
            let (semantic, instance) = (&shape.semantic, &shape.instance);
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
                let boxes = Boxes::detect(views, &shape.parts, &models.detector, &options.boxes)?;
                let masks = match &models.segmenter {
                    Some(segmenter) => Masks::predict(views, &boxes, segmenter, &options.masks)?,
                    None => Masks::Boxes,
                };
                Ok((boxes, masks))
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
    voters: &[Voters],
    seed: u64,
    options: &pipeline::Options,
    figures: &mut [Figures],
) -> Result<()> {
    let cloud = Cloud::new(&shape.points)?;
    let superpoints = Superpoints::partition(&Device::Cpu, &cloud, &options.superpoints)?;
    let views = Views::render(&Device::Cpu, &cloud, &options.views)?;
    let pipeline = Pipeline::new(Device::Cpu, options.clone());
    let mut figures = figures.iter_mut();
    for voters in voters {
        let (boxes, masks) = voters.predict(shape, &views, seed, options)?;
        for (&(_, with_masks), figures) in voters.figures.iter().zip(&mut figures) {
            let masks = if with_masks { masks.clone() } else { Masks::Boxes };
            let predictions = Predictions {
                boxes: boxes.clone(),
                masks,
                superpoints: Some(superpoints.clone()),
                weights: None,
            };
            figures.add(shape, &pipeline.lift(&cloud, &shape.parts, predictions)?)?;
        }
    }
    Ok(())
}

/// Figures by category.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<String, (Vec<String>, Category)>);

impl Figures {
    /// Adds how well a cloud was segmented.
    ///
    /// # Errors
    /// [`partstad::Error::Invalid`] if the segmentation is another cloud's.
    pub fn add(&mut self, shape: &Labelled, found: &Segmentation) -> Result<()> {
        let Labelled { category, parts, semantic, instance, .. } = shape;
        let entry = self.0.entry(category.clone());
        let (_, figures) = entry.or_insert_with(|| (parts.clone(), Category::new(parts.len())));
        figures.add(&found.labels, &found.instances, Truth { semantic, instance })
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
        let parts = parts.iter().map(|&part| part.into()).collect();
        let shape = Labelled { category: "Kettle".into(), parts, points: cloud, semantic, instance };
        let mut figures = [(); 3].map(|()| Figures::default());
        measure(&shape, &Voters::truth(), 0, &Default::default(), &mut figures).unwrap();
        let [masks, _, perfect] = figures.map(|f| f.summaries()["Kettle"].clone());
        assert!(masks.miou.unwrap() > 0.7 && perfect.miou.unwrap() > 0.8, "{masks:?} {perfect:?}");
        assert!(perfect.map50.unwrap() > 0.6, "{perfect:?}");
    }
}
