//! Batches as a command: nothing is lost, nothing is done twice, and one bad cloud is an entry.
#![cfg(all(feature = "cli", feature = "small-models"))]

use partstad::io::{npy, ply, points::PointCloud};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

/// A folder of small clouds and options that make them fast.
struct Example {
    root: tempfile::TempDir,
}

impl Example {
    fn new(count: usize) -> Example {
        let example = Example { root: tempfile::tempdir().unwrap() };
        let demo = PointCloud::read(Path::new("assets/demo.ply")).unwrap();
        fs::create_dir_all(example.path("clouds/Chair")).unwrap();
        for i in 0..count {
            let rows: Vec<usize> = (i..demo.len()).step_by(40 + i).collect();
            let cloud = PointCloud {
                positions: rows.iter().map(|&row| demo.positions[row]).collect(),
                colors: rows.iter().map(|&row| demo.colors[row]).collect(),
                ..PointCloud::default()
            };
            ply::write(&example.path(&format!("clouds/Chair/{i}.ply")), &cloud, &[]).unwrap();
        }
        // Two small views with large points, and boxes of any score.
        let pose = |azimuth| json!({ "elevation": 10, "azimuth": azimuth, "distance": 2.2 });
        let options = json!({
            "views": { "poses": [pose(0), pose(90)], "side": 100, "radius": 0.04 },
            "boxes": { "threshold": 0.1 },
        });
        fs::write(example.path("options.json"), options.to_string()).unwrap();
        example
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_partstad"));
        command.current_dir(self.root.path()).args([
            "batch",
            "--options",
            "options.json",
            "-o",
            out,
            "--json",
        ]);
        command.args(more);
        command
    }

    /// Standard output's lines of a run that ends with `code`.
    fn run(&self, code: i32, out: &str, more: &[&str]) -> Vec<Value> {
        let output: Output = self.command(out, more).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn totals(&self, code: i32, out: &str, more: &[&str]) -> [u64; 3] {
        let lines = self.run(code, out, more);
        let totals = &lines.last().unwrap()["totals"];
        ["done", "kept", "failed"].map(|name| totals[name].as_u64().unwrap())
    }

    /// The results of a batch that wrote labels, by file.
    fn results(&self, out: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = partstad::io::walk::files(&self.path(out)).unwrap();
        let of_shapes = files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "npz"));
        of_shapes.map(|path| (path.clone(), fs::read(self.path(out).join(path)).unwrap())).collect()
    }
}

const PARTS: [&str; 2] = ["--parts", "leg,seat,back"];

#[test]
fn a_batch_gives_what_segment_gives_and_is_done_once() {
    let example = Example::new(3);
    fs::write(example.path("clouds/broken.ply"), "ply\nno").unwrap();
    let lines = example.run(1, "out", &[&["clouds"][..], &PARTS].concat());
    assert_eq!(lines.len(), 5, "an entry a cloud, and the totals");
    let entry = |id: &str| lines.iter().find(|line| line["id"] == id).unwrap_or_else(|| panic!("{lines:?}"));
    assert_eq!(
        (&entry("Chair/0")["state"], &entry("Chair/0")["parts"][0]["name"]),
        (&json!("done"), &json!("leg"))
    );
    assert_eq!(entry("broken")["state"], "failed");
    assert!(entry("broken")["error"].as_str().unwrap().contains("broken.ply: not a PLY file"), "{lines:?}");
    let page = fs::read_to_string(example.path("out/index.html")).unwrap();
    assert!(
        page.find("Failed").unwrap() < page.find("Results").unwrap() && page.contains("Chair/0/report.html")
    );
    assert!(example.path("out/thumbnails/Chair/0.png").is_file());

    let mut segment = Command::new(env!("CARGO_BIN_EXE_partstad"));
    segment.current_dir(example.root.path()).args([
        "segment",
        "clouds/Chair/0.ply",
        "--options",
        "options.json",
    ]);
    assert!(segment.args(PARTS).args(["-o", "alone"]).output().unwrap().status.success());
    for file in
        ["labels.npy", "instances.npy", "superpoints.npy", "scores.npy", "boxes.json", "segmentation.ply"]
    {
        let read = |out: &str| fs::read(example.path(out).join(file)).unwrap();
        assert_eq!(read("out/Chair/0"), read("alone"), "{file}");
    }

    // Again: what is there is kept, what failed is tried.
    let again = |more: &[&str]| example.totals(1, "out", &[&["clouds"][..], &PARTS, more].concat());
    assert_eq!(again(&[]), [0, 3, 1]);
    // A result that is gone, a cloud that changed, a cloud that was repaired.
    fs::write(example.path("out/Chair/1/labels.npy"), "").unwrap();
    fs::copy(example.path("clouds/Chair/0.ply"), example.path("clouds/Chair/2.ply")).unwrap();
    fs::copy(example.path("clouds/Chair/0.ply"), example.path("clouds/broken.ply")).unwrap();
    assert_eq!(example.totals(0, "out", &[&["clouds"][..], &PARTS].concat()), [3, 1, 0]);
    // Results that lie among the clouds are none.
    let within = [&["clouds"][..], &PARTS, &["--write", "labels"]].concat();
    assert_eq!(example.totals(0, "clouds/out", &within), [4, 0, 0]);
    assert_eq!(example.totals(0, "clouds/out", &within), [0, 4, 0]);
    fs::remove_dir_all(example.path("clouds/out")).unwrap();
    // Other options, other names: all anew.
    assert_eq!(example.totals(0, "out", &[&["clouds"][..], &PARTS, &["--score", "0.2"]].concat()), [4, 0, 0]);
    assert_eq!(example.totals(0, "out", &["clouds", "--parts", "leg,seat", "--score", "0.2"]), [4, 0, 0]);
    assert_eq!(example.totals(0, "out", &["clouds", "--parts", "leg,seat", "--score", "0.2"]), [0, 4, 0]);
}

