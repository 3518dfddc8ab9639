//! The dashboard, drawn into memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use cola_coevolve::{ExperimentConfig, Phase, PhaseKind, Record};
use cola_data::Stall;
use cola_examples::dashboard::board::{Board, RECORDS};
use cola_examples::dashboard::draw::draw;
use cola_examples::dashboard::keys::{Reaction, View};
use cola_examples::dashboard::pace::Pace;
use cola_lam::{CodebookUsage, UsageReport};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

fn usage() -> CodebookUsage {
    let codes = Tensor::new(&[[0u32, 1, 2, 3], [0, 5, 2, 3], [0, 1, 4, 7]], &Device::Cpu).expect("codes");
    CodebookUsage::of(&codes, 8).expect("codes of the codebook")
}

fn record(step: u64, flow: Option<f64>) -> Record {
    let mut record: Record = serde_json::from_value(json!({
        "step": step, "phase": "E2E", "phase_step": step, "loss": 0.5, "flow": flow, "reconstruction": 0.01,
        "codebook": null, "commitment": null, "entropy_penalty": null, "gradient_norm": 1.5,
        "idm_gradient_prediction": 1e-3, "idm_gradient_vq": 0.0, "codes": null, "token_norm": null,
        "token_spread": null, "code_norm": null, "sensitivity": 0.01, "sensitivity_error": 0.001, "warnings": []
    }))
    .expect("a record");
    record.codes = Some(UsageReport::of(&usage()));
    record
}

/// A run in its second phase, with everything that can be shown.
fn board(now: Instant) -> Board {
    let config = ExperimentConfig::toy().with("plan=WARM100+E2E900").expect("a plan");
    let mut board = Board::new(&config, "out/coevolve".into(), vec![record(10, Some(0.7))]);
    board.enter(&Phase { kind: PhaseKind::Joint, steps: 900 }, 0, 100, now - Duration::from_secs(90));
    for step in 1..=180 {
        board.step(step, 0.5, now - Duration::from_secs(90) + Duration::from_millis(500 * step));
        if step % 10 == 0 {
            board.record(&record(100 + step, Some(1.0 / step as f64)));
            board.codes(&usage());
        }
    }
    let stall = Stall { waited: Duration::from_secs(1), total: Duration::from_secs(40), batches: 9 };
    board.leave(&stall, &[], now);
    board.saved("out/coevolve/checkpoints/step-00000280".as_ref());
    board.evaluating(280);
    board
}

/// The lines of a picture of this size.
fn picture(board: &Board, view: View, (width, height): (u16, u16), now: Instant) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal in memory");
    terminal.draw(|frame| draw(frame, board, view, false, now)).expect("a picture");
    let buffer = terminal.backend().buffer();
    let row = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(row).collect()
}

#[test]
fn every_size_of_terminal_is_drawn_on() {
    let now = Instant::now();
    let full = board(now);
    let empty = Board::new(&ExperimentConfig::toy(), "out".into(), Vec::new());
    for width in (1..=200).step_by(7).chain([2, 3, 40, 80, 200]) {
        for height in (1..=60).step_by(3).chain([2, 12, 24, 60]) {
            for panel in [0, 3, -1] {
                picture(&full, View { panel, back: 1000 }, (width, height), now);
                picture(&empty, View { panel, back: 0 }, (width, height), now);
            }
        }
    }
}

#[test]
fn numbers_that_are_none_and_equal_numbers_are_drawn() {
    let now = Instant::now();
    let mut board = board(now);
    for flow in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, 1e-300] {
        board.record(&record(290, Some(flow)));
        board.step(190, flow, now);
        picture(&board, View::default(), (120, 40), now);
    }
    let mut still = Board::new(&ExperimentConfig::toy(), "out".into(), vec![record(10, Some(0.5)); 3]);
    still.codes(&CodebookUsage::new(0, 0));
    picture(&still, View { panel: 4, back: 0 }, (120, 40), now);
}

