use super::*;
use crate::io::ply;

fn example() -> (tempfile::TempDir, Dataset) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("test/Box/17");
    fs::create_dir_all(&folder).unwrap();
    fs::write(root.path().join("PartNetE_meta.json"), r#"{"Box": ["lid", "base", "lock"]}"#).unwrap();
    let cloud =
        PointCloud { positions: vec![[0.5; 3]; 6], colors: vec![[1.0; 3]; 6], ..PointCloud::default() };
    ply::write(&folder.join("pc.ply"), &cloud, &[]).unwrap();
    fs::copy("tests/fixtures/labels/protocol4.npy", folder.join("label.npy")).unwrap();
    let dataset = Dataset::open(root.path()).unwrap();
    (root, dataset)
}

#[test]
fn objects_are_found_and_read() {
    let (_root, dataset) = example();
    let objects = dataset.objects("test").unwrap();
    assert_eq!(objects.len(), 1);
    assert_eq!((&*objects[0].category, &*objects[0].id), ("Box", "17"));
    assert_eq!(objects[0].place(), Path::new("test/Box/17"));
    let (points, truth) = objects[0].read(dataset.parts["Box"].len()).unwrap();
    assert_eq!(points.positions.len(), 6);
    assert_eq!(truth.semantic, [0, 1, 2, -1, 1, 0]);
    assert_eq!(truth.instance, [0, 1, 2, -1, 3, 0]);
}

#[test]
fn without_a_file_the_part_names_are_the_benchmarks() {
    let (root, _) = example();
    fs::remove_file(root.path().join("PartNetE_meta.json")).unwrap();
    let dataset = Dataset::open(root.path()).unwrap();
    assert_eq!((dataset.parts.len(), &dataset.parts["Box"]), (45, &Parts::new(["lid"]).unwrap()));
    assert!(BENCHMARK.is_sorted_by(|a, b| a.0 < b.0));
}

#[test]
fn what_does_not_fit_is_named() {
    let (root, dataset) = example();
    let object = &dataset.objects("test").unwrap()[0];
    let error = object.read(2).unwrap_err().to_string();
    assert!(error.contains("label.npy") && error.contains("point 2"), "{error}");
    let error = Truth::read(&object.labels, 7, 3).unwrap_err().to_string();
    assert!(error.contains("7 points"), "{error}");
    fs::create_dir(root.path().join("test/Chair")).unwrap();
    let error = dataset.objects("test").unwrap_err().to_string();
    assert!(error.contains("Chair"), "{error}");
    assert_eq!(dataset.objects("train").unwrap(), [], "no such split");
    assert_eq!(dataset.splits().unwrap().into_iter().collect::<Vec<_>>(), ["test"]);
    fs::write(root.path().join("PartNetE_meta.json"), "[]").unwrap();
    let error = Dataset::open(root.path()).unwrap_err().to_string();
    assert!(error.contains("PartNetE_meta.json"), "{error}");
    assert!(Dataset::open(&root.path().join("nowhere")).unwrap_err().to_string().contains("nowhere"));
}

#[test]
#[ignore = "needs PARTSTAD_CLOUDS"]
fn real_clouds_are_read() {
    let root =
        std::env::var_os("PARTSTAD_CLOUDS").expect("PARTSTAD_CLOUDS must name the folder of real clouds");
    let dataset = Dataset::open(Path::new(&root)).unwrap();
    let mut count = 0;
    for object in ["train", "val", "test"].iter().flat_map(|split| dataset.objects(split).unwrap()) {
        let (points, truth) = object.read(dataset.parts[&object.category].len()).unwrap();
        assert_eq!(points.positions.len(), truth.semantic.len());
        assert!(truth.semantic.iter().any(|&label| label >= 0), "{object:?} has no labelled point");
        for (&label, &instance) in truth.semantic.iter().zip(&truth.instance) {
            assert_eq!(label < 0, instance < 0, "{object:?}");
        }
        count += 1;
    }
    assert!(count > 0);
}

/// A folder of clouds of two points, with labels as they are named.
fn folder(files: &[(&str, &[i32])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let cloud = PointCloud {
        positions: vec![[0.0; 3], [1.0; 3]],
        colors: vec![[1.0; 3]; 2],
        ..PointCloud::default()
    };
    for (name, values) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match (path.extension().unwrap().to_str().unwrap(), values) {
            ("npy", values) => crate::io::npy::write(&path, &[values.len()], values).unwrap(),
            (_, []) => ply::write(&path, &cloud, &[]).unwrap(),
            (_, values) => ply::write(&path, &cloud, &[("label", values)]).unwrap(),
        }
    }
    root
}

fn rules(category: Option<&str>) -> Rules {
    let parts = BTreeMap::from([("".to_string(), Parts::new(["body", "handle"]).unwrap())]);
    Rules { parts, category: category.map(String::from), ..Rules::default() }
}

