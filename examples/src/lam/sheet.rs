//! A picture for each position: what each code looks like.

use anyhow::Result;
use cola_data::{ClipSource, Crop, Frames, resize};
use cola_report::{Color, Font, Image};

use crate::lam::survey::{Change, Seen, Survey};

/// Side of a picture, pixels.
const SIDE: usize = 72;
/// Between pictures, pixels.
const GAP: usize = 4;
/// Around the sheet, pixels.
const MARGIN: usize = 12;
/// For code, share, bar and mean action, pixels.
const WORDS: usize = 190;
/// Rows of a sheet at most: the most frequent codes.
const MOST_ROWS: usize = 64;
/// Of the strongest mean change, what still gets the whole range from black to white.
const LEAST_STRENGTH: f64 = 0.1;
/// Numbers of a real action that fit beside a row.
const MOST_NUMBERS: usize = 6;
const BAR_HEIGHT: usize = 4;
const GROUND: Color = [24, 24, 28];
const INK: Color = [225, 225, 228];
const FAINT: Color = [140, 140, 148];
const BAR: Color = [70, 140, 220];

/// One row of a sheet.
pub struct CodeRow {
    /// The code, or the whole action's codes.
    pub name: String,
    /// Share of the transitions.
    pub share: f64,
    /// Transitions.
    pub count: u64,
    /// Mean change; none for whole actions.
    pub change: Option<Vec<f64>>,
    /// Mean real action; empty for whole actions and for sources without any.
    pub action: Vec<f64>,
    /// Examples, at most as many as asked for, spread evenly over the transitions.
    pub examples: Vec<Seen>,
}

impl CodeRow {
    /// A code that never occurs.
    pub fn unused(code: u32) -> Self {
        let name = format!("code {code}");
        Self { name, share: 0.0, count: 0, change: None, action: Vec::new(), examples: Vec::new() }
    }
}

