//! What a training run shows to people: pictures, clips, curves, logs, progress and tables.
//!
//! A run draws what its model sees ([`strip`], [`side_by_side`], [`save_gif`], [`save_mp4`]), keeps its numbers
//! where other programs find them ([`JsonLines`], [`EventWriter`]) and draws them once it is done ([`curves`]).
//! A file that is replaced is written aside and renamed ([`cola_files`]), so a reader never meets
//! half of a picture; a log that a killed run left with half a line is mended when it is opened again.
//!
//! ```
//! use cola_report::{Image, JsonLines, Panel, Series, curves, strip};
//!
//! # let folder = tempfile::tempdir()?;
//! # let out = folder.path();
//! let mut log = JsonLines::open(out.join("metrics.jsonl"))?;
//! log.write(&serde_json::json!({ "step": 10, "loss": 0.25 }))?;
//!
//! let frame = Image::new(32, 24, [200, 120, 40]);
//! strip(&[("truth".into(), vec![frame.clone(), frame])], 2)?.save_png(out.join("truth.png"))?;
//!
//! let loss = Panel::new("World model loss", "loss").with(Series::new("joint", vec![(0.0, 1.0), (10.0, 0.25)]));
//! curves(&[loss], 1, "step").save_png(out.join("loss.png"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Parts
//!
//! | for | here |
//! |---|---|
//! | pixels and letters | [`Image`], [`Font`] |
//! | frames beside each other | [`strip`], [`side_by_side`] |
//! | a clip that loops on any page | [`save_gif`] |
//! | a clip for players: all colors, exact times, a small file | [`save_mp4`] |
//! | curves over steps | [`curves`], [`Panel`], [`Series`], [`Mark`] |
//! | how often numbers occur | [`histograms`], [`Histogram`] |
//! | numbers for programs | [`JsonLines`], [`EventWriter`] |
//! | numbers for a page | [`Table`] |
//! | a run that is still going | [`Progress`], [`clock`] |
//! | what it took | [`memory`] |
//!
//! # Left to others
//!
//! It knows no tensor and no model: who has a video in a tensor turns it into [`Image`]s first. It computes no
//! metric, reads no picture back, and decides neither when to draw nor where files go; folders must exist,
//! but for that of an [`EventWriter`], which makes its own.

mod axes;
mod curves;
mod error;
mod font;
mod gif;
mod histogram;
mod image;
mod jsonl;
pub mod memory;
mod mp4;
mod plot;
mod progress;
mod protobuf;
mod strip;
mod stroke;
mod table;
mod tensorboard;
mod ticks;

pub use self::gif::save_gif;
pub use curves::{Mark, Panel, Series, curves};
pub use error::Error;
pub use font::Font;
pub use histogram::{Histogram, histograms};
pub use image::{Color, Image};
pub use jsonl::JsonLines;
pub use mp4::save_mp4;
pub use progress::{Progress, clock};
pub use strip::{side_by_side, strip};
pub use table::Table;
pub use tensorboard::EventWriter;
