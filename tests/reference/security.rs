//! SECURITY.md names a test for each promise, and each of them is there.

use std::collections::BTreeSet;

use super::repository;

/// The tests that the page names: (file, function). A function belongs to the last file before it in its table's row.
fn named(page: &str) -> Vec<(String, String)> {
    let mut named = Vec::new();
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let mut file = None;
        for word in row.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                file = Some(word);
            } else if let Some(file) = file {
                named.push((file.to_owned(), word.to_owned()));
            }
        }
    }
    named
}

#[test]
fn each_test_that_a_promise_is_held_by_is_there() {
    let page = std::fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 50, "{} tests are named", named.len());
    for (file, function) in named {
        let text =
            std::fs::read_to_string(repository().join(&file)).unwrap_or_else(|err| panic!("{file}: {err}"));
        let is_test = text.split("#[test]").skip(1).any(|after| {
            let head = after.split('{').next().unwrap_or_default();
            head.contains(&format!("fn {function}("))
        });
        assert!(is_test, "SECURITY.md names the test {function}, which is not in {file}");
    }
}

#[test]
fn each_promise_is_held_by_a_test() {
    let page = std::fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let mut tables = 0;
    for section in page.split("\n| promise | held by |\n").skip(1) {
        tables += 1;
        for row in section.lines().take_while(|line| line.starts_with('|')).skip(1) {
            assert!(!named(row).is_empty(), "no test holds this promise: {row}");
        }
    }
    let actors: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_suffix(") |")?.split_once("[below](#"))
        .map(|(_, to)| to)
        .collect();
    assert_eq!(tables, actors.len(), "a table for each of {actors:?}");
}
