//! A verdict that cannot fail is worth nothing: every way to be wrong is found, named and printed.

mod support;

use candle_core::{DType, Result, Tensor, Var};
use cola_golden::{Golden, Tolerance, gradients_cover};
use support::{DEVICE, open, reference};

const EXACT: Tolerance = Tolerance::Absolute(0.0);

/// The message of a file that fails, or none.
fn verdict(golden: Golden) -> Option<String> {
    golden.verdict().err()
}

/// The message of one comparison of `found` with the stored `output.y` = [1, -2, 4], noise 1e-3.
fn compare(found: &[f32], tolerance: Tolerance) -> Result<Option<String>> {
    let golden = reference();
    golden.compare("output.y", &Tensor::new(found, &DEVICE)?, tolerance)?;
    Ok(verdict(golden))
}

#[test]
fn equal_values_pass_without_tolerance() -> Result<()> {
    assert_eq!(compare(&[1.0, -2.0, 4.0], EXACT)?, None);
    Ok(())
}

#[test]
fn a_wrong_value_is_reported_with_tensor_index_both_values_and_limit() -> Result<()> {
    let message = compare(&[1.0, -2.5, 4.25], Tolerance::Absolute(0.1))?.expect("a failure");
    for part in ["golden FAILED", "output.y[1]", "found -2.5", "expected -2", "5.000e-1", "above 1.000e-1"] {
        assert!(message.contains(part), "{message}");
    }
    Ok(())
}

#[test]
fn each_tolerance_passes_below_its_limit_and_fails_above() -> Result<()> {
    // The stored noise is 1e-3, the largest stored magnitude 4.
    for (tolerance, below, above) in [
        (Tolerance::Absolute(0.1), 0.09, 0.11),
        (Tolerance::Relative(0.01), 0.039, 0.041),
        (Tolerance::Noise(6.0), 0.0059, 0.0061),
    ] {
        assert_eq!(compare(&[1.0 + below, -2.0, 4.0], tolerance)?, None, "{tolerance:?}");
        assert!(compare(&[1.0 + above, -2.0, 4.0], tolerance)?.is_some(), "{tolerance:?}");
    }
    Ok(())
}

#[test]
fn noise_below_the_rounding_of_f32_counts_as_rounding() -> Result<()> {
    let golden = reference();
    let found = Tensor::new(&[1f32, -2.0, 4.0 + 4.0 * f32::EPSILON], &DEVICE)?;
    golden.compare("output.exact", &found, Tolerance::Noise(4.0))?; // its stated noise is 0
    assert_eq!(verdict(golden), None);
    Ok(())
}

#[test]
fn a_found_value_that_is_no_number_fails_whatever_the_tolerance() -> Result<()> {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let message = compare(&[1.0, wrong, 4.0], Tolerance::Absolute(f64::INFINITY))?.expect("a failure");
        assert!(message.contains("output.y[1]"), "{message}");
    }
    Ok(())
}

