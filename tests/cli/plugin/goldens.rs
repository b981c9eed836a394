//! `dseq plugin test`: a plugin held against its golden files.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{dseq, run, text};
use super::file;

const GOOD: &str = r#"
# The moods of a plugin.
[[case]]
name = "it waves back"   # politely
tx_hex = "7e"
verdict = "replaced"
record = "wave"

[[case]]
name = "no shouting"
tx = "!"
verdict = "rejected"
code = 7
message = "no shouting"

[[case]]
name = "all else is left as it is"
tx = "hello"
verdict = "unchanged"

[[case]]
name = "it breaks"
tx = "@"
verdict = "faulted"
code = 1000
"#;

fn goldens(texts: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (dir, plugin) = file();
    let goldens = dir.path().join("goldens");
    fs::create_dir(&goldens).unwrap();
    for (name, text) in texts {
        fs::write(goldens.join(name), text).unwrap();
    }
    (dir, plugin, goldens)
}

fn test(plugin: &Path, path: &Path, flags: &[&str]) -> (i32, String, String) {
    run(dseq(&["plugin", "test", "--plugin", text(plugin), text(path)]).args(flags))
}

#[test]
fn a_plugin_that_does_what_its_files_say_passes() {
    let refused = "refused = \"these params are not for me\"\n[params]\nmood = \"bad\"\n";
    let (_dir, plugin, goldens) =
        goldens(&[("b.toml", GOOD), ("a.toml", refused), ("notes.txt", "no golden")]);
    let (code, stdout, stderr) = test(&plugin, &goldens, &[]);
    assert_eq!(
        (code, stdout.as_str()),
        (
            0,
            "test a.toml: the params ... ok\n\
             test b.toml: it waves back ... ok\n\
             test b.toml: no shouting ... ok\n\
             test b.toml: all else is left as it is ... ok\n\
             test b.toml: it breaks ... ok\n\n\
             test result: ok. 5 passed; 0 failed\n"
        ),
        "{stderr}"
    );
}

#[test]
fn what_is_not_as_the_file_says_is_shown_beside_it_and_fails() {
    let wrong = GOOD.replace("\"wave\"", "\"Wave\"").replace("code = 7", "code = 8\nfuel = 1");
    let (_dir, plugin, goldens) = goldens(&[
        ("a.toml", &wrong),
        ("b.toml", "params = { x = 1 }\n[[case]]\nname = \"x\"\ntx = \"x\"\n"),
    ]);
    let (code, stdout, _) = test(&plugin, &goldens, &[]);
    assert_eq!(code, 1);
    for words in [
        "test a.toml: it waves back ... FAILED\n    record   expected  \"Wave\"\n             found     \"wave\"\n",
        "    code     expected  8\n             found     7\n    fuel     expected  1\n             found     ",
        "test b.toml: the params ... FAILED\n    refused  expected  the params are accepted\n             found     \"these params are not for me\"\n",
        "\ntest result: FAILED. 2 passed; 3 failed\n",
    ] {
        assert!(stdout.contains(words), "{words:?} is not in {stdout}");
    }
    assert_eq!(fs::read_to_string(goldens.join("a.toml")).unwrap(), wrong, "nothing is written unasked");
}

#[test]
fn an_update_writes_what_the_plugin_does_and_then_it_passes() {
    let wrong = GOOD.replace("\"wave\"", "\"Wave\"").replace("verdict = \"unchanged\"\n", "");
    let refused = "refused = \"other words\" # ours\nparams = { x = 1 }\n";
    let (_dir, plugin, goldens) = goldens(&[("a.toml", &wrong), ("b.toml", refused)]);
    let (code, stdout, stderr) = test(&plugin, &goldens, &[]);
    assert!(code == 1 && stderr.contains("has no verdict; write one, or use --update"), "{stdout}{stderr}");
    let (code, stdout, stderr) = test(&plugin, &goldens, &["--update"]);
    assert!(
        code == 0 && stdout.ends_with("test result: ok. 0 passed; 0 failed; 5 updated\n"),
        "{stdout}{stderr}"
    );
    let written = fs::read_to_string(goldens.join("a.toml")).unwrap();
    assert!(
        written.contains("# The moods of a plugin.") && written.contains("\"it waves back\"   # politely"),
        "{written}"
    );
    assert!(
        written.contains("record = \"wave\"\nfuel = ") && written.contains("verdict = \"unchanged\"\n"),
        "{written}"
    );
    let refused = fs::read_to_string(goldens.join("b.toml")).unwrap();
    assert_eq!(refused, "refused = \"these params are not for me\" # ours\nparams = { x = 1 }\n");
    let (code, stdout, _) = test(&plugin, &goldens, &[]);
    assert!(code == 0 && stdout.ends_with("test result: ok. 5 passed; 0 failed\n"), "{stdout}");
    let (_, stdout, _) = test(&plugin, &goldens, &["--update"]);
    assert!(stdout.ends_with("test result: ok. 5 passed; 0 failed\n"), "{stdout}");
    assert_eq!(fs::read_to_string(goldens.join("a.toml")).unwrap(), written);
}

#[test]
fn nothing_to_test_is_a_failure() {
    let (dir, plugin, goldens) = goldens(&[]);
    let (code, _, stderr) = test(&plugin, &goldens, &[]);
    assert!(code == 1 && stderr.contains("there is no golden file (*.toml) in "), "{stderr}");
    let (code, _, stderr) = test(&plugin, &dir.path().join("nowhere"), &[]);
    assert!(code == 1 && stderr.contains("cannot read ") && stderr.contains("/nowhere"), "{stderr}");
    let one = dir.path().join("one.toml");
    fs::write(&one, GOOD).unwrap();
    let (code, _, stderr) = run(&mut dseq(&["plugin", "test", text(&one)]));
    assert!(code == 1 && stderr.contains("give the plugin with --plugin FILE"), "{stderr}");
    fs::write(&one, "[[case]]\nname = 1\n").unwrap();
    let (code, _, stderr) = test(&plugin, &one, &[]);
    assert!(
        code == 1 && stderr.contains("one.toml is not a golden file") && stderr.contains("line 2"),
        "{stderr}"
    );
}
