//! Does a folder of models keep the contracts? All that is wrong with it at once, and what a view costs.

pub use super::onnx::contract::Comparison;

use super::{
    Concepts, Detector, Finder, Models, NO_FEATURES, Options, Segmenter, concepts, detector,
    folder::Folder,
    image::Images,
    manifest::Manifest,
    onnx::{contract, runtime, session::Sessions},
    points,
    segmenter::{self, Prompt},
};
use crate::{
    device::Device,
    error::Result,
    ops::detect::detection::{Detection, Thresholds},
    parts::Template,
};
use serde::Serialize;
use std::{fs, path::Path, time::Instant};

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The folder's own words.
    pub manifest: Manifest,
    /// The models, with each input and output beside its contract.
    pub models: Vec<Checked>,
    /// What is wrong, in words; none = the folder can be used.
    pub problems: Vec<String>,
    /// What to know of it, in words.
    pub notes: Vec<String>,
    /// What a view cost, if nothing was wrong before.
    pub trial: Option<Trial>,
}

/// One model.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// Its file.
    pub file: String,
    /// Size of the file with its external data.
    pub bytes: u64,
    /// Inputs and outputs; none if ONNX Runtime could not open it.
    pub ports: Vec<Comparison>,
}

/// What a run on made-up views found and cost, on the CPU.
#[derive(Debug, Default, Serialize)]
pub struct Trial {
    /// Seconds to make the sessions.
    pub load: f64,
    /// Seconds to encode the part names.
    pub text: f64,
    /// Seconds to detect in one view, or to look for one name in it.
    pub detect: f64,
    /// Boxes found in it; the views show nothing, so this says little.
    pub boxes: usize,
    /// Seconds to encode one view and decode one box, if there is a segmenter.
    pub segment: Option<f64>,
    /// Seconds for each further box or name.
    pub decode: Option<f64>,
    /// Bytes of weights.
    pub weights: u64,
    /// Bytes of the detector's outputs for one view, or of the decoder's for a name.
    pub outputs: u64,
    /// The most memory that this process held, in bytes, where the system tells (Linux).
    pub peak: Option<u64>,
}

/// The side of the made-up views, that of the pipeline's own.
const SIDE: usize = 800;
const BOXES: usize = 17;

/// Checks the models of a folder. `parts` are the names to look for in the trial.
///
/// # Errors
/// Those of reading the manifest, and of finding ONNX Runtime; everything else is in the report.
pub fn check(folder: &Path, parts: &[impl AsRef<str>], options: &Options) -> Result<Report> {
    let files = Folder::on_disk(folder)?;
    let sessions = Sessions::cpu(runtime::load()?, options);
    let mut problems: Vec<String> =
        files.check_files().filter_map(|checked| checked.err()).map(|e| e.to_string()).collect();
    let mut named = vec![];
    if let Some(rules) = &files.manifest.detector {
        named.extend([&rules.text_encoder, &rules.model].into_iter().zip(detector::contracts(rules)));
    }
    if let Some(rules) = &files.manifest.segmenter {
        named.extend([&rules.encoder, &rules.decoder].into_iter().zip(segmenter::contracts(rules)));
        named.extend(rules.points.iter().map(|file| (file, points::contract(rules))));
    }
    if let Some(rules) = &files.manifest.concepts {
        match concepts::contracts(rules) {
            Ok(contracts) => named.extend(contracts),
            Err(e) => problems.push(format!("{}: concepts.{e}", folder.join("manifest.json").display())),
        }
    }
    let mut models = vec![];
    for (file, contract) in named {
        let size = |name: &str| fs::metadata(folder.join(name)).map_or(0, |file| file.len());
        let opened = files.source(file).and_then(|source| sessions.open(&source));
        let ports = match opened {
            Ok(session) => contract::compare(&session, &contract),
            Err(e) => {
                problems.push(e.to_string());
                vec![]
            }
        };
        let wrong = ports.iter().filter_map(|port| port.problem.as_ref());
        problems.extend(wrong.map(|problem| format!("{}: {problem}", folder.join(file).display())));
        models.push(Checked { file: file.clone(), bytes: size(file) + size(&format!("{file}.data")), ports });
    }
    let foreign = files.manifest.concepts.is_some()
        && problems.iter().any(|problem| problem.contains(contract::UNKNOWN));
    let ports = "What the inputs and outputs of other exports are is said in concepts.ports of the manifest (docs/manifest.md).";
    let known = [(files.manifest.lacks_features(), NO_FEATURES), (foreign, ports)];
    let offsets = files.manifest.detector.iter().flat_map(|rules| &rules.text.offsets).map(|(caption, file)| {
        format!("{file} is added to the text where exactly the names of {caption:?} are asked for, in this order.")
    });
    let notes =
        known.iter().filter(|(is, _)| *is).map(|(_, words)| words.to_string()).chain(offsets).collect();
    let mut report = Report { manifest: files.manifest, models, problems, notes, trial: None };
    if report.problems.is_empty() {
        let mut trial = Trial { weights: report.models.iter().map(|m| m.bytes).sum(), ..Trial::default() };
        match trial.run(folder, parts, options) {
            Ok(problems) => report.problems = problems,
            Err(e) => report.problems.push(e.to_string()),
        }
        trial.peak = peak();
        report.trial = Some(trial);
    }
    Ok(report)
}

