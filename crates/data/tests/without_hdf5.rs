//! A build without the feature `hdf5` says what it lacks.
#![cfg(not(feature = "hdf5"))]

use std::path::Path;

use cola_data::{Error, Format, OpenOptions, detect, open};

#[test]
fn formats_of_hdf5_are_found_and_refused_with_the_feature_named() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5");
    for (name, format) in [("robodesk.hdf5", Format::Robomimic), ("agibot", Format::AgiBot)] {
        let path = fixtures.join(name);
        assert_eq!(detect(&path).unwrap(), format);
        let error = open(&path, &OpenOptions::default()).err().unwrap();
        assert!(matches!(error, Error::Setting { .. }) && error.to_string().contains("`hdf5`"), "{error}");
    }
}
