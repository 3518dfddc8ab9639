//! Logs of JSON lines, also those that a killed run left behind.

use std::fs;

use cola_report::{Error, JsonLines};
use serde_json::{Value, json};

fn step(value: &Value) -> i64 {
    value["step"].as_i64().unwrap()
}

#[test]
fn records_are_appended_one_a_line_and_seen_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut log = JsonLines::open(&path).unwrap();
    log.write(&json!({ "step": 1, "note": "two\nlines" })).unwrap();
    assert_eq!(JsonLines::read(&path).unwrap(), [json!({ "step": 1, "note": "two\nlines" })]);
    drop(log);
    JsonLines::open(&path).unwrap().write(&json!({ "step": 2, "loss": f64::NAN })).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert_eq!(JsonLines::read(&path).unwrap()[1], json!({ "step": 2, "loss": null }));
}

#[test]
fn a_log_cut_anywhere_keeps_its_whole_records_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let whole = b"{\"step\":1}\n{\"step\":2,\"note\":\"\xc3\xa4\"}\n";
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        // A record that lost no more than its line feed is whole.
        let kept = i64::from(cut >= 10) + i64::from(cut >= whole.len() - 1);
        assert_eq!(JsonLines::read(&path).unwrap().len() as i64, kept, "cut at {cut}");
        JsonLines::open(&path).unwrap().write(&json!({ "step": 3 })).unwrap();
        let steps: Vec<i64> = JsonLines::read(&path).unwrap().iter().map(step).collect();
        assert_eq!(steps, (1..=kept).chain([3]).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn reading_leaves_a_torn_log_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    fs::write(&path, b"{\"step\":1}\n{\"st").unwrap();
    JsonLines::read(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"{\"step\":1}\n{\"st");
}

#[test]
fn resuming_drops_what_comes_after_the_checkpoint_and_keeps_the_rest_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    fs::write(&path, "{\"step\": 1, \"b\":2, \"a\":1.50}\n{\"step\":2}\n{\"step\":3}\n{\"ste").unwrap();
    let mut log = JsonLines::resume(&path, |record| step(record) <= 2).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\": 1, \"b\":2, \"a\":1.50}\n{\"step\":2}\n");
    log.write(&json!({ "step": 3, "again": true })).unwrap();
    assert_eq!(JsonLines::read(&path).unwrap()[2], json!({ "step": 3, "again": true }));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_malformed_line_in_the_middle_is_named_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    for middle in ["{\"step\":", "[1, 2]", "", "{\"step\":2}{\"step\":3}"] {
        let text = format!("{{\"step\":1}}\n{middle}\n{{\"step\":4}}\n");
        fs::write(&path, &text).unwrap();
        let error = JsonLines::resume(&path, |_| false).unwrap_err();
        assert!(matches!(error, Error::JsonLine { line: 2, .. }), "{error}");
        assert!(error.to_string().contains("log.jsonl:2"), "{error}");
        assert!(JsonLines::read(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn what_is_no_object_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut log = JsonLines::open(&path).unwrap();
    assert!(matches!(log.write(&[1, 2]), Err(Error::Record { .. })));
    assert!(matches!(log.write(&7), Err(Error::Record { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn a_log_that_is_not_there_is_an_error_to_read() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(JsonLines::read(folder.path().join("none.jsonl")), Err(Error::Io { .. })));
}
