//! Headless Chromium, driven over its debugging pipe: JSON messages, each ended by a zero byte.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::support::PATIENCE;

/// What the distributions call it.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// A browser that ends with the test.
pub(crate) struct Chromium {
    child: Child,
    stdin: ChildStdin,
    messages: Receiver<Value>,
    last_id: u64,
    /// What pages complained of: messages of level error or warning, exceptions, violations of the policy.
    pub(crate) complaints: Vec<String>,
    /// Addresses that pages asked, as scheme and host with port.
    pub(crate) asked: BTreeSet<String>,
    _profile: tempfile::TempDir,
}

/// A page, by the session that the browser has with it.
#[derive(Clone)]
pub(crate) struct Tab(String);

impl Chromium {
    /// Starts it; `None` where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let is_installed = |name: &&&str| {
            let tried =
                Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            tried.is_ok_and(|status| status.success())
        };
        let name = NAMES.iter().find(is_installed)?;
        let profile = tempfile::tempdir().unwrap();
        // It reads descriptor 3 and writes 4. Its sandbox does not run as root.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", name])
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-dev-shm-usage",
            ])
            .arg("--disable-backgrounding-occluded-windows")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
                let _ = sender.send(serde_json::from_slice(&message).unwrap());
            }
        });
        let (complaints, asked) = (Vec::new(), BTreeSet::new());
        Some(Self { child, stdin, messages, last_id: 0, complaints, asked, _profile: profile })
    }

    /// Opens a page of this size, in light or dark, in a window of its own: one behind another paints nothing.
    pub(crate) fn open(&mut self, url: &str, (width, height): (u32, u32), scheme: &str) -> Tab {
        let target =
            self.call(None, "Target.createTarget", &json!({ "url": "about:blank", "newWindow": true }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", &attach);
        let tab = Tab(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(Some(&tab), &format!("{domain}.enable"), &json!({}));
        }
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call(Some(&tab), "Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call(Some(&tab), "Emulation.setEmulatedMedia", &features);
        self.call(Some(&tab), "Page.navigate", &json!({ "url": url }));
        self.until(&tab, "document", "document.readyState === 'complete' && location.href !== 'about:blank'");
        tab
    }

    /// The value of an expression in the page; a promise is awaited.
    pub(crate) fn value(&mut self, tab: &Tab, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call(Some(tab), "Runtime.evaluate", &params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until the expression is true.
    pub(crate) fn until(&mut self, tab: &Tab, what: &str, expression: &str) {
        let began = Instant::now();
        while self.value(tab, expression) != true {
            if began.elapsed() > PATIENCE {
                let text = self.value(tab, "document.body.innerText");
                panic!(
                    "no {what}: {expression}\n{}\n{:?}",
                    text.as_str().unwrap_or_default(),
                    self.complaints
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Puts the focus on an element and types, as a user does.
    pub(crate) fn type_into(&mut self, tab: &Tab, selector: &str, text: &str) {
        let found = format!("document.querySelector({selector:?})");
        self.value(tab, &format!("{found}.focus(), {found}.value = '', true"));
        self.call(Some(tab), "Input.insertText", &json!({ "text": text }));
    }

    /// Presses and releases a key; `modifiers`: 2 is Ctrl, 8 is Shift.
    pub(crate) fn press(&mut self, tab: &Tab, key: &str, code: u32, modifiers: u32) {
        for kind in ["rawKeyDown", "char", "keyUp"] {
            let text = if key == "Enter" { "\r" } else { "" };
            if kind == "char" && (text.is_empty() || modifiers != 0) {
                continue;
            }
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers, "text": text,
            });
            self.call(Some(tab), "Input.dispatchKeyEvent", &event);
        }
    }

    /// The page as PNG.
    pub(crate) fn screenshot(&mut self, tab: &Tab) -> Vec<u8> {
        let answer = self.call(Some(tab), "Page.captureScreenshot", &json!({ "format": "png" }));
        BASE64.decode(answer["data"].as_str().unwrap().as_bytes()).unwrap()
    }

    fn call(&mut self, tab: Option<&Tab>, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(Tab(session)) = tab {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.stdin.write_all(&bytes).unwrap();
        loop {
            let message =
                self.messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    /// Keeps what an event says that no page of ours should cause.
    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.consoleAPICalled" if params["type"] == "error" || params["type"] == "warning" => {
                self.complaints.push(params["args"].to_string());
            }
            "Runtime.exceptionThrown" => self.complaints.push(params["exceptionDetails"].to_string()),
            // That a request failed is said there too, and is what happens when a node is gone.
            "Log.entryAdded" if params["entry"]["source"] != "network" => {
                let level = params["entry"]["level"].as_str().unwrap_or_default();
                if level == "error" || level == "warning" {
                    self.complaints.push(params["entry"].to_string());
                }
            }
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap();
                if !url.starts_with("data:") {
                    let host = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
                    self.asked.insert(host);
                }
            }
            _ => {}
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its other processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
