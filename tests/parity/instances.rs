//! Labels and the instances that they are merged into: the reference's, bit for bit.

use crate::gpu;
use inputs::Random;
use partstad::{
    device::gpu::Gpu,
    ops::lift::{
        extents::Extent,
        instances::{self, Merge, Pieces, Rules},
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
    let box_score: Vec<f32> = (0..boxes).map(|_| random.uniform()).collect();
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
            let count = [0, 4, 10, 10][random.below(4) as usize];
            let [x, y] = [0; 2].map(|_| random.uniform() * 60.0);
            observed.counts.push(count);
            observed.extents.push(if count > 0 { [x, y, x + 25.0, y + 25.0] } else { observe::NOWHERE });
        }
        let low: [f32; 3] = std::array::from_fn(|_| random.uniform());
        extents.push([low, low.map(|v| v + 0.2)]);
    }
    let cells = superpoints * (parts as usize + 1);
    let probabilities: Vec<f32> = (0..cells).map(|_| random.uniform()).collect();
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
        box_score: &box_score,
        views: views as usize,
    };

    compare(gpu, &input).map(|pieces| {
        let merged = (0..superpoints).filter(|&s| label[s] >= 0 && pieces.root[s] != s as i32).count();
        [merged, pieces.points.iter().filter(|&&points| points > 0).count()]
    })
}

