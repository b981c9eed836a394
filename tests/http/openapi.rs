//! The description of the routes, compared with the routes and with what they really answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use dseq::api::submit::{Bounds, Checked, HandedOver, Intake, Submissions};
use dseq::api::{self, Running, State};
use dseq::app::{CommittedBlock, Refusal, TxResult};
use dseq::sequence::{HashedRecord, Log, Staging};
use dseq::types::{AppHash, Fuel, Height, PipelineId, TxHash};
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::client::{Answer, Client};
use super::log::state;
use super::{limits, serve, until};

/// SHA-256 of `first`.
const FIRST: &str = "/v1/receipts/a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
/// SHA-256 of `bad`, after it was submitted.
const BAD: &str = "/v1/receipts/2f05d4b689d270cafb02285f35f44866f7dc8a2d368a3f9d1124373eeab31fb1";
/// SHA-256 of `other`, after it was submitted.
const OTHER: &str = "/v1/receipts/d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

/// The type of a batch of lines.
const LINES: &str = "content-type: application/x-ndjson\r\n";

/// Requests of every route: method, target, header fields, body, and the status that comes.
const SAMPLES: &[(&str, &str, &str, &str, u16)] = &[
    ("GET", "/", "", "", 200),
    ("GET", "/", "accept: text/html\r\n", "", 200),
    ("POST", "/v1/submit", "", "first", 200),
    ("POST", "/v1/submit?wait=none", "", "other", 202),
    ("POST", "/v1/submit", "", "bad", 422),
    ("POST", "/v1/submit", "", "full", 503),
    ("POST", "/v1/submit?wait=x", "", "first", 400),
    ("POST", "/v1/submit", "", "longer than it may be", 413),
    ("POST", "/v1/submit/batch", LINES, "{\"text\":\"first\"}\n{\"text\":\"bad\"}\n", 200),
    ("POST", "/v1/submit/batch?wait=none", LINES, "{\"text\":\"other\"}\n", 200),
    ("POST", "/v1/submit/batch", LINES, "{}\n", 400),
    ("POST", "/v1/submit/batch", "", "first", 415),
    ("GET", FIRST, "", "", 200),
    ("GET", BAD, "", "", 200),
    ("GET", OTHER, "", "", 200),
    ("GET", "/v1/receipts/0000000000000000000000000000000000000000000000000000000000000000", "", "", 404),
    ("GET", "/v1/receipts/x", "", "", 400),
    ("GET", "/v1/receipts?index=1", "", "", 200),
    ("GET", "/v1/receipts?offset=6", "", "", 200),
    ("GET", "/v1/receipts?height=1&limit=1", "", "", 200),
    ("GET", "/v1/receipts?from=0", "", "", 200),
    ("GET", "/v1/receipts?index=2", "", "", 404),
    ("GET", "/v1/receipts", "", "", 400),
    ("GET", "/v1/status", "", "", 200),
    ("GET", "/v1/status?x", "", "", 400),
    ("GET", "/v1/pipeline", "", "", 503),
    ("GET", "/v1/pipeline?x=1", "", "", 400),
    ("GET", "/v1/sequence", "", "", 200),
    ("GET", "/v1/sequence", "range: bytes=1-3\r\n", "", 206),
    ("GET", "/v1/sequence", "range: bytes=100-\r\n", "", 416),
    ("GET", "/v1/sequence?end=100", "", "", 503),
    ("GET", "/v1/sequence?end=x", "", "", 400),
    ("GET", "/v1/sequence?offset=-1", "", "", 200),
    ("GET", "/v1/sequence?offset=00000000000000000100", "", "", 503),
    ("GET", "/v1/sequence?offset=1", "", "", 400),
    ("GET", "/v1/records", "", "", 200),
    ("GET", "/v1/records?height=1", "accept: application/x-ndjson\r\n", "", 200),
    ("GET", "/v1/records?from=1", "accept: application/octet-stream\r\n", "", 200),
    ("GET", "/v1/records?from=3", "", "", 503),
    ("GET", "/v1/records?from=x", "", "", 400),
    ("GET", "/v1/records", "accept: image/png\r\n", "", 406),
    ("GET", "/metrics", "", "", 200),
    ("GET", "/metrics", "accept: application/openmetrics-text\r\n", "", 200),
    ("GET", "/openapi.json", "", "", 200),
    ("GET", "/docs/api", "", "", 200),
    ("GET", "/livez", "", "", 200),
    ("GET", "/readyz", "", "", 503),
    ("GET", "/readyz?exclude=checks", "", "", 200),
    ("GET", "/readyz/checks", "", "", 503),
    ("GET", "/readyz/nothing", "", "", 404),
    ("GET", "/ready", "", "", 503),
    ("GET", "/health", "", "", 503),
];

/// An engine that refuses what begins with `bad`, and is full for `full`.
struct Engine;

