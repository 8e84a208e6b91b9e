//! Surface normals: the direction in which a point's neighbourhood extends least.
//!
//! The unit eigenvector of the smallest eigenvalue of the covariance of the at most `most` nearest points closer than
//! `radius`, the point itself among them; (0, 0, 1) of fewer than three points or of no extent. As in Open3D's
//! `estimate_normals` with a hybrid search, with which the authors make theirs.

/// CPU reference.
pub mod cpu {
    use crate::{
        error::Result,
        ops::{expect_len, partition::knn::cpu::Tree},
    };

    /// Unit normals of `points`, `[N]`: unoriented, see [`eigenvector`] for the sign.
    pub fn estimate(points: &[[f32; 3]], radius: f32, most: usize) -> Vec<[f32; 3]> {
        let tree = Tree::new(points);
        tree.map(|point, found| {
            tree.within(point, radius, most, found);
            if found.iter().len() < 3 {
                return FALLBACK;
            }
            let offsets = || found.iter().map(|(index, _)| difference(points[index as usize], point));
            eigenvector(covariance(offsets))
        })
    }

    const FALLBACK: [f32; 3] = [0.0, 0.0, 1.0];

    /// Upper triangle xx, xy, xz, yy, yz, zz of the covariance, unscaled.
    fn covariance<I: ExactSizeIterator<Item = [f32; 3]>>(offsets: impl Fn() -> I) -> [f32; 6] {
        let n = offsets().len() as f32;
        let mut mean = [0.0; 3];
        for d in offsets() {
            mean = [mean[0] + d[0], mean[1] + d[1], mean[2] + d[2]];
        }
        let mean = mean.map(|x| x / n);
        let mut sum = [0.0; 6];
        for d in offsets() {
            let [x, y, z] = difference(d, mean);
            for (sum, product) in sum.iter_mut().zip([x * x, x * y, x * z, y * y, y * z, z * z]) {
                *sum += product;
            }
        }
        sum
    }

    /// The unit eigenvector of the smallest eigenvalue of a symmetric matrix, given as xx, xy, xz, yy, yz, zz.
    ///
    /// Cyclic Jacobi rotations: only + - * / and square roots, which round alike on every device. Its sign is that of
    /// the cross product of the two rows of A - lambda I that span the largest parallelogram, as Eberly's closed form
    /// leaves it (Geometric Tools, "A Robust Eigensolver for 3x3 Symmetric Matrices"; Open3D uses it).
    pub fn eigenvector(matrix: [f32; 6]) -> [f32; 3] {
        let scale = matrix.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        if scale == 0.0 {
            return FALLBACK;
        }
        let [xx, xy, xz, yy, yz, zz] = matrix.map(|x| x / scale);
        let a = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]];
        let (values, vectors) = jacobi(a);
        let smallest = (1..3).fold(0, |least, i| if values[i] < values[least] { i } else { least });
        let normal: [f32; 3] = std::array::from_fn(|row| vectors[row][smallest]);
        let rows: [[f32; 3]; 3] = std::array::from_fn(|i| {
            std::array::from_fn(|j| a[i][j] - if i == j { values[smallest] } else { 0.0 })
        });
        let spans = [cross(rows[0], rows[1]), cross(rows[0], rows[2]), cross(rows[1], rows[2])];
        let widest = (1..3).fold(0, |widest, i| {
            if dot(spans[i], spans[i]) > dot(spans[widest], spans[widest]) { i } else { widest }
        });
        let length = dot(normal, normal).sqrt();
        let sign = if dot(normal, spans[widest]) < 0.0 { -length } else { length };
        normal.map(|x| x / sign)
    }

    /// Eigenvalues, and eigenvectors as columns.
    fn jacobi(mut a: [[f32; 3]; 3]) -> ([f32; 3], [[f32; 3]; 3]) {
        let mut v = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        for _sweep in 0..8 {
            for (p, q) in [(0, 1), (0, 2), (1, 2)] {
                // Once it no longer changes the diagonal, the entry is as good as zero.
                if a[p][q].abs() <= f32::EPSILON * 0.01 * (a[p][p].abs() + a[q][q].abs()) {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = if theta.abs() > 1e9 {
                    0.5 / theta
                } else {
                    theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt())
                };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                let r = 3 - p - q;
                let (apr, aqr) = (a[p][r], a[q][r]);
                a[p][p] -= t * a[p][q];
                a[q][q] += t * a[p][q];
                (a[p][q], a[q][p]) = (0.0, 0.0);
                a[p][r] = c * apr - s * aqr;
                a[q][r] = s * apr + c * aqr;
                (a[r][p], a[r][q]) = (a[p][r], a[q][r]);
                for row in &mut v {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
            }
        }
        ([a[0][0], a[1][1], a[2][2]], v)
    }

    /// Flips normals so that neighbours agree, along a minimum spanning tree of the neighbour graph in which similar
    /// directions are close (Hoppe et al. 1992); the lowest point of every connected part keeps its sign.
    ///
    /// `normals`: `[N]`, unit length; `neighbors`: `[N, k]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn orient(normals: &mut [[f32; 3]], neighbors: &[u32], k: usize) -> Result<()> {
        let n = normals.len();
        expect_len("normals", "neighbors [N, k]", neighbors.len(), n * k)?;
        if k == 0 {
            return Ok(());
        }
        let mut edges: Vec<(f32, u32, u32)> = (0..n * k)
            .map(|at| ((at / k) as u32, neighbors[at]))
            .filter(|(i, j)| i != j)
            .map(|(i, j)| (1.0 - dot(normals[i as usize], normals[j as usize]).abs(), i, j))
            .collect();
        edges.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        // Union-find whose links carry whether a point's normal is flipped against its parent's.
        let mut parent: Vec<(u32, bool)> = (0..n as u32).map(|i| (i, false)).collect();
        for (_, i, j) in edges {
            let ((root_i, flip_i), (root_j, flip_j)) = (find(&mut parent, i), find(&mut parent, j));
            if root_i != root_j {
                let opposite = dot(normals[i as usize], normals[j as usize]) < 0.0;
                let (low, high) = (root_i.min(root_j), root_i.max(root_j));
                parent[high as usize] = (low, flip_i ^ flip_j ^ opposite);
            }
        }
        for (i, normal) in normals.iter_mut().enumerate() {
            if find(&mut parent, i as u32).1 {
                *normal = normal.map(|x| -x);
            }
        }
        Ok(())
    }

    /// The root of `i` and whether `i` is flipped against it; halves the path.
    fn find(parent: &mut [(u32, bool)], mut i: u32) -> (u32, bool) {
        let mut flip = false;
        loop {
            let (up, flipped) = parent[i as usize];
            if up == i {
                return (i, flip);
            }
            let (over, over_flipped) = parent[up as usize];
            parent[i as usize] = (over, flipped ^ over_flipped);
            flip ^= flipped ^ over_flipped;
            i = over;
        }
    }

    fn difference(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
        [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
    }

    fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
        a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    }

    fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    }
}

