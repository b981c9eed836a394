//! The proxy of docs/proxy.md, as the page has it: nginx with TLS and passwords before a node.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dseq::api::{self, Origins, Running};
use dseq::sequence::{HashedRecord, Log, Staging};
use dseq::types::{AppHash, Height, PipelineId, TxHash};

use super::log::state;
use super::{limits, serve_for, until};

const PAGE: &str = include_str!("../../docs/proxy.md");
const NAME: &str = "dseq.example";

/// The page's block of this language, without its indentation, for this folder and these ports.
fn block(language: &str, dir: &Path, port: u16, node: u16) -> String {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    let lines = rest.lines().take_while(|line| line.trim() != "```").map(str::trim_start);
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    text.replace("/etc/nginx", dir.to_str().unwrap())
        .replace("listen 443", &format!("listen 127.0.0.1:{port}"))
        .replace("127.0.0.1:6900", &format!("127.0.0.1:{node}"))
}

fn shell(dir: &Path, code: &str) -> String {
    let done = Command::new("sh")
        .args(["-euc", code])
        .current_dir(dir)
        .env("PASSWORD", "a secret")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{code}: {said}{}", String::from_utf8_lossy(&done.stderr));
    said
}

/// A node with one record, which knows by which name it is reached.
fn node(dir: &Path) -> (Log, Running) {
    let mut log = Log::open(dir).unwrap();
    let mut staging = Staging::begin(log.head(), Height(1));
    staging.push(TxHash::of(b"hello"), &HashedRecord::of(b"hello".to_vec())).unwrap();
    log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
    let origins = Origins::parse(&format!("https://{NAME}")).unwrap();
    let http = serve_for(limits(), &origins, |stopping| api::router(state(log.reader(), stopping)));
    (log, http)
}

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything around the page's part: nothing outside this folder, and one process, of this user.
fn around(dir: &Path) -> String {
    let at = dir.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {at}/{what};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{paths}include {at}/dseq.conf;\n}}\n"
    )
}

fn nginx(dir: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir).arg("-c").arg(dir.join("nginx.conf")).stderr(Stdio::piped());
    command
}

#[test]
fn the_proxy_on_the_page_asks_for_a_password_and_passes_everything_on() {
    for program in ["nginx", "openssl", "curl"] {
        if Command::new(program).arg("-h").output().is_err() {
            eprintln!("SKIPPED: {program} is not installed");
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (_log, http) = node(&dir.path().join("sequence"));
    let dir = dir.path();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    shell(
        dir,
        &format!(
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout dseq.key -out dseq.crt -days 2 -subj /CN={NAME} \
         -addext subjectAltName=DNS:{NAME}"
        ),
    );
    shell(dir, &block("sh", dir, port, 0));
    fs::write(dir.join("dseq.conf"), block("nginx", dir, port, http.address().port())).unwrap();
    fs::write(dir.join("nginx.conf"), around(dir)).unwrap();
    let tested = nginx(dir).arg("-t").output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let _nginx = Nginx(nginx(dir).stderr(Stdio::null()).spawn().unwrap());

    let curl = format!("curl -sS --cacert dseq.crt --resolve {NAME}:{port}:127.0.0.1 https://{NAME}:{port}");
    let answered = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    until("listening", answered);
    let as_alice = "-u 'alice:a secret'";
    assert!(shell(dir, &format!("{curl}/v1/status")).contains("401 Authorization Required"));
    assert!(shell(dir, &format!("{curl}/v1/status {as_alice}")).contains("\"length\":5"));
    assert_eq!(shell(dir, &format!("{curl}/v1/sequence -r 1-2 {as_alice}")), "el");
    // The node answers itself: this one has no engine.
    let submitted = shell(dir, &format!("{curl}/v1/submit --data-binary x {as_alice}"));
    assert!(submitted.contains("urn:dseq:problem:not-ready"), "{submitted}");
    // Events come while the answer goes on.
    let events = format!("{curl}/v1/sequence?offset=-1\\&live=sse -N --max-time 5 {as_alice} | head -n 3");
    assert!(shell(dir, &events).contains("data:aGVsbG8="));
    let foreign = shell(dir, &format!("{curl}/v1/status {as_alice} -H 'host: evil.example'"));
    assert!(foreign.contains("urn:dseq:problem:foreign-host"), "{foreign}");
}
