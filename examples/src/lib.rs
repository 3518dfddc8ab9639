//! What the example programs share: arguments, sources, console, logs and figures.

pub mod args;
pub mod console;
pub mod figures;
pub mod folder;
pub mod logs;
pub mod sources;
