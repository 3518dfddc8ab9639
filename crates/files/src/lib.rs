//! Files and folders that are either the old or the new one, never a part; and folders with one writer.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let file = std::env::temp_dir().join(format!("cola-files-{}", std::process::id()));
//! cola_files::write_atomically(&file, b"first")?;
//! cola_files::write_atomically(&file, b"second")?;
//! assert_eq!(std::fs::read(&file)?, b"second");
//! # std::fs::remove_file(file)
//! # }
//! ```
//!
//! What checkpoints, pictures and logs share: [`write_atomically`] for bytes at hand, [`write_atomically_with`] for what
//! is too large to be held, [`AtomicFile`] for what arrives little by little. A folder is filled aside
//! ([`make_folder`]), then takes its name ([`rename`], [`sync_folder`]); [`remove_folder`] makes it disappear at once,
//! and [`FolderLock`] keeps a second program out of it. What a failure means is for the caller to say.
//!
//! With the feature `faults`, which only dev-dependencies switch on, the module `faults` makes the disk fail at any
//! chosen operation, so that a test can stop a save at each of its steps.

mod atomic;
mod claim_error;
mod disk;
#[cfg(feature = "faults")]
pub mod faults;
mod folder;
mod holder;
mod lock;
mod utc;

pub use atomic::{AtomicFile, write_atomically, write_atomically_with};
pub use claim_error::ClaimError;
pub use folder::{finish_removals, make_folder, remove_folder, rename, sync_folder};
pub use holder::Holder;
pub use lock::FolderLock;
