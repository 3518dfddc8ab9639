//! What is inside a published checkpoint: names, dtypes, shapes, parameters, metadata.
//!
//!     cargo run --release --example inspect_weights -- path/to/folder
//!     cargo run --release --features hub --example inspect_weights -- hpcai-tech/OpenSora-STDiT-v3 --groups
//!
//! Expect a table in a moment: only headers are read, however large the files.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

use anyhow::Result;
use clap::Parser;
use cola_examples::download;
use cola_report::Table;
use cola_weights::{Inventory, Weights, bytes, parameters, resolve, table};

/// Lists the tensors of a checkpoint.
///
/// PATH_OR_ID is a .safetensors file, a folder with one (or with model.safetensors.index.json and its shards), or an id
/// on the hub such as owner/name, owner/name@revision or owner/name:subfolder. An id is fetched into the cache that the
/// hub's own tools use (HF_HOME), with HF_TOKEN where it is needed; that takes a program built with --features hub.
/// Pickles (.bin, .pt, .pth, .ckpt) are never opened: the refusal tells how to convert one.
///
/// Examples:
///   inspect_weights model.safetensors                     every tensor, totals, metadata
///   inspect_weights path/to/folder --groups               totals by the first word of the names
///   inspect_weights path/to/folder --filter cross_attn    only names that contain the text
///   inspect_weights path/to/folder --json > tensors.json  the same for programs
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Cli {
    /// A file, a folder, or an id on the hub.
    #[arg(value_name = "PATH_OR_ID")]
    checkpoint: String,
    /// Only tensors whose names contain this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Totals by the first word of the names instead of every tensor.
    #[arg(long)]
    groups: bool,
    /// JSON on standard output instead of tables; sizes in bytes.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let path = resolve(&cli.checkpoint, &download::hub())?;
    let weights = Weights::open(&path)?;
    let mut inventory = table(&weights);
    if let Some(text) = &cli.filter {
        inventory.filter(text);
    }
    let text = match (cli.json, cli.groups) {
        (true, false) => serde_json::to_string_pretty(&inventory)? + "\n",
        (true, true) => serde_json::to_string_pretty(&inventory.groups())? + "\n",
        (false, groups) => tables(&weights, &inventory, groups)?,
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // `head` has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn tables(weights: &Weights, inventory: &Inventory, groups: bool) -> Result<String> {
    let mut text = String::new();
    if !groups {
        let mut table = Table::new(["tensor", "dtype", "shape", "parameters", "bytes"]);
        for row in &inventory.tensors {
            let shape = format!("{:?}", row.shape);
            table.row([
                row.name.clone(),
                row.dtype.clone(),
                shape,
                parameters(row.parameters),
                bytes(row.bytes),
            ])?;
        }
        writeln!(text, "{table}")?;
    }
    let mut table = Table::new(["group", "tensors", "parameters", "bytes"]);
    let (mut count, mut size) = (0, 0);
    for group in inventory.groups() {
        (count, size) = (count + group.parameters, size + group.bytes);
        table.row([
            group.prefix,
            group.tensors.to_string(),
            parameters(group.parameters),
            bytes(group.bytes),
        ])?;
    }
    table.row(["all".into(), inventory.tensors.len().to_string(), parameters(count), bytes(size)])?;
    writeln!(text, "{table}")?;
    for (key, value) in &inventory.metadata {
        writeln!(text, "metadata {key}: {value}")?;
    }
    for file in weights.files() {
        writeln!(text, "file {}", file.display())?;
    }
    Ok(text)
}