/// On a CUDA device: bit for bit what the reference estimates.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, NormalsDims},
        },
        error::{Error, Result},
        ops::partition::knn::cuda::Around,
    };
    use cudarc::driver::DevicePtr;

    const BLOCK: u32 = 256;
    const WARP: usize = 32;

    /// Unit normals of the points, `[N, 3]`.
    ///
    /// `points`: `[N, 3]`, those that were searched; `around`: the points around each, at least `most` or N.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `around` or `points` has too few, [`Error::Memory`] if there is not enough memory,
    /// [`Error::Device`] if the driver refuses.
    pub fn estimate(
        gpu: &Gpu,
        points: &impl DevicePtr<f32>,
        around: &Around,
        radius: f32,
        most: usize,
    ) -> Result<Buffer<f32>> {
        let (n, width, rows) = around.rows();
        let most = most.min(n);
        if most > width {
            return Err(Error::invalid(format!(
                "normals: of at most {most} neighbours, but rows of {width}; search for {most} around each point"
            )));
        }
        if points.len() < 3 * n {
            return Err(Error::invalid(format!(
                "normals: points must be [{n}, 3], not {} values",
                points.len()
            )));
        }
        let d = NormalsDims {
            points: n as u32,
            width: width as u32,
            most: most as u32,
            squared_radius: radius * radius,
        };
        let (mut covariances, mut normals) = (gpu.alloc(6 * n)?, gpu.alloc(3 * n)?);
        kernels::normals_covariances(gpu, blocks(WARP * n, BLOCK), points, rows, &mut covariances, d)?;
        kernels::normals_eigenvectors(gpu, blocks(n, BLOCK), &covariances, &mut normals, d)?;
        Ok(normals)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::{eigenvector, estimate, orient};
    use inputs::Random;

    #[test]
    fn of_a_plane() {
        let points: Vec<[f32; 3]> =
            (0..400).map(|i| [(i % 20) as f32 * 0.01, (i / 20) as f32 * 0.01, 0.3]).collect();
        for normal in estimate(&points, 0.1, 30) {
            assert!(normal[2].abs() > 0.99999, "{normal:?}");
        }
    }

    #[test]
    fn of_too_few_or_coinciding_points() {
        for n in [0, 1, 2, 10] {
            assert_eq!(estimate(&vec![[0.2; 3]; n], 0.1, 30), vec![[0.0, 0.0, 1.0]; n]);
        }
    }

    #[test]
    fn of_a_line_is_perpendicular_to_it() {
        let points: Vec<[f32; 3]> = (0..50).map(|i| [i as f32 * 0.01; 3]).collect();
        for n in estimate(&points, 0.1, 30) {
            assert!((n[0] + n[1] + n[2]).abs() < 1e-3, "{n:?}");
            assert!((n[0] * n[0] + n[1] * n[1] + n[2] * n[2] - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn eigenvectors_solve_their_equation() {
        let mut random = Random(7);
        let mut next = || random.uniform() - 0.5;
        for _ in 0..1000 {
            let offsets: Vec<[f32; 3]> = (0..5).map(|_| [next(), next(), 0.2 * next()]).collect();
            let m = |i: usize, j: usize| offsets.iter().map(|d| d[i] * d[j]).sum::<f32>();
            let v = eigenvector([m(0, 0), m(0, 1), m(0, 2), m(1, 1), m(1, 2), m(2, 2)]);
            let image: [f32; 3] = std::array::from_fn(|i| (0..3).map(|j| m(i, j) * v[j]).sum());
            let value = image[0] * v[0] + image[1] * v[1] + image[2] * v[2];
            assert!((0..3).all(|i| (image[i] - value * v[i]).abs() < 1e-5));
            assert!((0..3).all(|i| value <= m(i, i) + 1e-5), "not the smallest eigenvalue");
        }
    }

    #[test]
    fn orientation_removes_random_flips() {
        let mut normals: Vec<[f32; 3]> =
            (0..100).map(|i| if i % 3 == 1 { [0.0, 0.0, -1.0] } else { [0.0, 0.0, 1.0] }).collect();
        let neighbors: Vec<u32> = (0..100u32).flat_map(|i| [i.saturating_sub(1), (i + 1).min(99)]).collect();
        orient(&mut normals, &neighbors, 2).unwrap();
        assert!(normals.iter().all(|n| n[2] == 1.0));
    }
}
