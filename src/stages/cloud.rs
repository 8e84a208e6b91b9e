//! Cloud: the input points, centred and scaled into the unit ball.

use crate::{
    device::twin::Mirrored,
    error::{Error, Result},
    io::points::PointCloud,
    ops::partition::{
        knn::{
            self,
            cpu::{Found, Tree},
        },
        normals,
    },
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, str::FromStr};

/// How a file's points become a cloud.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Which way is up in the file.
    pub up: Up,
    /// Where the colours come from.
    pub colors: Colors,
}

/// A direction along an axis of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Up {
    /// Along x.
    #[serde(rename = "x")]
    X,
    /// Along y, as in the paper's data and most meshes.
    #[default]
    #[serde(rename = "y")]
    Y,
    /// Along z, as in most scans.
    #[serde(rename = "z")]
    Z,
    /// Against x.
    #[serde(rename = "-x")]
    MinusX,
    /// Against y, as in images and what cameras reconstruct.
    #[serde(rename = "-y")]
    MinusY,
    /// Against z.
    #[serde(rename = "-z")]
    MinusZ,
}

impl FromStr for Up {
    type Err = Error;

    /// By the name that it has in files, in lower or upper case.
    fn from_str(name: &str) -> Result<Up> {
        super::by_name("up", &name.to_ascii_lowercase())
    }
}

impl Up {
    /// Turns a point so that y is up.
    pub fn turn(self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        match self {
            Up::X => [-y, x, z],
            Up::Y => [x, y, z],
            Up::Z => [x, z, -y],
            Up::MinusX => [y, -x, z],
            Up::MinusY => [x, -y, -z],
            Up::MinusZ => [x, -z, y],
        }
    }

    /// Turns it back.
    fn turn_back(self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        match self {
            Up::X => [y, -x, z],
            Up::Y => [x, y, z],
            Up::Z => [x, -z, y],
            Up::MinusX => [-y, x, z],
            Up::MinusY => [x, -y, -z],
            Up::MinusZ => [x, z, -y],
        }
    }
}

/// Where the colours come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colors {
    /// The file; one without colours is refused.
    #[default]
    File,
    /// Greys: the file's intensities if it has any, else a shade by the direction of the surface.
    Grey,
}

/// N coloured points inside the unit ball around the origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cloud {
    /// x, y, z of every point, within distance 1 of the origin, y up, `[N]`.
    pub positions: Mirrored<Vec<[f32; 3]>>,
    /// Red, green, blue of every point in [0, 1], `[N]`.
    pub colors: Mirrored<Vec<[f32; 3]>>,
    /// What was the origin's place in the input's unit.
    pub center: [f64; 3],
    /// What was distance 1 in the input's unit; 1 if all points coincide.
    pub radius: f64,
    /// How the input's rows and the points belong together; None if every row is a point.
    pub rows: Option<Rows>,
    /// How the cloud was made.
    pub options: Options,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

/// Rows of the input and points of the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The point that stands for a row, -1 = none.
    pub point: Vec<i32>,
    /// The row that a point comes from, `[N]`.
    pub row: Vec<u32>,
}

/// A cloud is framed without its far points if they lie this many times farther than 95 % of all. An object of a fifth of
/// the frame's radius covers about 1 % of an image.
const FAR: f64 = 5.0;
/// What lies beyond this many times the distance of 95 % is far then.
const NEAR: f64 = 3.0;
/// From this share of copies on, places count and not rows.
const COPIES: f64 = 0.1;

