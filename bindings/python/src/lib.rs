//! The native half of the Python package `partstad`: arrays in and out, and the library's calls with the interpreter
//! let go. What users meet is in `python/partstad`.

mod arrays;
mod error;
mod evaluate;
mod mesh;
mod options;
mod pipeline;
mod predictions;
mod segmentation;
mod source;
mod work;

#[pyo3::pymodule]
mod _partstad {
    #[pymodule_export]
    use crate::{
        evaluate::evaluate,
        mesh::Mesh,
        pipeline::Pipeline,
        segmentation::Segmentation,
        source::{part_names, read},
        work::finish,
    };

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
