//! How long a run will take, once it has shown how fast it is.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use cola_coevolve::{Error, Observer, Phase, Plan};

/// Steps of a phase after which its speed is told.
const STEPS: u64 = 20;

/// Says once in each phase, above its bar, how long the phase and, as far as is known, the plan will take.
///
/// The first step of a phase is not counted: it makes moments and warms caches.
pub struct Forecast {
    plan: Plan,
    /// The phase at hand: steps that were done when its clock started, and the clock.
    clock: Option<(u64, Instant)>,
    told: bool,
    /// Index of the phase at hand in the plan.
    index: usize,
    /// Time of a step by the name of the kind of phase.
    known: BTreeMap<&'static str, Duration>,
}

impl Forecast {
    /// For a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone(), clock: None, told: false, index: 0, known: BTreeMap::new() }
    }

    /// What is to be told once `done` steps of `phase` are done, `done - started` of them in `spent`.
    fn words(&mut self, phase: &Phase, done: u64, started: u64, spent: Duration) -> String {
        let step = spent.div_f64(done.saturating_sub(started).max(1) as f64);
        self.known.insert(phase.kind.name(), step);
        let own = times(step, phase.steps.saturating_sub(done));
        let rest = self.plan.phases().get(self.index + 1..).unwrap_or_default();
        let (mut plan, mut open) = (own, Vec::new());
        for later in rest {
            match self.known.get(later.kind.name()) {
                Some(step) => plan = plan.saturating_add(times(*step, later.steps)),
                None => open.push(later.to_string()),
            }
        }
        let own = format!("{phase} takes {} more, {} a step", spoken(own), spoken(step));
        match (rest.is_empty(), open.is_empty()) {
            (true, _) => format!("expected   {own}"),
            (false, true) => format!("expected   {own}; the plan {}", spoken(plan)),
            (false, false) => {
                format!("expected   {own}; the plan {} and {}", spoken(plan), open.join(" and "))
            }
        }
    }
}

impl Observer for Forecast {
    fn on_phase(&mut self, _phase: &Phase, _done: u64, global: u64) -> Result<(), Error> {
        (self.clock, self.told) = (None, false);
        self.index = self.plan.locate(global).map_or(0, |(index, _)| index);
        Ok(())
    }

    fn on_step(&mut self, phase: &Phase, done: u64, _loss: f64) -> Result<(), Error> {
        let (started, clock) = *self.clock.get_or_insert_with(|| (done, Instant::now()));
        if !self.told && done >= started + STEPS - 1 && done < phase.steps {
            self.told = true;
            let words = self.words(phase, done, started, clock.elapsed());
            above_the_bar(&words);
        }
        Ok(())
    }
}

fn times(step: Duration, steps: u64) -> Duration {
    Duration::try_from_secs_f64(step.as_secs_f64() * steps as f64).unwrap_or(Duration::MAX)
}

/// A bar stands on the line of the cursor: it is wiped, and drawn again below at its next step.
fn above_the_bar(line: &str) {
    let mut to = stderr();
    let wipe = if to.is_terminal() { "\r\x1b[2K" } else { "" };
    // Who cannot be told how long a run takes is no reason to stop it.
    let _ = writeln!(to, "{wipe}{line}");
}

/// The two largest units of a time.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cola_coevolve::{Observer, Plan};

    use super::{Forecast, spoken};

    fn forecast(plan: &str) -> (Plan, Forecast) {
        let plan: Plan = plan.parse().expect("a plan");
        let forecast = Forecast::new(&plan);
        (plan, forecast)
    }

    #[test]
    fn later_phases_count_once_their_kind_has_been_timed() {
        let (plan, mut forecast) = forecast("LAM100+WARM40+LAM1K+WARM400");
        let [lam, warm, ..] = plan.phases() else { panic!("phases") };
        forecast.on_phase(lam, 0, 0).expect("heard");
        let said = forecast.words(lam, 21, 1, Duration::from_secs(20));
        assert_eq!(
            said,
            "expected   LAM100 takes 1 min 19 s more, 1.0 s a step; the plan 17 min 59 s and WARM40 and WARM400"
        );
        forecast.on_phase(warm, 0, 100).expect("heard");
        let said = forecast.words(warm, 20, 0, Duration::from_secs(40));
        assert_eq!(said, "expected   WARM40 takes 40 s more, 2.0 s a step; the plan 30 min 40 s");
    }

    #[test]
    fn the_last_phase_speaks_of_itself_alone() {
        let (plan, mut forecast) = forecast("E2E30");
        let [phase] = plan.phases() else { panic!("one phase") };
        forecast.on_phase(phase, 0, 0).expect("heard");
        let said = forecast.words(phase, 20, 0, Duration::from_millis(500));
        assert_eq!(said, "expected   E2E30 takes 250 ms more, 25 ms a step");
    }

    #[test]
    fn times_read_as_people_say_them() {
        let times = [0.2, 3.25, 59.0, 61.0, 7322.0, 200_000.0];
        let said = times.map(|seconds| spoken(Duration::from_secs_f64(seconds)));
        assert_eq!(said, ["200 ms", "3.2 s", "59 s", "1 min 1 s", "2 h 2 min", "2 d 7 h"]);
    }
}
