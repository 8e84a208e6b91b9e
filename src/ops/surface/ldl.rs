//! Sparse symmetric positive definite systems, solved directly: A = L D L^T in f64, in the order of a nested dissection.
//!
//! The rows carry places in space. They are halved across their widest axis, again and again; the rows that touch the
//! other half come last. Of a surface with n vertices L so has about n log n entries. Row by row (Davis, *Direct Methods
//! for Sparse Linear Systems*, 2006, chapter 4); nothing depends on the number of threads.

use crate::{
    error::{Error, Result},
    ragged::Ragged,
};

/// Right-hand sides that are solved together.
pub const LANES: usize = 8;

/// As many values of a vector as are solved together.
pub type Lane = [f64; LANES];

/// Fewer rows are not cut further.
const LEAF: usize = 12;
/// More entries of L are refused: 6 GiB.
const MOST: usize = 1 << 29;

/// The places of the entries of L, which many matrices may share.
#[derive(Debug)]
pub struct Pattern {
    /// Row i of the ordered matrix is this row, `[n]`.
    order: Vec<u32>,
    /// The entries left of the diagonal of the ordered rows: column, and place among the neighbours' values.
    left: Ragged<(u32, u32)>,
    /// The first row that column i meets below the diagonal, `[n]`.
    parent: Vec<u32>,
    /// Where the columns of L begin, `[n + 1]`.
    columns: Vec<usize>,
}

/// A factored matrix.
#[derive(Debug)]
pub struct Ldl {
    order: Vec<u32>,
    columns: Vec<usize>,
    rows: Vec<u32>,
    values: Vec<f64>,
    diagonal: Vec<f64>,
}

const NONE: u32 = u32::MAX;

impl Pattern {
    /// `places`: of the rows, `[n]`; `neighbors`: the columns off the diagonal of every row, symmetric, `[n]`.
    ///
    /// # Errors
    /// [`Error::Memory`] if L would have too many entries.
    pub fn new(places: &[[f32; 3]], neighbors: &Ragged<u32>) -> Result<Pattern> {
        let n = places.len();
        let mut order = Vec::with_capacity(n);
        dissect(
            &mut (0..n as u32).collect::<Vec<_>>(),
            places,
            neighbors,
            &mut vec![0; n],
            &mut 0,
            &mut order,
        );
        let mut rank = vec![0; n];
        order.iter().zip(0..).for_each(|(&row, i)| rank[row as usize] = i);
        let left = Ragged::from_iter(order.iter().zip(0..).map(|(&row, i)| {
            let at = neighbors.range(row as usize).start as u32;
            let entry = |(&column, at)| (rank[column as usize], at);
            let mut entries: Vec<(u32, u32)> = neighbors
                .row(row as usize)
                .iter()
                .zip(at..)
                .map(entry)
                .filter(|&(column, _)| column < i)
                .collect();
            entries.sort_unstable();
            entries
        }));
        let (mut parent, mut seen, mut counts) = (vec![NONE; n], vec![NONE; n], vec![0usize; n]);
        for k in 0..n as u32 {
            seen[k as usize] = k;
            for &(column, _) in left.row(k as usize) {
                let mut i = column as usize;
                while seen[i] != k {
                    if parent[i] == NONE {
                        parent[i] = k;
                    }
                    counts[i] += 1;
                    seen[i] = k;
                    i = parent[i] as usize;
                }
            }
        }
        let mut columns = vec![0; n + 1];
        for i in 0..n {
            columns[i + 1] = columns[i] + counts[i];
        }
        if columns[n] > MOST {
            return Err(Error::Memory(format!(
                "distances on {n} vertices need a factor of {} entries, more than {MOST}; simplify the mesh",
                columns[n]
            )));
        }
        Ok(Pattern { order, left, parent, columns })
    }

    /// Entries of L below the diagonal.
    pub fn entries(&self) -> usize {
        self.columns[self.order.len()]
    }

