//! What a batch is made of.

use super::{Shape, journal, sheet};
use crate::error::{Error, Result};
use std::{
    collections::BTreeSet,
    path::{Component, Path},
};

/// Checks that every shape has a name of its own, which leads nowhere but into the folder of the results.
///
/// # Errors
/// [`Error::Invalid`] naming the first that has none, and a remedy.
pub fn check(shapes: &[Shape]) -> Result<()> {
    let mut ids = BTreeSet::new();
    for Shape { id, cloud, .. } in shapes {
        let cloud = cloud.display();
        let plain = |step: Component| matches!(step, Component::Normal(_));
        let hidden = |step: &str| step.starts_with('.');
        if id.is_empty()
            || !Path::new(id).components().all(plain)
            || id.contains('\\')
            || id.split('/').any(hidden)
            || id.chars().any(char::is_control)
            || is_own(id)
        {
            return Err(Error::invalid(format!(
                "{cloud}: {id:?} cannot name a result; give it a plain name of its own, with slashes at most inside"
            )));
        }
        if !ids.insert(id) {
            return Err(Error::invalid(format!(
                "{cloud}: another cloud has the name {id:?}; name one otherwise"
            )));
        }
    }
    // A name that is another's folder would lie in its results.
    for id in &ids {
        let above = id.match_indices('/').map(|(at, _)| id[..at].to_string());
        if let Some(folder) = above.into_iter().find(|folder| ids.contains(folder)) {
            return Err(Error::invalid(format!(
                "{id:?} would lie among the results of {folder:?}; name it otherwise"
            )));
        }
    }
    Ok(())
}

/// Whether the batch itself has files of that name.
pub fn is_own(id: &str) -> bool {
    let first = id.split('/').next().unwrap_or_default();
    first == sheet::THUMBNAILS || first == sheet::PAGE || journal::is_one(first)
}

/// The part `i` of `n` of a list: every n-th, from the i-th on (1 to n). All parts together are the list.
pub fn shard(shapes: Vec<Shape>, i: usize, n: usize) -> Vec<Shape> {
    shapes.into_iter().skip(i.saturating_sub(1)).step_by(n.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::Parts;

    fn shapes(ids: &[&str]) -> Vec<Shape> {
        let parts = Parts::new(["leg"]).unwrap();
        let shape = |id: &&str| Shape {
            id: id.to_string(),
            cloud: "a.ply".into(),
            parts: Ok(Some(parts.clone())),
            weights: None,
            options: None,
        };
        ids.iter().map(shape).collect()
    }

    #[test]
    fn names_lead_nowhere_else() {
        check(&shapes(&["a", "b/c", "b/d", "é"])).unwrap();
        for (ids, why) in [
            (&["a", "a"][..], "another cloud has the name"),
            (&["../a"], "cannot name"),
            (&["/a"], "cannot name"),
            (&["a/.partstad-new"], "cannot name"),
            (&[""], "cannot name"),
            (&["a\nb"], "cannot name"),
            (&["thumbnails/a"], "cannot name"),
            (&["journal-1-of-2.jsonl"], "cannot name"),
            (&["a", "a/b"], "among the results of \"a\""),
        ] {
            let error = check(&shapes(ids)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn shards_are_the_whole() {
        let all = shapes(&["a", "b", "c", "d", "e"]);
        let ids = |i, n| shard(all.clone(), i, n).into_iter().map(|shape| shape.id).collect::<Vec<_>>();
        assert_eq!(ids(1, 2), ["a", "c", "e"]);
        assert_eq!(ids(2, 2), ["b", "d"]);
        assert_eq!(ids(1, 1).len(), 5);
    }
}
