//! Sizes of real clouds, and those around every limit in a kernel: tiles, blocks, chunks, levels, widths of integers.
//!
//! On the emulated driver these run on its fast build, which does not watch every access, in a process each.

use crate::{
    boxes::count_nan,
    clouds::clouds,
    detections::{self, Outputs, Queries, compare_queries, pyramid, weak_too},
    instances::compare_pieces,
    memberships::{compare_memberships, compare_more_runs_than_there_is_room_for},
    neighbors::{arrange, compare_nearest, compare_normals},
    network::compare_products,
    pipeline::compare_lifting,
    scores::{compare_null_weights, compare_votes},
    sorting::{sorts, sums},
    superpoints::{compare_extents, compare_groups, compare_merged, compare_regions, compare_weights},
    surface::{compare_maps, compare_scores},
    views::{BGR, compare_disc_through_a_centre, compare_model_inputs, compare_whole},
};
use cuda_emulator::Gpu as Driver;
use inputs::Random;
use partstad::{
    Device,
    device::gpu::Gpu,
    ops::{
        detect::{
            atss,
            model_input::Plan,
            queries::{self, Phrase},
        },
        partition::{edge_weights, knn::cuda::Around},
    },
    stages::cloud::Cloud,
};
use procedural::generate;
use std::{env, process::Command};

/// The test of this name: here on a GPU, else in a process of its own, on the fast build of the emulator.
fn at_size(test: &str, work: impl FnOnce(&Gpu)) {
    let fast = env::var("PARTSTAD_EMULATOR").is_ok_and(|build| build == "fast");
    if fast || cuda_emulator::install() == Driver::Real {
        return work(&crate::gpu());
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("sizes::{test}"), "--nocapture"])
        .env("PARTSTAD_EMULATOR", "fast")
        .env_remove("PARTSTAD_EMULATOR_SECTORS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{}\n{said}", output.status);
}

/// One less, the limit, one more.
fn around(limit: usize) -> [usize; 3] {
    [limit - 1, limit, limit + 1]
}

/// A tile is 2048 values; a block adds up 256 tiles at a time.
#[test]
fn prefix_sums() {
    at_size("prefix_sums", |gpu| {
        sums(gpu, &[around(2048), around(256 * 2048), [600_001, 1 << 20, (1 << 20) + 1]].concat(), 4000);
    });
}

/// A digit is 8 bits; the counts of 2048 tiles are as many as a block of the prefix sums adds up at once.
#[test]
fn sorting() {
    at_size("sorting", |gpu| {
        let mut random = Random(2);
        sorts(gpu, &[600_001], 48, || (random.bits() as u64) << 16 | random.bits() as u64 >> 16);
        sorts(gpu, &[600_001], 17, || random.below(1 << 17));
        for bits in [7, 8, 9, 15, 16, 17, 24, 25] {
            sorts(gpu, &around(2048), bits, || random.bits() >> (32 - bits));
        }
        for bits in [32, 33, 40, 41, 56, 57] {
            let mut key = || ((random.bits() as u64) << 32 | random.bits() as u64) >> (64 - bits);
            sorts(gpu, &around(4096), bits, &mut key);
        }
        sorts(gpu, &[2048 * 2048, 2048 * 2048 + 1], 8, || random.below(256));
    });
}

/// A box holds 32 points, then 32 boxes, and so on: 32,768 points have two levels of them, more three.
#[test]
fn neighbors_and_normals() {
    at_size("neighbors_and_normals", |gpu| {
        let mut random = Random(3);
        let (name, points) = clouds(40_000, &mut random).swap_remove(5);
        let (buffer, tree) = arrange(gpu, &points);
        let around = Around::find(gpu, &tree, 32).unwrap();
        compare_nearest(gpu, &points, &buffer, &around, 10, name);
        compare_normals(gpu, &points, &buffer, &around, 0.1, 30, name);
    });
}

