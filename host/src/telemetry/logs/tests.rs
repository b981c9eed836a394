use std::io;

use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::printable;

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const NASTY: &str =
    "\u{1b}[31mred \u{1b}]8;;http://x\u{1b}\\ \u{7} \r \u{9b}2J \u{202e}\u{2066}\u{2028}\u{200b}\u{e0041}";

const FORMATS: [LogFormat; 3] = [LogFormat::Text, LogFormat::Json, LogFormat::Logfmt];

fn settings(format: LogFormat) -> Settings {
    let node = Some("node0".to_owned());
    Settings { level: Level::INFO, directives: String::new(), format, colors: false, node }
}

/// What `run` logs under these settings.
fn logged(settings: Settings, run: impl FnOnce(&Arc<Log>)) -> String {
    let said = Said::default();
    let out = said.clone();
    let (filter, _) = filter(settings.level, &settings.directives);
    let log = Arc::new(Log::new(settings, move || out.clone()));
    let subscriber = tracing_subscriber::registry().with(layer(&log, filter));
    tracing::subscriber::with_default(subscriber, || run(&log));
    let bytes = said.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// The line without its time, which is checked.
fn without_time(line: &str) -> String {
    let at = line.find("20").unwrap();
    let (before, rest) = line.split_at(at);
    let (time, after) = rest.split_at("2026-11-26T15:01:13.752123Z".len());
    assert!(time.ends_with('Z') && &time[10..11] == "T", "{time}");
    format!("{before}{after}")
}

#[test]
fn nothing_that_is_logged_reaches_the_terminal_as_control_characters() {
    for format in FORMATS {
        let line = logged(settings(format), |_| {
            let error: &dyn std::error::Error = &io::Error::other(NASTY);
            tracing::info!(text = NASTY, shown = %NASTY, debug = ?NASTY, error, "{NASTY}");
        });
        let inside = line.strip_suffix('\n').unwrap();
        assert_eq!(printable::line(inside), inside);
        assert_eq!(inside.matches("202e").count(), 5, "{inside}");
    }
}

#[test]
fn with_colors_only_ours_reach_the_terminal() {
    let settings = Settings { colors: true, ..settings(LogFormat::Text) };
    let line = logged(settings, |_| tracing::warn!(text = NASTY, "{NASTY}"));
    let escapes: Vec<&str> = line.split('\u{1b}').skip(1).map(|after| &after[..4.min(after.len())]).collect();
    assert_eq!(escapes, ["[2m2", "[0m ", "[33m", "[0m ", "[2mt", "[0m\""]);
    let plain =
        ["[2m", "[0m", "[33m"].iter().fold(line, |line, code| line.replace(&format!("\u{1b}{code}"), ""));
    assert_eq!(printable::line(plain.trim_end_matches('\n')), plain.trim_end_matches('\n'));
}

fn one_of_each() {
    let error = io::Error::other("disk full");
    let error: &dyn std::error::Error = &error;
    let _span = tracing::info_span!("abci", connection = 3_u64, height = 1_u64).entered();
    tracing::info!(height = 7_u64, tx = %"ab", plugin = "a b", offset = -1_i64, ok = true, error, "log open");
}

#[test]
fn the_three_formats_have_the_same_names_and_values() {
    let [text, json, logfmt] = FORMATS.map(|format| logged(settings(format), |_| one_of_each()));
    let fields = "connection=3 height=7 tx=ab plugin=\"a b\" offset=-1 ok=true error=\"disk full\"";
    assert_eq!(without_time(&text), format!("  INFO log open {fields}\n"));
    let target = "dseq::telemetry::logs::tests";
    assert_eq!(
        without_time(&logfmt),
        format!("timestamp= level=INFO target={target} node=node0 message=\"log open\" {fields}\n")
    );
    let mut json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["timestamp"].take().as_str().unwrap().ends_with('Z'));
    assert_eq!(
        json,
        json!({ "timestamp": null, "level": "INFO", "target": target, "node": "node0", "message": "log open",
            "connection": 3, "height": 7, "tx": "ab", "plugin": "a b", "offset": -1, "ok": true, "error": "disk full" })
    );
}