impl Trial {
    /// Runs everything once; returns what went wrong without an error.
    fn run(&mut self, folder: &Path, parts: &[impl AsRef<str>], options: &Options) -> Result<Vec<String>> {
        let (models, seconds) = timed(|| Models::load(&Device::Cpu, folder, options))?;
        self.load = seconds;
        let pixels = views();
        let both = Images { pixels: &pixels, height: SIDE, width: SIDE };
        match &models.finder {
            Finder::Boxes(detector, segmenter) => {
                let problems = self.detect(detector, both, parts)?;
                segmenter.iter().try_for_each(|segmenter| self.segment(segmenter, both))?;
                Ok(problems)
            }
            Finder::Concepts(concepts) => self.find(concepts, both, parts),
        }
        .map(|problems| {
            let Manifest { detector, concepts, .. } = &models.manifest;
            let file = detector.iter().map(|d| &d.model).chain(concepts.iter().map(|c| &c.decoder)).next();
            let file = folder.join(file.expect("one of both"));
            problems.into_iter().map(|problem| format!("{}: {problem}", file.display())).collect()
        })
    }

    fn detect(
        &mut self,
        detector: &Detector,
        both: Images,
        parts: &[impl AsRef<str>],
    ) -> Result<Vec<String>> {
        let (prompt, seconds) = timed(|| detector.prompt(parts, &Template::default()))?;
        self.text = seconds;
        let outputs = detector.output_lens(1, prompt.tokens.ids.len());
        self.outputs = (outputs.iter().sum::<usize>() * size_of::<f32>()) as u64;
        let first = Images { pixels: both.get(0), ..both };
        let (alone, seconds) = timed(|| detector.detect(first, &prompt, Thresholds::only(0.0), 1))?;
        (self.detect, self.boxes) = (seconds, alone[0].boxes.len());
        let together = detector.detect(both, &prompt, Thresholds::only(0.0), 2)?;
        let best = |found: &detector::Found| found.boxes.first().map(|b| b.score);
        let scores = best(&alone[0]).zip(best(&together[0]));
        let differ = scores.and_then(|(a, b)| differing(a, b, "in a batch of two", BATCHES));
        Ok(differ.into_iter().collect())
    }

    fn segment(&mut self, segmenter: &Segmenter, both: Images) -> Result<()> {
        let first = Images { pixels: both.get(0), ..both };
        let side = SIDE as f32;
        let prompts: Vec<Prompt> = (0..BOXES)
            .map(|b| Prompt { image: 0, corners: [0.1, 0.1, 0.5 + 0.02 * b as f32, 0.9].map(|x| x * side) })
            .collect();
        let (_, one) = timed(|| segmenter.segment(first, &prompts[..1], 1, BOXES))?;
        let (_, all) = timed(|| segmenter.segment(first, &prompts, 1, BOXES))?;
        self.segment = Some(one);
        self.decode = Some(((all - one) / (BOXES - 1) as f64).max(0.0));
        if segmenter.answers_points() {
            segmenter.answer(first, &[[0.5 * f64::from(side); 2]; 2], |_, _, _| Ok(()))?;
        }
        Ok(())
    }

