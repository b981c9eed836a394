//! The pages of the book: every one is in its table of contents, every link leads somewhere, and every command on them is run
//! by a test or says why not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::pages::{RUN_BY, blocks, pages, repository, runner, text};

/// Folders that hold no pages of ours.
const NO_PAGES: &[&str] = &["target", "build", "node_modules", ".git"];
/// Pages that stand alone: they go with what is made of them.
const ALONE: &[&str] =
    &["docs/SUMMARY.md", "host/src/cli/plugin/template/README.md", "networks/dist/README.md"];
/// What the book has beside its pages; `docs/copy` takes it along.
const BESIDE: &[&str] = &["docs/images", "networks/local/monitoring", "LICENSE"];
/// Languages whose blocks are commands or programs.
const RUNNABLE: &[&str] = &["sh", "bash", "console", "python", "javascript", "rust"];

/// Every page in a folder and below, from the repository on.
fn found(folder: &str) -> Vec<String> {
    let mut pages = Vec::new();
    for entry in repository().join(folder).read_dir().unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            if !NO_PAGES.contains(&name.as_str()) {
                pages.extend(found(&path));
            }
        } else if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}

/// The lines of a page that are not code, without what is code within them.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_block = false;
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        let shown = !in_block && !is_fence;
        in_block ^= is_fence;
        shown.then(|| (number, line.split('`').step_by(2).collect::<Vec<_>>().join("`")))
    })
}

/// The targets of links on a page, each with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let on_line = |(number, line): (usize, String)| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| (number, target.to_owned())).collect::<Vec<_>>()
    };
    prose(text).flat_map(on_line).collect()
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut counts = BTreeMap::<String, u32>::new();
    let mut anchors = BTreeSet::new();
    let mut in_block = false;
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        if in_block || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let count = counts.entry(anchor.clone()).or_default();
        anchors.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

/// A path with its `..` taken out; none: it leads out of the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => normal.pop().then_some(())?,
            Component::Normal(name) => normal.push(name),
            _ => {}
        }
    }
    Some(normal)
}

/// What is wrong with a link of a page, if anything is.
fn wrong(page: &str, target: &str, listed: &[String]) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let folder = Path::new(page).parent().unwrap();
    let file = if path.is_empty() { Some(PathBuf::from(page)) } else { normal(&folder.join(path)) };
    let Some(file) = file else { return Some("it leads out of the repository".to_owned()) };
    let name = file.to_str().unwrap();
    if !repository().join(&file).exists() {
        return Some(format!("{name} is not there"));
    }
    let is_page = listed.iter().any(|page| page == name);
    if !is_page && !BESIDE.iter().any(|place| file.starts_with(place)) {
        return Some(format!(
            "{name} is not in the book: list it in docs/SUMMARY.md, or name it without a link"
        ));
    }
    let anchor = anchor?;
    (!anchors(&text(name)).contains(anchor)).then(|| format!("{name} has no heading #{anchor}"))
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let listed = pages();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "a page is listed twice");
    let there: BTreeSet<String> =
        found("").into_iter().filter(|page| !ALONE.contains(&page.as_str())).collect();
    assert_eq!(
        listed.into_iter().collect::<BTreeSet<_>>(),
        there,
        "docs/SUMMARY.md, and the pages that are there"
    );
}

#[test]
fn every_link_leads_somewhere() {
    let listed = pages();
    let mut report = String::new();
    let mut count = 0;
    for page in &listed {
        for (line, target) in links(&text(page)) {
            count += 1;
            if let Some(wrong) = wrong(page, &target, &listed) {
                report.push_str(&format!("{page}:{line}: {target}: {wrong}\n"));
            }
        }
    }
    assert!(count > 100, "{count} links are found");
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn a_link_that_leads_nowhere_is_seen() {
    let listed = pages();
    let wrong = |target| wrong("docs/read.md", target, &listed);
    assert_eq!(wrong("submit.md#what-to-wait-for"), None);
    assert_eq!(wrong("../README.md#license"), None);
    assert!(wrong("nowhere.md").unwrap().contains("not there"));
    assert!(wrong("submit.md#nowhere").unwrap().contains("no heading"));
    assert!(wrong("../Makefile").unwrap().contains("not in the book"));
    let text = "a [b](c.md) `[d](e.md)`\n```sh\n[f](g.md)\n```\n![h](i.png) and [j](k.md#l)\n";
    let targets: Vec<_> = links(text);
    assert_eq!(targets, [(1, "c.md".to_owned()), (5, "i.png".to_owned()), (5, "k.md#l".to_owned())]);
    assert_eq!(anchors("# A `b`: c\n## A b c\n"), ["a-b-c", "a-b-c-1"].map(str::to_owned).into());
}

/// What is neither run by a test of its own nor marked is run by `tests/network/page_commands.rs`.
#[test]
fn every_block_that_can_be_run_is_run_or_says_why_not() {
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let place = format!("{}:{}", block.page, block.line);
        let is_runnable = RUNNABLE.contains(&block.language.as_str());
        if let Some(reason) = &block.not_run {
            assert!(is_runnable && reason.len() > 10, "{place}: a reason for nothing, or none");
            assert!(block.run_by.is_none(), "{place}: it is run, says RUN_BY in tests/support/pages.rs");
        } else if is_runnable && block.run_by.is_none() {
            assert_eq!(
                block.language, "sh",
                "{place}: nobody runs this; put `<!-- not run: why -->` above it"
            );
        }
    }
}

#[test]
fn the_tests_that_run_pages_are_there() {
    for (_, file, test) in RUN_BY {
        assert!(text(file).contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}

/// What a test takes from a page it finds by the page's name and the heading.
#[test]
fn a_test_that_runs_a_block_names_its_page_and_heading() {
    let mut count = 0;
    for block in pages().iter().filter(|page| runner(page).is_none()).flat_map(|page| blocks(page)) {
        let Some(file) = &block.run_by else { continue };
        count += 1;
        let place = format!("{}:{}", block.page, block.line);
        assert!(repository().join(file).is_file(), "{place}: there is no {file}");
        let code = text(file);
        let is_named =
            |name: &str| ['"', '\''].iter().any(|quote| code.contains(&format!("{quote}{name}{quote}")));
        assert!(code.contains(&block.page), "{place}: {file} does not name the page");
        assert!(is_named(&block.heading), "{place}: {file} does not name the heading {:?}", block.heading);
    }
    assert!(count >= 8, "{count} blocks say who runs them");
}
