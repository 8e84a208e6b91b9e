//! Views: the cloud rendered from ten directions, and where each point falls.

#[cfg(feature = "cuda")]
mod device;

use super::cloud::Cloud;
use crate::{
    device::{Device, twin::Twin},
    error::{Error, Result, in_range},
    io::{
        npy, png, read_settings,
        staged::{self, Folder},
    },
    ops::views::rasterize::{self, BACKGROUND, FOCAL, Matrix, Splat},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Of the files of [`Views::save`] the last.
const LAST: &str = "cameras.json";

/// Nobody looks from more places.
const MOST: usize = 1024;
/// A cloud has no more points.
const MOST_POINTS: usize = i32::MAX as usize;

/// Where a camera stands: on a sphere around the origin, looking at it, y up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pose {
    /// Degrees above the horizon, strictly between -90 and 90.
    pub elevation: f32,
    /// Degrees around the y axis, 0 at +z.
    pub azimuth: f32,
    /// From the origin, in cloud radii; the whole cloud is in sight from 2 on.
    #[serde(default = "default_distance")]
    pub distance: f32,
}

fn default_distance() -> f32 {
    2.2
}

/// The paper's ten poses (PartSLIP's).
pub const POSES: [Pose; 10] = [
    pose(10.0, 0.0),
    pose(10.0, 90.0),
    pose(10.0, 180.0),
    pose(10.0, 270.0),
    pose(40.0, 0.0),
    pose(40.0, 120.0),
    pose(40.0, 240.0),
    pose(-20.0, 60.0),
    pose(-20.0, 180.0),
    pose(-20.0, 300.0),
];

const fn pose(elevation: f32, azimuth: f32) -> Pose {
    Pose { elevation, azimuth, distance: 2.2 }
}

/// How to render.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// One view per pose.
    pub poses: Vec<Pose>,
    /// Pixels along each side of the square images.
    pub side: usize,
    /// Radius of a point's disc in NDC (2 over the image's side).
    pub radius: f64,
    /// The number of points that `radius` is meant for: a cloud of fewer gets larger discs, so that its surfaces stay
    /// closed. `None` keeps to `radius`, as the authors do; from 20,000 points on that is the default too.
    pub points: Option<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options { poses: POSES.to_vec(), side: 800, radius: 0.005, points: Some(20_000) }
    }
}

/// A perspective camera in PyTorch3D's convention: field of view 60 degrees, view axes x left, y up, z into the scene.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// Where it stands.
    pub pose: Pose,
    /// World to view space.
    pub world_to_view: Matrix,
    /// World to NDC, before the division by w.
    pub full_projection: Matrix,
}

impl Camera {
    /// The camera of a pose.
    pub fn new(pose: Pose) -> Camera {
        // Sine and cosine in f64, so that every platform's library rounds to the same f32.
        let sin_cos = |degrees: f32| {
            let (sin, cos) = (degrees.to_radians() as f64).sin_cos();
            (sin as f32, cos as f32)
        };
        let ((sin_e, cos_e), (sin_a, cos_a)) = (sin_cos(pose.elevation), sin_cos(pose.azimuth));
        let d = pose.distance;
        let center = [d * cos_e * sin_a, d * sin_e, d * cos_e * cos_a];
        let z = normalize(center.map(|x| -x));
        let x = normalize(cross([0.0, 1.0, 0.0], z));
        let y = normalize(cross(z, x));
        let mut world_to_view = [[0.0; 4]; 4];
        let mut full_projection = [[0.0; 4]; 4];
        for (i, row) in world_to_view.iter_mut().enumerate() {
            *row = match i {
                3 => [-dot(x, center), -dot(y, center), -dot(z, center), 1.0],
                axis => [x[axis], y[axis], z[axis], 0.0],
            };
            let (near, far) = (0.01, 100.0);
            let [vx, vy, vz, one] = *row;
            let depth = vz * (far / (far - near)) - one * (far * near / (far - near));
            full_projection[i] = [vx * FOCAL, vy * FOCAL, depth, vz];
        }
        Camera { pose, world_to_view, full_projection }
    }

    /// Both matrices, as [`rasterize`] takes them.
    pub fn matrices(&self) -> [Matrix; 2] {
        [self.world_to_view, self.full_projection]
    }

    /// A point as the rasterizer sees it.
    pub fn splat(&self, p: [f32; 3]) -> Splat {
        rasterize::cpu::splat(p, &self.world_to_view)
    }