/// Few queries, so that trees of a million points can be asked.
#[test]
fn searches_of_every_depth() {
    at_size("searches_of_every_depth", |gpu| {
        let mut random = Random(10);
        let sizes = [around(1 << 5), around(1 << 10), around(1 << 15)].concat();
        for n in sizes.into_iter().chain([1 << 20, (1 << 20) + 1]) {
            let (name, points) = clouds(n, &mut random).swap_remove(0);
            let (positions, tree) = arrange(gpu, &points);
            // Three large components, and some of one point here and there.
            let few = n.min(300) as u32 / 4;
            let labels: Vec<u32> = (0..n as u32)
                .map(|i| if i.is_multiple_of(n as u32 / few) { 3 + i / (n as u32 / few) } else { i % 3 })
                .collect();
            let groups = compare_groups(gpu, &labels, 9);
            compare_merged(gpu, &points, &positions, &tree, &groups, 2, name);
        }
    });
}

/// More than the 8192 warps that look for them.
#[test]
fn small_components() {
    at_size("small_components", |gpu| {
        let mut random = Random(16);
        let points: Vec<[f32; 3]> = (0..40_000).map(|_| [0; 3].map(|_| random.uniform())).collect();
        let (positions, tree) = arrange(gpu, &points);
        let labels: Vec<u32> = points.iter().map(|_| random.below(16_000)).collect();
        let groups = compare_groups(gpu, &labels, 14);
        compare_merged(gpu, &points, &positions, &tree, &groups, 2, "many");
    });
}

/// A chunk is 2048 edges; a block adds up 256 chunks at a time.
#[test]
fn weights_of_edges() {
    at_size("weights_of_edges", |gpu| {
        let mut random = Random(7);
        for (n, k) in [(2047, 1), (2048, 1), (2049, 1), (65_535, 8), (65_536, 8), (65_537, 8), (60_000, 10)] {
            let features: Vec<[f32; 6]> =
                (0..n).map(|_| [0; 6].map(|_| 2.0 * random.uniform() - 1.0)).collect();
            let indices: Vec<u32> = (0..n * k).map(|_| random.below(n as u32)).collect();
            let distances: Vec<f32> = (0..n * k).map(|_| 0.1 * random.uniform()).collect();
            let expected = edge_weights::cpu::edge_weights(&features, &indices, &distances, k).unwrap();
            let features = gpu.upload(features.as_flattened()).unwrap();
            compare_weights(gpu, &features, &indices, &distances, [n, 6, k], &expected, "random");
        }
    });
}

/// Numbers of regions of 16 bits and of 17; edges that are more than 256 tiles.
#[test]
fn regions() {
    at_size("regions", |gpu| {
        let mut random = Random(12);
        // Weak edges, so that more than 2^16 regions are left after a round.
        for (n, k, small, strength) in [
            (65_535, 2, 0, 1.0),
            (65_536, 2, 0, 1.0),
            (70_000, 8, 6, 1.0),
            (150_000, 1, 0, 0.02),
            (150_000, 1, 6, 0.02),
        ] {
            let plateau = |i: usize| if (i / 700).is_multiple_of(2) { 0.9 } else { -0.9 };
            let features: Vec<[f32; 4]> =
                (0..n).map(|i| [plateau(i), 0.6 * random.uniform(), 0.6 * random.uniform(), 0.0]).collect();
            let neighbors: Vec<u32> =
                (0..n * k).map(|e| ((e / k + 1 + random.below(20) as usize) % n) as u32).collect();
            let weights: Vec<f32> = (0..n * k).map(|_| strength * random.uniform()).collect();
            let found = compare_regions(gpu, &features, &neighbors, &weights, k, small, "ring");
            let wanted = if strength < 1.0 && small == 0 { 1 << 16..n - 1000 } else { 10..n / 4 };
            assert!(wanted.contains(&found), "{found} regions of {n} points: little to compare");
        }
    });
}

