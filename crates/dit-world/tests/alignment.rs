//! Frames, latent frames and actions: the table.

use cola_dit_world::{Alignment, AlignmentError};

fn one() -> Alignment {
    Alignment::new(1).expect("every frame by itself")
}

fn four() -> Alignment {
    Alignment::new(4).expect("four frames a latent")
}

#[test]
fn latent_frames_actions_and_video_frames_of_both_rates() {
    // (latent frame, its actions with 1, its video frames with 1, its actions with 4, its video frames with 4)
    let table = [
        (0, None, 0..1, None, 0..1),
        (1, Some(0..1), 1..2, Some(0..4), 1..5),
        (2, Some(1..2), 2..3, Some(4..8), 5..9),
        (3, Some(2..3), 3..4, Some(8..12), 9..13),
        (4, Some(3..4), 4..5, Some(12..16), 13..17),
    ];
    for (latent, actions1, frames1, actions4, frames4) in table {
        for (alignment, actions, frames) in [(one(), actions1, frames1), (four(), actions4, frames4)] {
            assert_eq!(alignment.actions(latent), actions);
            assert_eq!(alignment.video_frames(latent + 1), frames.end);
            assert!(frames.clone().all(|frame| alignment.latent_of(frame) == latent), "{frames:?}");
            // Action i leads to frame i + 1.
            if let Some(actions) = alignment.actions(latent) {
                assert_eq!((actions.start + 1, actions.end + 1), (frames.start, frames.end));
            }
        }
    }
}

#[test]
fn a_window_takes_the_actions_behind_its_first_latent_frame() {
    for alignment in [one(), four()] {
        for first in 0..4 {
            for count in 1..5 {
                let expected: Vec<usize> = (first + 1..first + count)
                    .filter_map(|latent| alignment.actions(latent))
                    .flatten()
                    .collect();
                assert_eq!(alignment.within(first, count).collect::<Vec<_>>(), expected, "{first}, {count}");
            }
        }
        assert!(alignment.within(3, 0).is_empty());
    }
}

#[test]
fn clips_that_line_up() {
    for (frames, with_one, with_four) in [
        (2, Some(2), None),
        (5, Some(5), Some(2)),
        (8, Some(8), None),
        (9, Some(9), Some(3)),
        (17, Some(17), Some(5)),
    ] {
        assert_eq!(one().latent_frames(frames).ok(), with_one, "{frames}");
        assert_eq!(four().latent_frames(frames).ok(), with_four, "{frames}");
    }
    assert_eq!(one().latent_frames(1000), Ok(1000));
}

#[test]
fn clips_that_do_not_are_told_why_and_what_would() {
    for (alignment, found, why, nearest) in [
        (one(), 0, "no transition", 2),
        (one(), 1, "no transition", 2),
        (four(), 1, "no transition", 5),
        (four(), 2, "1 + 4 k", 5),
        (four(), 6, "1 + 4 k", 5),
        (four(), 7, "1 + 4 k", 5),
        (four(), 8, "1 + 4 k", 9),
        (four(), 16, "1 + 4 k", 17),
        (four(), 18, "chunk", 17),
        (four(), 21, "chunk", 17),
    ] {
        let error = alignment.latent_frames(found).expect_err("it does not line up");
        assert!(
            matches!(error, AlignmentError::Frames { found: f, nearest: n, .. } if (f, n) == (found, nearest)),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains(&format!("clip of {found} frames")) && text.contains(why), "{text}");
        assert_eq!(alignment.latent_frames(nearest).map(|_| ()), Ok(()), "the advice for {found} is wrong");
    }
}

#[test]
fn actions_that_line_up_and_that_do_not() {
    for (alignment, actions, latents) in [(one(), 1, 2), (one(), 7, 8), (four(), 4, 2), (four(), 16, 5)] {
        assert_eq!(alignment.behind(actions), Ok(latents));
    }
    for (alignment, found, nearest) in
        [(one(), 0, 1), (four(), 0, 4), (four(), 3, 4), (four(), 6, 4), (four(), 7, 8)]
    {
        let error = alignment.behind(found).expect_err("it does not line up");
        assert_eq!(
            error,
            AlignmentError::Actions { found, frames_per_latent: alignment.frames_per_latent(), nearest }
        );
        assert!(alignment.behind(nearest).is_ok());
    }
}

#[test]
fn other_rates_are_refused() {
    for found in [0, 2, 3, 5, 8] {
        assert_eq!(Alignment::new(found), Err(AlignmentError::FramesPerLatent { found }));
    }
}
