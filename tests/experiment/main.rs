//! Preparing and evaluating labelled data, as the commands' users meet it.
#![cfg(all(feature = "cli", feature = "ort"))]

mod evaluate;
mod prepare;
mod whole_way;

use partstad::{
    Device,
    stages::{cloud::Cloud, views::Views},
    study::{
        dataset::Dataset,
        prepare::{Predictor, Preparer, write_predictions},
    },
};
use procedural::{
    clouds::{self, Split},
    predictions,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Five small shapes, and predictions made from their truth.
struct Example {
    root: tempfile::TempDir,
}

impl Example {
    fn new() -> Example {
        let example = Example { root: tempfile::tempdir().unwrap() };
        let split = |name, shapes, seed| Split { name, shapes, seed };
        let splits = [split("train", 1, 2_000_000), split("test", 2, 2_000_010)];
        clouds::write(&example.data(), &["Kettle"], &splits, 6000).unwrap();
        clouds::write(&example.data(), &["Bottle", "Kettle"], &splits[1..], 6000).unwrap();
        let data = Dataset::open(&example.data()).unwrap();
        for object in ["train", "test"].iter().flat_map(|split| data.objects(split).unwrap()) {
            let labels = data.parts[&object.category].len();
            let (points, truth) = object.read(labels).unwrap();
            let views =
                Views::render(&Device::Cpu, &Cloud::new(&points).unwrap(), &Default::default()).unwrap();
            let faults = predictions::Options::default();
            let (boxes, masks) =
                predictions::predict(&views, &truth.semantic, &truth.instance, labels, 1, &faults);
            write_predictions(&example.predictions().join(object.place()), &boxes, &masks, views.side)
                .unwrap();
        }
        example
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn predictions(&self) -> PathBuf {
        self.root.path().join("predictions")
    }

    /// Runs a command on the data with the predictions, to `out`: exit code, standard output, standard error.
    fn run(&self, command: &str, out: &str, more: &[&str]) -> (Option<i32>, String, String) {
        let mut run = Command::new(env!("CARGO_BIN_EXE_partstad"));
        run.arg(command).arg(self.data()).arg("--predictions").arg(self.predictions()).args(more);
        let output = run.arg("-o").arg(self.root.path().join(out)).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn json(&self, command: &str, out: &str, more: &[&str]) -> Value {
        let (code, told, error) = self.run(command, out, &[more, &["--json"]].concat());
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str(&told).unwrap()
    }

    fn preparer(&self, folder: &Path, change: impl Fn(&mut partstad::pipeline::Options)) -> Preparer {
        let mut options = partstad::pipeline::Options::default();
        change(&mut options);
        let predictor = Predictor::Folder(self.predictions());
        Preparer::new(Device::Cpu, options, predictor, Some(folder.to_path_buf())).unwrap()
    }
}
