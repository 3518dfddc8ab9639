//! The list of the videos to use: CSV or JSON Lines.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::stays_inside;
use crate::Error;

/// Largest list that is read, bytes.
const LARGEST: u64 = 256 << 20;

/// A row: one episode.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Row {
    /// Number of its line, from 1.
    #[serde(skip)]
    pub(super) line: usize,
    /// The video file, inside the data set's folder.
    pub(super) path: PathBuf,
    /// First moment, seconds since the first frame.
    pub(super) start: Option<f64>,
    /// End, seconds since the first frame: frames shown before it belong to the episode.
    pub(super) end: Option<f64>,
    /// First frame, from 0.
    pub(super) start_frame: Option<usize>,
    /// One past the last frame.
    pub(super) end_frame: Option<usize>,
    pub(super) split: Option<String>,
    pub(super) text: Option<String>,
}

/// Reads and checks the list `file`.
pub(super) fn read(file: &Path) -> Result<Vec<Row>, Error> {
    let unreadable = |source| Error::Read { file: file.to_owned(), source };
    let mut text = String::new();
    let handle = std::fs::File::open(file).map_err(unreadable)?;
    handle.take(LARGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LARGEST {
        return Err(error(file, 1, "size", "more".into(), format!("at most {LARGEST} bytes")));
    }
    let text = text.trim_start_matches('\u{feff}');
    let extension = file.extension().map(|extension| extension.to_ascii_lowercase());
    let rows = match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("csv") => from_csv(file, text)?,
        Some("jsonl") => from_json(file, text)?,
        _ => return Err(Error::setting("manifest", file.display(), "a file that ends in .csv or .jsonl")),
    };
    for row in &rows {
        if !stays_inside(&row.path) {
            let expected = "a path inside the data set's folder".to_owned();
            return Err(error(file, row.line, "path", format!("{:?}", row.path), expected));
        }
        for (name, time) in [("start", row.start), ("end", row.end)] {
            if let Some(time) = time.filter(|time| !(*time >= 0.0 && time.is_finite())) {
                return Err(error(file, row.line, name, time.to_string(), "seconds from 0".into()));
            }
        }
        let twice = |time: Option<f64>, frame: Option<usize>| time.is_some() && frame.is_some();
        if twice(row.start, row.start_frame) || twice(row.end, row.end_frame) {
            let found = "a time and a frame for one end".to_owned();
            return Err(error(file, row.line, "start, end", found, "one of the two".into()));
        }
    }
    match rows.is_empty() {
        true => Err(error(file, 1, "rows", "none".into(), "a row for each episode".into())),
        false => Ok(rows),
    }
}

fn from_json(file: &Path, text: &str) -> Result<Vec<Row>, Error> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let row = |(text, line): (&str, usize)| match serde_json::from_str::<Row>(text) {
        Ok(row) => Ok(Row { line, ..row }),
        Err(found) => Err(error(file, line, "JSON", found.to_string(), "an object with `path`".into())),
    };
    lines.map(row).collect()
}

fn from_csv(file: &Path, text: &str) -> Result<Vec<Row>, Error> {
    let mut records = Records { text, line: 1 };
    let (_, header) = records.next().unwrap_or((1, Ok(Vec::new())));
    let header = header.map_err(|found| error(file, 1, "header", found.into(), "names of columns".into()))?;
    let place = |name: &str| header.iter().position(|found| found.trim() == name);
    let Some(path) = place("path") else {
        return Err(error(file, 1, "header", format!("{header:?}"), "a column `path`".into()));
    };
    let columns = ["start", "end", "start_frame", "end_frame", "split", "text"].map(place);
    let [start, end, start_frame, end_frame, split, words] = columns;
    let mut rows = Vec::new();
    for (line, cells) in records {
        let expected = || format!("{} cells, as the header has", header.len());
        let cells = cells.map_err(|found| error(file, line, "cells", found.into(), expected()))?;
        if cells.len() == 1 && cells[0].trim().is_empty() {
            continue;
        }
        if cells.len() != header.len() {
            return Err(error(file, line, "cells", cells.len().to_string(), expected()));
        }
        let cell = |place: Option<usize>| {
            place.and_then(|place| cells.get(place)).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
        };
        let number = |name, place| match cell(place).map(|cell| (cell, cell.parse::<f64>())) {
            None => Ok(None),
            Some((_, Ok(number))) => Ok(Some(number)),
            Some((cell, Err(_))) => Err(error(file, line, name, format!("{cell:?}"), "seconds".into())),
        };
        let frame = |name, place| match cell(place).map(|cell| (cell, cell.parse::<usize>())) {
            None => Ok(None),
            Some((_, Ok(number))) => Ok(Some(number)),
            Some((cell, Err(_))) => {
                Err(error(file, line, name, format!("{cell:?}"), "a frame's number".into()))
            }
        };
        rows.push(Row {
            line,
            path: cell(Some(path)).unwrap_or_default().into(),
            start: number("start", start)?,
            end: number("end", end)?,
            start_frame: frame("start_frame", start_frame)?,
            end_frame: frame("end_frame", end_frame)?,
            split: cell(split).map(str::to_owned),
            text: cell(words).map(str::to_owned),
        });
    }
    Ok(rows)
}

/// Records of a CSV file as RFC 4180 has them: cells in quotes may hold commas, line ends and doubled quotes.
struct Records<'a> {
    text: &'a str,
    line: usize,
}

impl Iterator for Records<'_> {
    /// Number of the record's first line, and its cells or what is wrong with them.
    type Item = (usize, Result<Vec<String>, &'static str>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.text.is_empty() {
            return None;
        }
        let line = self.line;
        let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut rest = self.text.chars();
        loop {
            let next = rest.next();
            self.line += usize::from(next == Some('\n'));
            match next {
                Some('"') if quoted && rest.as_str().starts_with('"') => {
                    rest.next();
                    cell.push('"');
                }
                Some('"') if quoted || cell.trim().is_empty() => quoted = !quoted,
                Some(sign) if quoted => cell.push(sign),
                Some(',') => cells.push(std::mem::take(&mut cell)),
                None | Some('\n') => break,
                Some('\r') if rest.as_str().starts_with('\n') => {}
                Some(sign) => cell.push(sign),
            }
        }
        cells.push(cell);
        self.text = rest.as_str();
        Some((line, if quoted { Err("a quote without its end") } else { Ok(cells) }))
    }
}

fn error(file: &Path, line: usize, field: &str, found: String, expected: String) -> Error {
    let field = format!("line {line}, {field}");
    Error::Field { file: file.to_owned(), field, found, expected, mend: "correct the list" }
}