#[test]
fn a_wide_terminal_shows_all_at_once() {
    let now = Instant::now();
    let text = picture(&board(now), View::default(), (150, 40), now).join("\n");
    for part in [
        "WARM100+E2E900",
        "E2E900 ",
        "180/900 20 %",
        "2.0 steps/s",
        "6m 00s left",
        "280/1000 28 %",
        "loss 0.5",
        "gradient 1.5",
        "data stall 2.5 %",
        "saved step-00000280",
        "evaluating",
        "flow",
        "reconstruction",
        "sensitivity",
        "codes by position",
        "0: 1 of 8 in use, most 100 %",
        "notes, 0 warnings",
        "curves.png",
        "q save and stop",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn a_small_terminal_shows_one_panel_after_the_other() {
    let now = Instant::now();
    let board = board(now);
    let titles = ["loss", "codes in use", "sensitivity", "gradient", "codes by position", "notes"];
    for (panel, title) in titles.iter().enumerate() {
        for panel in [panel as i32, panel as i32 - 6, panel as i32 + 6] {
            let lines = picture(&board, View { panel, back: 0 }, (40, 12), now);
            assert!(lines[4].contains(title), "`{title}` is not on top of:\n{}", lines.join("\n"));
        }
    }
}

#[test]
fn notes_scroll_and_wrap() {
    let now = Instant::now();
    let mut board = Board::new(&ExperimentConfig::toy(), "out".into(), Vec::new());
    for step in 0..40 {
        board.saved(format!("step-{step:08}").as_ref());
    }
    let newest = picture(&board, View::default(), (100, 30), now).join("\n");
    assert!(newest.contains("step-00000039") && !newest.contains("step-00000030"), "{newest}");
    let back = picture(&board, View { panel: 0, back: 1000 }, (100, 30), now).join("\n");
    assert!(back.contains("step-00000000") && !back.contains("step-00000039"), "{back}");
}

#[test]
fn old_records_make_room() {
    let mut board = Board::new(&ExperimentConfig::toy(), "out".into(), vec![record(1, None); 2 * RECORDS]);
    assert_eq!(board.records.len(), RECORDS);
    board.record(&record(2, None));
    assert_eq!((board.records.len(), board.records.back().map(|last| last.step)), (RECORDS, Some(2)));
}

#[test]
fn the_time_left_is_that_of_this_process() {
    let start = Instant::now();
    let mut pace = Pace::start(start, 500);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!((pace.rate(at(1)), pace.left(at(1), 10)), (None, None));
    pace.tick(at(10), 520);
    assert_eq!(pace.left(at(10), 100), Some(Duration::from_secs(50)));
    // Ten times as fast: the rate tells of the last minute, the time left of all.
    for second in 11..=200 {
        pace.tick(at(second), 520 + 20 * (second - 10));
    }
    let rate = pace.rate(at(200)).expect("steps were made");
    assert!((rate - 20.0).abs() < 0.5, "{rate}");
    let left = pace.left(at(200), 382).expect("steps were made").as_secs_f64();
    assert!((left - 20.0).abs() < 0.1, "{left}");
}

#[test]
fn q_saves_and_stops_and_a_second_interrupt_ends_at_once() {
    let stop = AtomicBool::new(false);
    let mut view = View::default();
    let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
    let plain = |code| key(code, KeyModifiers::NONE);
    assert_eq!(view.react(&plain(KeyCode::Char('x')), &stop), Reaction::None);
    assert_eq!(view.react(&plain(KeyCode::Char('c')), &stop), Reaction::None);
    assert_eq!(view.react(&Event::Resize(1, 1), &stop), Reaction::Redraw);
    assert!(!stop.load(Ordering::Relaxed));
    for _ in 0..2 {
        assert_eq!(view.react(&plain(KeyCode::Char('q')), &stop), Reaction::Redraw, "q never ends at once");
        assert!(stop.load(Ordering::Relaxed));
    }
    let interrupt = key(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(view.react(&interrupt, &stop), Reaction::Quit);
    let stop = AtomicBool::new(false);
    assert_eq!(view.react(&interrupt, &stop), Reaction::Redraw);
    assert!(stop.load(Ordering::Relaxed));

    view.react(&plain(KeyCode::BackTab), &stop);
    view.react(&plain(KeyCode::PageUp), &stop);
    view.react(&plain(KeyCode::Down), &stop);
    assert_eq!(view, View { panel: -1, back: 9 });
}