impl Intake for Engine {
    fn tx_bytes_max(&self) -> Option<u64> {
        Some(10)
    }

    fn check(&self, tx: Bytes) -> BoxFuture<'_, Checked> {
        let (code, codespace, message) = (7, "plugin/lines".to_owned(), "no line".to_owned());
        let is_bad = tx.starts_with(b"bad");
        let checked =
            if is_bad { Checked::Refused(Refusal { code, codespace, message }) } else { Checked::Accepted };
        Box::pin(async { checked })
    }

    fn hand_over(&self, tx: Bytes) -> BoxFuture<'_, HandedOver> {
        let handed_over = if tx.starts_with(b"full") { HandedOver::Full } else { HandedOver::Taken };
        Box::pin(async { handed_over })
    }
}

/// A node with two records in one block: `first` and `second`.
struct Node {
    http: Running,
    _log: Log,
    _dir: tempfile::TempDir,
}

fn node() -> Node {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path()).unwrap();
    let mut receipts = None;
    let http = serve(limits(), |stopping| {
        let all = state(log.reader(), stopping.clone());
        let of = receipts.insert(all.submissions.receipts().clone());
        let submissions = Submissions::new(Ok(Arc::new(Engine)), of.clone(), stopping, Bounds::DEFAULT);
        api::router(State { submissions, ..all })
    });
    let mut staging = Staging::begin(log.head(), Height(1));
    let result = |record: &&[u8]| {
        let tx_hash = TxHash::of(record);
        let receipt = Ok(staging.push(tx_hash, &HashedRecord::of(record.to_vec())).unwrap());
        TxResult { tx_hash, receipt, fuel: Fuel(0) }
    };
    let results = [&b"first"[..], b"second"].iter().map(result).collect();
    log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
    let committed = log.reader().committed();
    receipts.unwrap().take(&CommittedBlock { committed, results, conduct: Default::default() });
    let node = Node { http, _log: log, _dir: dir };
    until("told", || node.connect().get("/v1/sequence", "").answer().body == b"firstsecond");
    node
}

impl Node {
    fn connect(&self) -> Client {
        Client::connect(self.http.address())
    }
}

fn description(client: &mut Client) -> Value {
    let answer = client.get("/openapi.json", "").answer();
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    serde_json::from_str(answer.text()).unwrap()
}

/// Every operation: method and path.
fn operations(description: &Value) -> BTreeSet<(String, String)> {
    let paths = description["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| -> Vec<(String, String)> {
        item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())).collect()
    };
    paths.iter().flat_map(of).collect()
}

/// The parts of a path; a parameter takes any one of them.
fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let part = |(wanted, found): (&&str, &&str)| wanted.starts_with('{') || wanted == found;
    template.len() == path.len() && template.iter().zip(&path).all(part)
}

/// What is wrong with a value by its schema; only what our schemas use.
fn check(description: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        let schema = &description["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is not there");
        return check(description, schema, value, at);
    }
    for (word, enough) in [("oneOf", 1), ("anyOf", 1)] {
        if let Some(choices) = schema[word].as_array() {
            let fit = choices.iter().filter(|one| check(description, one, value, at).is_empty()).count();
            return if fit >= enough { Vec::new() } else { vec![format!("{at} is none of {word}: {value}")] };
        }
    }
    if let Some(all) = schema["allOf"].as_array() {
        let merged = merge(description, all);
        return check(description, &merged, value, at);
    }
    let mut wrong = check_type(schema, value, at);
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        wrong.push(format!("{at} is {value}, none of {values:?}"));
    }
    if schema["pattern"] == "^[0-9a-f]{64}$" {
        let text = value.as_str().unwrap_or_default();
        if text.len() != 64 || text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            wrong.push(format!("{at} is no hash: {value}"));
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (index, value) in values.iter().enumerate() {
            wrong.extend(check(description, items, value, &format!("{at}[{index}]")));
        }
    }
    if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                wrong.push(format!("{at} lacks {name}"));
            }
        }
        for (name, value) in fields {
            match properties.get(name) {
                Some(schema) => wrong.extend(check(description, schema, value, &format!("{at}.{name}"))),
                None => wrong.push(format!("{at}.{name} is not described")),
            }
        }
    }
    wrong
}

/// One schema with the properties of all.
fn merge(description: &Value, all: &[Value]) -> Value {
    let mut merged = serde_json::json!({ "type": "object", "properties": {}, "required": [] });
    for schema in all {
        let schema = match schema["$ref"].as_str() {
            Some(name) => &description["components"]["schemas"][name.rsplit('/').next().unwrap()],
            None => schema,
        };
        let part = match schema["allOf"].as_array() {
            Some(parts) => merge(description, parts),
            None => schema.clone(),
        };
        for (name, property) in part["properties"].as_object().unwrap() {
            merged["properties"][name] = property.clone();
        }
        let required = part["required"].as_array().cloned().unwrap_or_default();
        merged["required"].as_array_mut().unwrap().extend(required);
    }
    merged
}

