//! The pages in `docs/`, held against the code: the reference pages are generated from it, links lead somewhere, and tests that
//! pages name are there.
//!
//! `UPDATE=1 cargo test -p dseq --test reference` rewrites the generated pages.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod book;
mod commands;
mod errors;
#[path = "../support/pages.rs"]
#[allow(dead_code, reason = "tests/network uses the rest")]
mod pages;
mod security;
mod settings;
mod source;

use pages::repository;

/// Holds a page of `docs/` against what the code says now.
fn compare(page: &str, generated: &str) {
    let path = repository().join("docs").join(page);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(generated.lines()).position(|(a, b)| a != b);
    let line = differs.unwrap_or(written.lines().count().min(generated.lines().count())) + 1;
    assert!(
        written == generated,
        "docs/{page} is not what the code says, from line {line} on; `UPDATE=1 cargo test -p dseq --test reference` \
         rewrites it"
    );
}

/// A row of a table in Markdown.
fn row(cells: &[&str]) -> String {
    let cells: Vec<String> =
        cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', "<br>")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The heading of a table in Markdown.
fn heading(cells: &[&str]) -> String {
    format!("{}|{}\n", row(cells), "---|".repeat(cells.len()))
}
