//! What validation finds in sets that are damaged on purpose, and what it leaves alone.

mod support;

use cola_data::{
    Dataset, Exclusions, Finding, LeRobot, Severity, ValidateOptions, What, validate, validate_episode,
};
use support::Toy;
use support::fake::Fake;

fn found(set: &dyn Dataset) -> Vec<Finding> {
    let cameras: Vec<String> = set.cameras().iter().map(|camera| camera.key.clone()).collect();
    let all: Vec<usize> = (0..set.episodes().len()).collect();
    validate(set, &all, &cameras, &ValidateOptions::default(), &mut |_, _| {}).expect("a check")
}

/// Episode, frames, what and severity of each finding.
type Short = (Option<usize>, Option<(usize, usize)>, What, Severity);

fn short(findings: &[Finding]) -> Vec<Short> {
    let frames = |finding: &Finding| finding.frames.as_ref().map(|run| (run.start, run.end));
    findings
        .iter()
        .map(|finding| (finding.episode, frames(finding), finding.what, finding.severity))
        .collect()
}

fn error(episode: usize, frames: Option<(usize, usize)>, what: What) -> Short {
    (Some(episode), frames, what, Severity::Error)
}

fn warning(episode: usize, frames: Option<(usize, usize)>, what: What) -> Short {
    (Some(episode), frames, what, Severity::Warning)
}

#[test]
fn a_sound_set_has_no_findings() {
    assert_eq!(found(&Fake::new(&[40, 1, 200])), []);
}

