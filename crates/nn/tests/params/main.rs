//! Named variables: what they hold and who sees it, their files, linear layers over both views.

mod files;
mod frozen;
mod support;
mod views;