#[test]
fn a_batch_of_parts_without_names() {
    let example = Example::new(2);
    let list = "{\"cloud\": \"clouds/Chair/0.ply\", \"options\": {\"sam3d\": {\"masks\": {\"points_per_side\": 8}}}}\n\
                {\"id\": \"named\", \"cloud\": \"clouds/Chair/1.ply\", \"parts\": [\"leg\"]}";
    fs::write(example.path("list.jsonl"), list).unwrap();
    let asked = ["--manifest", "list.jsonl", "--unnamed"];
    let lines = example.run(1, "out", &asked);
    let error = lines.iter().find(|line| line["id"] == "named").unwrap()["error"].as_str().unwrap();
    assert!(error.contains("1.ply: its line has parts or weights"), "{error}");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(example.path(&format!("out/0/{name}"))).unwrap()).unwrap()
    };
    assert_eq!(read("parts.json")["parts"][0]["name"], "part 1");
    let made = &read("run.json")["parameters"];
    assert_eq!((&made["unnamed"], &made["options"]["labels"]["fill_hidden"]), (&json!(true), &json!(true)));
    assert_eq!(made["options"]["sam3d"]["masks"]["points_per_side"], 8);
    assert_eq!(example.totals(1, "out", &asked), [0, 1, 1], "it is there");
    let named = ["--manifest", "list.jsonl", "--parts", "leg"];
    assert_eq!(example.totals(0, "out", &named), [2, 0, 0], "made from other things");
}

