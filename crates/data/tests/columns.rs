//! Tables: what is written is what readers find, and what fails leaves nothing behind.

use std::fs::File;
use std::path::Path;

use cola_data::{Cells, Column, ColumnKind, ColumnWriter, Error};
use parquet::basic::Compression;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use tempfile::TempDir;

const METADATA: [(&str, &str); 2] = [("video", "a film, \"cut\".mp4"), ("config", "[lam]\npatch = 16")];
const TEXTS: [&str; 4] = ["plain", "", "a, \"b\"\nc", " # no comment"];
const DOUBLES: [f64; 4] = [0.1, -0.0, 1e300, f64::NAN];

fn columns() -> Vec<Column> {
    vec![
        Column::new("frame", ColumnKind::Integers),
        Column::new("time", ColumnKind::Doubles),
        Column::new("share", ColumnKind::Floats),
        Column::new("code, text", ColumnKind::Texts),
        Column::new("z", ColumnKind::Vectors(2)),
    ]
}

/// Rows `from..to` of the table that both formats are tested with.
fn rows(from: usize, to: usize) -> Vec<Cells> {
    vec![
        Cells::Integers((from..to).map(|row| row as i64 - 1).collect()),
        Cells::Doubles((from..to).map(|row| DOUBLES[row % 4]).collect()),
        Cells::Floats((from..to).map(|row| row as f32 / 3.0).collect()),
        Cells::Texts((from..to).map(|row| TEXTS[row % 4].to_owned()).collect()),
        Cells::Floats((from..to).flat_map(|row| [row as f32, -(row as f32)]).collect()),
    ]
}

fn write(file: &Path, batches: impl Iterator<Item = Vec<Cells>>) {
    let mut table = ColumnWriter::create(file, &columns(), &METADATA).unwrap();
    batches.for_each(|batch| table.write_rows(batch).unwrap());
    table.finish().unwrap();
}

/// Number of things in a folder.
fn left(folder: &TempDir) -> usize {
    std::fs::read_dir(folder.path()).unwrap().count()
}

#[test]
fn parquet_reads_back_the_same_in_bounded_groups() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("table.parquet");
    let all = 150_000;
    write(&file, (0..all).step_by(1000).map(|from| rows(from, from + 1000)));
    assert_eq!(left(&folder), 1);

    let reader = SerializedFileReader::new(File::open(&file).unwrap()).unwrap();
    let metadata = reader.metadata();
    assert_eq!(metadata.num_row_groups(), 3);
    assert!(matches!(metadata.row_group(0).column(0).compression(), Compression::ZSTD(_)));
    let pairs = metadata.file_metadata().key_value_metadata().unwrap();
    for (key, value) in METADATA {
        assert!(pairs.iter().any(|pair| pair.key == key && pair.value.as_deref() == Some(value)), "{key}");
    }
    let mut found = 0;
    for (row, record) in reader.get_row_iter(None).unwrap().enumerate() {
        let record = record.unwrap();
        let cells: Vec<(&String, &Field)> = record.get_column_iter().collect();
        let names: Vec<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["frame", "time", "share", "code, text", "z_0", "z_1"]);
        assert_eq!(*cells[0].1, Field::Long(row as i64 - 1));
        let Field::Double(time) = *cells[1].1 else { panic!("{:?}", cells[1]) };
        assert_eq!(time.to_bits(), DOUBLES[row % 4].to_bits());
        assert_eq!(*cells[2].1, Field::Float(row as f32 / 3.0));
        assert_eq!(*cells[3].1, Field::Str(TEXTS[row % 4].to_owned()));
        assert_eq!((cells[4].1, cells[5].1), (&Field::Float(row as f32), &Field::Float(-(row as f32))));
        found += 1;
    }
    assert_eq!(found, all);
}

