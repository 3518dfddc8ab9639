//! Which fields are the action, the state, the texts; how fast known robots were run.

use super::features::{STEPS, Spec, Specs};
use crate::dataset::Camera;
use crate::{Error, OpenOptions};

/// Fields that count the steps, the usual one first.
pub(super) const FLAGS: [&str; 5] =
    ["steps/is_first", "steps/is_last", "steps/is_terminal", "steps/reward", "steps/discount"];

/// Where sets of Open X-Embodiment keep what the robot was told.
const TEXTS: [&str; 5] = [
    "steps/language_instruction",
    "steps/language_instruction_2",
    "steps/language_instruction_3",
    "steps/observation/natural_language_instruction",
    "steps/natural_language_instruction",
];

/// Where they keep the robot's state as one list of numbers.
const STATES: [&str; 2] = ["steps/observation/state", "steps/observation/proprio"];

/// The parts of the action of RT-1, Kuka and their kin, in the order in which models take them.
const ARM: [&str; 3] =
    ["steps/action/world_vector", "steps/action/rotation_delta", "steps/action/gripper_closedness_action"];

/// Control rates as published with Open X-Embodiment; a name ends where these end or goes on with `_`.
const RATES: [(&str, f64); 6] = [
    ("fractal20220817_data", 3.0),
    ("kuka", 10.0),
    ("bridge", 5.0),
    ("taco_play", 15.0),
    ("language_table", 10.0),
    ("droid", 15.0),
];

/// A list of numbers and how many belong to a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) width: usize,
}

/// What is read of every episode.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    /// In alphabetical order.
    pub(super) cameras: Vec<Camera>,
    /// Joined to one action, in this order.
    pub(super) action: Vec<Column>,
    /// At most one.
    pub(super) state: Vec<Column>,
    pub(super) texts: Vec<String>,
}

impl Layout {
    /// # Errors
    /// `options.action` names a field that is not there or does not hold numbers.
    pub(super) fn new(specs: &Specs, options: &OpenOptions) -> Result<Self, Error> {
        let cameras = specs.iter().filter_map(|(name, spec)| {
            let Spec::Picture(size) = *spec else { return None };
            let key = name.strip_prefix("steps/observation/")?.to_owned();
            Some(Camera { key, size })
        });
        let state = STATES.iter().find_map(|name| numbers(specs, name));
        let texts = TEXTS.iter().filter(|name| specs.get(**name) == Some(&Spec::Text));
        Ok(Self {
            cameras: cameras.collect(),
            action: match &options.action {
                Some(wanted) => chosen(specs, wanted)?,
                None => usual(specs),
            },
            state: state.into_iter().collect(),
            texts: texts.map(|name| name.to_string()).collect(),
        })
    }
}

/// Control rate of a data set known by name, steps per second.
pub(super) fn rate(dataset: &str) -> Option<f64> {
    let known =
        |name: &str| dataset.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    RATES.iter().find(|(name, _)| known(name)).map(|(_, rate)| *rate)
}

/// `steps/action`; or the arm's parts below it; or all of its floats, by name.
fn usual(specs: &Specs) -> Vec<Column> {
    if let Some(action) = numbers(specs, "steps/action") {
        return vec![action];
    }
    let below = |name: &&String| name.starts_with("steps/action/");
    let float = |name: &str| matches!(specs.get(name), Some(Spec::Numbers { float: true, .. }));
    let names: Vec<&str> = match specs.contains_key(ARM[0]) {
        true => ARM.to_vec(),
        false => specs.keys().filter(below).map(String::as_str).collect(),
    };
    names.into_iter().filter(|name| float(name)).filter_map(|name| numbers(specs, name)).collect()
}

/// The fields that the user asks for, with or without `steps/`, joined with `+`.
fn chosen(specs: &Specs, wanted: &str) -> Result<Vec<Column>, Error> {
    let column = |name: &str| {
        let name = name.trim();
        let long = format!("{STEPS}/{name}");
        numbers(specs, &long).or_else(|| numbers(specs, name)).ok_or_else(|| {
            let known = specs.iter().filter(|(_, spec)| matches!(spec, Spec::Numbers { .. }));
            let known: Vec<&str> = known.filter_map(|(name, _)| name.strip_prefix("steps/")).collect();
            Error::setting("action", format!("{name:?}"), format!("fields of {known:?}, joined with `+`"))
        })
    };
    wanted.split('+').map(column).collect()
}

fn numbers(specs: &Specs, name: &str) -> Option<Column> {
    match specs.get(name) {
        Some(Spec::Numbers { width, .. }) => Some(Column { name: name.to_owned(), width: *width }),
        _ => None,
    }
}