impl Cloud {
    /// Every row is a point: centres the points on their mean and divides by the largest distance to it, in f64 as PartSTAD
    /// does (`normalize_pc_o3d`; PartSLIP does it in f32).
    ///
    /// # Errors
    /// [`Error::Invalid`] without points, with more than `i32::MAX` points, without colours, with a coordinate that is not
    /// finite or with a colour outside [0, 1].
    pub fn new(points: &PointCloud) -> Result<Cloud> {
        check_counts(points, Colors::File)?;
        if let Some(i) = points.positions.iter().position(|p| p.iter().any(|x| !x.is_finite())) {
            let p = points.positions[i];
            return Err(Error::invalid(format!("point {i} is at {p:?}; remove points that are not finite")));
        }
        check_colors(&points.colors)?;
        let frame = Frame::of(&points.positions)?;
        let positions: Vec<_> = points.positions.iter().map(|&p| frame.place(p)).collect();
        Ok(Cloud {
            positions: positions.into(),
            colors: points.colors.clone().into(),
            center: frame.center,
            radius: frame.radius,
            warnings: points.warnings.clone(),
            ..Cloud::default()
        })
    }

    /// From whatever a file holds, as [`Cloud::new`] but for these:
    /// - It is turned so that `options.up` is up.
    /// - Rows that are not finite are left out.
    /// - Points far off, which would shrink the rest to a speck, do not count for the frame and are not points of the cloud;
    ///   the nearest point stands for them.
    /// - If a tenth of the rows or more repeat the places of others, a place is one point, of the first row's colour.
    ///
    /// [`Cloud::rows`] tells which point is which row's, `warnings` what was done.
    ///
    /// # Errors
    /// [`Error::Invalid`] as [`Cloud::new`]; also if no row is finite.
    pub fn fit(points: &PointCloud, options: &Options) -> Result<Cloud> {
        check_counts(points, options.colors)?;
        let n = points.len();
        let mut warnings = points.warnings.clone();
        let mut note = |rows: &[u32], what: &str| {
            if let Some(first) = rows.first() {
                warnings
                    .push(format!("{} of {n} rows {what} (row {first} first, counted from 0).", rows.len()));
            }
        };
        let usable = |&row: &u32| {
            let position = points.positions[row as usize].iter().all(|x| x.is_finite());
            position
                && (options.colors == Colors::Grey
                    || points.colors[row as usize].iter().all(|c| c.is_finite()))
        };
        let (finite, left_out): (Vec<u32>, Vec<u32>) = (0..n as u32).partition(usable);
        note(&left_out, "are not finite: they are left out and have no part");
        if finite.is_empty() {
            let placed = points.positions.iter().any(|p| p.iter().all(|x| x.is_finite()));
            return Err(Error::invalid(match placed {
                true => format!(
                    "none of the {n} points has a place and a colour that are finite; give colours, or take greys (option \
                     cloud.colors)"
                ),
                false => format!("none of the {n} points is finite"),
            }));
        }
        let position = |row: u32| options.up.turn(points.positions[row as usize]);
        let (near, far) = split_far(finite, position);
        note(
            &far,
            "lie far off: the views are framed without them, and they get the part of the nearest point",
        );
        let (own, copies) = split_copies(near, position);
        let repeated: Vec<u32> = copies.iter().map(|&(row, _)| row).collect();
        note(&repeated, "lie where others lie: each place counts once");

        if points.z_up && options.up == Up::Y {
            warnings.push(
                "Scans of this format have z up, but y is taken for up: the object lies on its back in the views. Say that z \
                 is up (option cloud.up)."
                    .into(),
            );
        }
        let frame = Frame::of(&own.iter().map(|&row| position(row)).collect::<Vec<_>>())?;
        let positions: Vec<[f32; 3]> = own.iter().map(|&row| frame.place(position(row))).collect();
        let colors: Vec<[f32; 3]> = match options.colors {
            Colors::File => {
                let colors: Vec<_> = own.iter().map(|&row| points.colors[row as usize]).collect();
                check_colors(&colors)?;
                colors
            }
            Colors::Grey => greys(&points.intensities, &own, &positions),
        };
        let white = colors.iter().filter(|c| c.iter().all(|&c| c >= 0.97)).count();
        if white as f64 >= 0.99 * colors.len() as f64 {
            warnings.push(
                "The points are as white as the background, so that the views show next to nothing; give them colours, or \
                 take greys (option cloud.colors)."
                    .into(),
            );
        }
        if colors.as_flattened().iter().all(|&c| c <= 0.01) {
            warnings.push(
                "All points are black, as where a file has room for colours and none were set; take greys (option cloud.colors)."
                    .into(),
            );
        }
        let rows = (own.len() < n).then(|| {
            let mut point = vec![-1; n];
            own.iter().zip(0..).for_each(|(&row, p)| point[row as usize] = p);
            copies.iter().for_each(|&(row, of)| point[row as usize] = point[of as usize]);
            let nearest =
                nearest(&positions, far.iter().map(|&row| frame.within(position(row), 1e3)).collect());
            far.iter().zip(nearest).for_each(|(&row, p)| point[row as usize] = p);
            Rows { point, row: own }
        });
        let Frame { center, radius } = frame;
        let (positions, colors) = (positions.into(), colors.into());
        Ok(Cloud { positions, colors, center, radius, rows, options: *options, warnings })
    }

