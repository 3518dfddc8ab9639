//! Pages of a parquet column, none of them with more values than is taken seriously.

use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

/// Values in a page: 16 times what the usual writers put into a whole row group. A few bytes can claim any number of
/// equal values, which the parquet reader then writes out.
const MOST_VALUES: u32 = 1 << 24;

/// Passes on the pages of another reader.
pub(super) struct Pages(pub(super) Box<dyn PageReader>);

fn checked(page: Page) -> Result<Page> {
    match page.num_values() {
        0..=MOST_VALUES => Ok(page),
        found => Err(ParquetError::General(format!("a page of {found} values, more than {MOST_VALUES}"))),
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.0.get_next_page()?.map(checked).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.0.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        self.0.take_deferred_dictionary()?.map(checked).transpose()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.0.at_record_boundary()
    }
}