#[test]
fn json_stays_the_json_that_it_was() {
    let line = logged(settings(LogFormat::Json), |_| tracing::info!(text = NASTY, "{NASTY}"));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["message"], &line["text"]), (&NASTY.into(), &NASTY.into()));
}

#[test]
fn directives_are_put_on_top_of_the_level() {
    let messages = |level, directives: &str| {
        let directives = directives.to_owned();
        let said = logged(Settings { level, directives, ..settings(LogFormat::Json) }, |_| {
            tracing::debug!("ours debug");
            tracing::info!("ours info");
            tracing::debug!(target: "dseq::plugin::execute", "plugin debug");
            tracing::info!(target: "hyper", "library info");
            tracing::warn!(target: "hyper", "library warn");
            tracing::trace!(target: TRACES, "of a trace");
        });
        let message =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap().to_owned();
        said.lines().map(message).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(messages(Level::INFO, ""), "ours info, library warn");
    assert_eq!(messages(Level::ERROR, ""), "");
    assert_eq!(messages(Level::INFO, "dseq::plugin=debug"), "ours info, plugin debug, library warn");
    assert_eq!(messages(Level::INFO, "debug"), "ours debug, ours info, plugin debug, library warn");
    assert_eq!(messages(Level::INFO, "warn, hyper=info"), "library info, library warn");
    assert_eq!(messages(Level::DEBUG, "hyper=off,dseq=info"), "ours info");
    let all = "ours debug, ours info, plugin debug, library info, library warn";
    assert_eq!(messages(Level::TRACE, ""), all, "what traces are made of is never logged");
    assert_eq!(filter(Level::INFO, "dseq=loud,x==y,debug, ").1, ["dseq=loud", "x==y"]);
}

#[test]
fn repeated_warnings_are_left_out_and_counted_but_never_our_errors() {
    let said = logged(settings(LogFormat::Text), |log| {
        for _ in 0..1000 {
            tracing::warn!("again");
            tracing::error!("the end");
            tracing::error!(target: "hyper", "library");
        }
        log.put_left_out(Instant::now() + std::time::Duration::from_secs(2 * REPEATS_SECONDS));
    });
    let count = |text: &str| said.lines().filter(|line| line.contains(text)).count();
    assert_eq!((count("WARN again"), count("ERROR the end"), count("ERROR library")), (10, 1000, 10));
    assert!(said.contains(" WARN repeated, and left out: again left_out=990 seconds=60\n"), "{said}");
    assert!(said.contains("ERROR repeated, and left out: library left_out=990 seconds=60\n"), "{said}");
}

#[test]
fn a_line_of_cometbft_keeps_its_time_level_and_fields_and_is_bounded() {
    let relayed = |message: &str| Relayed {
        time: Some("2026-11-26T15:01:13.752Z".to_owned()),
        level: Level::ERROR,
        message: message.to_owned(),
        fields: [("module", "p2p"), ("height", "7"), ("level", "x"), ("err", "a\nb"), ("n w", "07")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    };
    let said = logged(settings(LogFormat::Logfmt), |log| {
        (0..20).for_each(|_| log.relay(relayed("dial failed")));
        log.relay(relayed("CONSENSUS FAILURE!!!"));
    });
    assert_eq!(said.lines().count(), 11);
    assert_eq!(
        said.lines().last().unwrap(),
        "timestamp=2026-11-26T15:01:13.752Z level=ERROR target=cometbft node=node0 message=\"CONSENSUS FAILURE!!!\" \
         component=cometbft module=p2p height=7 cometbft_level=x err=\"a\\nb\" n_w=07"
    );
    let (errors, all) = (
        settings(LogFormat::Text),
        Settings { directives: "cometbft=info".to_owned(), ..settings(LogFormat::Text) },
    );
    logged(errors, |_| assert!(is_enabled(Level::ERROR) && !is_enabled(Level::INFO)));
    logged(all, |_| assert!(is_enabled(Level::INFO) && !is_enabled(Level::DEBUG)));
}
