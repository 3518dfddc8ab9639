//! Several runs beside each other: the pieces of the program `compare`.

pub mod group;
pub mod history;
pub mod series;
pub mod tables;