#[test]
fn lists_categories_patterns_and_shards() {
    let example = Example::new(4);
    fs::write(example.path("categories.json"), r#"{"Chair": ["leg", "seat"], "Lamp": {"parts": ["shade"]}}"#)
        .unwrap();
    let by_category = ["clouds/**/*.ply", "--categories", "categories.json", "--write", "labels"];
    assert_eq!(example.totals(0, "whole", &by_category), [4, 0, 0]);
    let labels = npy::read_member::<i32>(&example.path("whole/Chair/0.npz"), "labels").unwrap();
    assert_eq!(labels.shape, [1250]);
    for i in 1..=3 {
        let done =
            example.totals(0, "shards", &[&by_category[..], &["--shard", &format!("{i}/3")]].concat())[0];
        assert_eq!(done, if i == 1 { 2 } else { 1 });
    }
    assert_eq!(example.results("shards"), example.results("whole"));

    let lines = [
        json!({ "id": "x/first", "cloud": "clouds/Chair/0.ply", "category": "Lamp" }),
        json!({ "cloud": "clouds/Chair/1.ply", "parts": "leg, seat", "options": { "boxes": { "threshold": 0.9 } } }),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(example.path("list.jsonl"), text).unwrap();
    let listed = ["--manifest", "list.jsonl", "--categories", "categories.json"];
    let told = example.run(0, "listed", &listed);
    let parts =
        |id: &str| told.iter().find(|line| line["id"] == id).unwrap()["parts"].as_array().unwrap().len();
    assert_eq!((parts("x/first"), parts("1")), (1, 2));
    let run: Value = serde_json::from_slice(&fs::read(example.path("listed/1/run.json")).unwrap()).unwrap();
    assert_eq!(run["parameters"]["options"]["boxes"]["threshold"].as_f64().unwrap() as f32, 0.9);
    fs::write(example.path("list.csv"), "id,cloud,parts\na,clouds/Chair/0.ply,\"leg, seat\"\n").unwrap();
    assert_eq!(example.totals(0, "csv", &["--manifest", "list.csv"]), [1, 0, 0]);

    // One cloud that nobody knows what to look for in, and one whose options are out of range, stop no other.
    let lines = [
        json!({ "cloud": "clouds/Chair/0.ply", "category": "Sofa" }),
        json!({ "cloud": "clouds/Chair/1.ply", "parts": "leg" }),
        json!({ "cloud": "clouds/Chair/2.ply", "parts": "leg", "options": { "views": { "side": 0 } } }),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(example.path("odd.jsonl"), text).unwrap();
    let odd = ["--manifest", "odd.jsonl", "--categories", "categories.json"];
    assert_eq!(example.totals(1, "odd", &odd), [1, 0, 2]);
    let journal = fs::read_to_string(example.path("odd/journal.jsonl")).unwrap();
    assert!(journal.contains("\\\"Sofa\\\" is not in the file of --categories"), "{journal}");
    assert!(journal.contains("option views.side is 0"), "{journal}");

    // Results of a batch without shards are there for shards, and are no clouds.
    let [shard, rest] = ["1/2", "2/2"].map(|shard| [&by_category[..], &["--shard", shard]].concat());
    assert_eq!(example.totals(0, "whole", &shard), [0, 2, 0]);
    assert_eq!(example.totals(0, "whole", &rest), [0, 2, 0]);
    assert_eq!(example.totals(0, "clouds/found", &["clouds/Chair/0.ply", "--parts", "leg"]), [1, 0, 0]);
    assert_eq!(example.totals(0, "again", &["clouds", "--parts", "leg", "--write", "labels"]), [4, 0, 0]);

    // What other options wrote over a result is no result of these.
    let one = ["clouds/*/0.ply", "--parts", "leg", "--write", "labels"];
    let other = [&one[..], &["--shard", "1/1", "--score", "0.9"]].concat();
    for options in [&one[..], &other, &one] {
        assert_eq!(example.totals(0, "over", options), [1, 0, 0], "{options:?}");
    }
    assert_eq!(example.totals(0, "over", &one), [0, 1, 0]);
    let (result, journal) = (example.path("over/Chair/0.npz"), example.path("over/journal.jsonl"));
    let mut bytes = fs::read(&result).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&result, bytes).unwrap();
    assert_eq!(example.totals(0, "over", &one), [1, 0, 0], "of the same length, but another");
    let text = fs::read_to_string(&journal).unwrap();
    let old: String = text
        .lines()
        .map(|line| {
            let mut entry: Value = serde_json::from_str(line).unwrap();
            assert!(entry.as_object_mut().unwrap().remove("result_sha256").is_some());
            format!("{entry}\n")
        })
        .collect();
    fs::write(&journal, old).unwrap();
    assert_eq!(example.totals(0, "over", &one), [0, 1, 0], "journals of before know no hash");
    assert!(example.path("over/Chair/0.npz").is_file(), "a pattern names by what it leaves open");

    let refused = |more: &[&str], why: &str| {
        let output = example.command("refused", more).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && error.contains(why), "{error}");
    };
    refused(&["clouds"], "nobody says what to look for");
    fs::create_dir_all(example.path("refused")).unwrap();
    fs::copy(example.path("clouds/Chair/0.ply"), example.path("refused/0.ply")).unwrap();
    refused(&["nowhere/*.ply", "--parts", "leg"], "no file that is not hidden is of this pattern");
    fs::create_dir_all(example.path("other")).unwrap();
    fs::copy(example.path("clouds/Chair/1.ply"), example.path("other/0.ply")).unwrap();
    let both = ["./clouds/Chair/0*.ply", "other/*.ply", "--parts", "leg", "--write", "labels"];
    assert_eq!(example.totals(0, "both", &both), [2, 0, 0]);
    assert!(example.path("both/Chair/0.npz").is_file() && example.path("both/other/0.npz").is_file());
    fs::create_dir_all(example.path("thumbs/thumbnails")).unwrap();
    fs::copy(example.path("clouds/Chair/0.ply"), example.path("thumbs/thumbnails/0.ply")).unwrap();
    let thumbs = ["thumbs", "--parts", "leg", "--write", "labels"];
    assert_eq!(example.totals(0, "apart", &thumbs), [1, 0, 0]);
    assert!(example.path("apart/clouds/thumbnails/0.npz").is_file(), "a name that the batch has itself");
    for clouds in ["refused", "refused/*.ply"] {
        refused(&[clouds, "--parts", "leg"], "its only clouds lie in the directory of -o");
    }
    fs::write(example.path("typo.json"), r#"{"Chair": {"parts": ["leg"], "weight": "w"}}"#).unwrap();
    refused(&["clouds", "--categories", "typo.json"], "Chair: unknown field `weight`");
    fs::write(example.path("again.json"), r#"{"Chair": ["leg"], "Chair": ["arm"]}"#).unwrap();
    refused(&["clouds", "--categories", "again.json"], "category \"Chair\" comes twice");
    fs::write(example.path("again.csv"), ",id,cloud,cloud,\n").unwrap();
    refused(&["--manifest", "again.csv", "--parts", "leg"], "line 1: column \"cloud\" comes twice");
    fs::write(example.path("semicolons.csv"), "id;cloud\n").unwrap();
    refused(&["--manifest", "semicolons.csv", "--parts", "leg"], "line 1: columns are parted by semicolons");
    fs::write(example.path("bad.jsonl"), "{\"cloud\": \"a.ply\", \"part\": 1}\n").unwrap();
    refused(&["--manifest", "bad.jsonl", "--parts", "leg"], "bad.jsonl: line 1: unknown field `part`");
    fs::write(
        example.path("twice.jsonl"),
        "{\"id\": \"a\", \"cloud\": \"a\"}\n{\"id\": \"a\", \"cloud\": \"b\"}\n",
    )
    .unwrap();
    refused(&["--manifest", "twice.jsonl", "--parts", "leg"], "another cloud has the name \"a\"");
    fs::write(example.path("out.jsonl"), "{\"id\": \"../a\", \"cloud\": \"a\"}\n").unwrap();
    refused(&["--manifest", "out.jsonl", "--parts", "leg"], "cannot name a result");
}

/// Kills a batch at moments all over its time, `kills` times, and lets it go on; at last it must have the bytes of one that
/// was never stopped, and have done no cloud twice but those that were under way.
fn killed(kills: u64, clouds: usize) {
    let example = Example::new(clouds);
    let labels = [&["clouds"][..], &PARTS, &["--write", "labels", "--threads", "1"]].concat();
    assert_eq!(example.totals(0, "whole", &labels)[0], clouds as u64);
    let noted =
        || fs::read_to_string(example.path("out/journal.jsonl")).map_or(0, |text| text.lines().count());
    let mut random = inputs::Random(7);
    let mut killed = 0;
    for _ in 0..kills {
        let mut child =
            example.command("out", &labels).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // After none to two more clouds, and a moment of the next one.
        let enough = noted() + (3.0 * random.uniform()) as usize;
        while child.try_wait().unwrap().is_none() && noted() < enough {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_secs_f32(0.05 * random.uniform()));
        killed += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever is there is whole.
        for path in example.results("out").keys() {
            npy::read_member::<i32>(&example.path("out").join(path), "labels").unwrap();
        }
    }
    assert!(killed > kills / 2, "{killed} of {kills} were killed");
    let [done, kept, failed] = example.totals(0, "out", &labels);
    assert_eq!((done + kept, failed), (clouds as u64, 0));
    assert_eq!(example.results("out"), example.results("whole"));
    let journal = fs::read_to_string(example.path("out/journal.jsonl")).unwrap();
    let entries: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let twice = entries.len() - clouds;
    assert!(twice == 0, "{twice} clouds were noted twice: what the journal has is not done again");
    println!("{killed} kills, {kept} of {clouds} clouds were there before the last run");
    assert_eq!(example.totals(0, "out", &labels), [0, clouds as u64, 0]);
}

#[test]
fn a_batch_that_is_killed_goes_on() {
    killed(8, 12);
}

#[test]
#[ignore = "takes minutes"]
fn a_batch_that_is_killed_fifty_times_goes_on() {
    killed(60, 60);
}

/// No file may grow beyond some blocks: what a full disk does.
#[cfg(unix)]
#[test]
fn a_full_disk_fails_clouds_and_the_next_run_makes_them() {
    let example = Example::new(3);
    let labels = [&["clouds"][..], &PARTS, &["--write", "labels"]].concat();
    example.totals(0, "whole", &labels);
    for blocks in [0, 1] {
        let command = example.command("out", &labels);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        shell.arg(command.get_program()).args(command.get_args()).current_dir(example.root.path());
        let output = shell.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("File too large"), "{error}");
    }
    let [done, _, failed] = example.totals(0, "out", &labels);
    assert!(done > 0 && failed == 0);
    assert_eq!(example.results("out"), example.results("whole"));
}

#[test]
fn two_batches_do_not_write_one_journal() {
    let example = Example::new(6);
    let labels = [&["clouds"][..], &PARTS, &["--write", "labels", "--threads", "1"]].concat();
    let mut first =
        example.command("out", &labels).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let journal = example.path("out/journal.jsonl");
    while !journal.exists() {
        let ended = first.try_wait().unwrap().is_some();
        assert!(!ended || journal.exists(), "it ended without a journal");
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = example.command("out", &labels).output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr);
    let told = String::from_utf8_lossy(&second.stdout);
    // If the first has ended by then, all is there.
    assert!(error.contains("another batch is running here") || told.contains("\"kept\":6"), "{error}");
    assert!(first.wait().unwrap().success());
}
