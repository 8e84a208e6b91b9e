//! Bad and extreme input: a clear error or a sane result, never a panic.

mod io;
mod lifting;
mod superpoints;
mod surface;
mod views;