    fn find(&mut self, concepts: &Concepts, both: Images, parts: &[impl AsRef<str>]) -> Result<Vec<String>> {
        let names = concepts.known(parts);
        let (prompt, seconds) = timed(|| concepts.prompt(&names))?;
        self.text = seconds;
        self.outputs = (concepts.output_len() * size_of::<f32>()) as u64;
        let first = Images { pixels: both.get(0), ..both };
        let any = Thresholds::only(0.0);
        let one = concepts.prompt(&names[..1])?;
        let (mut alone, seconds) = timed(|| concepts.find(first, &one, any, 1, 1))?;
        (self.detect, self.boxes) = (seconds, alone[0].boxes.len());
        let mut problems = vec![];
        let two = concepts.find(both, &one, any, 2, 1)?;
        problems.extend(farthest(&alone[0], &two[0], "in a batch of two", BATCHES));
        if names.len() > 1 {
            let (each, seconds) = timed(|| concepts.find(first, &prompt, any, 1, 1))?;
            self.decode = Some(((seconds - self.detect) / (names.len() - 1) as f64).max(0.0));
            let together = concepts.find(first, &prompt, any, 1, names.len())?;
            problems.extend(farthest(&each[0], &together[0], "where names are asked for together", NAMES));
            alone = each;
        }
        if let Some(b) = alone[0].boxes.iter().find(|b| b.score > 1.0) {
            problems.push(format!(
                "a box scores {}: these are no probabilities; correct concepts.score",
                b.score
            ));
        }
        let full = alone[0].masks.iter().all(|&byte| byte == u8::MAX);
        if full && !alone[0].boxes.is_empty() {
            problems.push(format!(
                "each of {} masks covers its whole view: they must be logits, above 0 inside",
                alone[0].boxes.len()
            ));
        }
        Ok(problems)
    }
}

const BATCHES: &str = "views must not depend on their batch; export with a dynamic first axis";
const NAMES: &str = "names must not depend on each other; export with a dynamic axis of names";

/// The scores of the same box, asked for in two ways.
fn differing(a: f32, b: f32, otherwise: &str, remedy: &str) -> Option<String> {
    let differ = (a - b).abs() > 1e-3;
    differ.then(|| format!("a box of a view scores {a} alone, but {b} {otherwise}: {remedy}"))
}

/// Those of the boxes that are in both, where they differ most.
fn farthest(a: &concepts::Found, b: &concepts::Found, otherwise: &str, remedy: &str) -> Option<String> {
    let same = |x: &Detection, y: &Detection| (x.part, x.location) == (y.part, y.location);
    let shared = a.boxes.iter().filter_map(|x| Some((x.score, b.boxes.iter().find(|y| same(x, y))?.score)));
    let (x, y) = shared.max_by(|x, y| (x.0 - x.1).abs().total_cmp(&(y.0 - y.1).abs()))?;
    differing(x, y, otherwise, remedy)
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    let result = run()?;
    Ok((result, start.elapsed().as_secs_f64()))
}

/// Two views: coloured rings on the background of rendered ones, and their negative.
fn views() -> Vec<u8> {
    let center = (SIDE / 2) as f32;
    let mut pixels: Vec<u8> = (0..SIDE * SIDE)
        .flat_map(|i| {
            let (x, y) = ((i % SIDE) as f32 - center, (i / SIDE) as f32 - center);
            match x.hypot(y) as u32 {
                radius @ 0..300 => [(radius / 2) as u8, 200, (radius / 50 * 40) as u8],
                _ => [254; 3],
            }
        })
        .collect();
    pixels.extend_from_within(..);
    pixels[SIDE * SIDE * 3..].iter_mut().for_each(|x| *x = 255 - *x);
    pixels
}

fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