/// The codes of a position in use, the most frequent first.
pub fn position_rows(survey: &Survey, position: usize, examples: usize) -> Vec<CodeRow> {
    let total = survey.usage.samples().max(1) as f64;
    let mut rows: Vec<CodeRow> = survey.changes[position]
        .iter()
        .map(|(&code, change): (&u32, &Change)| CodeRow {
            name: format!("code {code}"),
            share: change.count as f64 / total,
            count: change.count,
            change: Some(change.mean()),
            action: change.mean_action(),
            examples: spread(survey.seen.iter().filter(|seen| seen.codes[position] == code), examples),
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    rows
}

/// The whole actions in use, the most frequent first.
pub fn action_rows(survey: &Survey, examples: usize) -> Vec<CodeRow> {
    let total = survey.usage.samples().max(1) as f64;
    let mut actions: Vec<(&[u32], u64)> = survey.usage.actions().collect();
    actions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let row = |(codes, count): (&[u32], u64)| CodeRow {
        name: codes.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        share: count as f64 / total,
        count,
        change: None,
        action: Vec::new(),
        examples: spread(survey.seen.iter().filter(|seen| seen.codes == codes), examples),
    };
    actions.into_iter().map(row).collect()
}

fn spread<'a>(seen: impl Iterator<Item = &'a Seen>, wanted: usize) -> Vec<Seen> {
    let all: Vec<&Seen> = seen.collect();
    let count = wanted.min(all.len());
    (0..count).map(|i| all[i * all.len() / count].clone()).collect()
}

/// Draws rows: name, share and a bar for it, the mean real action, the mean change on grey (brighter where the picture becomes brighter, each row
/// on its own scale), then example pairs, before and after.
///
/// # Errors
/// The source's.
pub fn draw(title: &str, rows: &[CodeRow], side: usize, source: &dyn ClipSource) -> Result<Image> {
    let shown = &rows[..rows.len().min(MOST_ROWS)];
    let pairs = shown.iter().map(|row| row.examples.len()).max().unwrap_or(0);
    let has_change = shown.iter().any(|row| row.change.is_some());
    let first_pair = MARGIN + WORDS + if has_change { SIDE + 3 * GAP } else { 0 };
    let pair = 2 * SIDE + GAP / 2 + 3 * GAP;
    let top = MARGIN + 2 * Font::Body.height() + 4 * GAP;
    let title = match rows.len() - shown.len() {
        0 => title.to_string(),
        left => format!("{title}; the {} most frequent, {left} more in codes.csv", shown.len()),
    };
    let width = (first_pair + pairs * pair + MARGIN).max(MARGIN * 2 + Font::Body.width(&title));
    let mut sheet = Image::new(width, top + shown.len() * (SIDE + GAP) + MARGIN, GROUND);
    sheet.text(MARGIN, MARGIN, &title, INK, Font::Body);
    let heading = MARGIN + Font::Body.height() + 2 * GAP;
    if shown.iter().any(|row| !row.action.is_empty()) {
        sheet.text(MARGIN, heading, "share, count, mean action", FAINT, Font::Small);
    }
    if has_change {
        sheet.text(MARGIN + WORDS, heading, "change", FAINT, Font::Small);
    }
    sheet.text(first_pair, heading, "examples: before, after", FAINT, Font::Small);

    let greatest = shown.iter().map(|row| row.share).fold(0.0, f64::max);
    let strength = |change: &[f64]| change.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let strongest =
        shown.iter().flat_map(|row| &row.change).map(|change| strength(change)).fold(0.0, f64::max);
    for (index, row) in shown.iter().enumerate() {
        let y = top + index * (SIDE + GAP);
        let mut line = y + GAP;
        sheet.text(MARGIN, line, &row.name, INK, Font::Body);
        line += Font::Body.height() + GAP;
        let share = format!("{:.1} %, {}", 100.0 * row.share, row.count);
        sheet.text(MARGIN, line, &share, FAINT, Font::Small);
        line += Font::Small.height() + GAP;
        let length =
            ((WORDS - 3 * GAP) as f64 * row.share / greatest.max(f64::MIN_POSITIVE)).round() as usize;
        sheet.fill(MARGIN, line, length.max(1), BAR_HEIGHT, BAR);
        if (1..=MOST_NUMBERS).contains(&row.action.len()) {
            let words: Vec<String> = row.action.iter().map(|value| format!("{value:+.1}")).collect();
            sheet.text(MARGIN, line + BAR_HEIGHT + GAP, &words.join(" "), FAINT, Font::Small);
        }
        if let Some(change) = &row.change {
            // Each on its own scale, or rare codes with few transitions to average would leave the others grey; but where
            // next to nothing changes, the tile stays grey.
            let scale = strength(change).max(LEAST_STRENGTH * strongest);
            sheet.paste(MARGIN + WORDS, y, &change_tile(change, side, scale)?);
        }
        for (place, example) in row.examples.iter().enumerate() {
            let clip = source.clip(example.clip)?;
            let x = first_pair + place * pair;
            sheet.paste(x, y, &tile(&clip.frames, example.transition)?);
            sheet.paste(x + SIDE + GAP / 2, y, &tile(&clip.frames, example.transition + 1)?);
        }
    }
    Ok(sheet)
}

fn tile(frames: &Frames, index: usize) -> Result<Image> {
    let (height, width) = (frames.height, frames.width);
    let one = Frames { count: 1, height, width, rgb: frames.frame(index).to_vec() };
    let small = resize(&one, &Crop::full(height, width), SIDE, SIDE)?;
    Ok(Image::from_rgb(SIDE, SIDE, small.rgb)?)
}

fn change_tile(change: &[f64], side: usize, greatest: f64) -> Result<Image> {
    let scale = 127.0 / greatest.max(f64::MIN_POSITIVE);
    let rgb = change.iter().map(|value| (128.0 + value * scale).round().clamp(0.0, 255.0) as u8).collect();
    tile(&Frames { count: 1, height: side, width: side, rgb }, 0)
}
