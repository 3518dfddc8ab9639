//! Frames beside each other, with names and numbers.

use crate::{Color, Error, Font, Image};

const BACKGROUND: Color = [24, 24, 27];
const LABEL: Color = [228, 228, 231];
const NUMBER: Color = [161, 161, 170];
/// Between frames, pixels.
const GAP: usize = 2;
/// Around the whole picture and between a label and its frames, pixels.
const MARGIN: usize = 8;

/// Rows of frames on a dark ground: the row's label at the left, frame numbers (from 0) above.
///
/// Rows may differ in length; the shorter ones end early. Each pixel becomes a block of `scale` by `scale`.
///
/// # Errors
/// No frame at all, or frames that differ in size; the message names row and frame.
pub fn strip(rows: &[(String, Vec<Image>)], scale: usize) -> Result<Image, Error> {
    let scale = scale.max(1);
    let first = rows.iter().flat_map(|(_, frames)| frames).find(|frame| frame.width * frame.height > 0);
    let expected =
        first.map(|frame| (frame.width, frame.height)).ok_or(Error::NoFrames { what: "a strip" })?;
    for (label, frames) in rows {
        for (index, frame) in frames.iter().enumerate() {
            let found = (frame.width, frame.height);
            if found != expected {
                return Err(Error::FrameSize {
                    place: format!("row `{label}`, frame {index}"),
                    expected,
                    found,
                });
            }
            frame.check()?;
        }
    }

    let columns = rows.iter().map(|(_, frames)| frames.len()).max().unwrap_or(0);
    let (width, height) = (expected.0 * scale, expected.1 * scale);
    // A label may be taller than a small frame.
    let pitch = height.max(Font::Body.height()) + GAP;
    let label_width = rows.iter().map(|(label, _)| Font::Body.width(label)).max().unwrap_or(0);
    let left = MARGIN + label_width + if label_width > 0 { MARGIN } else { 0 };
    let top = MARGIN + Font::Small.height() + GAP;
    let mut out = Image::new(
        left + columns * (width + GAP) - GAP + MARGIN,
        top + rows.len() * pitch - GAP + MARGIN,
        BACKGROUND,
    );

    // Where the numbers are wider than the frames, every second, fifth, ... is written.
    let widest = Font::Small.width(&columns.saturating_sub(1).to_string()) + Font::Small.advance();
    let every =
        [1, 2, 5, 10, 20, 50, 100].into_iter().find(|every| every * (width + GAP) >= widest).unwrap_or(200);
    for column in (0..columns).step_by(every) {
        let number = column.to_string();
        let middle = left + column * (width + GAP) + width / 2;
        let x = middle.saturating_sub(Font::Small.width(&number) / 2);
        out.text(x, MARGIN, &number, NUMBER, Font::Small);
    }
    for (row, (label, frames)) in rows.iter().enumerate() {
        let y = top + row * pitch;
        let middle = y + (pitch - GAP) / 2;
        let x = MARGIN + label_width - Font::Body.width(label);
        out.text(x, middle - Font::Body.height() / 2, label, LABEL, Font::Body);
        for (column, frame) in frames.iter().enumerate() {
            out.paste(left + column * (width + GAP), middle - height / 2, &frame.upscale(scale));
        }
    }
    Ok(out)
}

/// Pictures in a row on a dark ground, each with its label above.
///
/// Pictures may differ in size; they hang from one line. Each pixel becomes a block of `scale` by `scale`.
/// Made for the frames of a GIF: pictures and labels of the same sizes give results of the same size.
pub fn side_by_side(columns: &[(String, Image)], scale: usize) -> Image {
    let scale = scale.max(1);
    let widths: Vec<usize> =
        columns.iter().map(|(label, image)| (image.width * scale).max(Font::Body.width(label))).collect();
    let height = columns.iter().map(|(_, image)| image.height * scale).max().unwrap_or(0);
    let top = MARGIN + Font::Body.height() + GAP;
    let width = MARGIN + widths.iter().map(|width| width + MARGIN).sum::<usize>();
    let mut out = Image::new(width, top + height + MARGIN, BACKGROUND);

    let mut left = MARGIN;
    for ((label, image), width) in columns.iter().zip(widths) {
        out.text(left + (width - Font::Body.width(label)) / 2, MARGIN, label, LABEL, Font::Body);
        out.paste(left + (width - image.width * scale) / 2, top, &image.upscale(scale));
        left += width + MARGIN;
    }
    out
}