/// The pieces by both rules, after comparing them and what they follow from.
fn compare(gpu: &Gpu, input: &instances::Input) -> [Pieces; 2] {
    let instances::Input { observed, sets, views, .. } = *input;
    let (superpoints, boxes) = (input.label.len(), input.box_label.len());
    let up = |values: &[u32]| gpu.upload(values).unwrap();
    let observed_there = observe::cuda::Observed {
        counts: up(&observed.counts),
        extents: gpu.upload(observed.extents.as_flattened()).unwrap(),
        totals: up(&vec![0; superpoints]),
    };
    let there = instances::cuda::Input {
        label: &gpu.upload(input.label).unwrap(),
        offsets: &up(input.superpoints.offsets()),
        extents: &gpu.upload(input.extents.as_flattened().as_flattened()).unwrap(),
        observed: &observed_there,
        sets: &membership::cuda::Sets::upload(gpu, sets).unwrap(),
        probabilities: &gpu.upload(input.probabilities).unwrap(),
        box_label: &up(input.box_label),
        box_view: &up(input.box_view),
        rects: &gpu.upload(input.rects.as_flattened()).unwrap(),
        box_score: &gpu.upload(input.box_score).unwrap(),
        views,
    };
    if superpoints * boxes > 0 {
        let of = overlaps::cuda::Input {
            observed: there.observed,
            sets: there.sets,
            box_label: there.box_label,
            box_view: there.box_view,
            views,
        };
        let found = overlaps::cuda::Held::count(gpu, of).unwrap().sums(gpu, ()).unwrap().0.overlaps;
        let owners = Owners { label: input.box_label, view: input.box_view, views };
        assert_eq!(found, Overlaps::of_superpoints(observed, sets, &owners));
    }
    [Merge::Touching, Merge::Masks].map(|merge| {
        let rules =
            Rules { merge, max_gap: 0.02, max_size_ratio: 100.0, max_distance: 0.3, min_box_iou: 0.4 };
        let expected = instances::cpu::instances(input, &rules).unwrap();
        let (found, labels) = instances::cuda::instances(gpu, &there, &rules, there.label).unwrap();
        assert_eq!(labels, input.label);
        assert_eq!(found, expected, "{merge:?}: {superpoints} superpoints, {boxes} boxes, {views} views");
        found
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
    for (merge, least) in [(0, 40), (1, 400)] {
        let [merged, kept] = [0, 1].map(|i| all.iter().map(|counts| counts[merge][i]).sum::<usize>());
        assert!(merged > least && kept > 100, "{merged} merged, {kept} kept: little to compare");
    }
}

#[test]
fn a_mask_of_two_objects_makes_no_piece() {
    let gpu = gpu();
    // Four superpoints of ten points in a row. Two views hold the two on either side apart; the third holds all four, and
    // shows more of them.
    let (shown, masks) = ([10, 10, 90], [(0, 0..2), (0, 2..4), (1, 0..2), (1, 2..4), (2, 0..4)]);
    let (mut sets, mut observed) = (Sets::default(), Observed::default());
    masks.iter().zip(0..).for_each(|(_, b)| sets.boxes.push([b]));
    for s in 0..4 {
        let holds = |(set, (view, superpoints)): (u32, &(u32, std::ops::Range<i32>))| {
            superpoints.contains(&s).then(|| Entry { set, count: shown[*view as usize] })
        };
        sets.entries.push((0..).zip(&masks).filter_map(holds));
        observed.counts.extend(shown);
        observed.extents.extend([[s as f32, 0.0, s as f32 + 1.0, 1.0]; 3]);
    }
    let superpoints: Ragged<u32> = (0..4).map(|s| 90 * s..90 * s + 90).collect();
    let input = instances::Input {
        label: &[0; 4],
        superpoints: &superpoints,
        extents: &[0.0, 1.0, 2.0, 3.0].map(|x| [[x, 0.0, 0.0], [x + 1.0, 1.0, 1.0]]),
        observed: &observed,
        sets: &sets,
        probabilities: &[0.5; 8],
        box_label: &[0; 5],
        box_view: &masks.each_ref().map(|mask| mask.0),
        rects: &masks.each_ref().map(|(_, s)| [s.start as f32, 0.0, s.end as f32, 1.0]),
        box_score: &[0.5, 0.25, 0.5, 0.25, 1.0],
        views: 3,
    };
    let [_, pieces] = compare(&gpu, &input);
    assert_eq!((pieces.root, pieces.points), (vec![0, 0, 2, 2], vec![180, 0, 180, 0]));
    // Views 0 and 1 show less than a third of what view 2 shows, and there half of the mask is each.
    assert_eq!(pieces.confidence, [0.5, 0.0, 0.5, 0.0]);
}

#[test]
fn how_well_boxes_bear_pieces_out() {
    let gpu = gpu();
    let mut random = Random(13);
    // Superpoints far apart, each with a box in most views that holds some of it, and of some the next one's points too.
    let (superpoints, views) = (40, 11);
    let observed = Observed {
        counts: (0..superpoints * views).map(|_| random.below(30)).collect(),
        extents: (0..superpoints * views).map(|at| [at as f32, 0.0, at as f32 + 1.0, 1.0]).collect(),
    };
    let (mut sets, mut held) = (Sets::default(), vec![vec![]; superpoints]);
    let (mut box_view, mut rects) = (vec![], vec![]);
    for at in 0..superpoints * views {
        let (s, view) = (at / views, at % views);
        for s in (s..superpoints).take(1 + random.below(2) as usize) {
            match observed.counts[s * views + view] {
                0 => {}
                shown => held[s].push(Entry { set: at as u32, count: 1 + random.below(shown) }),
            }
        }
        sets.boxes.push([at as u32]);
        box_view.push(view as u32);
        rects.push(observed.extents[at]);
    }
    held.into_iter().for_each(|entries| sets.entries.push(entries));
    let members: Ragged<u32> = (0..superpoints as u32).map(|s| 30 * s..30 * s + 30).collect();
    let extents: Vec<Extent> =
        (0..superpoints).map(|s| [[2.0 * s as f32, 0.0, 0.0], [2.0 * s as f32 + 1.0, 1.0, 1.0]]).collect();
    let input = instances::Input {
        label: &vec![0; superpoints],
        superpoints: &members,
        extents: &extents,
        observed: &observed,
        sets: &sets,
        probabilities: &vec![0.5; 2 * superpoints],
        box_label: &vec![0; rects.len()],
        box_view: &box_view,
        rects: &rects,
        box_score: &rects.iter().map(|_| random.uniform()).collect::<Vec<_>>(),
        views,
    };
    let [_, pieces] = compare(&gpu, &input);
    let sure = pieces.confidence.iter().filter(|&&confidence| confidence > 0.0).count();
    assert!(sure > 5, "{sure} pieces with a confidence: little to compare");
}