    /// Factors a matrix. `diagonal`: `[n]`; `values`: those of the neighbours, in their order.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the matrix is not positive definite.
    pub fn factor(&self, diagonal: &[f64], values: &[f64]) -> Result<Ldl> {
        let n = self.order.len();
        let (mut rows, mut factor) = (vec![0; self.entries()], vec![0.0; self.entries()]);
        let mut end = self.columns[..n].to_vec();
        let (mut seen, mut y, mut pivots) = (vec![NONE; n], vec![0.0; n], vec![0.0; n]);
        // The columns that row k meets: each path of the tree ascends, and the paths come last to first.
        let (mut path, mut met) = (vec![], vec![0u32; n]);
        for k in 0..n {
            let mut top = n;
            seen[k] = k as u32;
            for &(column, at) in self.left.row(k) {
                y[column as usize] += values[at as usize];
                let mut i = column as usize;
                while seen[i] != k as u32 {
                    path.push(i as u32);
                    seen[i] = k as u32;
                    i = self.parent[i] as usize;
                }
                top -= path.len();
                met[top..top + path.len()].copy_from_slice(&path);
                path.clear();
            }
            let mut pivot = diagonal[self.order[k] as usize];
            for &i in &met[top..] {
                let i = i as usize;
                let value = std::mem::take(&mut y[i]);
                let column = self.columns[i]..end[i];
                for (&row, &l) in rows[column.clone()].iter().zip(&factor[column]) {
                    y[row as usize] -= l * value;
                }
                let l = value / pivots[i];
                pivot -= l * value;
                rows[end[i]] = k as u32;
                factor[end[i]] = l;
                end[i] += 1;
            }
            if !(pivot > 0.0 && pivot.is_finite()) {
                return Err(Error::invalid(format!(
                    "distances: the matrix of the surface is not positive definite at vertex {} (pivot {pivot}); remove \
                     faces without area",
                    self.order[k]
                )));
            }
            pivots[k] = pivot;
        }
        let (order, columns) = (self.order.clone(), self.columns.clone());
        Ok(Ldl { order, columns, rows, values: factor, diagonal: pivots })
    }
}

impl Ldl {
    /// Number of rows, n.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Solves A x = b for as many right-hand sides as there are lanes; `b`: `[n]`, becomes x.
    pub fn solve(&self, b: &mut [Lane]) {
        let n = self.order.len();
        let mut x: Vec<Lane> = self.order.iter().map(|&row| b[row as usize]).collect();
        for i in 0..n {
            let value = x[i];
            for at in self.columns[i]..self.columns[i + 1] {
                let (to, l) = (&mut x[self.rows[at] as usize], self.values[at]);
                to.iter_mut().zip(value).for_each(|(to, value)| *to -= l * value);
            }
        }
        for i in (0..n).rev() {
            let mut value = x[i].map(|value| value / self.diagonal[i]);
            for at in self.columns[i]..self.columns[i + 1] {
                let (from, l) = (x[self.rows[at] as usize], self.values[at]);
                value.iter_mut().zip(from).for_each(|(value, from)| *value -= l * from);
            }
            x[i] = value;
        }
        self.order.iter().zip(x).for_each(|(&row, x)| b[row as usize] = x);
    }
}

/// Appends `rows` to `order`: one half, the other, then those of the first half that touch the second. `mark`: numbers of
/// halves, of which `marks` were given.
fn dissect(
    rows: &mut [u32],
    places: &[[f32; 3]],
    neighbors: &Ragged<u32>,
    mark: &mut [u32],
    marks: &mut u32,
    order: &mut Vec<u32>,
) {
    if rows.len() <= LEAF {
        rows.sort_unstable();
        return order.extend_from_slice(rows);
    }
    let width = |axis: usize| {
        let values = || rows.iter().map(|&row| places[row as usize][axis]);
        values().fold(f32::NEG_INFINITY, f32::max) - values().fold(f32::INFINITY, f32::min)
    };
    let widths = [0, 1, 2].map(width);
    let axis = (1..3).fold(0, |widest, axis| if widths[axis] > widths[widest] { axis } else { widest });
    let (half, at) = (rows.len() / 2, |row: u32| places[row as usize][axis]);
    rows.select_nth_unstable_by(half, |&a, &b| at(a).total_cmp(&at(b)).then(a.cmp(&b)));
    let (first, second) = rows.split_at_mut(half);
    *marks += 1;
    second.iter().for_each(|&row| mark[row as usize] = *marks);
    let touches = |row: u32| neighbors.row(row as usize).iter().any(|&other| mark[other as usize] == *marks);
    let (mut border, mut inside): (Vec<u32>, Vec<u32>) = first.iter().partition(|&&row| touches(row));
    dissect(&mut inside, places, neighbors, mark, marks, order);
    dissect(second, places, neighbors, mark, marks, order);
    border.sort_unstable();
    order.append(&mut border);
}