#[test]
fn groups() {
    at_size("groups", |gpu| {
        let mut random = Random(9);
        let n = 600_001;
        let points: Vec<[f32; 3]> = (0..n).map(|_| [0; 3].map(|_| random.uniform())).collect();
        // One of half of all, and some of a few hundred.
        let uneven: Vec<u32> = (0..n).map(|_| random.below(4000).saturating_sub(2000)).collect();
        compare_extents(gpu, &points, &compare_groups(gpu, &uneven, 11));
        let each: Vec<u32> = (0..n as u32).rev().collect();
        compare_groups(gpu, &each, 20);
    });
}

/// 1024 blocks of 256 threads take four values each at a time.
#[test]
fn values_that_are_not_numbers() {
    at_size("values_that_are_not_numbers", |gpu| {
        let all = 1024 * 256 * 4;
        count_nan(
            gpu,
            &[1, 2, 3, 4, 5, 1023, 1024, 1027, all - 1, all, all + 1, all + 4, 1_200_003, 2 * all + 5],
        );
    });
}

/// 1024 threads pack four scores each at a time; a warp suppresses 32 boxes at a time, a block ranks 256.
#[test]
fn detections() {
    at_size("detections", |gpu| {
        let mut random = Random(5);
        let parts = [1..2, 3..5, 6..6, 0..7, 2..3];
        // GLIP's pyramid of an image of 800 x 800, many values alike.
        for step in [0.5, 1e-4] {
            let outputs = Outputs::new(pyramid(&[100, 50, 25, 13, 7]), 2, 7, -2.0, step, &mut random);
            let rules = atss::Rules { top_n: 1000, max_det: 300, ..detections::RULES };
            detections::compare(gpu, &outputs, 2, &parts, &rules, weak_too(0.3));
        }
        // All of every level: the first and the last cell of each.
        let outputs = Outputs::new(pyramid(&[9, 5, 2, 1]), 2, 7, 4.0, 1e-4, &mut random);
        let rules = atss::Rules { top_n: 100, max_det: 1000, nms: 1.0, ..detections::RULES };
        detections::compare(gpu, &outputs, 2, &parts[3..4], &rules, weak_too(0.0));
        // As many kept as there are, one less and one more: 32 x 32 locations.
        let outputs = Outputs::new(pyramid(&[32]), 1, 7, 4.0, 0.5, &mut random);
        for top_n in around(1024) {
            let rules = atss::Rules { top_n, max_det: 2000, nms: 0.9, ..detections::RULES };
            let all = std::slice::from_ref(&(0..7));
            detections::compare(gpu, &outputs, 1, all, &rules, weak_too(0.0));
        }
    });
}

#[test]
fn detections_of_queries() {
    at_size("detections_of_queries", |gpu| {
        let mut random = Random(8);
        let mut compare = |queries, channels, mean, threshold, parts: &[std::ops::Range<usize>]| {
            let rules = queries::Rules { phrase: Phrase::Max, nms: 0.9, max_det: 10_000 };
            let case = Queries {
                images: 2,
                queries,
                channels,
                mean,
                step: 0.25,
                rules,
                thresholds: weak_too(threshold),
            };
            let found = compare_queries(gpu, &case, parts, &mut random);
            assert!(found > 0, "{queries} queries: nothing to compare");
        };
        for queries in [around(32), around(256), around(1024)].concat() {
            compare(queries, 257, 2.0, 0.0, std::slice::from_ref(&(0..6)));
        }
        for queries in around(4096) {
            compare(queries, 2, -3.0, 0.5, std::slice::from_ref(&(0..6)));
        }
        // Locations of 17 bits; the most parts that there may be.
        compare(70_001, 1, -4.0, 0.49, &[0..1, 2..6]);
        compare(40, 2, -2.0, 0.3, &vec![0..1; 255]);
    });
}

/// Shares of 1024 boxes at a time, by 128 threads; views by 8 warps.
#[test]
fn pieces() {
    at_size("pieces", |gpu| {
        let mut random = Random(12);
        for boxes in around(1024) {
            compare_pieces(gpu, &mut random, [40, boxes], [9, 2, 400]);
        }
        compare_pieces(gpu, &mut random, [1800, 150], [10, 5, 200]);
    });
}

