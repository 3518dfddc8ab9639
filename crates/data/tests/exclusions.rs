//! Lists of what is left out: what remains, and what the file may hold.

use cola_data::{Exclusion, Exclusions};
use proptest::prelude::*;

fn entry(episode: usize, frames: Option<std::ops::Range<usize>>) -> Exclusion {
    Exclusion { episode, name: format!("episode {episode}"), frames, reason: "a reason".into() }
}

#[test]
fn a_list_survives_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("exclude.json");
    let list = Exclusions { episodes: vec![entry(3, Some(120..140)), entry(7, None)] };
    list.write(&file).expect("a file");
    assert_eq!(Exclusions::read(&file).expect("a list"), list);
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    let expected = serde_json::json!({
        "format": "cola-exclusions", "version": 1, "episodes": [
            { "episode": 3, "name": "episode 3", "frames": [120, 140], "reason": "a reason" },
            { "episode": 7, "name": "episode 7", "frames": null, "reason": "a reason" }
        ]
    });
    assert_eq!(json, expected);
}

#[test]
fn a_file_that_is_no_list_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("exclude.json");
    let refusal = Exclusions::read(&file).expect_err("no file").to_string();
    assert!(refusal.contains("exclude.json: no such file"), "{refusal}");
    let whole = |frames: &str| {
        format!(
            r#"{{"format":"cola-exclusions","version":1,"episodes":[{{"episode":1,"name":"","frames":{frames},"reason":""}}]}}"#
        )
    };
    for (text, part) in [
        ("{".to_owned(), "EOF"),
        ("{}".to_owned(), "missing field `format`"),
        (r#"{"format":"cola-exclusions","version":2,"episodes":[]}"#.to_owned(), "found cola-exclusions, 2"),
        (r#"{"format":"other","version":1,"episodes":[]}"#.to_owned(), "found other, 1"),
        (r#"{"format":"cola-exclusions","version":1,"episodes":[],"more":1}"#.to_owned(), "more"),
        (whole("[5, 5]"), "frames [5, 5]"),
        (whole("[5]"), "length"),
        (whole("[-1, 5]"), "-1"),
    ] {
        std::fs::write(&file, text).expect("a file");
        let refusal = Exclusions::read(&file).expect_err("no list").to_string();
        assert!(refusal.contains("exclude.json") && refusal.contains(part), "{part}: {refusal}");
    }
    std::fs::write(&file, whole("null")).expect("a file");
    assert!(Exclusions::read(&file).expect("a list").keep(1, 9).is_empty());
    let refusal = Exclusions::default().write(&folder.path().join("no/exclude.json")).expect_err("no folder");
    assert!(refusal.to_string().contains("cannot be written"), "{refusal}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_remains_is_every_frame_that_no_entry_names(
        runs in prop::collection::vec((0..3usize, 0..40usize, 1..9usize), 0..6),
        frames in 0..40usize,
    ) {
        let episodes = runs.iter().map(|&(episode, start, length)| entry(episode, Some(start..start + length)));
        let list = Exclusions { episodes: episodes.collect() };
        let kept = list.keep(1, frames);
        let named = |frame: &usize| {
            runs.iter().any(|(episode, start, length)| *episode == 1 && (*start..start + length).contains(frame))
        };
        let expected: Vec<usize> = (0..frames).filter(|frame| !named(frame)).collect();
        prop_assert_eq!(kept.iter().cloned().flatten().collect::<Vec<_>>(), expected);
        prop_assert!(kept.windows(2).all(|pair| pair[0].end < pair[1].start), "runs that touch are one: {:?}", kept);
    }
}
