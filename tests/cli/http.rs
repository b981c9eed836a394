//! HTTP of the real program: where it listens, what it logs, how it ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use dseq::node::engine::cometbft::VERSION;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::supervisor::stand_in;
use super::{dseq, fill, home, run, text};

/// Generous: it only decides how long a broken build takes to fail.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that nobody else listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `dseq serve`, once it answers HTTP on this port of loopback.
fn serve(home: &Path, port: u16, flags: &[&str]) -> Child {
    let mut command = dseq(&["serve", "--home", text(home), "--log-format", "json"]);
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < PATIENCE, "nobody listens on {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

/// What a request is answered with, head and body.
fn ask(port: u16, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Ends it; the lines of its log.
fn stop(mut child: Child) -> Vec<Value> {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}")))
        .collect()
}

#[test]
fn the_app_answers_http_and_logs_each_request() {
    let (home, port) = (home(), free_port());
    let listen = format!("127.0.0.1:{port}");
    let child = serve(home.path(), port, &["--http", &listen, "--log-level", "debug"]);
    let answer = ask(port, "/v1/status", "x-request-id: mine\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let status: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&status["height"], &status["ready"]), (&0.into(), &false.into()), "{status}");
    assert!(ask(port, "/secret", "").starts_with("HTTP/1.1 404 "));
    // One that stays open and asks nothing is in nobody's way.
    let _idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let log = stop(child);
    let said = |message: &str| log.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    assert_eq!(said("serving HTTP")[0]["listen"], listen);
    let requests = said("HTTP request");
    assert_eq!(requests.len(), 2, "{requests:?}");
    let [found, missing] = [requests[0], requests[1]];
    assert_eq!((&found["target"], &found["level"]), (&"dseq::http::access".into(), &"DEBUG".into()));
    assert_eq!(
        (&found["method"], &found["route"], &found["status"]),
        (&"GET".into(), &"/v1/status".into(), &200.into())
    );
    assert_eq!((&found["request_id"], &found["complete"]), (&"mine".into(), &true.into()));
    assert!(found["bytes"].as_u64() > Some(100) && found["duration_ms"].as_f64() > Some(0.0), "{found}");
    assert!(found["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{found}");
    assert_eq!(found["trace_id"].as_str().unwrap().len(), 32, "{found}");
    assert_eq!((&missing["route"], &missing["problem"]), (&"(none)".into(), &"not-found".into()));
    assert!(log.iter().all(|line| line["level"] != "WARN" && line["level"] != "ERROR"), "{log:?}");
}

#[test]
fn listening_beyond_this_machine_is_warned_of_with_what_it_exposes() {
    let (home, port) = (home(), free_port());
    let child = serve(home.path(), port, &["--http", &format!("0.0.0.0:{port}")]);
    let log = stop(child);
    let warning = log.iter().find(|line| line["level"] == "WARN").unwrap();
    assert_eq!(warning["listen"], format!("0.0.0.0:{port}"));
    let said = warning["message"].as_str().unwrap();
    assert!(said.contains("beyond this machine") && said.contains("read the whole sequence"), "{said}");
}

#[test]
fn a_port_of_http_that_is_taken_is_named() {
    let home = home();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let args = ["--home", text(home.path()), "--http", &address];
    let (code, _, stderr) = run(dseq(&["serve"]).args(args));
    let expected = format!("error: cannot listen on {address} for HTTP: the port is taken; free it, or ");
    assert!(code == 1 && stderr.contains(&expected), "{code} {stderr}");

    // The supervisor looks before it starts anything, and knows who it is.
    let cometbft = stand_in(home.path(), VERSION, "exit 1");
    let (code, _, stderr) = run(dseq(&["start", "--cometbft", text(&cometbft)]).args(args));
    let port = holder.local_addr().unwrap().port();
    let expected = format!("error: port {port} is held by pid {}: ", std::process::id());
    assert!(code == 1 && stderr.contains(&expected), "{code} {stderr}");
    assert!(stderr.ends_with("dseq.toml (`http`)\n"), "{stderr}");
}

#[test]
fn an_address_of_http_is_an_ip_address_with_a_port_or_off() {
    for bad in
        ["", "localhost:6900", "6900", "127.0.0.1", "127.0.0.1:0", "::1:6900", "http://127.0.0.1:6900", "OFF"]
    {
        let (code, _, stderr) = run(&mut dseq(&["config", "show", "--http", bad]));
        assert_eq!(code, 2, "{bad}: {stderr}");
        assert!(stderr.contains("127.0.0.1:6900 or [::1]:6900, or off"), "{stderr}");
    }
    for good in ["off", "[::]:6900", "10.0.0.1:80"] {
        let (code, stdout, _) = run(&mut dseq(&["config", "show", "--http", good]));
        assert!(code == 0 && stdout.contains(good), "{stdout}");
    }
    let (code, stdout, _) = run(dseq(&["config", "show", "--json"]).env_remove("DSEQ_HTTP"));
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let http = rows.iter().find(|row| row["key"] == "http").unwrap();
    assert_eq!((code, &http["value"], &http["origin"]), (0, &"127.0.0.1:6900".into(), &"default".into()));
}

#[test]
fn a_local_network_from_before_http_gets_its_ports_and_one_with_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("network.json"), json!({ "nodes": 2, "base_port": 29_500 }).to_string())
        .unwrap();
    for (node, rpc) in [("node0", 29_501), ("node1", 29_504)] {
        let home = dir.path().join(node);
        fill(&home);
        let config = super::config_with(&format!("laddr = \"tcp://127.0.0.1:{rpc}\"\n"));
        fs::write(home.join("config/config.toml"), config).unwrap();
    }
    let settings = |node: &str| dir.path().join(node).join("dseq.toml");
    fs::write(settings("node0"), "log_level = \"warn\"\n").unwrap();
    fs::write(settings("node1"), "http = \"127.0.0.1:7000\"\n").unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "exit 1");
    let args =
        ["testnet", "start", "--timeout", "1", "--dir", text(dir.path()), "--cometbft", text(&cometbft)];
    let (code, _, stderr) = run(&mut dseq(&args));
    assert_eq!(code, 1, "{stderr}");
    assert_eq!(
        fs::read_to_string(settings("node0")).unwrap(),
        "log_level = \"warn\"\nhttp = \"127.0.0.1:29516\"\n"
    );
    let expected = format!("node1: {} does not have HTTP on port 29517, or off", text(&settings("node1")));
    assert!(stderr.contains(&expected), "{stderr}");
    let (_, stdout, _) = run(&mut dseq(&["testnet", "status", "--json", "--dir", text(dir.path())]));
    let nodes: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(nodes[0]["http"], "http://127.0.0.1:29516");
    run(&mut dseq(&["testnet", "stop", "--dir", text(dir.path())]));
}
