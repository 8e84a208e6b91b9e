//! Partitions compared: what superpoints cost and allow, and what the pipeline makes of them.

use crate::{
    measure::Labelled,
    predictions::{self, predict},
    rng::Rng,
};
use partstad::{
    Device, Result,
    lifting::{Scene, Voters, Weigher},
    observer::Progress,
    pipeline,
    stages::{boxes::Boxes, cloud::Cloud, masks::Masks, superpoints::Superpoints, views::Views},
    study::{
        dataset::Truth,
        evaluate::Table,
        metrics::{Category, ceiling, mean, mean_over, semantic_iou},
    },
};
use std::{borrow::Cow, collections::BTreeMap};

/// A way to partition and to lift.
#[derive(Debug, Clone)]
pub struct Way {
    /// What the table calls it.
    pub name: String,
    /// All its options.
    pub options: pipeline::Options,
}

/// What votes: title, faults of the predictions, voters.
fn voters() -> [(&'static str, predictions::Options, Voters); 3] {
    let faulty = predictions::Options::default;
    [
        ("masks", faulty(), Voters::Masks),
        ("boxes", faulty(), Voters::Boxes),
        ("perfect masks", predictions::Options::perfect(), Voters::Masks),
    ]
}

/// How a cloud is changed before it is measured.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Number of points, drawn at random; more than there are come in between neighbours of one instance.
    pub points: Option<usize>,
    /// Standard deviation of noise on every coordinate, in cloud radii.
    pub noise: f64,
    /// Degrees around the vertical axis.
    pub rotation: f64,
    /// Whether all points become grey.
    pub gray: bool,
}

impl Change {
    /// The changed cloud.
    ///
    /// # Errors
    /// Those of [`Cloud::new`].
    pub fn apply(&self, mut shape: Labelled) -> Result<Labelled> {
        let mut rng = Rng::new(1);
        let n = shape.truth.semantic.len();
        if let Some(points) = self.points {
            let cloud = Cloud::new(&shape.points)?;
            let around = partstad::ops::partition::knn::cpu::nearest(&cloud.positions, 6);
            let mut order: Vec<usize> = (0..n).collect();
            for i in (1..n).rev() {
                order.swap(i, rng.int(0, i));
            }
            let copied: Vec<usize> = (0..points).map(|i| order[i % n]).collect();
            let place = |(copy, &i): (usize, &usize)| {
                let position = shape.points.positions[i];
                let j = around.indices[i * around.k + rng.int(0, around.k - 1)] as usize;
                if copy < n || shape.truth.instance[i] != shape.truth.instance[j] {
                    return position;
                }
                let t = rng.range(0.0, 0.5);
                let other = shape.points.positions[j];
                std::array::from_fn(|axis| position[axis] + t * (other[axis] - position[axis]))
            };
            shape.points.positions = copied.iter().enumerate().map(place).collect();
            shape.points.colors = copied.iter().map(|&i| shape.points.colors[i]).collect();
            shape.truth.semantic = copied.iter().map(|&i| shape.truth.semantic[i]).collect();
            shape.truth.instance = copied.iter().map(|&i| shape.truth.instance[i]).collect();
        }
        let radius = Cloud::new(&shape.points)?.radius;
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        for p in &mut shape.points.positions {
            let [x, y, z] =
                p.map(|x| x + self.noise * radius * if self.noise > 0.0 { rng.normal() } else { 0.0 });
            *p = [cos * x + sin * z, y, cos * z - sin * x];
        }
        if self.gray {
            shape.points.colors.fill([0.5; 3]);
        }
        Ok(shape)
    }
}

/// The figures of the ways, while clouds come in.
#[derive(Debug)]
pub struct Comparison {
    rows: Vec<Row>,
    lift: bool,
}

/// The figures of one way.
#[derive(Debug)]
struct Row {
    way: Way,
    superpoints: Vec<Option<f64>>,
    ceilings: Vec<Option<f64>>,
    lifted: [Lifted; 3],
}

#[derive(Debug, Default)]
struct Lifted {
    superpoints: Vec<Option<f64>>,
    ceilings: Vec<Option<f64>>,
    categories: BTreeMap<String, Category>,
    visible: BTreeMap<String, Vec<Vec<Option<f64>>>>,
}

impl Comparison {
    /// Of these ways; without `lift`, of their partitions alone.
    pub fn new(ways: Vec<Way>, lift: bool) -> Comparison {
        let row = |way| Row { way, superpoints: vec![], ceilings: vec![], lifted: Default::default() };
        Comparison { rows: ways.into_iter().map(row).collect(), lift }
    }