    /// Number of points, N.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Number of rows of the input.
    pub fn input_len(&self) -> usize {
        self.rows.as_ref().map_or(self.len(), |rows| rows.point.len())
    }

    /// What holds of points, `[N]`, for the rows of the input; `missing` where no point stands for a row.
    pub fn to_rows<'a, T: Copy>(&self, of_point: &'a [T], missing: T) -> Cow<'a, [T]> {
        match &self.rows {
            None => Cow::Borrowed(of_point),
            Some(rows) => {
                rows.point.iter().map(|&p| usize::try_from(p).map_or(missing, |p| of_point[p])).collect()
            }
        }
    }

    /// What holds of the input's rows for the points, `[N]`.
    pub fn to_points<'a, T: Copy>(&self, of_row: &'a [T]) -> Cow<'a, [T]> {
        match &self.rows {
            None => Cow::Borrowed(of_row),
            Some(rows) => rows.row.iter().map(|&row| of_row[row as usize]).collect(),
        }
    }

    /// Whether a row of the input is a point, and not one that a point elsewhere or at its place stands for.
    pub fn is_point(&self, row: usize) -> bool {
        let own = |rows: &Rows| usize::try_from(rows.point[row]).is_ok_and(|p| rows.row[p] as usize == row);
        self.rows.as_ref().is_none_or(own)
    }

    /// Where a place of the input lies in the cloud's unit, origin and directions.
    pub fn place(&self, of_input: [f64; 3]) -> [f32; 3] {
        Frame { center: self.center, radius: self.radius }.place(self.options.up.turn(of_input))
    }

    /// The points in the input's unit, origin and directions.
    pub fn denormalized(&self) -> PointCloud {
        let back = |p: &[f32; 3]| {
            let p = std::array::from_fn(|axis| p[axis] as f64 * self.radius + self.center[axis]);
            self.options.up.turn_back(p)
        };
        let positions = self.positions.iter().map(back).collect();
        PointCloud { positions, colors: self.colors.to_vec(), ..PointCloud::default() }
    }
}

fn check_counts(points: &PointCloud, from: Colors) -> Result<()> {
    let n = points.len();
    if n == 0 {
        return Err(Error::invalid("the cloud has no points"));
    }
    if n > i32::MAX as usize {
        return Err(Error::invalid(format!("the cloud has {n} points; the limit is {}", i32::MAX)));
    }
    match (from, &points.uncolored, points.colors.len()) {
        (Colors::Grey, ..) => match points.intensities.len() {
            0 => Ok(()),
            intensities if intensities == n => Ok(()),
            intensities => {
                Err(Error::invalid(format!("the cloud has {n} points but {intensities} intensities")))
            }
        },
        (_, Some(why), 0) => Err(Error::invalid(format!("{why}, or take greys (option cloud.colors)"))),
        (.., colors) if colors != n => {
            Err(Error::invalid(format!("the cloud has {n} points but {colors} colours")))
        }
        _ => Ok(()),
    }
}

fn check_colors(colors: &[[f32; 3]]) -> Result<()> {
    match colors.iter().position(|c| c.iter().any(|x| !(0.0..=1.0).contains(x))) {
        Some(i) => {
            let c = colors[i];
            Err(Error::invalid(format!("point {i} has colour {c:?}; colours must lie in [0, 1]")))
        }
        None => Ok(()),
    }
}

