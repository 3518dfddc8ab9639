//! The few messages of TensorFlow's protocol buffers that an event file needs, as bytes.
//!
//! Field numbers are those of `event.proto`, `summary.proto` and `tensor.proto`, given beside each field.

use crate::Image;

/// `DataType.DT_DOUBLE`.
const DT_DOUBLE: u64 = 2;
/// `DataType.DT_STRING`.
const DT_STRING: u64 = 7;
/// `SessionLog.SessionStatus.START`.
const START: u64 = 1;
/// `DataClass.DATA_CLASS_TENSOR`.
const TENSOR: u64 = 2;
/// `Summary.Image.colorspace` of red, green and blue.
const RGB: u64 = 3;

/// A message under construction.
#[derive(Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// The encoded message.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn message(self, field: u64, value: Self) -> Self {
        self.bytes(field, &value.0)
    }
}

/// `Event` of this time, without content.
fn event(wall_time: f64, step: i64) -> Message {
    // A negative int64 is written as its two's complement.
    Message::default().double(1, wall_time).int(2, step as u64)
}

/// The event that opens a file: `Event.file_version`.
pub(crate) fn file_version(wall_time: f64) -> Message {
    event(wall_time, 0).bytes(3, b"brain.Event:2")
}

/// The event that makes readers forget what an earlier file says about this step and later ones:
/// `Event.session_log` with `SessionLog.status`.
pub(crate) fn session_start(wall_time: f64, step: i64) -> Message {
    event(wall_time, step).message(7, Message::default().int(1, START))
}

/// `Event.summary` with one `Summary.value`, which is `value` under a tag.
pub(crate) fn summary(wall_time: f64, step: i64, tag: &str, value: Message) -> Message {
    // Fields may come in any order, so the tag follows what it names.
    event(wall_time, step).message(5, Message::default().message(1, value.bytes(1, tag.as_bytes())))
}

/// `Summary.Value.simple_value`.
pub(crate) fn scalar(value: f32) -> Message {
    Message::default().float(2, value)
}

/// `Summary.Value.image`: height, width, colorspace and the bytes of a PNG.
pub(crate) fn image(image: &Image, png: &[u8]) -> Message {
    let content =
        Message::default().int(1, image.height as u64).int(2, image.width as u64).int(3, RGB).bytes(4, png);
    Message::default().message(4, content)
}

/// `Summary.Value.tensor` of `(buckets, 3)` doubles, each bucket its left edge, right edge and count, and the metadata that
/// sends it to TensorBoard's histogram page.
///
/// Not the older `Summary.Value.histo`: TensorBoard turns that into this one when it reads it, and drops empty buckets at
/// both ends on the way, so that codes which nobody uses would not be seen.
pub(crate) fn histogram(buckets: &[(f64, f64, f64)]) -> Message {
    let size = |size: u64| Message::default().int(1, size);
    let shape = Message::default().message(2, size(buckets.len() as u64)).message(2, size(3));
    let content: Vec<u8> = buckets
        .iter()
        .flat_map(|(left, right, count)| [*left, *right, *count])
        .flat_map(f64::to_le_bytes)
        .collect();
    let tensor = Message::default().int(1, DT_DOUBLE).message(2, shape).bytes(4, &content);
    Message::default().message(8, tensor).message(9, metadata(b"histograms").int(4, TENSOR))
}

/// `SummaryMetadata.plugin_data.plugin_name`.
fn metadata(plugin: &[u8]) -> Message {
    Message::default().message(1, Message::default().bytes(1, plugin))
}

/// `Summary.Value.tensor` with one string, and the metadata that sends it to TensorBoard's text page.
pub(crate) fn text(text: &str) -> Message {
    let shape = Message::default().message(2, Message::default().int(1, 1));
    let tensor = Message::default().int(1, DT_STRING).message(2, shape).bytes(8, text.as_bytes());
    Message::default().message(8, tensor).message(9, metadata(b"text"))
}