#[test]
fn a_folder_of_ones_own_is_listed_and_read() {
    let root = folder(&[
        ("a.ply", &[]),
        ("a.labels.npy", &[0, 1]),
        ("a.instances.npy", &[0, 5]),
        ("b.ply", &[1, -1]),
        ("c.ply", &[]),
        ("d.ply", &[]),
        ("d_label.npy", &[0, 2]),
        ("test/e/pc.ply", &[]),
        ("test/e/label.npy", &[-1, 0]),
        ("f.ply", &[-1, -1]),
        ("g.ply", &[1, 2]),
        ("h.stl", &[]),
    ]);
    fs::write(root.path().join("h.stl"), "").unwrap();
    let (index, problems) = Index::scan(root.path(), &rules(Some("mug"))).unwrap();
    let problem = |cloud: &str| {
        &problems.iter().find(|p| p.cloud == Path::new(cloud)).unwrap_or_else(|| panic!("{problems:?}")).what
    };
    let meshes = usize::from(cfg!(feature = "meshes"));
    assert_eq!(problems.len(), 4 + meshes);
    assert!(meshes == 0 || problem("h.stl").contains("a mesh"));
    assert!(problem("c.ply").contains("holds no labels") && problem("c.ply").contains("c.labels.npy"));
    assert!(
        problem("d.ply").contains("the label of point 1 is 2, but there are 2 labels from 0 on"),
        "{}",
        problem("d.ply")
    );
    assert!(problem("f.ply").contains("no point has a label"));
    let from_one = problem("g.ply");
    assert!(from_one.ends_with("count from 1: say so (first_label, --first-label 1)"), "{from_one}");
    let both = problem("d.ply");
    assert!(both.contains("if 0 means none and the parts count from 1, say so (first_label"), "{both}");
    assert!(both.ends_with("say that (no_label, --no-label)"), "{both}");
    index.write(root.path()).unwrap();

    let data = Dataset::open(root.path()).unwrap();
    let read = |split: &str| -> Vec<_> {
        let objects = data.objects(split).unwrap();
        objects.iter().map(|object| (object.id.clone(), object.read(2).unwrap().1)).collect()
    };
    let truth = |semantic: [i32; 2], instance: [i32; 2]| Truth {
        semantic: semantic.to_vec(),
        instance: instance.to_vec(),
    };
    assert_eq!(read("train"), [("a".into(), truth([0, 1], [0, 5])), ("b".into(), truth([1, -1], [-1, -1]))]);
    assert_eq!(read("test"), [("e".into(), truth([-1, 0], [-1, -1]))]);
    assert_eq!(data.splits().unwrap().into_iter().collect::<Vec<_>>(), ["test", "train"]);
    let twice = ["train", "test", "train"].map(String::from);
    assert_eq!(data.select(&twice, &[]).unwrap().len(), 3, "each object once");
    let empty = tempfile::tempdir().unwrap();
    let error = Dataset::open(empty.path()).unwrap().select(&twice, &["mug".into()]).unwrap_err().to_string();
    assert!(error.contains("no labelled cloud") && error.contains("dataset init"), "{error}");
}

#[cfg(feature = "meshes")]
#[test]
fn a_folder_of_meshes_is_told_from_an_empty_one() {
    let root = tempfile::tempdir().unwrap();
    let scan = || Index::scan(root.path(), &rules(Some("mug"))).unwrap_err().to_string();
    assert!(scan().ends_with("no cloud in this folder"), "{}", scan());
    fs::write(root.path().join("a.glb"), "").unwrap();
    fs::write(root.path().join("a.labels.npy"), "").unwrap();
    assert!(scan().contains("no cloud in this folder, but 1 mesh, such as a.glb"), "{}", scan());
}

#[test]
fn folders_name_categories_and_clouds_are_put_aside() {
    let names: Vec<String> = (0..6).map(|i| format!("mug/{i}.ply")).collect();
    let files: Vec<(&str, &[i32])> = names.iter().map(|name| (&name[..], &[1i32, 2][..])).collect();
    let root = folder(&files);
    let aside = Rules { val: 1, test: 2, first_label: 1, ..rules(None) };
    let (index, problems) = Index::scan(root.path(), &aside).unwrap();
    assert_eq!(problems, []);
    let count = |split: &str| index.objects.iter().filter(|entry| entry.split == split).count();
    assert_eq!((count("train"), count("val"), count("test")), (3, 1, 2));
    assert_eq!(index.categories.keys().collect::<Vec<_>>(), ["mug"]);
    assert_eq!(index.objects(root.path())[0].read(2).unwrap().1.semantic, [0, 1], "labels count from 1");
    assert_eq!(Index::scan(root.path(), &aside).unwrap().0, index, "the same every time");
    let error = Index::scan(root.path(), &Rules { test: 6, ..aside }).unwrap_err().to_string();
    assert!(error.contains("6 clouds of mug"), "{error}");
    let unnamed = Rules { parts: BTreeMap::new(), ..rules(None) };
    let (_, problems) = Index::scan(root.path(), &unnamed).unwrap();
    assert!(problems[0].what.contains("parts of mug"), "{problems:?}");
}

#[test]
fn an_index_stays_inside_its_folder() {
    let parse = |split: &str, id: &str, cloud: &str| {
        Index::parse(&format!(
            r#"{{"categories": {{"mug": ["body"]}}, "objects": [
                {{"split": "{split}", "category": "mug", "id": "{id}", "cloud": "{cloud}"}}]}}"#
        ))
    };
    assert!(parse("train", "a", "x/a.ply").is_ok());
    for (split, id, cloud, why) in [
        ("..", "a", "a.ply", "split"),
        ("train", "a/b", "a.ply", "id"),
        ("train", "a", "../a.ply", "inside"),
        ("train", "a", "/etc/passwd", "inside"),
        ("train", "a", "", "inside"),
    ] {
        let error = parse(split, id, cloud).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(Index::parse(r#"{"categories": {}, "objects": [], "more": 1}"#).unwrap_err().contains("more"));
}

#[test]
fn a_folder_within_a_data_set_is_recognised() {
    let root = folder(&[("test/Box/17/pc.ply", &[0, 0])]);
    let within = |inside: &str| {
        Dataset::open(&root.path().join(inside)).unwrap().nothing(&["test".into()]).to_string()
    };
    for inside in ["test", "test/Box", "test/Box/17"] {
        let error = within(inside);
        assert!(error.ends_with(&format!("give the folder above: {}", root.path().display())), "{error}");
    }
}
