//! Every stage against what the authors' code computed (`tests/fixtures`, and the large cases where `PARTSTAD_GOLDEN`
//! names their folder; run these with `--include-ignored`).

mod adaptation;
mod detector;
mod lifting;
mod sam3d;
mod satr;
mod superpoints;
mod views;
