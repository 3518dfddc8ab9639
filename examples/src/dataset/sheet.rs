//! The contact sheet: a few episodes as rows, frames of them as columns.

use anyhow::{Context, Result};
use cola_data::{Camera, Region, Stretch, View};
use cola_report::{Color, Font, Image};

use crate::dataset::source::{Patience, Source};

/// Longest side of a picture, pixels.
const SIDE: usize = 144;
/// Between pictures, pixels.
const GAP: usize = 4;
/// Around the sheet, pixels.
const MARGIN: usize = 14;
/// For the words beside a row, pixels.
const WORDS: usize = 210;
/// Rows of a sheet at most; with several cameras, fewer episodes are shown.
const MOST_ROWS: usize = 24;
const GROUND: Color = [24, 24, 28];
const INK: Color = [225, 225, 228];
const FAINT: Color = [140, 140, 148];

/// Draws the sheet: `episodes` of them and `frames` of each, both spread evenly from the first to the last.
///
/// # Errors
/// A picture that cannot be read.
pub fn draw(source: &Source, title: &str, episodes: usize, frames: usize) -> Result<Image> {
    let cameras = &source.cameras;
    let shown = spread(source.episodes.len(), episodes.min((MOST_ROWS / cameras.len().max(1)).max(1)));
    let sizes: Vec<(usize, usize)> = cameras.iter().map(picture).collect();
    // The frames are the same for all cameras, so their numbers stand below the last one.
    let below = |index: usize| if index + 1 == cameras.len() { Font::Small.height() + 2 * GAP } else { GAP };
    let block =
        sizes.iter().enumerate().map(|(index, (height, _))| height + below(index)).sum::<usize>() + GAP;
    let (columns, top) = (frames.max(1), MARGIN + Font::Body.height() + 3 * GAP);
    let wide = sizes.iter().map(|(_, width)| *width).max().unwrap_or(SIDE) + GAP;
    let mut sheet = Image::new(
        (MARGIN + WORDS + columns * wide + MARGIN).max(2 * MARGIN + Font::Body.width(title)),
        top + shown.len() * block + MARGIN,
        GROUND,
    );
    sheet.text(MARGIN, MARGIN, title, INK, Font::Body);

    let mut bar = Patience::new("contact sheet", "episodes");
    for (row, &place) in shown.iter().enumerate() {
        let number = source.episodes[place];
        let episode = &source.dataset.episodes()[number];
        let mut y = top + row * block;
        let mut words = vec![
            (episode.name.clone(), INK, Font::Body),
            (length(episode.frames, episode.rate), FAINT, Font::Small),
        ];
        words.extend(episode.texts.first().map(|text| (text.clone(), FAINT, Font::Small)));
        let taken = spread(episode.frames, frames);
        for (index, (camera, &(height, width))) in cameras.iter().zip(&sizes).enumerate() {
            let said = if index == 0 { std::mem::take(&mut words) } else { Vec::new() };
            let key = (cameras.len() > 1).then(|| (camera.key.clone(), FAINT, Font::Small));
            let mut line = y;
            for (text, color, font) in said.into_iter().chain(key) {
                for part in wrapped(&text, font) {
                    if line + font.height() <= y + height + below(index) {
                        sheet.text(MARGIN, line, &part, color, font);
                        line += font.height();
                    }
                }
            }
            if !taken.is_empty() {
                let stretch = Stretch { episode: number, frames: taken.clone() };
                let view = View { region: Region::FULL, height, width };
                let pictures = source.dataset.read(&camera.key, &stretch, &view).with_context(|| {
                    let path = source.path.display();
                    format!("a picture cannot be read; `dataset validate {path}` finds all that is wrong")
                })?;
                for (column, frame) in taken.iter().enumerate() {
                    let x = MARGIN + WORDS + column * wide;
                    sheet.paste(x, y, &Image::from_rgb(width, height, pictures.frame(column).to_vec())?);
                    if index + 1 == cameras.len() {
                        let number = if column == 0 { format!("frame {frame}") } else { frame.to_string() };
                        sheet.text(x, y + height + GAP / 2, &number, FAINT, Font::Small);
                    }
                }
            }
            y += height + below(index);
        }
        bar.tick(row + 1, shown.len());
    }
    bar.finish();
    Ok(sheet)
}

/// Height and width of a camera's pictures on the sheet.
fn picture(camera: &Camera) -> (usize, usize) {
    let Some((height, width)) = camera.size else { return (SIDE, SIDE) };
    let scale = SIDE as f64 / height.max(width).max(1) as f64;
    let scaled = |side: usize| ((side as f64 * scale).round() as usize).max(1);
    (scaled(height), scaled(width))
}

/// `wanted` of `count` places from the first to the last, without repetition.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    match wanted.min(count) {
        0 => Vec::new(),
        1 => vec![0],
        wanted => (0..wanted).map(|place| place * (count - 1) / (wanted - 1)).collect(),
    }
}

fn length(frames: usize, rate: Option<f64>) -> String {
    match rate {
        Some(rate) => format!("{frames} frames, {:.1} s", frames as f64 / rate),
        None => format!("{frames} frames"),
    }
}

/// Lines of a text that fit beside a row; the last of three ends with dots if there would be more.
fn wrapped(text: &str, font: Font) -> Vec<String> {
    let most = (WORDS - 2 * GAP) / font.width("m");
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        while !word.is_empty() {
            let line = lines.last_mut().map_or(0, |line| line.chars().count());
            let room = most.saturating_sub(line + usize::from(line > 0));
            if line > 0 && word.len() > room {
                lines.push(String::new());
                continue;
            }
            let part: String = word.drain(..word.len().min(room)).collect();
            if let Some(last) = lines.last_mut() {
                if line > 0 {
                    last.push(' ');
                }
                last.push_str(&part);
            }
        }
    }
    if lines.len() > 3 {
        lines.truncate(3);
        lines[2] = lines[2].chars().take(most - 2).chain("..".chars()).collect();
    }
    lines
}