    /// A point's position in pixels of a `side` x `side` image: x to the right, y down, pixel centres at .5.
    pub fn screen(&self, p: [f32; 3], side: usize) -> [f32; 2] {
        rasterize::cpu::screen(p, &self.full_projection, side)
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn normalize(a: [f32; 3]) -> [f32; 3] {
    let norm = dot(a, a).sqrt().max(1e-5);
    a.map(|x| x / norm)
}

/// The cloud seen from K directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Views {
    /// One camera a view, `[K]`.
    pub cameras: Vec<Camera>,
    /// Pixels along each side of the images.
    pub side: usize,
    /// The point each pixel shows, `[K, side, side]`, row 0 on top, -1 = background.
    pub pixel_to_point: Twin<Vec<i32>>,
    /// Where every point falls in pixels, hidden ones too, `[K, N]`.
    pub screen: Twin<Vec<[f32; 2]>>,
    /// RGB images, `[K, side, side, 3]`; the background is 254.
    pub images: Twin<Vec<u8>>,
}

impl Views {
    /// Renders the cloud.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an option is out of range; the message names it.
    pub fn render(device: &Device, cloud: &Cloud, options: &Options) -> Result<Views> {
        options.check()?;
        let options = &Options { radius: options.radius_of(cloud.len()), ..options.clone() };
        let cameras: Vec<Camera> = options.poses.iter().copied().map(Camera::new).collect();
        match device {
            Device::Cpu => Views::render_on_cpu(cameras, cloud, options),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => Views::render_on_gpu(gpu, cameras, cloud, options),
        }
    }

    fn render_on_cpu(cameras: Vec<Camera>, cloud: &Cloud, options: &Options) -> Result<Views> {
        type PerView<T> = Vec<Vec<T>>;
        let views = cameras
            .par_iter()
            .map(|camera| {
                let splats: Vec<Splat> = cloud.positions.iter().map(|&p| camera.splat(p)).collect();
                let nearest = rasterize::cpu::nearest_points(&splats, options.side, options.radius);
                let image =
                    rasterize::cpu::shade(&nearest, &splats, &cloud.colors, options.side, options.radius)?;
                let screen = cloud.positions.iter().map(|&p| camera.screen(p, options.side)).collect();
                Ok((nearest, (screen, image)))
            })
            .collect::<Result<Vec<_>>>()?;
        let (nearest, (screen, images)): (PerView<_>, (PerView<_>, PerView<_>)) = views.into_iter().unzip();
        Ok(Views {
            cameras,
            side: options.side,
            pixel_to_point: nearest.concat().into(),
            screen: screen.concat().into(),
            images: images.concat().into(),
        })
    }

    /// The same for the rows of the cloud's input instead of its points; a row without a point falls at NaN.
    ///
    /// # Errors
    /// [`Error::Device`] if the views lie on a device that failed.
    pub fn of_rows(self, cloud: &Cloud) -> Result<Views> {
        let Some(rows) = &cloud.rows else { return Ok(self) };
        let row = |&point: &i32| usize::try_from(point).map_or(BACKGROUND, |point| rows.row[point] as i32);
        let pixel_to_point: Vec<i32> = self.pixel_to_point.host()?.iter().map(row).collect();
        let mut screen = vec![];
        for k in 0..self.len() {
            screen.extend_from_slice(&cloud.to_rows(self.screen(k)?, [f32::NAN; 2]));
        }
        Ok(Views { pixel_to_point: pixel_to_point.into(), screen: screen.into(), ..self })
    }

    /// The share of the pixels that show a point.
    ///
    /// # Errors
    /// [`Error::Device`] if the views lie on a device that failed.
    pub fn coverage(&self) -> Result<f64> {
        let pixels = self.pixel_to_point.host()?;
        let shown = pixels.par_iter().filter(|&&point| point != BACKGROUND).count();
        Ok(shown as f64 / pixels.len().max(1) as f64)
    }

    /// The files that [`Views::save`] writes of `count` views.
    pub fn files(place: &Path, count: usize) -> impl Iterator<Item = PathBuf> {
        let images = (0..count).map(|k| format!("{k}.png"));
        let others = ["pixel_to_point.npy", "screen.npy", LAST].map(String::from);
        images.chain(others).map(|name| place.join(name))
    }

