//! How far boxes are believed: bit for bit, and labels of no box, of few and of many.

use crate::gpu;
use inputs::Random;
use partstad::{
    device::gpu::Gpu,
    ops::lift::{
        agreement::{self, cpu, cuda},
        membership::{self, Entry, Sets},
        observe,
    },
};

struct Problem {
    sets: Sets,
    observed: Vec<u32>,
    views: usize,
    box_view: Vec<u32>,
    box_label: Vec<u32>,
    box_score: Vec<f32>,
    labels: usize,
}

impl Problem {
    /// Views without boxes, superpoints that one view shows or none, boxes without points, and some that agree.
    fn random(random: &mut Random, [superpoints, boxes, views, labels]: [usize; 4]) -> Problem {
        let mut list: Vec<(u32, u32)> =
            (0..boxes).map(|_| (random.below(views as u32), random.below(labels as u32))).collect();
        list.sort();
        let mut sets = Sets::default();
        for view in 0..views as u32 {
            let own = (0..boxes as u32).filter(|&b| list[b as usize].0 == view);
            let own: Vec<u32> = own.filter(|_| random.below(5) > 0).collect();
            for _ in 0..if own.is_empty() { 0 } else { 4 } {
                let mut set: Vec<u32> = own.iter().copied().filter(|_| random.below(3) == 0).collect();
                if set.is_empty() {
                    set.push(own[random.below(own.len() as u32) as usize]);
                }
                sets.boxes.push(set);
            }
        }
        let mut observed = vec![];
        for _ in 0..superpoints {
            let mut seen: Vec<u32> = (0..views).map(|_| random.below(3) * random.below(400)).collect();
            if random.below(6) == 0 {
                let only = random.below(views as u32) as usize;
                (0..views).filter(|&k| k != only).for_each(|k| seen[k] = 0);
            }
            let mut left = seen.clone();
            let mut entries = vec![];
            for set in 0..sets.boxes.len() {
                let left = &mut left[list[sets.boxes.row(set)[0] as usize].0 as usize];
                let count = random.below(2) * random.below(*left + 1);
                *left -= count;
                entries.extend((count > 0).then_some(Entry { set: set as u32, count }));
            }
            sets.entries.push(entries);
            observed.extend(seen);
        }
        let (box_view, box_label) = list.into_iter().unzip();
        let box_score = (0..boxes).map(|_| random.uniform()).collect();
        Problem { sets, observed, views, box_view, box_label, box_score, labels }
    }

    fn expected(&self, weights: &[f32]) -> Vec<f32> {
        let Problem { sets, observed, views, box_view, box_label, box_score, labels } = self;
        let (views, labels) = (*views, *labels);
        let input = agreement::Input { sets, observed, views, box_view, box_label, box_score, labels };
        let mut weights = weights.to_vec();
        cpu::silence(&input, &mut weights).unwrap();
        weights
    }

    fn found(&self, gpu: &Gpu, weights: &[f32]) -> Vec<f32> {
        let totals: Vec<u32> = self.observed.chunks(self.views).map(|row| row.iter().sum()).collect();
        let observed = observe::cuda::Observed {
            counts: gpu.upload(&self.observed).unwrap(),
            extents: gpu.upload(&vec![0.0; 4 * self.observed.len()]).unwrap(),
            totals: gpu.upload(&totals).unwrap(),
        };
        let input = cuda::Input {
            sets: &membership::cuda::Sets::upload(gpu, &self.sets).unwrap(),
            observed: &observed,
            views: self.views,
            box_view: &gpu.upload(&self.box_view).unwrap(),
            box_label: &gpu.upload(&self.box_label).unwrap(),
            box_score: &gpu.upload(&self.box_score).unwrap(),
            labels: self.labels,
        };
        let mut weights = gpu.upload(weights).unwrap();
        cuda::silence(gpu, &input, &mut weights).unwrap();
        gpu.download(&weights).unwrap()
    }
}

#[test]
fn beliefs_in_boxes() {
    let (gpu, mut random) = (gpu(), Random(31));
    let (mut believed, mut all) = (0, 0);
    for sizes in [
        [0, 0, 1, 1],
        [0, 3, 4, 2],
        [1, 0, 1, 1],
        [1, 1, 1, 1],
        [5, 3, 2, 1],
        [300, 40, 10, 5],
        [64, 129, 10, 2],
        [700, 60, 3, 7],
    ] {
        let problem = Problem::random(&mut random, sizes);
        let weights: Vec<f32> = (0..sizes[1]).map(|_| 1.0 + random.uniform()).collect();
        let found = problem.found(&gpu, &weights);
        assert_eq!(found, problem.expected(&weights), "{sizes:?}");
        (believed, all) = (believed + found.iter().filter(|&&w| w > 0.0).count(), all + found.len());
    }
    assert!(believed > all / 10 && believed < all * 9 / 10, "{believed} of {all} are believed");
}
