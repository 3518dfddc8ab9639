//! Actions and states of one demo.

use super::demos::{Demo, Demos};
use crate::hdf5::Archive;
use crate::{Error, Rows};

/// Most numbers in a row.
const WIDEST: usize = 1 << 16;

/// Reads the rows of `demo`.
pub(super) fn read(file: &Demos, demo: &Demo, rate: Option<f64>) -> Result<Rows, Error> {
    Archive::with(&file.path, |archive| {
        let table = |name: &str, least: usize| -> Result<(Vec<f32>, usize), Error> {
            let Some(array) = archive.array(&format!("data/{}/{name}", demo.name))? else {
                return Ok((Vec::new(), 0));
            };
            let legal = (1..=2).contains(&array.shape().len()) && (1..=WIDEST).contains(&array.row());
            if !legal || !(least..=demo.frames).contains(&array.rows()) {
                let expected = format!("{} rows of 1 to {WIDEST} numbers, one for each picture", demo.frames);
                return Err(array.field(format!("shape {:?}", array.shape()), expected));
            }
            let mut values: Vec<f32> = array.numbers()?.into_iter().map(|value| value as f32).collect();
            values.resize(demo.frames * array.row(), 0.0);
            Ok((values, array.row()))
        };
        let (actions, action_dim) = table("actions", demo.frames - 1)?;
        let (states, state_dim) = table("states", demo.frames)?;
        let rate = rate.unwrap_or(1.0);
        let times = (0..demo.frames).map(|frame| frame as f64 / rate).collect();
        Ok(Rows { times, actions, action_dim, states, state_dim })
    })
}