    /// Writes `0.png`, `1.png`, ... (the images), `pixel_to_point.npy` (i32 `[K, side, side]`), `screen.npy`
    /// (f32 `[K, N, 2]`) and `cameras.json` into a folder, which is made if need be. Images of more views, from an earlier
    /// call, are removed.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written, [`Error::Format`] if another process writes there, [`Error::Device`] if
    /// the device failed.
    pub fn save(&self, place: &Path) -> Result<()> {
        let staged = Folder::begin(place)?;
        let folder = staged.path();
        (0..self.len()).into_par_iter().try_for_each(|k| {
            png::write_rgb(&folder.join(format!("{k}.png")), self.image(k)?, self.side, self.side)
        })?;
        let (k, n) = (self.len(), self.screen.len() / self.len());
        npy::write(
            &folder.join("pixel_to_point.npy"),
            &[k, self.side, self.side],
            self.pixel_to_point.host()?,
        )?;
        npy::write(&folder.join("screen.npy"), &[k, n, 2], self.screen.host()?.as_flattened())?;
        let json = serde_json::to_string_pretty(&self.cameras).expect("cameras are plain numbers");
        staged::write_all(&folder.join(LAST), json.as_bytes())?;
        staged.finish(LAST)?;
        let others = (k..).map(|k| place.join(format!("{k}.png")));
        for path in others.take_while(|path| path.exists()) {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
        Ok(())
    }

    /// Reads what [`Views::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`] if a file is missing, [`Error::Format`] if the files do not belong together.
    pub fn load(folder: &Path) -> Result<Views> {
        let path = folder.join("cameras.json");
        let json = read_settings(&path)?;
        let cameras: Vec<Camera> =
            serde_json::from_slice(&json).map_err(|e| Error::format(&path, e.to_string()))?;
        if cameras.is_empty() {
            return Err(Error::format(&path, "no camera"));
        }
        let path = folder.join("screen.npy");
        let array = npy::read::<f32>(&path)?;
        let n = match array.shape[..] {
            [k, n, 2] if k == cameras.len() => n,
            _ => {
                return Err(Error::format(
                    &path,
                    format!("shape {:?} is not [{}, N, 2]", array.shape, cameras.len()),
                ));
            }
        };
        let screen = array.data.as_chunks::<2>().0.to_vec();
        let path = folder.join("pixel_to_point.npy");
        let array = npy::read::<i32>(&path)?;
        let side = match array.shape[..] {
            [k, height, width] if k == cameras.len() && height == width => height,
            _ => {
                let expected = format!("[{}, side, side]", cameras.len());
                return Err(Error::format(&path, format!("shape {:?} is not {expected}", array.shape)));
            }
        };
        if let Some(&point) = array.data.iter().find(|&&point| point < BACKGROUND || point >= n as i32) {
            return Err(Error::format(&path, format!("point {point} is not in -1..{n}")));
        }
        let mut images = Vec::with_capacity(array.data.len() * 3);
        for k in 0..cameras.len() {
            images.extend(png::read_rgb(&folder.join(format!("{k}.png")), side, side)?);
        }
        Ok(Views {
            cameras,
            side,
            pixel_to_point: array.data.into(),
            screen: screen.into(),
            images: images.into(),
        })
    }

    /// Number of views, K.
    pub fn len(&self) -> usize {
        self.cameras.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cameras.is_empty()
    }

    /// The point each pixel of view `k` shows, `[side, side]`.
    ///
    /// # Errors
    /// [`Error::Device`] if the views lie on a device that failed.
    pub fn pixel_to_point(&self, k: usize) -> Result<&[i32]> {
        Ok(&self.pixel_to_point.host()?[k * self.side * self.side..][..self.side * self.side])
    }

    /// Where every point falls in view `k`, `[N]`.
    ///
    /// # Errors
    /// As [`Views::pixel_to_point`].
    pub fn screen(&self, k: usize) -> Result<&[[f32; 2]]> {
        let n = self.screen.len() / self.len();
        Ok(&self.screen.host()?[k * n..][..n])
    }

    /// The image of view `k`, `[side, side, 3]`.
    ///
    /// # Errors
    /// As [`Views::pixel_to_point`].
    pub fn image(&self, k: usize) -> Result<&[u8]> {
        let len = self.side * self.side * 3;
        Ok(&self.images.host()?[k * len..][..len])
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        if self.poses.is_empty() {
            return Err(Error::invalid("option views.poses is empty; give at least one pose"));
        }
        if self.poses.len() > MOST {
            let poses = self.poses.len();
            return Err(Error::invalid(format!("option views.poses has {poses} poses; the limit is {MOST}")));
        }
        for (k, pose) in self.poses.iter().enumerate() {
            let Pose { elevation, azimuth, distance } = *pose;
            if !(elevation.abs() < 90.0 && azimuth.is_finite() && distance > 1.0 && distance.is_finite()) {
                return Err(Error::invalid(format!(
                    "option views.poses: pose {k} has elevation {elevation}, azimuth {azimuth}, distance {distance}; the \
                     elevation must lie strictly between -90 and 90, the distance above 1"
                )));
            }
        }
        let Options { side, radius, points, .. } = *self;
        in_range((1..=8192).contains(&side), "views.side", side, "from 1 to 8192 pixels")?;
        in_range(radius > 0.0 && radius <= 1.0, "views.radius", radius, "above 0 and at most 1, in NDC")?;
        let points = points.unwrap_or(1);
        in_range((1..=MOST_POINTS).contains(&points), "views.points", points, "from 1 to 2^31 - 1, or null")
    }

    /// The radius that a cloud of `n` points needs.
    fn radius_of(&self, n: usize) -> f64 {
        let sparser = self.points.map_or(1.0, |meant| meant as f64 / n as f64);
        (self.radius * sparser.sqrt().max(1.0)).min(1.0)
    }
}
