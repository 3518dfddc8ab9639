//! What the plan reads like.

use cola_coevolve::{ExperimentConfig, Outlook};

#[test]
fn the_plan_reads_in_human_units() {
    let config = ExperimentConfig::tiny().with("plan=LAM2K+WARM400").expect("a plan");
    let text = Outlook::of(&config, 200 << 20).expect("an outlook").to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("parameters ") && lines[0].contains("codebook 1.0 k"), "{text}");
    assert!(lines[1].starts_with("phase      LAM2K: 2000 steps; idm, codebook, fdm learn ("), "{text}");
    assert!(
        lines[2].contains("idm, codebook, action learn (") && lines[2].contains("backbone, codec frozen ("),
        "{text}"
    );
    assert!(
        lines[3].starts_with("memory     about ") && lines[3].contains(" MiB at the most, in "),
        "{text}"
    );
}