#[cfg(test)]
mod tests {
    use super::*;
    use inputs::Random;

    /// A random sparse matrix with a heavy diagonal, a row without neighbours among it.
    fn system(n: usize, random: &mut Random) -> (Vec<[f32; 3]>, Ragged<u32>, Vec<f64>, Vec<f64>) {
        let mut dense = vec![0.0; n * n];
        for _ in 0..3 * n {
            let (i, j) = (random.below(n as u32) as usize, random.below(n as u32) as usize);
            if i != j && i != n / 2 && j != n / 2 {
                let value = -f64::from(random.uniform());
                (dense[i * n + j], dense[j * n + i]) = (value, value);
            }
        }
        let of_row = |i: usize| (0..n).filter(move |&j| j != i).collect::<Vec<_>>();
        let filled =
            |i: usize| of_row(i).into_iter().filter(|&j| dense[i * n + j] != 0.0).collect::<Vec<_>>();
        let neighbors = Ragged::from_iter((0..n).map(|i| filled(i).into_iter().map(|j| j as u32)));
        let values = (0..n).flat_map(|i| filled(i).into_iter().map(|j| dense[i * n + j]).collect::<Vec<_>>());
        let diagonal = (0..n).map(|i| 0.1 - (0..n).map(|j| dense[i * n + j]).sum::<f64>()).collect();
        let places = (0..n).map(|_| [0; 3].map(|_| random.uniform())).collect();
        (places, neighbors, diagonal, values.collect())
    }

    #[test]
    fn solutions_solve_their_equations() {
        let mut random = Random(5);
        for n in [1, 2, 11, 13, 60, 300] {
            let (places, neighbors, diagonal, values) = system(n, &mut random);
            let factored = Pattern::new(&places, &neighbors).unwrap().factor(&diagonal, &values).unwrap();
            let b: Vec<Lane> = (0..n).map(|_| [0; LANES].map(|_| f64::from(random.uniform()))).collect();
            let mut x = b.clone();
            factored.solve(&mut x);
            for i in 0..n {
                for lane in 0..LANES {
                    let off =
                        neighbors.range(i).map(|at| values[at] * x[neighbors.values()[at] as usize][lane]);
                    let product = diagonal[i] * x[i][lane] + off.sum::<f64>();
                    assert!((product - b[i][lane]).abs() < 1e-11, "{n} rows, row {i}: {product}");
                }
            }
        }
    }

    #[test]
    fn grids_fill_in_little() {
        let side = 64;
        let near = |i: usize| {
            let (x, y) = ((i % side) as i32, (i / side) as i32);
            let inside =
                move |(x, y): (i32, i32)| (0..side as i32).contains(&x) && (0..side as i32).contains(&y);
            let all =
                [(x, y - 1), (x - 1, y), (x + 1, y), (x, y + 1)].into_iter().filter(move |&at| inside(at));
            all.map(move |(x, y)| (y as usize * side + x as usize) as u32).collect::<Vec<_>>()
        };
        let neighbors = Ragged::from_iter((0..side * side).map(near));
        let places: Vec<_> = (0..side * side).map(|i| [(i % side) as f32, (i / side) as f32, 0.0]).collect();
        // By rows it would be 64 entries a column.
        let entries = Pattern::new(&places, &neighbors).unwrap().entries();
        assert!(entries < 26 * side * side, "{entries}");
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let neighbors = Ragged::from_iter([vec![1], vec![0]]);
        let pattern = Pattern::new(&[[0.0; 3]; 2], &neighbors).unwrap();
        let error = pattern.factor(&[1.0, 1.0], &[-1.0, -1.0]).unwrap_err().to_string();
        assert!(error.contains("positive definite"), "{error}");
    }
}
