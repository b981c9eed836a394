//! `dseq config`, and how bad settings are told.

use super::{dseq, home, run, text};

#[test]
fn each_value_is_shown_with_where_it_came_from() {
    let home = home();
    std::fs::write(home.path().join("dseq.toml"), "# mine\nlog_level = \"warn\"\nlog_format = \"json\"\n")
        .unwrap();
    let mut command = dseq(&["config", "show", "--json", "--home", text(home.path())]);
    command.args(["--disk-free-bytes-low", "7"]).env("DSEQ_LOG_LEVEL", "debug");
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let shown: Vec<serde_json::Value> = serde_json::from_str(&stdout).unwrap();
    let of = |key: &str| {
        let row = shown.iter().find(|row| row["key"] == key).unwrap();
        (row["value"].as_str().unwrap().to_owned(), row["origin"].as_str().unwrap().to_owned())
    };
    let file = home.path().canonicalize().unwrap().join("dseq.toml");
    assert_eq!(of("disk_free_bytes_low"), ("7".to_owned(), "flag --disk-free-bytes-low".to_owned()));
    assert_eq!(of("log_level"), ("debug".to_owned(), "environment DSEQ_LOG_LEVEL".to_owned()));
    assert_eq!(of("log_format"), ("json".to_owned(), format!("{}:3", file.display())));
    assert_eq!(of("restart_backoff_seconds_max"), ("30".to_owned(), "default".to_owned()));
}

#[test]
fn a_flag_wins_over_the_environment() {
    let mut command = dseq(&["config", "show", "--log-level", "trace"]);
    let (code, stdout, _) = run(command.env("DSEQ_LOG_LEVEL", "error"));
    assert_eq!(code, 0);
    let row = stdout.lines().find(|line| line.starts_with("log_level ")).unwrap();
    assert!(row.contains("trace") && row.ends_with("flag --log-level"), "{row}");
}

#[test]
fn a_misspelt_key_refuses_the_node_and_names_its_line() {
    let home = home();
    std::fs::write(home.path().join("dseq.toml"), "\nlog_levl = \"warn\"\n").unwrap();
    for subcommand in ["serve", "start"] {
        let (code, _, stderr) = run(&mut dseq(&[subcommand, "--home", text(home.path())]));
        assert_eq!(code, 78, "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert!(
            stderr.ends_with("dseq.toml:2: unknown key \"log_levl\"; did you mean \"log_level\"?\n"),
            "{stderr}"
        );
    }
}

#[test]
fn a_bad_value_names_the_variable_or_the_flag_it_came_from() {
    let home = home();
    let args = ["config", "show", "--home", text(home.path())];
    let (code, _, stderr) = run(dseq(&args).env("DSEQ_DISK_FREE_BYTES_LOW", "lots"));
    assert_eq!(code, 78);
    assert!(stderr.starts_with("error: environment DSEQ_DISK_FREE_BYTES_LOW: "), "{stderr}");
    let (code, _, stderr) = run(dseq(&args).args(["--log-format", "xml"]));
    assert_eq!(code, 2);
    assert_eq!(stderr, "error: flag --log-format: log_format is \"xml\"; it must be text, json or logfmt\n");
}

#[test]
fn the_default_file_has_every_setting_and_passes_the_check() {
    let (code, stdout, _) = run(&mut dseq(&["config", "default"]));
    assert_eq!(code, 0);
    for key in dseq::node::config::KEYS {
        assert!(stdout.contains(&format!("\n# {} = ", key.name)), "{}: {stdout}", key.name);
    }
    let home = home();
    std::fs::write(home.path().join("dseq.toml"), stdout).unwrap();
    let mut command = dseq(&["config", "check", "--home", text(home.path())]);
    let (code, stdout, stderr) = run(command.env_remove("DSEQ_HTTP"));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.ends_with("dseq.toml is good; 0 settings differ from the defaults\n"), "{stdout}");
}

#[test]
fn the_check_reports_everything_that_is_wrong() {
    let home = home();
    let settings = "log_level = 7\nlog_levl = \"warn\"\nlog_format = \"xml\"\n";
    std::fs::write(home.path().join("dseq.toml"), settings).unwrap();
    std::fs::write(home.path().join("config/config.toml"), "[mempool]\ntype = \"app\"\n").unwrap();
    let mut command = dseq(&["config", "check", "--home", text(home.path())]);
    command.env("DSEQ_DISK_FREE_BYTES_LOW", "much").env("DSEQ_LOG_LEVLE", "info");
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, stderr.as_str()), (1, ""));
    let said: Vec<&str> = stdout.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(
        said,
        [
            "dseq.toml:1: log_level = 7: it must be a string in quotes",
            "dseq.toml:2: unknown key \"log_levl\"; did you mean \"log_level\"?",
            "dseq.toml:3: log_format is \"xml\"; it must be text, json or logfmt",
            "environment DSEQ_DISK_FREE_BYTES_LOW: disk_free_bytes_low is \"much\"; it must be a number of bytes, e.g. 536870912",
            "config.toml: mempool.type is \"app\"; it must be \"flood\", or no transaction reaches dseq",
            "environment DSEQ_LOG_LEVLE is no setting; did you mean \"DSEQ_LOG_LEVEL\"?",
        ]
    );
}