#[test]
fn a_stored_value_that_is_no_number_fails_too() -> Result<()> {
    for name in ["output.nan", "output.infinite"] {
        for found in [1.0, f32::NAN, f32::INFINITY] {
            for tolerance in [Tolerance::Absolute(1.0), Tolerance::Relative(1.0)] {
                let golden = reference();
                golden.compare(name, &Tensor::new(&[1.0, found], &DEVICE)?, tolerance)?;
                // The same infinity is what some files hold: the PSNR of equal frames.
                let same = name == "output.infinite" && found == f32::INFINITY;
                let agrees = same && matches!(tolerance, Tolerance::Absolute(_));
                assert_eq!(verdict(golden).is_none(), agrees, "{name}, found {found}, {tolerance:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn another_number_of_entries_is_a_failure_that_names_both_shapes() -> Result<()> {
    let message = compare(&[1.0, -2.0], EXACT)?.expect("a failure");
    assert!(message.contains("shape [2], expected [3]"), "{message}");
    Ok(())
}

#[test]
fn the_same_entries_may_be_grouped_otherwise() -> Result<()> {
    let golden = reference();
    golden.compare("output.y", &golden.tensor("output.y").reshape((3, 1))?, EXACT)?;
    assert_eq!(verdict(golden), None);
    Ok(())
}

#[test]
fn a_tensor_without_stated_noise_is_a_failure() -> Result<()> {
    let golden = reference();
    golden.compare("input.x", golden.tensor("input.x"), Tolerance::Noise(6.0))?;
    let message = verdict(golden).expect("a failure");
    assert!(message.contains("input.x: the file states no float32 noise"), "{message}");
    Ok(())
}

#[test]
fn a_file_without_any_noise_is_a_failure_too() -> Result<()> {
    let path = support::write("no_noise", &[("output.y", vec![1.0])], None);
    let golden = Golden::open(&path);
    golden.compare("output.y", golden.tensor("output.y"), Tolerance::Noise(6.0))?;
    assert!(verdict(golden).expect("a failure").contains("states no float32 noise"));
    Ok(())
}

#[test]
fn outputs_and_gradients_that_nobody_looked_at_can_be_asked_for() -> Result<()> {
    let golden = reference();
    golden.compare("output.y", golden.tensor("output.y"), EXACT)?;
    golden.all_compared();
    let message = verdict(golden).expect("a failure");
    assert!(message.contains("output.exact: not compared"), "{message}");
    assert!(!message.contains("output.y:"), "{message}");
    Ok(())
}

#[test]
fn nothing_compared_is_a_failure() {
    assert!(verdict(reference()).expect("a failure").contains("nothing was compared"));
}

#[test]
fn a_failed_claim_without_comparison_is_told() {
    let golden = reference();
    golden.fail("the second claim".into());
    assert!(verdict(golden).expect("a failure").contains("the second claim"));
}

#[test]
fn a_passed_file_has_its_name_and_its_worst_ratio_in_one_line() -> Result<()> {
    let golden = open("passed");
    golden.compare("output.y", &Tensor::new(&[1f32, -2.0, 4.5], &DEVICE)?, Tolerance::Absolute(2.0))?;
    assert_eq!(golden.verdict(), Ok("golden ok passed worst=0.250".into()));
    Ok(())
}

#[test]
#[should_panic(expected = "no tensor `output.z`")]
fn a_tensor_that_the_file_lacks_stops_the_test() {
    open("reference").tensor("output.z");
}

#[test]
fn every_failure_of_a_file_is_in_its_message() -> Result<()> {
    let golden = reference();
    golden.compare("output.y", &Tensor::new(&[0f32, -2.0, 4.0], &DEVICE)?, EXACT)?;
    golden.compare("input.x", golden.tensor("input.x"), EXACT)?;
    golden.compare("output.exact", &Tensor::new(&[0f32, -2.0, 4.0], &DEVICE)?, EXACT)?;
    let message = verdict(golden).expect("two failures");
    assert!(message.contains("output.y[0]") && message.contains("output.exact[0]"), "{message}");
    assert!(!message.contains("input.x"), "{message}");
    Ok(())
}

#[test]
fn gradients_are_compared_by_the_name_of_their_variable() -> Result<()> {
    let golden = reference();
    let x = golden.input_var("x", DType::F32)?;
    // The stored grad.input.x is [3, 3, 3].
    let right = (x.as_tensor() * 3.0)?.sum_all()?.backward()?;
    golden.compare_gradient("input.x", x.as_tensor(), &right, EXACT)?;
    assert_eq!(verdict(golden), None);
    let golden = reference();
    let wrong = (x.as_tensor() * 2.0)?.sum_all()?.backward()?;
    golden.compare_gradient("input.x", x.as_tensor(), &wrong, EXACT)?;
    let message = verdict(golden).expect("a failure");
    assert!(message.contains("grad.input.x[0]: found 2, expected 3"), "{message}");
    Ok(())
}

#[test]
fn an_absent_gradient_is_a_failure_that_says_so() -> Result<()> {
    let golden = reference();
    let (x, other) = (golden.input_var("x", DType::F32)?, golden.input_var("x", DType::F32)?);
    let grads = other.as_tensor().sum_all()?.backward()?;
    golden.compare_gradient("input.x", x.as_tensor(), &grads, EXACT)?;
    let message = verdict(golden).expect("a failure");
    assert!(message.contains("grad.input.x: no gradient arrived"), "{message}");
    Ok(())
}

/// A variable whose gradient is `gradient`.
fn with_gradient(gradient: &[f32]) -> Result<(Var, Tensor)> {
    let var = Var::from_tensor(&Tensor::zeros(gradient.len(), DType::F32, &DEVICE)?)?;
    let loss = var.as_tensor().mul(&Tensor::new(gradient, &DEVICE)?)?.sum_all()?;
    Ok((var, loss))
}

#[test]
fn a_covered_model_has_no_complaints() -> Result<()> {
    let ((a, loss), (frozen, _)) = (with_gradient(&[0.0, 1e-30])?, with_gradient(&[1.0])?);
    assert_eq!(gradients_cover(&loss.backward()?, [("a", &a)], [("frozen", &frozen)])?, [""; 0]);
    Ok(())
}

#[test]
fn each_kind_of_wrong_gradient_has_its_complaint() -> Result<()> {
    let nan = f32::NAN;
    let cases: [(&str, &[f32], &str); 6] = [
        ("zero", &[0.0, 0.0], "is 0"),
        ("nan first", &[nan, 1.0, 2.0], "NaN"),
        ("nan between", &[1.0, nan, 2.0], "NaN"),
        ("nan last", &[1.0, 2.0, nan], "NaN"),
        ("infinite", &[f32::INFINITY, 2.0], "inf"),
        ("minus infinite", &[f32::NEG_INFINITY, 2.0], "inf"),
    ];
    for (name, gradient, says) in cases {
        let (var, loss) = with_gradient(gradient)?;
        let complaints = gradients_cover(&loss.backward()?, [(name, &var)], [])?;
        assert!(
            complaints.len() == 1 && complaints[0].starts_with(name) && complaints[0].contains(says),
            "{name}: {complaints:?}"
        );
    }
    let ((absent, _), (frozen, loss)) = (with_gradient(&[1.0])?, with_gradient(&[0.0])?);
    assert_eq!(
        gradients_cover(&loss.backward()?, [("absent", &absent)], [("frozen", &frozen)])?,
        ["absent: no gradient", "frozen: frozen, but a gradient arrived"]
    );
    Ok(())
}
