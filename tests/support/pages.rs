//! The pages of the book, and the blocks of code in them.

use std::path::{Path, PathBuf};

/// A block of code on a page.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The page, from the repository on.
    pub(crate) page: String,
    /// The line of its first fence, from 1.
    pub(crate) line: usize,
    /// The heading that it stands under, without `#`.
    pub(crate) heading: String,
    /// What stands behind the first fence.
    pub(crate) language: String,
    /// Its text.
    pub(crate) text: String,
    /// Why nobody runs it, as the page says: `<!-- not run: ... -->` on the line above.
    pub(crate) not_run: Option<String>,
}

/// Pages, or sections of pages, whose blocks a test of their own runs: (page, heading or all, file, test).
pub(crate) const RUN_BY: &[(&str, Option<&str>, &str, &str)] = &[
    ("plugins/", None, "tests/plugin/readmes.rs", "examples_in_readmes_are_what_really_happens"),
    (
        "docs/plugins.md",
        Some("From an empty folder to a network"),
        "tests/network/walk_through.rs",
        "the_walk_through_for_plugin_authors_is_what_really_happens",
    ),
    (
        "docs/network.md",
        None,
        "tests/network/machines.rs",
        "four_companies_make_a_network_by_the_page_survive_a_partition_and_a_fifth_follows",
    ),
    (
        "docs/proxy.md",
        None,
        "tests/http/proxied.rs",
        "the_proxy_on_the_page_asks_for_a_password_and_passes_everything_on",
    ),
    (
        "docs/run/misbehaviour.md",
        None,
        "tests/network/byzantine.rs",
        "a_byzantine_validator_is_named_and_three_honest_ones_stay_equal_and_live",
    ),
    ("docs/run/", None, "tests/network/run_pages.rs", "the_pages_about_running_a_node_do_what_they_say"),
    ("docs/read.md", None, "tests/http/documented.rs", "every_command_on_the_page_of_reading_works"),
    ("docs/submit.md", None, "tests/network/submit.rs", "the_commands_of_the_page_do_what_it_says"),
    (
        "docs/clients.md",
        Some("Shell"),
        "tests/network/clients.rs",
        "the_examples_for_programs_do_what_the_page_says",
    ),
    (
        "docs/clients.md",
        Some("Python"),
        "tests/network/clients.rs",
        "the_examples_for_programs_do_what_the_page_says",
    ),
    (
        "docs/clients.md",
        Some("JavaScript"),
        "tests/network/clients.rs",
        "the_examples_for_programs_do_what_the_page_says",
    ),
];

impl Block {
    /// The test of its own that runs it: (file, function).
    pub(crate) fn run_by(&self) -> Option<(&'static str, &'static str)> {
        let of = |(page, heading, ..): &&(&str, Option<&str>, &str, &str)| {
            let is_page = if page.ends_with('/') { self.page.starts_with(page) } else { self.page == *page };
            is_page && heading.is_none_or(|heading| heading == self.heading)
        };
        RUN_BY.iter().find(of).map(|(.., file, test)| (*file, *test))
    }
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The text of a page.
pub(crate) fn text(page: &str) -> String {
    std::fs::read_to_string(repository().join(page)).unwrap_or_else(|err| panic!("{page}: {err}"))
}

/// The pages that `docs/SUMMARY.md` lists, from the repository on, in its order.
pub(crate) fn pages() -> Vec<String> {
    let summary = text("docs/SUMMARY.md");
    let targets = summary.lines().filter_map(|line| Some(line.split_once("](")?.1.split_once(')')?.0));
    targets
        .map(|target| target.strip_prefix("../").map_or_else(|| format!("docs/{target}"), str::to_owned))
        .collect()
}

/// The blocks of a page.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let text = text(page);
    let mut blocks = Vec::new();
    let (mut heading, mut above) = (String::new(), "");
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let text = inside.map(|line| format!("{line}\n")).collect();
            let reason = above.strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
            blocks.push(Block {
                page: page.to_owned(),
                line: number + 1,
                heading: heading.clone(),
                language: language.to_owned(),
                text,
                not_run: reason.map(str::to_owned),
            });
        } else if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        }
        above = line;
    }
    blocks
}
