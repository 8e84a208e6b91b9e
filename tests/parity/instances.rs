//! Labels and the instances that they are merged into: the reference's, bit for bit.

use crate::gpu;
use inputs::Random;
use partstad::{
    device::gpu::Gpu,
    ops::lift::{
        extents::Extent,
        instances::{self, Merge, Rules},
        labels::{self, Rule},
        membership::{self, Entry, Sets},
        observe::{self, Observed},
        overlaps::{self, Overlaps, Owners},
    },
    ragged::Ragged,
};

#[test]
fn the_label_of_every_superpoint_and_point() {
    let gpu = gpu();
    let mut random = Random(11);
    for (superpoints, parts) in [(0, 1), (1, 1), (31, 5), (33, 60), (1025, 3)] {
        // Few values, so that columns tie and small parts pass together.
        let cells = superpoints * (parts + 1);
        let votes: Vec<f32> = (0..cells).map(|_| random.below(4) as f32).collect();
        let probabilities: Vec<f32> =
            (0..cells).map(|_| [0.25, 0.4998, 0.4999, 0.5][random.below(4) as usize]).collect();
        let valid: Vec<u8> = (0..superpoints).map(|_| (random.below(6) > 0) as u8).collect();
        let small: Vec<u8> = (0..parts).map(|_| (random.below(3) == 0) as u8).collect();
        let up = |values: &[f32]| gpu.upload(values).unwrap();
        let (votes_there, probabilities_there) = (up(&votes), up(&probabilities));
        let input =
            labels::Input { votes: &votes, probabilities: &probabilities, valid: &valid, small: &small };
        let there = labels::cuda::Input {
            votes: &votes_there,
            probabilities: &probabilities_there,
            valid: &gpu.upload(&valid).unwrap(),
            small: &gpu.upload(&small).unwrap(),
        };
        for rule in [Rule::Threshold, Rule::ArgMax, Rule::Votes] {
            let expected = labels::cpu::labels(&input, rule).unwrap();
            let found = labels::cuda::labels(&gpu, &there, rule).unwrap();
            assert_eq!(
                gpu.download(&found).unwrap(),
                expected,
                "{superpoints} superpoints, {parts} parts, {rule:?}"
            );
            let of: Vec<u32> = (0..superpoints * 3).map(|_| random.below(superpoints as u32)).collect();
            let spread = labels::cuda::spread(&gpu, &gpu.upload(&of).unwrap(), &found).unwrap();
            let expected: Vec<i32> = of.iter().map(|&s| expected[s as usize]).collect();
            assert_eq!(gpu.download(&spread).unwrap(), expected);
        }
    }
}

