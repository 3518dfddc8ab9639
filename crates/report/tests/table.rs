//! Tables as text, Markdown and CSV.

use cola_report::{Error, Table};

fn table() -> Table {
    let mut table = Table::new(["start", "PSNR", "use"]);
    table.row(["scratch", "9.5", "3%"]).unwrap();
    table.row(["warm, joint", "21.0 ± 0.2", ""]).unwrap();
    table
}

#[test]
fn text_aligns_numbers_to_the_right_and_words_to_the_left() {
    let expected = "\
start              PSNR  use
-----------  ----------  ---
scratch             9.5   3%
warm, joint  21.0 ± 0.2
";
    assert_eq!(table().to_string(), expected);
}

#[test]
fn markdown_says_the_alignment_and_escapes_bars() {
    let mut table = table();
    table.row(["a|b", "-", "100%"]).unwrap();
    let expected = "\
| start       |       PSNR |  use |
| ----------- | ---------: | ---: |
| scratch     |        9.5 |   3% |
| warm, joint | 21.0 ± 0.2 |      |
| a\\|b        |          - | 100% |
";
    assert_eq!(table.to_markdown(), expected);
}

#[test]
fn csv_quotes_what_would_break_a_row() {
    let mut table = table();
    table.row(["say \"so\"\nnow", "1e-4", "x"]).unwrap();
    let expected =
        "start,PSNR,use\nscratch,9.5,3%\n\"warm, joint\",21.0 ± 0.2,\n\"say \"\"so\"\"\nnow\",1e-4,x\n";
    assert_eq!(table.to_csv(), expected);
}

#[test]
fn a_column_with_a_word_is_no_column_of_numbers() {
    let mut table = Table::new(["mixed"]);
    table.row(["1"]).unwrap();
    table.row(["E2E4K"]).unwrap();
    assert_eq!(table.to_string(), "mixed\n-----\n1\nE2E4K\n");
}

#[test]
fn a_row_needs_a_cell_for_each_column() {
    let error = table().row(["only", "two"]).unwrap_err();
    assert!(matches!(error, Error::Row { expected: 3, found: 2, .. }));
    assert!(error.to_string().contains("[\"only\", \"two\"]"), "{error}");
}
