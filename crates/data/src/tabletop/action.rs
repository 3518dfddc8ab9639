//! What the numbers of an action mean: the same table under several controls.

use serde::{Deserialize, Serialize};

use super::physics::GRIPPER_RANGE;
use crate::Error;

/// What the numbers of an action mean.
///
/// All spaces move the same gripper: each number is turned into a way along the table's axes, and that is cut to one
/// step (`[-1, 1]`) there. The last number is the grip in all of them: -1 raised and open, 1 lowered and closed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionSpace {
    /// (right, near, grip), steps, each in `[-1, 1]`. Near is down in the picture.
    Delta,
    /// (x, y, grip): a place to go to, `[-1, 1]` from the left to the right and from the far to the near end of the
    /// gripper's reach. One action gets there or one step closer along each axis.
    Target,
    /// (a, b, grip): [`Delta`](Self::Delta) in axes that are turned by this angle. To go one step along both table axes
    /// takes numbers up to 1.42.
    Rotated {
        /// Angle from the table's right to the first axis, towards near.
        degrees: f64,
    },
    /// (left, near, grip): [`Delta`](Self::Delta) as in a mirror.
    Mirrored,
    /// (right, left, near, far, grip): four buttons, pressed from 0 to 1; negative values count as 0.
    Buttons,
}

impl ActionSpace {
    /// Numbers in an action, `A`.
    pub fn dim(&self) -> usize {
        self.names().len()
    }

    /// Name of each number.
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Delta => &["right", "near", "grip"],
            Self::Target => &["x", "y", "grip"],
            Self::Rotated { .. } => &["a", "b", "grip"],
            Self::Mirrored => &["left", "near", "grip"],
            Self::Buttons => &["right", "left", "near", "far", "grip"],
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Rotated { degrees } if !degrees.is_finite() => {
                Err(Error::setting("tabletop.actions.rotated.degrees", degrees, "a finite number"))
            }
            _ => Ok(()),
        }
    }

    /// (right, near, grip), each in `[-1, 1]`, of an action with the gripper at `gripper` and steps of length `step`.
    pub(super) fn decode(&self, action: &[f32], gripper: [f64; 2], step: f64) -> Result<[f64; 3], Error> {
        let numbers = || format!("{action:?}");
        if action.iter().any(|number| !number.is_finite()) {
            return Err(Error::setting("action", numbers(), "finite numbers"));
        }
        let wide = |number: &f32| f64::from(*number);
        let [right, near, grip] = match (self, action) {
            (Self::Delta, [right, near, grip]) => [right, near, grip].map(wide),
            (Self::Target, [x, y, grip]) => {
                let way = |number, from| (place(wide(number)) - from) / step;
                [way(x, gripper[0]), way(y, gripper[1]), wide(grip)]
            }
            (Self::Rotated { degrees }, [a, b, grip]) => {
                let (sin, cos) = sin_cos(*degrees);
                let (a, b) = (wide(a), wide(b));
                [a * cos - b * sin, a * sin + b * cos, wide(grip)]
            }
            (Self::Mirrored, [left, near, grip]) => [-wide(left), wide(near), wide(grip)],
            (Self::Buttons, [right, left, near, far, grip]) => {
                let pressed = |number| wide(number).clamp(0.0, 1.0);
                [pressed(right) - pressed(left), pressed(near) - pressed(far), wide(grip)]
            }
            _ => return Err(Error::setting("action", numbers(), format!("{} numbers", self.dim()))),
        };
        Ok([right, near, grip].map(|number| number.clamp(-1.0, 1.0)))
    }

    /// The action that does (right, near, grip) with the gripper at `gripper` and steps of length `step`.
    pub(super) fn encode(&self, [right, near, grip]: [f64; 3], gripper: [f64; 2], step: f64) -> Vec<f32> {
        let numbers = match self {
            Self::Delta => vec![right, near, grip],
            Self::Target => {
                vec![fraction(gripper[0] + right * step), fraction(gripper[1] + near * step), grip]
            }
            Self::Rotated { degrees } => {
                let (sin, cos) = sin_cos(*degrees);
                vec![right * cos + near * sin, near * cos - right * sin, grip]
            }
            Self::Mirrored => vec![-right, near, grip],
            Self::Buttons => vec![right.max(0.0), (-right).max(0.0), near.max(0.0), (-near).max(0.0), grip],
        };
        numbers.into_iter().map(|number| number as f32).collect()
    }
}

/// Place along an axis for a number in `[-1, 1]`.
fn place(number: f64) -> f64 {
    let [low, high] = GRIPPER_RANGE;
    low + (number.clamp(-1.0, 1.0) + 1.0) / 2.0 * (high - low)
}

/// Number in `[-1, 1]` for a place along an axis.
fn fraction(place: f64) -> f64 {
    let [low, high] = GRIPPER_RANGE;
    (place - low) / (high - low) * 2.0 - 1.0
}

/// Sine and cosine of an angle in degrees. Their own series and not the system's functions, whose last bits differ from
/// machine to machine.
fn sin_cos(degrees: f64) -> (f64, f64) {
    let quarters = (degrees / 90.0).round();
    let x = (degrees - 90.0 * quarters).to_radians();
    // Up to 45 degrees the terms left out are below 1e-17.
    let series = |first: f64, skip: u32| {
        let (mut term, mut sum) = (first, first);
        for k in 1..=9 {
            let n = f64::from(2 * k + skip);
            term *= -x * x / (n * (n - 1.0));
            sum += term;
        }
        sum
    };
    let (sin, cos) = (series(x, 1), series(1.0, 0));
    match quarters.rem_euclid(4.0) as u8 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_are_sine_and_cosine() {
        for tenth in -8000..8000 {
            let degrees = f64::from(tenth) / 10.0;
            let (sin, cos) = sin_cos(degrees);
            let expected = degrees.to_radians().sin_cos();
            assert!((sin - expected.0).abs() < 1e-14 && (cos - expected.1).abs() < 1e-14, "{degrees}");
        }
    }
}
