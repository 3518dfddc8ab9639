//! Shared rows: sums, additions and cuts against candle's own operations.

mod support;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use cola_nn::{add_rows, split_rows, sum_leading};
use support::{agrees, doubles, numbers, rows_are_independent, same_on_any_number_of_threads};

/// The slope of the sum of `f` weighted by `weight`, by central differences.
fn slope(f: &dyn Fn(&Tensor) -> Result<Tensor>, x: &Tensor, weight: &Tensor) -> Result<Vec<f64>> {
    let values = doubles(x)?;
    let at = |index: usize, step: f64| -> Result<f64> {
        let mut moved = values.clone();
        moved[index] += step;
        let moved = Tensor::from_vec(moved, x.shape(), &Device::Cpu)?;
        (f(&moved)? * weight)?.sum_all()?.to_scalar()
    };
    (0..values.len()).map(|index| Ok((at(index, 1e-5)? - at(index, -1e-5)?) / 2e-5)).collect()
}

fn composed_sum(x: &Tensor) -> Result<Tensor> {
    x.flatten_to(x.rank() - 2)?.sum(0)
}

#[test]
fn a_sum_over_rows_agrees_with_the_composed_one() -> Result<()> {
    for shape in [&[1usize, 3][..], &[70, 5], &[3, 65, 17], &[40, 17, 128]] {
        agrees("sum_leading", &[numbers("x", shape)], &|x| sum_leading(&x[0]), &|x| composed_sum(&x[0]))?;
    }
    same_on_any_number_of_threads("sum_leading", &[numbers("x", &[40, 17, 128])], &|x| sum_leading(&x[0]))?;
    let single = numbers("x", &[7]);
    assert_eq!(doubles(&sum_leading(&single)?)?, doubles(&single)?);
    assert_eq!(doubles(&sum_leading(&Tensor::zeros((0, 2), DType::F32, &Device::Cpu)?)?)?, [0.0, 0.0]);
    Ok(())
}

#[test]
fn gradients_are_the_slopes() -> Result<()> {
    let (x, table) = (numbers("x", &[2, 3, 4]), numbers("table", &[3, 4]));
    let (x, table) = (x.to_dtype(DType::F64)?, table.to_dtype(DType::F64)?);
    type Function<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;
    let cases: [(&Tensor, Function<'_>); 4] = [
        (&x, &sum_leading),
        (&x, &|x| add_rows(x, &table)),
        (&table, &|table| add_rows(&x, table)),
        (&table, &|table| Tensor::cat(&split_rows(&x.reshape((2, 12))?, table)?, 0)),
    ];
    for (case, (at, f)) in cases.into_iter().enumerate() {
        let weight = numbers("weight", f(at)?.dims()).to_dtype(DType::F64)?;
        let expected = slope(f, at, &weight)?;
        let var = Var::from_tensor(at)?;
        let grads = (f(&var)? * &weight)?.sum_all()?.backward()?;
        for (found, expected) in doubles(grads.get(&var).expect("a gradient"))?.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-8, "case {case}: {found}, expected {expected}");
        }
    }
    Ok(())
}

#[test]
fn added_rows_agree_with_broadcasting() -> Result<()> {
    let pairs: [(&[usize], &[usize]); 7] = [
        (&[2, 3], &[3]),
        (&[3, 5, 17], &[5, 17]),
        (&[2, 3, 4, 8], &[3, 1, 8]),
        (&[6, 2, 8], &[1, 2, 8]),
        (&[40, 17, 128], &[17, 128]),
        (&[4, 8], &[4, 8]),
        (&[1, 8], &[3, 8]),
    ];
    for (shape, table) in pairs {
        let operands = [numbers("x", shape), numbers("table", table)];
        agrees("add_rows", &operands, &|t| add_rows(&t[0], &t[1]), &|t| t[0].broadcast_add(&t[1]))?;
    }
    let operands = [numbers("x", &[40, 17, 128]), numbers("table", &[17, 128])];
    same_on_any_number_of_threads("add_rows", &operands, &|t| add_rows(&t[0], &t[1]))
}

#[test]
fn a_row_depends_on_its_own_operands_only() -> Result<()> {
    let x = numbers("x", &[40, 17, 128]);
    rows_are_independent("add_rows", &x, &|x| add_rows(x, &numbers("table", &[17, 128])))?;
    let wide = numbers("x", &[6, 5, 12]);
    rows_are_independent("split_rows", &wide, &|x| mixed(&split_rows(x, &numbers("table", &[3, 4]))?))
}

fn composed_split(x: &Tensor, table: &Tensor) -> Result<Vec<Tensor>> {
    let (count, width) = table.dims2()?;
    let rows = x.broadcast_add(&table.flatten_all()?)?;
    (0..count).map(|part| rows.narrow(D::Minus1, part * width, width)).collect()
}

/// Parts used in different ways, so that each has a gradient of its own.
fn mixed(parts: &[Tensor]) -> Result<Tensor> {
    ((&parts[0] * &parts[1])? + parts[2].sqr()?)? - &parts[0]
}

#[test]
fn a_cut_row_agrees_with_narrowing() -> Result<()> {
    for shape in [&[2usize, 12][..], &[3, 1, 1, 12], &[5, 7, 1, 12], &[40, 200, 12]] {
        let operands = [numbers("x", shape), numbers("table", &[3, 4])];
        agrees("split_rows", &operands, &|t| mixed(&split_rows(&t[0], &t[1])?), &|t| {
            mixed(&composed_split(&t[0], &t[1])?)
        })?;
    }
    Ok(())
}

#[test]
fn parts_that_a_loss_leaves_out_have_no_gradient_there_and_later_passes_start_afresh() -> Result<()> {
    let (x, table) =
        (Var::from_tensor(&numbers("x", &[2, 6]))?, Var::from_tensor(&numbers("table", &[3, 2]))?);
    let parts = split_rows(&x, &table)?;
    for used in [0, 2, 1] {
        let grads = parts[used].sum_all()?.backward()?;
        let mut expected = vec![0.0; 6];
        expected[2 * used..2 * used + 2].fill(2.0);
        assert_eq!(doubles(grads.get(&table).expect("a gradient"))?, expected);
        let expected = [expected.clone(), expected].concat().iter().map(|x| x / 2.0).collect::<Vec<_>>();
        assert_eq!(doubles(grads.get(&x).expect("a gradient"))?, expected);
    }
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_both() -> Result<()> {
    let refusal = split_rows(&numbers("x", &[2, 6]), &numbers("table", &[2, 2])).expect_err("a wrong shape");
    let text = refusal.to_string();
    assert!(text.contains("[2, 6]") && text.contains("[2, 2]"), "{text}");
    assert!(add_rows(&numbers("x", &[2, 6]), &numbers("table", &[2, 5])).is_err());
    Ok(())
}