fn check_type(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{at} has a type that JSON does not have: {name}"),
    };
    let fits = match &schema["type"] {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if fits { Vec::new() } else { vec![format!("{at} is {value}, not {}", schema["type"])] }
}

/// What the description says of this answer, or what is wrong with it.
fn compare(description: &Value, operation: &Value, answer: &Answer) -> Vec<String> {
    let media_type = answer.header("content-type").split(';').next().unwrap().trim();
    let responses = &operation["responses"];
    let named = &responses[answer.status.to_string()];
    let response = match named {
        Value::Null if media_type == "application/problem+json" => &responses["default"],
        Value::Null => return vec!["its status is not described".to_owned()],
        named => named,
    };
    let Some(content) = response["content"].as_object() else {
        return if answer.body.is_empty() { Vec::new() } else { vec!["a body is not described".to_owned()] };
    };
    let Some(content) = content.get(media_type) else {
        return vec![format!("{media_type} is not described")];
    };
    if !media_type.ends_with("json") {
        return Vec::new();
    }
    // In NDJSON each line is one.
    let values = serde_json::Deserializer::from_slice(&answer.body).into_iter::<Value>();
    values.flat_map(|value| check(description, &content["schema"], &value.unwrap(), "it")).collect()
}

#[test]
fn the_description_has_every_route_and_no_other() {
    let node = node();
    let description = description(&mut node.connect());
    let listed = api::listed().map(|route| (route.method.to_owned(), route.path.to_owned()));
    assert_eq!(operations(&description), listed.collect());
    for api::Listed { method, path, what } in api::listed() {
        let operation = &description["paths"][path][method.to_lowercase()];
        assert_eq!(operation["summary"], what, "{method} {path}");
        assert!(operation["responses"]["default"].is_object(), "{method} {path}: a problem may always come");
        // Each parameter of the path is described.
        let described = operation["parameters"].as_array().into_iter().flatten();
        let in_path = described.filter(|parameter| parameter["in"] == "path");
        let names: BTreeSet<&str> = in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        let braced = path.split(['{', '}']).skip(1).step_by(2);
        assert_eq!(names, braced.collect(), "{method} {path}");
    }
}

#[test]
fn the_description_is_openapi_3_1_and_names_operations_once() {
    let node = node();
    let description = description(&mut node.connect());
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut ids = BTreeSet::new();
    for (method, path) in operations(&description) {
        let id = &description["paths"][&path][method.to_lowercase()]["operationId"];
        assert!(ids.insert(id.as_str().unwrap().to_owned()), "{id} is there twice");
    }
}

#[test]
fn what_the_routes_answer_is_as_described() {
    let node = node();
    let mut client = node.connect();
    let description = description(&mut client);
    let mut untried = operations(&description);
    let mut wrong = BTreeMap::new();
    for (method, target, headers, body, status) in SAMPLES {
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n");
        // Some problems close the connection.
        let mut client = node.connect();
        client.send(format!("{head}\r\n{body}"));
        let answer = client.answer();
        assert_eq!(answer.status, *status, "{method} {target}: {answer:?}");
        let path = target.split('?').next().unwrap();
        let operations = operations(&description);
        let exact = operations.iter().find(|(of, template)| of == method && template == path);
        let fitting = || operations.iter().find(|(of, template)| of == method && fits(template, path));
        let (of, template) = exact.or_else(fitting).unwrap();
        untried.remove(&(of.clone(), template.clone()));
        let operation = &description["paths"][template][of.to_lowercase()];
        let found = compare(&description, operation, &answer);
        if !found.is_empty() {
            wrong.insert(format!("{method} {target} {headers}"), found);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(untried.is_empty(), "no sample of {untried:?}");
}

#[test]
fn the_check_finds_what_is_not_as_described() {
    let node = node();
    let mut client = node.connect();
    let description = description(&mut client);
    let schema = serde_json::json!({ "$ref": "#/components/schemas/Status" });
    let status = client.get("/v1/status", "").answer();
    let good: Value = serde_json::from_str(status.text()).unwrap();
    let wrong = |change: fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        check(&description, &schema, &value, "it")
    };
    assert_eq!(wrong(|_| ()), [""; 0]);
    assert_eq!(wrong(|value| value["new"] = 1.into()), ["it.new is not described"]);
    assert_eq!(wrong(|value| value["height"] = "1".into()), ["it.height is \"1\", not \"integer\""]);
    assert_eq!(wrong(|value| value["app_hash"] = "AB".into()), ["it.app_hash is no hash: \"AB\""]);
    assert_eq!(wrong(|value| _ = value.as_object_mut().unwrap().remove("length")), ["it lacks length"]);
}