    /// Measures all ways on one more cloud. `seed`: of the predictions.
    ///
    /// # Errors
    /// Those of the pipeline.
    pub fn add(&mut self, shape: &Labelled, seed: u64) -> Result<()> {
        let Labelled { category, parts, points, truth } = shape;
        let Truth { semantic, instance } = truth;
        let (device, progress) = (&Device::Cpu, &mut Progress::default());
        let cloud = Cloud::new(points)?;
        let labels = parts.len();
        let best = |superpoints: &Superpoints| {
            Ok::<_, partstad::Error>(mean(ceiling(superpoints, semantic, labels)?))
        };
        let mut seen = None;
        for row in &mut self.rows {
            let options = &row.way.options;
            let superpoints = Superpoints::partition(device, &cloud, &options.superpoints)?;
            row.superpoints.push(Some(superpoints.len() as f64));
            row.ceilings.push(best(&superpoints)?);
            if !self.lift {
                continue;
            }
            // Views and predictions are those of the first way, unless it renders in another manner.
            if seen.as_ref().is_none_or(|(views, _, _)| *views != options.views) {
                let views = Views::render(device, &cloud, &options.views)?;
                let of = |faults| predict(&views, semantic, instance, labels, seed, faults);
                let predicted = [of(&voters()[0].1), of(&voters()[2].1)];
                seen = Some((options.views.clone(), views, predicted));
            }
            let (_, views, predicted) = seen.as_ref().expect("just made");
            let mut shown = vec![false; cloud.len()];
            for &point in views.pixel_to_point.host()?.iter().filter(|&&point| point >= 0) {
                shown[point as usize] = true;
            }
            let only_shown = |labels: &[i32]| -> Vec<i32> {
                labels.iter().zip(&shown).map(|(&label, &shown)| if shown { label } else { -1 }).collect()
            };
            let (boxes, masks) = (Boxes::default(), Masks::Boxes);
            let views = views.clone();
            let mut scene = Scene { cloud: Cow::Borrowed(&cloud), superpoints, views, boxes, masks };
            for (at, (lifted, (_, _, voters))) in row.lifted.iter_mut().zip(voters()).enumerate() {
                (scene.boxes, scene.masks) = predicted[at / 2].clone();
                let gathered = scene.gather(device, voters, labels, options, progress)?;
                let weigher = Weigher::Plain(options.weights);
                let found = scene.lift(device, &gathered, parts, weigher, options, progress)?;
                lifted.superpoints.push(Some(gathered.superpoints.len() as f64));
                lifted.ceilings.push(best(&gathered.superpoints)?);
                let figures = lifted.categories.entry(category.clone());
                let figures = figures.or_insert_with(|| Category::new(labels));
                figures.add(&found.labels, &found.instances, truth)?;
                let iou = semantic_iou(&only_shown(&found.labels.of_point), &only_shown(semantic), labels)?;
                lifted.visible.entry(category.clone()).or_default().push(iou);
            }
        }
        Ok(())
    }

    /// One row a way: superpoints a cloud, the best mean IoU that labels of these can have, and, by voter, superpoints
    /// and ceiling after the masks cut them, and the figures of lifting.
    pub fn table(&self) -> Table {
        let percent = |value: Option<f64>| value.map_or("-".into(), |v| format!("{:.1}", 100.0 * v));
        let count =
            |values: &[Option<f64>]| mean(values.iter().copied()).map_or("-".into(), |v| format!("{v:.0}"));
        let mut header: Vec<String> = ["partition", "superpoints", "ceiling"].map(String::from).into();
        if self.lift {
            for (title, _, _) in voters() {
                let figures = ["superpoints", "ceiling", "mIoU", "mIoU in sight", "mAP50", "mAP50 agnostic"];
                header.extend(figures.iter().map(|figure| format!("{title}: {figure}")));
            }
        }
        let row = |row: &Row| {
            let mut cells = vec![
                row.way.name.clone(),
                count(&row.superpoints),
                percent(mean(row.ceilings.iter().copied())),
            ];
            for lifted in row.lifted.iter().filter(|_| self.lift) {
                let summaries: Vec<_> = lifted.categories.values().map(Category::summary).collect();
                let of_category = |ious: &Vec<Vec<Option<f64>>>| {
                    mean((0..ious[0].len()).map(|j| mean(ious.iter().map(|iou| iou[j]))))
                };
                cells.extend([
                    count(&lifted.superpoints),
                    percent(mean(lifted.ceilings.iter().copied())),
                    percent(mean_over(&summaries, |s| s.miou)),
                    percent(mean(lifted.visible.values().map(of_category))),
                    percent(mean_over(&summaries, |s| s.map50)),
                    percent(mean_over(&summaries, |s| s.map50_agnostic)),
                ]);
            }
            cells
        };
        Table { title: "Partitions".into(), header, rows: self.rows.iter().map(row).collect() }
    }
}
