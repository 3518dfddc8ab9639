//! What is drawn of a run's records.

use cola_coevolve::Record;
use cola_report::Panel;

/// One curve of a run.
#[derive(Clone, Copy)]
pub struct Quantity {
    /// Its key in tables, also across runs.
    pub key: &'static str,
    /// Title of the panel that it shares.
    pub panel: &'static str,
    /// Its name in there.
    pub name: &'static str,
    /// Beside the axis.
    pub unit: &'static str,
    /// How the axis is laid out.
    pub axis: Scale,
    /// Its value in a record, where it was measured.
    pub of: fn(&Record) -> Option<f64>,
}

/// The y axis of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, over the values.
    Linear,
    /// By the logarithm, over the values.
    Logarithmic,
    /// Evenly, from 0 to 1.
    Share,
}

impl Quantity {
    /// An empty panel with its axis.
    pub fn panel(&self, title: &str) -> Panel {
        Panel {
            log_y: self.axis == Scale::Logarithmic,
            y_range: (self.axis == Scale::Share).then_some((0.0, 1.0)),
            ..Panel::new(title, self.unit)
        }
    }
}

/// All quantities of a record, those of one panel beside each other.
pub const QUANTITIES: [Quantity; 10] = [
    Quantity {
        key: "flow",
        panel: "Losses",
        name: "flow",
        unit: "mean squared error",
        axis: Scale::Logarithmic,
        of: |record| record.flow,
    },
    Quantity {
        key: "reconstruction",
        panel: "Losses",
        name: "LAM reconstruction",
        unit: "mean squared error",
        axis: Scale::Logarithmic,
        of: |record| record.reconstruction,
    },
    Quantity {
        key: "utilization",
        panel: "Codebook use, positions pooled",
        name: "codes in use",
        unit: "share",
        axis: Scale::Share,
        of: |record| Some(record.codes.as_ref()?.pooled.utilization),
    },
    Quantity {
        key: "max_usage",
        panel: "Codebook use, positions pooled",
        name: "most frequent code",
        unit: "share",
        axis: Scale::Share,
        of: |record| Some(record.codes.as_ref()?.pooled.max_usage),
    },
    Quantity {
        key: "entropy",
        panel: "Entropy of the codes",
        name: "pooled",
        unit: "nats",
        axis: Scale::Linear,
        of: |record| Some(record.codes.as_ref()?.pooled.entropy),
    },
    Quantity {
        key: "joint_entropy",
        panel: "Entropy of the codes",
        name: "whole action",
        unit: "nats",
        axis: Scale::Linear,
        of: |record| Some(record.codes.as_ref()?.joint.entropy),
    },
    Quantity {
        key: "idm_gradient_prediction",
        panel: "Gradient on the inverse dynamics model",
        name: "prediction",
        unit: "norm",
        axis: Scale::Logarithmic,
        of: |record| record.idm_gradient_prediction,
    },
    Quantity {
        key: "idm_gradient_vq",
        panel: "Gradient on the inverse dynamics model",
        name: "quantizer",
        unit: "norm",
        axis: Scale::Logarithmic,
        of: |record| record.idm_gradient_vq,
    },
    Quantity {
        key: "gradient_norm",
        panel: "Gradient, all that learns",
        name: "gradient",
        unit: "norm",
        axis: Scale::Logarithmic,
        of: |record| Some(record.gradient_norm),
    },
    Quantity {
        key: "sensitivity",
        panel: "Action sensitivity, held-out clips",
        name: "sensitivity",
        unit: "flow loss, shuffled - true",
        axis: Scale::Linear,
        of: |record| record.sensitivity,
    },
];