/// Squares of what is smaller lose digits.
const SMALLEST: f64 = 1e-150;

/// The ball that becomes the unit ball.
struct Frame {
    center: [f64; 3],
    radius: f64,
}

impl Frame {
    fn of(positions: &[[f64; 3]]) -> Result<Frame> {
        // Summed as offsets from the first point: coinciding points then have no extent, however far from the origin.
        let first = positions[0];
        let mut center = [0.0; 3];
        for (axis, center) in center.iter_mut().enumerate() {
            let sum: f64 = positions.iter().map(|p| p[axis] - first[axis]).sum();
            *center = first[axis] + sum / positions.len() as f64;
        }
        let largest = positions.iter().map(|&p| distance(p, center)).fold(0.0, f64::max);
        if !largest.is_finite() {
            return Err(Error::invalid("the cloud's extent overflows f64; scale the coordinates down"));
        }
        // Of what is smaller still the square is 0.
        if largest < SMALLEST && positions.iter().any(|p| *p != first) {
            return Err(Error::invalid(format!(
                "the cloud's extent is below {SMALLEST:e}, whose square f64 cannot hold; scale the coordinates up"
            )));
        }
        Ok(Frame { center, radius: if largest > 0.0 { largest } else { 1.0 } })
    }

    fn place(&self, p: [f64; 3]) -> [f32; 3] {
        self.within(p, f64::INFINITY)
    }

    /// The place of a point, or about the direction of one farther off than `most`.
    fn within(&self, p: [f64; 3], most: f64) -> [f32; 3] {
        std::array::from_fn(|axis| ((p[axis] - self.center[axis]) / self.radius).clamp(-most, most) as f32)
    }
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    let d = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt()
}

/// The rows that belong to the object, and those far off.
fn split_far(rows: Vec<u32>, position: impl Fn(u32) -> [f64; 3]) -> (Vec<u32>, Vec<u32>) {
    let middle = [0, 1, 2].map(|axis| {
        let mut along: Vec<f64> = rows.iter().map(|&row| position(row)[axis]).collect();
        let half = along.len() / 2;
        *along.select_nth_unstable_by(half, f64::total_cmp).1
    });
    let away = |row: u32| distance(position(row), middle);
    let mut distances: Vec<f64> = rows.iter().map(|&row| away(row)).collect();
    let farthest = distances.iter().copied().fold(0.0, f64::max);
    let most = distances.len() * 95 / 100;
    let usual = *distances.select_nth_unstable_by(most.min(rows.len() - 1), f64::total_cmp).1;
    match usual > 0.0 && farthest > FAR * usual {
        true => rows.into_iter().partition(|&row| away(row) <= NEAR * usual),
        false => (rows, vec![]),
    }
}

/// The first row of every place, and the others with the first of theirs; no others if these are few.
fn split_copies(rows: Vec<u32>, position: impl Fn(u32) -> [f64; 3] + Sync) -> (Vec<u32>, Vec<(u32, u32)>) {
    // -0 is 0.
    let place = |row: u32| position(row).map(|x| (x + 0.0).to_bits());
    let mut sorted: Vec<([u64; 3], u32)> = rows.par_iter().map(|&row| (place(row), row)).collect();
    sorted.par_sort_unstable();
    let mut copies = vec![];
    for same in sorted.chunk_by(|a, b| a.0 == b.0) {
        copies.extend(same[1..].iter().map(|&(_, row)| (row, same[0].1)));
    }
    if (copies.len() as f64) < COPIES * rows.len() as f64 || copies.is_empty() {
        return (rows, vec![]);
    }
    copies.sort_unstable();
    let is_copy = |row: u32| copies.binary_search_by_key(&row, |&(row, _)| row).is_ok();
    (rows.into_iter().filter(|&row| !is_copy(row)).collect(), copies)
}