#[test]
fn progress_counts_every_picture() {
    let set = Fake::new(&[40, 1, 5000, 3]);
    let (all, options) = ([0, 1, 2, 3], ValidateOptions::default());
    let mut heard = Vec::new();
    let mut hear = |done, total| heard.push((done, total));
    validate(&set, &all, &["camera".into()], &options, &mut hear).expect("a check");
    assert_eq!((heard[0], heard[heard.len() - 1]), ((0, 5044), (5044, 5044)));
    assert!(heard.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn numbers_that_are_not_finite_are_found_where_they_stand() {
    let mut set = Fake::new(&[20, 20]);
    set.rows[1].actions[2 * 7 + 1] = f32::NAN;
    set.rows[1].actions[2 * 8] = f32::INFINITY;
    set.rows[1].states[3 * 2] = f32::NEG_INFINITY;
    let findings = found(&set);
    assert_eq!(
        short(&findings),
        [error(1, Some((7, 9)), What::Actions), error(1, Some((2, 3)), What::States)]
    );
    assert!(findings[0].message.contains("frames 7 to 8") && findings[0].message.contains("1 is NaN"));
    assert_eq!((findings[0].name.as_str(), &findings[0].camera), ("demo_1", &None));
}

#[test]
fn an_open_last_action_is_only_a_warning() {
    let mut set = Fake::new(&[20]);
    set.rows[0].actions[38..].fill(f32::NAN);
    assert_eq!(short(&found(&set)), [warning(0, Some((19, 20)), What::Actions)]);
    set.rows[0].actions[36] = f32::NAN;
    assert_eq!(
        short(&found(&set)),
        [error(0, Some((18, 19)), What::Actions), warning(0, Some((19, 20)), What::Actions)]
    );
}

#[test]
fn times_that_stand_still_or_jump_are_found() {
    let mut set = Fake::new(&[20, 20, 20, 20]);
    set.rows[0].times[5] = set.rows[0].times[4];
    set.rows[1].times[10..].iter_mut().for_each(|time| *time += 0.3);
    set.rows[2].times[3] = f64::NAN;
    set.rows[3].times.iter_mut().for_each(|time| *time *= 2.0);
    let findings = found(&set);
    assert_eq!(
        short(&findings),
        [
            error(0, Some((5, 6)), What::Times),
            warning(0, Some((6, 7)), What::Gap),
            warning(1, Some((10, 11)), What::Gap),
            error(2, Some((3, 4)), What::Times),
            warning(3, None, What::Rate),
        ]
    );
    assert!(findings[2].message.contains("0.400 s"), "{}", findings[2].message);
    assert!(findings[4].message.contains("5.000 frames per second"), "{}", findings[4].message);
}

#[test]
fn rows_that_do_not_match_the_frames_are_found() {
    let mut set = Fake::new(&[20, 0, 20]);
    set.rows[0].times.pop();
    set.rows[0].actions.truncate(38);
    set.rows[2].states.pop();
    let findings = found(&set);
    assert_eq!(
        short(&findings),
        [
            error(0, None, What::Length),
            error(0, None, What::Length),
            error(1, None, What::Length),
            error(2, None, What::Length)
        ]
    );
    assert_eq!(findings[0].message, "19 rows of times, 20 frames");
    assert_eq!(findings[3].message, "59 values of states, expected 3 for each of 20 frames");
}

#[test]
fn black_empty_and_frozen_pictures_are_found() {
    let mut set = Fake::new(&[40, 40]);
    set.pictures[0][3..5].fill(vec![12; 192]);
    set.pictures[0][9] = [90, 20, 200].repeat(64);
    let still = set.pictures[1][20].clone();
    set.pictures[1][20..30].fill(still.clone());
    let findings = found(&set);
    let expected = [
        error(0, Some((3, 5)), What::Black),
        warning(0, Some((9, 10)), What::Uniform),
        warning(1, Some((20, 30)), What::Frozen),
    ];
    assert_eq!(short(&findings), expected);
    assert_eq!(findings[0].camera.as_deref(), Some("camera"));

    // One less is no freeze; nor are black pictures, which are told already.
    set.pictures[1][29] = set.pictures[1][31].clone();
    set.pictures[0][3..25].fill(vec![0; 192]);
    assert_eq!(short(&found(&set)), [error(0, Some((3, 25)), What::Black)]);
}

#[test]
fn damage_in_one_place_leaves_the_rest_to_be_judged() {
    let mut set = Fake::new(&[200, 10, 10, 10]);
    set.broken = [(0, 70), (2, 0)].into();
    set.pictures[0][190] = vec![0; 192];
    set.pictures[1][4] = vec![0; 192];
    set.lost = [3].into();
    let findings = found(&set);
    assert_eq!(
        short(&findings),
        [
            error(0, Some((64, 128)), What::Pictures),
            error(0, Some((190, 191)), What::Black),
            error(1, Some((4, 5)), What::Black),
            error(2, None, What::Pictures),
            error(3, None, What::Rows),
        ]
    );
    assert!(findings[0].message.starts_with("frames 64 to 127: fake: frame 70"), "{}", findings[0].message);
}

#[test]
fn actions_that_never_change_are_told_once() {
    let mut set = Fake::new(&[20, 20]);
    set.rows.iter_mut().for_each(|rows| rows.actions.fill(0.0));
    let findings = found(&set);
    assert_eq!(short(&findings), [(None, None, What::ConstantActions, Severity::Warning)]);
    assert!(findings[0].message.starts_with("all 40 actions are the same ([0, 0])"));
    set.rows[1].actions[3] = 1.0;
    assert_eq!(found(&set), []);
}

#[test]
fn one_episode_is_checked_as_in_the_whole_set() {
    let mut set = Fake::new(&[20, 20]);
    set.rows[1].times[5] = 0.0;
    set.pictures[1][2] = vec![0; 192];
    let one = validate_episode(&set, 1, &["camera".into()], &ValidateOptions::default());
    assert_eq!(one, found(&set));
    assert_eq!(validate_episode(&set, 0, &["camera".into()], &ValidateOptions::default()), []);
}

#[test]
fn findings_in_many_places_become_one() {
    let mut set = Fake::new(&[200]);
    (0..100).for_each(|frame| set.rows[0].actions[4 * frame] = f32::NAN);
    let findings = found(&set);
    assert_eq!(short(&findings), [error(0, Some((0, 199)), What::Actions)]);
    assert!(
        findings[0].message.starts_with("100 frames in 100 places from 0 to 198"),
        "{}",
        findings[0].message
    );
}

#[test]
fn what_is_not_there_is_refused() {
    let set = Fake::new(&[20]);
    let options = ValidateOptions::default();
    let refusal = validate(&set, &[1], &[], &options, &mut |_, _| {}).expect_err("one episode");
    assert!(refusal.to_string().contains("below 1"), "{refusal}");
    let refusal = validate(&set, &[0], &["other".into()], &options, &mut |_, _| {}).expect_err("one camera");
    assert!(refusal.to_string().contains("other"), "{refusal}");
}

#[test]
fn a_truncated_video_of_a_data_set_on_disk_is_found() {
    let mut toy = Toy::new();
    toy.info["splits"].as_object_mut().expect("splits").remove("none");
    let toy = toy.write();
    // Its pictures are of one grey each.
    let grey = |episode| warning(episode, Some((0, 6)), What::Uniform);
    assert_eq!(short(&found(&LeRobot::open(toy.root()).expect("a set"))), [0, 1, 2, 3].map(grey));
    let video = std::fs::read(toy.video_file(1)).expect("a video");
    std::fs::write(toy.video_file(1), &video[..video.len() / 2]).expect("half of it");
    let findings = found(&LeRobot::open(toy.root()).expect("a set"));
    let broken = |episode| error(episode, None, What::Pictures);
    assert_eq!(short(&findings), [grey(0), grey(1), broken(2), broken(3)], "{findings:?}");
    assert!(findings[2].message.contains("file-001.mp4"), "{}", findings[2].message);
}

#[test]
fn exclusions_name_what_is_grave_enough() {
    let mut set = Fake::new(&[40, 40, 40]);
    set.pictures[0][3..5].fill(vec![0; 192]);
    let still = set.pictures[0][20].clone();
    set.pictures[0][20..30].fill(still);
    set.rows[0].actions[6..10].fill(f32::NAN);
    set.lost = [1].into();
    let findings = found(&set);
    let errors = Exclusions::of(&findings, Severity::Error);
    assert_eq!(errors.keep(0, 40), [0..3, 5..40]);
    assert!(errors.keep(1, 40).is_empty());
    assert_eq!(errors.keep(2, 40).into_iter().flatten().count(), 40);
    assert_eq!(errors.episodes.len(), 2, "one entry for the same frames: {errors:?}");
    assert!(errors.episodes[0].reason.contains("; frames 3 to 4: black"), "{errors:?}");
    let all = Exclusions::of(&findings, Severity::Warning);
    assert_eq!(all.keep(0, 40), [0..3, 5..20, 30..40]);
}

#[test]
fn what_concerns_the_whole_set_is_found() {
    let whole = |what, severity| (None, None, what, severity);
    let mut set = Fake::new(&[20, 20]);
    set.rows[1].action_dim = 4;
    set.rows[1].actions = vec![0.5; 80];
    assert_eq!(short(&found(&set)), [whole(What::ActionSize, Severity::Error)]);

    let mut set = Fake::new(&[20, 20, 20]);
    set.skipped = vec![("film.mp4".into(), "no video".into())];
    set.altered = true;
    let split = |name: &str, episodes: &[usize]| (name.to_owned(), episodes.to_vec());
    set.splits =
        [split("all", &[0, 1, 2]), split("train", &[0, 1]), split("torn", &[]), split("valid", &[2])].into();
    let findings = found(&set);
    assert_eq!(
        short(&findings),
        [
            whole(What::Skipped, Severity::Error),
            whole(What::Checksum, Severity::Error),
            whole(What::Splits, Severity::Warning),
            whole(What::Splits, Severity::Warning),
            whole(What::Splits, Severity::Warning),
        ]
    );
    let messages: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(messages[0], "film.mp4 is left out: no video");
    assert!(messages[2].contains("split torn"), "{}", messages[2]);
    assert_eq!(messages[3], "splits all and train share 2 episodes");
    assert_eq!(messages[4], "splits all and valid share 1 episodes");
}