/// Pieces of made-up superpoints, each of fewer than `most` box sets; how many merged, and how many are kept.
pub fn compare_pieces(
    gpu: &Gpu,
    random: &mut Random,
    [superpoints, boxes]: [usize; 2],
    [views, parts, most]: [u32; 3],
) -> [[usize; 2]; 2] {
    let label: Vec<i32> = (0..superpoints).map(|_| random.below(parts + 1) as i32 - 1).collect();
    let box_label: Vec<u32> = (0..boxes).map(|_| random.below(parts)).collect();
    let box_view: Vec<u32> = (0..boxes).map(|_| random.below(views)).collect();
    let rects: Vec<[f32; 4]> = (0..boxes)
        .map(|_| [0; 2].map(|_| random.uniform() * 60.0))
        .map(|[x, y]| [x, y, x + 30.0, y + 30.0])
        .collect();
    // A set per pair of neighbouring boxes; superpoints take few of them, so that some are held alike.
    let mut sets = Sets::default();
    for b in 0..boxes as u32 {
        sets.boxes.push((b..boxes as u32).take(1 + random.below(2) as usize));
    }
    let (mut members, mut points) = (Ragged::default(), 0..);
    let mut observed = Observed::default();
    let mut extents: Vec<Extent> = vec![];
    for _ in 0..superpoints {
        members.push(points.by_ref().take(1 + random.below(300) as usize));
        let entries = if boxes == 0 { 0 } else { random.below(most) };
        sets.entries.push((0..entries).map(|_| {
            let set = random.below(boxes.min(4) as u32);
            // Those of the last boxes, where there are so many sets.
            Entry { set: if most > 3 { boxes as u32 - 1 - set } else { set }, count: 5 }
        }));
        for _ in 0..views {
            let seen = random.below(4) > 0;
            let [x, y] = [0; 2].map(|_| random.uniform() * 60.0);
            observed.counts.push(if seen { 10 } else { 0 });
            observed.extents.push(if seen { [x, y, x + 25.0, y + 25.0] } else { observe::NOWHERE });
        }
        let low: [f32; 3] = std::array::from_fn(|_| random.uniform());
        extents.push([low, low.map(|v| v + 0.2)]);
    }
    let cells = superpoints * (parts as usize + 1);
    let probabilities: Vec<f32> = (0..cells).map(|_| random.uniform()).collect();
    let rules =
        |merge| Rules { merge, max_gap: 0.02, max_size_ratio: 100.0, max_distance: 0.3, min_box_iou: 0.4 };
    let input = instances::Input {
        label: &label,
        superpoints: &members,
        extents: &extents,
        observed: &observed,
        sets: &sets,
        probabilities: &probabilities,
        box_label: &box_label,
        box_view: &box_view,
        rects: &rects,
        views: views as usize,
    };

    let up = |values: &[u32]| gpu.upload(values).unwrap();
    let observed_there = observe::cuda::Observed {
        counts: up(&observed.counts),
        extents: gpu.upload(observed.extents.as_flattened()).unwrap(),
        totals: up(&vec![0; superpoints]),
    };
    let there = instances::cuda::Input {
        label: &gpu.upload(&label).unwrap(),
        offsets: &up(members.offsets()),
        extents: &gpu.upload(extents.as_flattened().as_flattened()).unwrap(),
        observed: &observed_there,
        sets: &membership::cuda::Sets::upload(gpu, &sets).unwrap(),
        probabilities: &gpu.upload(&probabilities).unwrap(),
        box_label: &up(&box_label),
        box_view: &up(&box_view),
        rects: &gpu.upload(rects.as_flattened()).unwrap(),
        views: views as usize,
    };
    if superpoints * boxes > 0 {
        let of = overlaps::cuda::Input {
            observed: there.observed,
            sets: there.sets,
            box_label: there.box_label,
            box_view: there.box_view,
            views: there.views,
        };
        let (found, _) = overlaps::cuda::Held::count(gpu, of).unwrap().overlaps(gpu).unwrap();
        let owners = Owners { label: &box_label, view: &box_view, views: views as usize };
        assert_eq!(found, Overlaps::of_superpoints(&observed, &sets, &owners));
    }
    [Merge::Touching, Merge::Masks].map(|merge| {
        let expected = instances::cpu::instances(&input, &rules(merge)).unwrap();
        let found = instances::cuda::instances(gpu, &there, &rules(merge)).unwrap().download(gpu).unwrap();
        let sizes = format!("{superpoints} superpoints, {boxes} boxes, {views} views, {parts} parts");
        assert_eq!(found, expected, "{merge:?}: {sizes}");
        let merged = (0..superpoints).filter(|&s| label[s] >= 0 && expected.root[s] != s as i32).count();
        [merged, expected.points.iter().filter(|&&points| points > 0).count()]
    })
}

#[test]
fn the_pieces_of_every_part() {
    let gpu = gpu();
    let mut random = Random(12);
    let cases = [
        ([0, 3], [1, 1]),
        ([1, 1], [1, 1]),
        ([31, 0], [2, 2]),
        ([33, 40], [3, 1]),
        ([300, 150], [10, 5]),
        ([64, 1100], [2, 2]),
        ([1025, 20], [2, 3]),
    ];
    let all =
        cases.map(|(sizes, [views, parts])| compare_pieces(&gpu, &mut random, sizes, [views, parts, 3]));
    for merge in [0, 1] {
        let [merged, kept] = [0, 1].map(|i| all.iter().map(|counts| counts[merge][i]).sum::<usize>());
        assert!(merged > 100 && kept > 20, "{merged} merged, {kept} kept: little to compare");
    }
}
