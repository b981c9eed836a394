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
    /// The test of its own that runs it, as the page says: `<!-- run by FILE -->` on the line above.
    pub(crate) run_by: Option<String>,
    /// Why nobody runs it, as the page says: `<!-- not run: ... -->` on the line above.
    pub(crate) not_run: Option<String>,
}

/// Pages all of whose blocks a test of their own runs: (page, file, test).
pub(crate) const RUN_BY: &[(&str, &str, &str)] = &[
    ("plugins/", "tests/plugin/readmes.rs", "examples_in_readmes_are_what_really_happens"),
    (
        "docs/network.md",
        "tests/network/machines.rs",
        "four_companies_make_a_network_by_the_page_survive_a_partition_and_a_fifth_follows",
    ),
    (
        "docs/proxy.md",
        "tests/http/proxied.rs",
        "the_proxy_on_the_page_asks_for_a_password_and_passes_everything_on",
    ),
    (
        "docs/run/misbehaviour.md",
        "tests/network/byzantine.rs",
        "a_byzantine_validator_is_named_and_three_honest_ones_stay_equal_and_live",
    ),
    ("docs/run/", "tests/network/run_pages.rs", "the_pages_about_running_a_node_do_what_they_say"),
    ("docs/read.md", "tests/http/documented.rs", "every_command_on_the_page_of_reading_works"),
    ("docs/submit.md", "tests/network/submit.rs", "the_commands_of_the_page_do_what_it_says"),
];

/// The test that runs all blocks of a page.
pub(crate) fn runner(page: &str) -> Option<&'static str> {
    let is_of = |named: &str| if named.ends_with('/') { page.starts_with(named) } else { page == named };
    RUN_BY.iter().find(|(named, ..)| is_of(named)).map(|(_, file, _)| *file)
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
            let remark = |kind| Some(above.strip_prefix(kind)?.strip_suffix(" -->")?.to_owned());
            blocks.push(Block {
                page: page.to_owned(),
                line: number + 1,
                heading: heading.clone(),
                language: language.to_owned(),
                text,
                run_by: remark("<!-- run by ").or_else(|| runner(page).map(str::to_owned)),
                not_run: remark("<!-- not run: "),
            });
        } else if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        }
        above = line;
    }
    blocks
}

/// The text of a block under a heading, from 1.
pub(crate) fn block(page: &str, heading: &str, number: usize) -> String {
    let below: Vec<Block> = blocks(page).into_iter().filter(|block| block.heading == heading).collect();
    below
        .get(number - 1)
        .unwrap_or_else(|| panic!("{page} has no block {number} under {heading:?}"))
        .text
        .clone()
}
