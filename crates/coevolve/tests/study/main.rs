//! Probes and adapters: what they find where the answer is known, and what they say where there is none.

mod adapter;
mod adapter_file;
mod pairs;
mod probe;
mod quantiles;
mod support;
mod warmup;