#[test]
fn votes() {
    at_size("votes", |gpu| {
        let mut random = Random(5);
        for boxes in around(256) {
            compare_votes(gpu, &mut random, [boxes, boxes, boxes, 32], 257);
        }
        compare_votes(gpu, &mut random, [1800, 150, 3000, 5], 200);
    });
}

/// A word is 32 boxes of a view; runs are counted among 32 points.
#[test]
fn memberships() {
    at_size("memberships", |gpu| {
        let mut random = Random(6);
        for boxes in [around(32), around(64)].concat() {
            compare_memberships(gpu, &mut random, [600, 20, 2], boxes as u32);
        }
        compare_memberships(gpu, &mut random, [70_000, 1200, 3], 40);
        compare_more_runs_than_there_is_room_for(gpu);
    });
}

/// A block adds up 256 entries at a time; 3000 faces under 700 boxes are more than 2^21 counts, and 1025 tiles of them.
#[test]
fn surfaces() {
    at_size("surfaces", |gpu| {
        let mut random = Random(15);
        compare_maps(gpu, &mut random, 9000, 256);
        for faces in around(256) {
            compare_scores(gpu, &mut random, [faces, 64, 9, 2]);
        }
        compare_scores(gpu, &mut random, [3000, 128, 700, 5]);
    });
}

#[test]
fn whole_objects() {
    at_size("whole_objects", |gpu| {
        let mut random = Random(4);
        for points in [around(256), around(2048)].concat() {
            compare_whole(gpu, points, 40, false, &mut random);
        }
        compare_whole(gpu, 80_000, 150, false, &mut random);
    });
}

#[test]
fn model_inputs() {
    at_size("model_inputs", |gpu| {
        let plan = Plan { from: [800, 800], to: [1024, 1024], padded: [1024, 1056], rule: BGR };
        compare_model_inputs(gpu, 2, plan, &mut Random(2));
    });
}

/// A slice is 96 of the inner dimension; a tile is 32 x 32.
#[test]
fn products_of_matrices() {
    at_size("products_of_matrices", |gpu| {
        let mut random = Random(7);
        for k in [around(96), around(192)].concat() {
            compare_products(gpu, &mut random, [33, 64, k]);
        }
        compare_products(gpu, &mut random, [300, 403, 403]);
    });
}

/// What lies exactly on a limit: as many points as the share asks for, a neighbour at the radius, a pixel's centre on the rim of a
/// disc, a null weight that is the least.
#[test]
fn equality() {
    at_size("equality", |gpu| {
        let mut random = Random(14);
        for points in [256, 4096] {
            compare_whole(gpu, points, 40, true, &mut random);
        }
        let points: Vec<[f32; 3]> = (0..1000).map(|_| [0; 3].map(|_| random.below(9) as f32 / 8.0)).collect();
        let (buffer, tree) = arrange(gpu, &points);
        let around = Around::find(gpu, &tree, 32).unwrap();
        compare_normals(gpu, &points, &buffer, &around, 0.125, 30, "lattice");
        compare_disc_through_a_centre(gpu);
        compare_null_weights(gpu, &mut random);
    });
}

/// A chair of 80,000 points in ten views of 800 x 800, the whole way.
#[test]
fn a_cloud_of_80_000_points() {
    at_size("a_cloud_of_80_000_points", |gpu| {
        let shape = generate("Chair", 5, 80_000).unwrap();
        let cloud = Cloud::new(&shape.cloud).unwrap();
        let labels = [&shape.semantic[..], &shape.instance];
        let boxes = compare_lifting(
            &Device::Cuda(gpu.clone()),
            &cloud,
            labels,
            &partstad::Parts::new(shape.parts).unwrap(),
            "a procedural chair",
        );
        assert!(boxes > 20, "{boxes} boxes: little to compare");
    });
}
