//! The data's way, one noun a file: cloud, superpoints, views, boxes, masks, evidence, memberships, weights (by
//! agreement, constant, or from a network, which a checkpoint keeps), scores, labels, instances.

pub mod boxes;
pub mod checkpoint;
pub mod cloud;
pub mod evidence;
pub mod instances;
pub mod labels;
pub mod masks;
pub mod memberships;
pub mod network;
pub mod scores;
pub mod superpoints;
pub mod views;
pub mod weights;

use crate::error::{Error, Result};
use serde::de::{DeserializeOwned, IntoDeserializer, value};

/// A choice by the name that it has in files; `what` is chosen.
fn by_name<T: DeserializeOwned>(what: &str, name: &str) -> Result<T> {
    let name: value::StrDeserializer<value::Error> = name.into_deserializer();
    T::deserialize(name).map_err(|e| Error::invalid(format!("{what}: {e}")))
}
