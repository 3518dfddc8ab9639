//! Published checkpoints: opened, checked, loaded by name, saved in the hub's layout and fetched from it.
//!
//! ```no_run
//! use candle_core::{DType, Device};
//! use cola_nn::{Linear, Params, blueprint};
//! use cola_weights::{Hub, LoadOptions, Weights, load, resolve};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = resolve("owner/name", &Hub::from_env())?; // or a path
//! let weights = Weights::open(&folder)?;
//! let params = Params::seeded(0, DType::F32, &Device::Cpu);
//! let shapes = blueprint(|vb| Linear::new(4, 2, vb.pp("head")))?;
//! println!("{}", load(&weights, &params, &shapes, &LoadOptions::new())?);
//! let model = Linear::new(4, 2, params.trainable().pp("head"))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Parts
//!
//! | for | here |
//! |---|---|
//! | a file, a folder or shards as one set of named tensors | [`Weights`], [`Stored`] |
//! | a model's parameters from it | [`load`], [`LoadOptions`], [`Loaded`], [`diffusers_names`] |
//! | the published configuration beside it | [`read_config`] |
//! | a folder that published loaders open | [`save`] |
//! | what is inside | [`table`], [`Inventory`], [`parameters`], [`bytes`] |
//! | an id instead of a path | [`resolve`], [`Reference`], [`Hub`], [`HubSettings`], [`Transfer`] |
//!
//! # Promises
//!
//! - **No pickle.** A PyTorch pickle is a program; it is refused by name, with the way to convert it.
//! - **No trust.** Headers and indices are checked against the files before anything is allocated for them, and a hostile
//!   one is an error.
//! - **One tensor at a time.** Opening reads headers, loading holds one tensor beside the parameters, saving writes
//!   tensors from where they are. Files are read, not mapped: one that another program cuts short is an error.
//! - **Whole or not there.** Names and shapes are checked before a parameter is set; files are written aside and renamed.
//!
//! # The hub
//!
//! [`resolve`] fetches with the feature `hub`, off by default: a path needs no network. Settings and cache are those of
//! the hub's own tools. The client is a small one of this crate on `ureq`: the crate `hf-hub`, looked at in 0.5 and 1.0,
//! either sends the token on to the store that a download is redirected to, resumes by appending whatever the answer
//! holds, and knows neither `HF_TOKEN`, `HF_HUB_CACHE` nor `HF_HUB_OFFLINE` (0.5), or brings an asynchronous runtime and
//! more than two hundred crates (1.0).
//!
//! # Left to others
//!
//! It knows no model: names and configurations of a published one belong to the crate that builds it. It prints nothing;
//! [`Hub::on_progress`] tells who wants to show a transfer.

mod config;
mod error;
mod header;
#[cfg(feature = "hub")]
mod hub;
mod index;
mod load;
mod loaded;
mod nearest;
mod numbers;
mod options;
mod reference;
mod resolve;
mod save;
mod settings;
mod table;
mod units;
mod weights;

pub use config::read_config;
pub use error::{Error, Result};
pub use load::load;
pub use loaded::Loaded;
pub use options::{LoadOptions, diffusers_names};
pub use reference::Reference;
pub use resolve::{Hub, Transfer, resolve};
pub use safetensors::Dtype;
pub use save::save;
pub use settings::HubSettings;
pub use table::{Group, Inventory, Row, table};
pub use units::{bytes, parameters};
pub use weights::{Stored, Weights};
