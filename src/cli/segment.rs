//! `partstad segment` and `partstad demo`: from clouds to parts.

use super::{
    Global,
    progress::{self, Stages},
    run::{self, Finished, Job, Learned, ModelSettings, Segmenting, Settings},
};
use clap::Args;
use indicatif::ProgressBar;
use partstad::{
    Error, Parts, Pipeline, Result,
    error::one_line,
    input,
    io::{path_text, ply, staged::Folder},
    models::STAND_IN,
    output,
    pipeline::Options,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Component, Path, PathBuf},
    time::Instant,
};

/// Segment clouds into named parts and instances
///
/// Writes labels.npy, instances.npy and superpoints.npy (i32 [N], -1 = none), scores.npy (f32 [superpoints, parts + 1],
/// column 0 = no part), boxes.json, parts.json, segmentation.ply (for MeshLab and Open3D), run.json and report.html (to
/// look at). Of a mesh also faces.npy and face-instances.npy (i32 [F]), segmentation.glb and segmentation-mesh.ply. One
/// cloud's files go to DIR; those of several to DIR/<name of the cloud>, and a cloud that fails does not stop the others.
#[derive(Args)]
#[command(after_help = "Examples:
  partstad segment chair.ply --parts arm,back,leg,seat,wheel -o out
  partstad segment scans/*.ply --parts door,handle --models my-models -o out --json > runs.json
  partstad segment thing.glb --unnamed -o out")]
pub struct Segment {
    /// Coloured point clouds or meshes: .ply, .pcd, .las, .laz, .e57, .npy, .npz, text (.xyz, .txt, .csv, .asc, .pts, .xyzrgb),
    /// .glb, .gltf, .obj, .stl
    #[arg(required = true, value_name = "CLOUD")]
    clouds: Vec<PathBuf>,
    /// What to look for, separated by commas, or as a caption: "arm. back. leg". Detectors read the names together: other
    /// names beside a name change what is found of it; a concept segmenter reads each by itself. `partstad info` lists those
    /// that the models inside this program know
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required_unless_present = "unnamed")]
    parts: Vec<String>,
    /// Find parts without knowing their names: "part 1" is the largest. It takes a segmenter that answers points, as the
    /// stand-ins inside this program do
    #[arg(long, conflicts_with_all = ["parts", "weights", "category", "score", "template", "instances"])]
    unnamed: bool,
    /// Directory with manifest.json and ONNX models [default: the small stand-ins inside this program]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    model_settings: ModelSettings,
    #[command(flatten)]
    learned: Learned,
    /// Directory to write to; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    segmenting: Segmenting,
}

impl Segment {
    pub fn run(&self, global: &Global) -> Result<()> {
        let parts = (!self.unnamed).then(|| run::parts(&self.parts));
        let folders = folders(&self.clouds, &self.out)?;
        let inputs = self.clouds.iter().chain(&self.learned.weights).map(PathBuf::as_path);
        run::check_results(&folders, &inputs.chain(self.segmenting.settings.files()).collect::<Vec<_>>())?;
        let options = self.segmenting.options()?;
        let bar = progress::stages("models");
        let session = Session::start(
            global,
            options,
            &self.segmenting.settings,
            &self.model_settings,
            self.models.as_deref(),
            &bar,
        )?
        .learned(&self.learned, parts.as_ref())?;
        if let (true, Some(models)) = (self.unnamed, session.pipeline.models()) {
            run::load_points(models, self.models.as_deref())?;
        }
        let mut results = vec![];
        let mut failed = 0;
        for (path, dir) in self.clouds.iter().zip(&folders) {
            bar.set_prefix(one_line(&path.file_stem().unwrap_or_default().to_string_lossy()));
            progress::show(&bar, "reading");
            let result = Folder::begin(dir).and_then(|folder| {
                let job = Job::read(path, session.pipeline.device(), session.pipeline.options())?;
                session.segment("segment", &job, parts.as_ref(), folder, &bar)
            });
            match result {
                Ok(result) => results.push(result),
                Err(e) if self.clouds.len() == 1 => return Err(e),
                Err(e) => {
                    failed += 1;
                    progress::complain(&bar, &e.to_string());
                    let input = session.input(path);
                    let run = json!({
                        "cloud": run::title(path), "parameters": { "input": input }, "error": e.to_string(),
                    });
                    results.push(Finished {
                        run,
                        text: format!("{}: failed", path.display()),
                        warnings: vec![],
                    });
                }
            }
        }
        bar.finish_and_clear();
        run::print(global, results, &session.warnings)?;
        match failed {
            0 => Ok(()),
            _ => Err(Error::invalid(format!("{failed} of {} clouds failed", self.clouds.len()))),
        }
    }
}

/// Where each cloud's files go: a folder of its name, or the one folder of the only cloud.
fn folders(clouds: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>> {
    match clouds {
        [_] => Ok(vec![out.to_path_buf()]),
        _ => Ok(names(clouds)?.iter().map(|name| out.join(name)).collect()),
    }
}

/// A name for each cloud: the shortest end of its path that tells it from the others.
pub fn names(clouds: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if clouds.is_empty() {
        return Ok(vec![]);
    }
    let paths: Vec<Vec<OsString>> = clouds.iter().map(|path| steps(path)).collect();
    let longest = paths.iter().map(Vec::len).max().unwrap_or_default();
    for length in 1..=longest {
        for whole_name in [false, true] {
            let folder = |steps: &Vec<OsString>| -> PathBuf {
                let mut folder: PathBuf = steps[steps.len().saturating_sub(length)..].iter().collect();
                let stem = folder.file_stem().filter(|&stem| stem != "." && stem != "..").map(OsString::from);
                if let (Some(stem), false) = (stem, whole_name) {
                    folder.set_file_name(stem);
                }
                folder
            };
            let folders: Vec<PathBuf> = paths.iter().map(folder).collect();
            if folders.iter().collect::<BTreeSet<_>>().len() == folders.len() {
                return Ok(folders);
            }
        }
    }
    let twice = (1..paths.len()).find(|&i| paths[..i].contains(&paths[i])).unwrap_or_default();
    Err(Error::invalid(format!("{} is given twice", clouds[twice].display())))
}

/// The folders that lead to a file, and its name, without `.` and `..`.
fn steps(path: &Path) -> Vec<OsString> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut steps = vec![];
    for step in absolute.components() {
        match step {
            Component::Normal(name) => steps.push(name.to_os_string()),
            Component::ParentDir => _ = steps.pop(),
            _ => (),
        }
    }
    steps
}

/// Segment a cloud that ships with this program
///
/// The shortest way to see what partstad does: no arguments, no data. The cloud and the two models are inside the
/// program; ONNX Runtime is fetched once from PyPI if this machine has none.
#[derive(Args)]
#[command(after_help = "Example: partstad demo -o out, then open out/report.html")]
pub struct Demo {
    /// Directory to write to; made if it does not exist
    #[arg(short, long, value_name = "DIR", default_value = "partstad-demo")]
    out: PathBuf,
    #[command(flatten)]
    model_settings: ModelSettings,
    #[command(flatten)]
    segmenting: Segmenting,
}

/// A procedurally generated chair of our own.
const DEMO: &[u8] = include_bytes!("../../assets/demo.ply");
const DEMO_PARTS: [&str; 5] = ["arm", "back", "leg", "seat", "wheel"];

impl Demo {
    pub fn run(&self, global: &Global) -> Result<()> {
        run::check_results(&[&self.out], &self.segmenting.settings.files().collect::<Vec<_>>())?;
        let options = self.segmenting.options()?;
        let bar = progress::stages("demo");
        let session =
            Session::start(global, options, &self.segmenting.settings, &self.model_settings, None, &bar)?;
        let path = Path::new("demo.ply");
        let points = ply::parse(DEMO, DEMO.len() as u64, path)?;
        let job = Job::new(path, points, session.pipeline.options())?;
        let folder = Folder::begin(&self.out)?;
        let finished = session.segment("demo", &job, Some(&Parts::new(DEMO_PARTS)?), folder, &bar)?;
        bar.finish_and_clear();
        run::print(global, vec![finished], &session.warnings)
    }
}

/// A pipeline with its models, ready for one cloud after the other.
struct Session {
    pipeline: Pipeline,
    models: Value,
    weights: Option<PathBuf>,
    warnings: Vec<String>,
}

impl Session {
    fn start(
        global: &Global,
        options: Options,
        settings: &Settings,
        model_settings: &ModelSettings,
        folder: Option<&Path>,
        bar: &ProgressBar,
    ) -> Result<Session> {
        let device = settings.device()?;
        bar.set_message("loading models");
        let start = Instant::now();
        let (models, how) = model_settings.load(global, settings, &device, folder)?;
        tracing::info!(seconds = start.elapsed().as_secs_f64(), name = models.manifest.name, "models loaded");
        let mut warnings = vec![];
        if models.manifest.stand_in {
            warnings.push(STAND_IN.to_string());
        }
        let mut record = models.record();
        record["folder"] = json!(folder.map(path_text));
        record["options"] = json!(how);
        let pipeline = Pipeline::new(device, options).with_models(models);
        Ok(Session { pipeline, models: record, weights: None, warnings })
    }

    fn learned(mut self, learned: &Learned, parts: Option<&Parts>) -> Result<Session> {
        let Some(parts) = parts else { return Ok(self) };
        let (pipeline, warning) = learned.give(self.pipeline, parts)?;
        self.warnings.extend(warning);
        Ok(Session { pipeline, weights: learned.weights.clone(), ..self })
    }

    /// What run.json says of the files that were read.
    fn input(&self, cloud: &Path) -> Value {
        json!({ "cloud": path_text(cloud), "weights": self.weights.as_ref().map(path_text) })
    }

    fn segment(
        &self,
        command: &str,
        job: &Job,
        parts: Option<&Parts>,
        folder: Folder,
        bar: &ProgressBar,
    ) -> Result<Finished> {
        let (cloud, stages) = (&job.input.cloud, Stages(bar));
        let (found, mut parameters) = match parts {
            Some(parts) => {
                (self.pipeline.segment(cloud, parts, &stages), output::parameters(command, &self.pipeline))
            }
            None => {
                let pipeline = self.pipeline.unnamed();
                let mut parameters = output::parameters(command, &pipeline);
                parameters["unnamed"] = true.into();
                (pipeline.segment_unnamed(cloud, &stages), parameters)
            }
        };
        let found = found.map_err(|e| input::named(job.path, e))?;
        parameters["input"] = self.input(job.path);
        parameters["models"] = self.models.clone();
        job.finish(&found, folder, parameters, &self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_tell_clouds_apart_and_stay_inside() {
        let of = |paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            folders(&paths, Path::new("out")).map_err(|e| e.to_string())
        };
        let out =
            |names: &[&str]| Ok(names.iter().map(|name| Path::new("out").join(name)).collect::<Vec<_>>());
        assert_eq!(of(&["a/pc.ply"]), Ok(vec![PathBuf::from("out")]));
        assert_eq!(of(&["a.ply", "b/c.ply"]), out(&["a", "c"]));
        assert_eq!(of(&["1/pc.ply", "2/pc.ply", "3/c.ply"]), out(&["1/pc", "2/pc", "3/c"]));
        assert_eq!(of(&["a/pc.ply", "a/pc.npy"]), out(&["pc.ply", "pc.npy"]));
        assert_eq!(of(&["x/../a/pc.ply", "b/./pc.ply"]), out(&["a/pc", "b/pc"]));
        assert_eq!(of(&["a/...ply", "b/c.ply"]), out(&["...ply", "c"]));
        assert_eq!(of(&["a/pc.ply", "b/../a/pc.ply"]), Err("b/../a/pc.ply is given twice".into()));
    }
}