/// The nearest point of places outside the unit ball.
fn nearest(positions: &[[f32; 3]], places: Vec<[f32; 3]>) -> Vec<i32> {
    let tree = Tree::new(positions);
    places
        .into_par_iter()
        .map_init(Found::default, |found, place| tree.nearest(place, found).map_or(-1, |point| point as i32))
        .collect()
}

/// Brightness as the file says, or else as a lamp from above in front makes it on either side of a surface.
fn greys(intensities: &[f32], rows: &[u32], positions: &[[f32; 3]]) -> Vec<[f32; 3]> {
    let given: Vec<f32> = match intensities {
        [] => vec![],
        _ => rows
            .iter()
            .map(|&row| intensities[row as usize])
            .map(|i| if i.is_nan() { 0.5 } else { i })
            .collect(),
    };
    if given.windows(2).any(|pair| pair[0] != pair[1]) {
        return given.into_iter().map(|i| [i; 3]).collect();
    }
    const LAMP: [f32; 3] = [0.36, 0.8, 0.48];
    let shade = |n: [f32; 3]| 0.2 + 0.65 * (n[0] * LAMP[0] + n[1] * LAMP[1] + n[2] * LAMP[2]).abs();
    let shades: Vec<f32> = normals::cpu::estimate(positions, 2.0, 60).into_iter().map(shade).collect();
    // Normals of thin walls are noisy: a mean over the neighbours shows the surface.
    let around = knn::cpu::nearest(positions, 30);
    let mean = |i: usize| {
        let near = &around.indices[i * around.k..][..around.k];
        let sum: f32 = near.iter().map(|&j| shades[j as usize]).sum();
        [((shades[i] + sum) / (around.k + 1) as f32).clamp(0.0, 1.0); 3]
    };
    (0..positions.len()).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ball(n: usize) -> PointCloud {
        let place = |i: usize| {
            let (up, around) = ((i as f64 + 0.5) / n as f64 * 2.0 - 1.0, i as f64 * 2.4);
            let r = (1.0 - up * up).sqrt();
            [r * around.cos() + 3.0, up - 1.0, r * around.sin()]
        };
        let colors = (0..n).map(|i| [i as f32 / n as f32, 0.5, 0.25]).collect();
        PointCloud { positions: (0..n).map(place).collect(), colors, ..PointCloud::default() }
    }

    fn fit(points: &PointCloud, up: Up) -> Cloud {
        Cloud::fit(points, &Options { up, ..Options::default() }).unwrap()
    }

    #[test]
    fn an_ordinary_cloud_is_framed_as_in_the_paper() {
        let points = ball(500);
        assert_eq!(Cloud::fit(&points, &Options::default()).unwrap(), Cloud::new(&points).unwrap());
    }

    #[test]
    fn every_direction_can_be_up() {
        let whole = Cloud::new(&ball(200)).unwrap();
        for up in [Up::X, Up::Y, Up::Z, Up::MinusX, Up::MinusY, Up::MinusZ] {
            let mut turned = ball(200);
            turned.positions.iter_mut().for_each(|p| *p = up.turn_back(*p));
            let cloud = fit(&turned, up);
            assert_eq!(cloud.positions, whole.positions, "{up:?}");
            let back = cloud.denormalized();
            let same = |(a, b): (&[f64; 3], &[f64; 3])| distance(*a, *b) < 1e-6;
            assert!(back.positions.iter().zip(&turned.positions).all(same), "{up:?}");
            // A turn, not a mirror.
            let [x, y, z] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|p| up.turn(p));
            let cross = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
            assert!(distance(cross, z) == 0.0, "{up:?}");
        }
        assert_eq!("-y".parse::<Up>().unwrap(), Up::MinusY);
        assert_eq!("-Z".parse::<Up>().unwrap(), Up::MinusZ);
        assert!("w".parse::<Up>().unwrap_err().to_string().contains("`-z`"));
    }

    #[test]
    fn rows_that_are_no_points_change_nothing() {
        let points = ball(300);
        let whole = Cloud::new(&points).unwrap();
        let mut rows = points.clone();
        for (at, position) in
            [(0, [f64::NAN, 0.0, 0.0]), (7, [0.0, f64::INFINITY, 0.0]), (9, [4e40, 1.0, -5e40])]
        {
            rows.positions.insert(at, position);
            rows.colors.insert(at, [0.5; 3]);
        }
        let cloud = fit(&rows, Up::Y);
        assert_eq!((&cloud.positions, &cloud.colors), (&whole.positions, &whole.colors));
        assert!(cloud.warnings[0].contains("2 of 303 rows are not finite"), "{:?}", cloud.warnings);
        assert!(cloud.warnings[1].contains("1 of 303 rows lie far off"), "{:?}", cloud.warnings);
        let labels: Vec<i32> = (0..300).collect();
        let of_rows = cloud.to_rows(&labels, -1);
        assert_eq!((of_rows[0], of_rows[7], of_rows[1], of_rows[302]), (-1, -1, 0, 299));
        assert!((0..300).contains(&of_rows[9]), "the nearest point's");
        assert_eq!((0..303).filter(|&row| !cloud.is_point(row)).collect::<Vec<_>>(), [0, 7, 9]);
        assert_eq!(*cloud.to_points(&of_rows), labels);
        let none =
            PointCloud { positions: vec![[f64::NAN; 3]], colors: vec![[0.5; 3]], ..PointCloud::default() };
        assert!(
            Cloud::fit(&none, &Options::default()).unwrap_err().to_string().contains("none of the 1 points")
        );
    }

    #[test]
    fn copies_of_points_change_nothing() {
        let points = ball(100);
        let mut rows = PointCloud::default();
        for _ in 0..3 {
            rows.positions.extend(&points.positions);
            rows.colors.extend(&points.colors);
        }
        let cloud = fit(&rows, Up::Y);
        assert_eq!(cloud.positions, Cloud::new(&points).unwrap().positions);
        let labels: Vec<i32> = (0..100).collect();
        assert_eq!(*cloud.to_rows(&labels, -1), [&labels[..]; 3].concat());
        // A copy here and there is a point as in the paper.
        let mut few = points.clone();
        few.positions[3] = few.positions[4];
        assert_eq!(fit(&few, Up::Y).rows, None);
    }

    #[test]
    fn greys_are_intensities_or_shades() {
        let grey = Options { colors: Colors::Grey, ..Options::default() };
        let plain = PointCloud { colors: vec![], uncolored: Some("no colours".into()), ..ball(400) };
        let error = Cloud::fit(&plain, &Options::default()).unwrap_err().to_string();
        assert!(error.contains("no colours") && error.contains("greys"), "{error}");
        let shaded = Cloud::fit(&plain, &grey).unwrap();
        let light =
            |low: f32, high: f32| shaded.colors.iter().filter(|c| (low..high).contains(&c[0])).count();
        assert!(light(0.0, 0.4) > 40 && light(0.6, 1.0) > 40, "light and shadow");
        let intensities = (0..400).map(|i| i as f32 / 399.0).collect();
        let bright = Cloud::fit(&PointCloud { intensities, ..plain }, &grey).unwrap();
        assert_eq!(bright.colors[399], [1.0; 3]);
        let short = PointCloud { intensities: vec![0.5; 399], ..ball(400) };
        assert!(Cloud::fit(&short, &grey).unwrap_err().to_string().contains("399 intensities"));
        let bytes = PointCloud { colors: vec![[255.0; 3]; 400], ..ball(400) };
        assert!(Cloud::fit(&bytes, &Options::default()).unwrap_err().to_string().contains("[0, 1]"));
        let white = PointCloud { colors: vec![[1.0; 3]; 400], ..ball(400) };
        assert!(fit(&white, Up::Y).warnings[0].contains("white"));
        let black = PointCloud { colors: vec![[0.0; 3]; 400], ..ball(400) };
        assert!(fit(&black, Up::Y).warnings[0].contains("black"));
        let scan = PointCloud { z_up: true, ..ball(400) };
        assert!(fit(&scan, Up::Y).warnings[0].contains("z is up"));
        assert_eq!(fit(&scan, Up::Z).warnings, [""; 0]);
    }
}