#[test]
fn csv_quotes_what_needs_it_and_puts_metadata_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("table.CSV");
    write(&file, [rows(0, 1), rows(1, 4)].into_iter());
    let expected = "# video: a film, \"cut\".mp4\n# config: [lam]\n# config: patch = 16\n\
                    frame,time,share,\"code, text\",z_0,z_1\n\
                    -1,0.1,0.0,plain,0.0,-0.0\n0,-0.0,0.33333334,\"\",1.0,-1.0\n\
                    1,1e300,0.6666667,\"a, \"\"b\"\"\nc\",2.0,-2.0\n2,NaN,1.0,\" # no comment\",3.0,-3.0\n";
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    assert_eq!(left(&folder), 1);
}

#[test]
fn a_table_without_rows_has_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.parquet");
    write(&file, std::iter::empty());
    let reader = SerializedFileReader::new(File::open(&file).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    assert_eq!(reader.metadata().file_metadata().schema_descr().num_columns(), 6);
}

#[test]
fn rows_that_do_not_fit_are_refused_and_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["table.parquet", "table.csv"] {
        let file = folder.path().join(name);
        let mut table = ColumnWriter::create(&file, &columns(), &[]).unwrap();
        let mut short = rows(0, 2);
        short[4] = Cells::Floats(vec![0.0; 2]);
        let mut odd = rows(0, 2);
        odd[4] = Cells::Floats(vec![0.0; 3]);
        let mut mistyped = rows(0, 2);
        mistyped[1] = Cells::Integers(vec![0; 2]);
        for (batch, text) in [
            (rows(0, 2)[..4].to_vec(), "found 4 columns, expected 5"),
            (short, "found 1 rows in column `z`, expected 2"),
            (odd, "Vectors(2) in column `z`"),
            (mistyped, "Doubles in column `time`"),
        ] {
            let error = table.write_rows(batch).unwrap_err();
            assert!(matches!(error, Error::Rows { .. }) && error.to_string().contains(text), "{error}");
        }
        table.write_rows(rows(0, 2)).unwrap();
        table.finish().unwrap();
        assert!(file.is_file());
    }
}

#[test]
fn other_extensions_and_missing_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, extension) in [("table.xlsx", "xlsx"), ("table", "")] {
        let error = ColumnWriter::create(&folder.path().join(name), &columns(), &[]).err().unwrap();
        assert!(matches!(&error, Error::TableFormat { found, .. } if found == extension), "{error}");
        assert!(error.to_string().contains(".parquet or .csv"), "{error}");
    }
    for name in ["missing/table.csv", "missing/table.parquet"] {
        let error = ColumnWriter::create(&folder.path().join(name), &columns(), &[]).err().unwrap();
        assert!(matches!(error, Error::Write { .. }), "{error}");
    }
    assert_eq!(left(&folder), 0);
}

#[test]
fn senseless_columns_and_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("table.csv");
    let column = |name: &str, kind| Column::new(name, kind);
    for columns in [
        vec![],
        vec![column("a", ColumnKind::Floats), column("a", ColumnKind::Texts)],
        vec![column("z", ColumnKind::Vectors(2)), column("z_1", ColumnKind::Texts)],
        vec![column("a", ColumnKind::Floats), column("z", ColumnKind::Vectors(0))],
    ] {
        let error = ColumnWriter::create(&file, &columns, &[]).err().unwrap();
        assert!(matches!(error, Error::Setting { field: "columns", .. }), "{error}");
    }
    for key in ["", "a: b", "a\nb"] {
        let error = ColumnWriter::create(&file, &columns(), &[(key, "value")]).err().unwrap();
        assert!(matches!(error, Error::Setting { field: "metadata", .. }), "{error}");
    }
    assert_eq!(left(&folder), 0);
}

#[test]
fn a_writer_dropped_before_its_end_leaves_the_old_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["table.parquet", "table.csv"] {
        let file = folder.path().join(name);
        std::fs::write(&file, "old").unwrap();
        let mut table = ColumnWriter::create(&file, &columns(), &[]).unwrap();
        table.write_rows(rows(0, 70_000)).unwrap();
        drop(table);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
    }
    assert_eq!(left(&folder), 2);
}
