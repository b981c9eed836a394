//! Arithmetic: chains of instructions that wait for each other, with the operands that take a processor longest.

use super::shape::Shape;

/// Name, instructions of one operand in turn, type of what goes through them, and what it is at first.
const CHAINS: &[(&str, &[&str], &str, &str)] = &[
    ("i64.clz", &["i64.clz"], "i64", "5"),
    ("i64.ctz", &["i64.ctz"], "i64", "5"),
    ("i64.popcnt", &["i64.popcnt"], "i64", "5"),
    ("i64.extend8_s, i64.clz", &["i64.extend8_s", "i64.clz"], "i64", "5"),
    ("i64.eqz, i64.extend_i32_u", &["i64.extend_i32_u", "i64.eqz"], "i64", "5"),
    ("f64.sqrt", &["f64.sqrt"], "f64", "1.7"),
    ("f32.sqrt", &["f32.sqrt"], "f32", "1.7"),
    ("f64.sqrt, f64.neg, f64.abs", &["f64.sqrt", "f64.abs", "f64.neg"], "f64", "1.7e-310"),
    ("f64.nearest", &["f64.nearest"], "f64", "1.7"),
    ("f64.ceil, f64.neg", &["f64.ceil", "f64.neg"], "f64", "1.7"),
    ("f64.abs, f64.neg", &["f64.abs", "f64.neg"], "f64", "1.7"),
    ("f64.promote_f32, f32.demote_f64", &["f64.promote_f32", "f32.demote_f64"], "f64", "1.5"),
    ("f64.promote_f32, f32.demote_f64, denormals", &["f64.promote_f32", "f32.demote_f64"], "f64", "1e-40"),
    ("f64.convert_i64_s, i64.trunc_f64_s", &["f64.convert_i64_s", "i64.trunc_f64_s"], "f64", "1e18"),
    ("f64.convert_i64_u, i64.trunc_f64_u", &["f64.convert_i64_u", "i64.trunc_f64_u"], "f64", "1.8e19"),
    (
        "f64.convert_i64_u, i64.trunc_sat_f64_u",
        &["f64.convert_i64_u", "i64.trunc_sat_f64_u"],
        "f64",
        "1.8e19",
    ),
    ("f64.convert_i64_s, i64.trunc_sat_f64_s", &["f64.convert_i64_s", "i64.trunc_sat_f64_s"], "f64", "1e18"),
    (
        "f32.convert_i64_u, i64.trunc_sat_f32_u",
        &["f32.convert_i64_u", "i64.trunc_sat_f32_u"],
        "f32",
        "1.8e19",
    ),
    ("f64.convert_i32_u, i32.trunc_f64_u", &["f64.convert_i32_u", "i32.trunc_f64_u"], "f64", "1e9"),
    ("f64.convert_i32_u, i32.trunc_sat_f64_u", &["f64.convert_i32_u", "i32.trunc_sat_f64_u"], "f64", "1e9"),
    ("f64.convert_i32_s, i32.trunc_sat_f64_s", &["f64.convert_i32_s", "i32.trunc_sat_f64_s"], "f64", "1e9"),
    (
        "f64.reinterpret_i64, i64.reinterpret_f64, clz",
        &["f64.reinterpret_i64", "i64.clz", "i64.reinterpret_f64"],
        "f64",
        "1e9",
    ),
];

/// Name, instruction of two operands, the first at the beginning, and the second.
const PAIRS: &[(&str, &str, &str, &str)] = &[
    ("i64.sub", "i64.sub", "5", "7"),
    ("i64.mul", "i64.mul", "5", "7"),
    ("i64.rotl", "i64.rotl", "5", "7"),
    ("i64.shl", "i64.shl", "5", "1"),
    ("i32.div_u", "i32.div_u", "-5", "1"),
    ("i32.div_s", "i32.div_s", "0x7fffffff", "1"),
    ("i64.div_u", "i64.div_u", "-5", "1"),
    ("i64.div_s", "i64.div_s", "0x7fffffffffffffff", "1"),
    ("i64.rem_u", "i64.rem_u", "-5", "-3"),
    ("i64.rem_s", "i64.rem_s", "0x7ffffffffffffff1", "0x7fffffffffffffff"),
    ("i32.rem_s", "i32.rem_s", "0x7ffffff1", "0x7fffffff"),
    ("i32.rem_u", "i32.rem_u", "0x7ffffff1", "0x7fffffff"),
    ("f64.add", "f64.add", "1", "1"),
    ("f64.mul", "f64.mul", "1", "1"),
    ("f64.div", "f64.div", "1.7", "1.00001"),
    ("f64.add, denormals", "f64.add", "1e-310", "1e-312"),
    ("f64.sub, denormals", "f64.sub", "1e-310", "1e-320"),
    ("f64.mul, denormals", "f64.mul", "1e-310", "1.0000001"),
    ("f64.mul, to denormals", "f64.mul", "1e-300", "0.99"),
    ("f64.div, denormals", "f64.div", "1e-310", "1.0000001"),
    ("f64.div by denormals", "f64.div", "1e-310", "1e-310"),
    ("f32.mul, denormals", "f32.mul", "1e-40", "1.0001"),
    ("f32.div, denormals", "f32.div", "1e-40", "1.0001"),
    ("f32.add, denormals", "f32.add", "1e-40", "1e-41"),
    ("f64.min", "f64.min", "1", "2"),
    ("f64.max, denormals", "f64.max", "1e-310", "1e-312"),
    ("f64.copysign", "f64.copysign", "1e-310", "-1"),
];

pub(super) fn shapes() -> Vec<Shape> {
    let chains = CHAINS.iter().map(|(name, operators, ty, value)| chain(name, operators, ty, value));
    let pairs = PAIRS.iter().map(|(name, operator, value, other)| pair(name, operator, value, other));
    let long = "(i64.add (local.get $a) (i64.const 3))";
    let plain = [
        Shape::plain("i64.div_u of long ones", &format!("(local.set $a (i64.div_u (i64.const -1) {long}))")),
        Shape::plain(
            "i64.rem_s of long ones",
            &format!("(local.set $a (i64.rem_s (i64.const 0x7fffffffffffffff) {long}))"),
        ),
        Shape::plain(
            "f64.lt, denormals",
            "(local.set $x (select (f64.const 1e-310) (f64.const 1e-311) (f64.lt (local.get $x) (f64.const 2e-311))))",
        ),
        Shape::plain(
            "f64.mul of two denormals, each for itself",
            "(local.set $y (f64.mul (local.get $x) (f64.const 0.3))) (local.set $x (f64.add (local.get $y) (f64.const 3e-309)))",
        ),
    ];
    chains.chain(pairs).chain(plain).collect()
}

/// Names of two locals of a type.
fn locals(ty: &str) -> [&'static str; 2] {
    match ty {
        "i32" => ["$i", "$p"],
        "i64" => ["$a", "$b"],
        "f32" => ["$s", "$t"],
        _ => ["$x", "$y"],
    }
}

/// Sets a local to what the compiler does not know.
fn set(local: &str, ty: &str, value: &str) -> [String; 2] {
    let global = format!("$start_{}", &local[1..]);
    [
        format!("(global {global} (mut {ty}) ({ty}.const {value}))"),
        format!("(local.set {local} (global.get {global}))"),
    ]
}

/// Instructions of one operand and one result: each waits for the one before.
fn chain(name: &'static str, operators: &[&str], ty: &str, value: &str) -> Shape {
    let local = locals(ty)[0];
    let [fields, setup] = set(local, ty, value);
    let open: String = operators.iter().map(|operator| format!("({operator} ")).collect();
    let times = 40 / operators.len();
    let close = ")".repeat(times * operators.len());
    let body = format!("(local.set {local} {}(local.get {local}){close})", open.repeat(times));
    Shape { name, fields, setup, body, times: 20, ..Shape::default() }
}

/// Instructions of two operands: each waits for the one before, beside a local.
fn pair(name: &'static str, operator: &str, value: &str, other: &str) -> Shape {
    let ty = &operator[..3];
    let [local, second] = locals(ty);
    let [fields, setup] = set(local, ty, value);
    let [more_fields, more_setup] = set(second, ty, other);
    let close = format!(" (local.get {second}))").repeat(40);
    Shape {
        name,
        fields: fields + &more_fields,
        setup: setup + &more_setup,
        body: format!("(local.set {local} {}(local.get {local}){close})", format!("({operator} ").repeat(40)),
        times: 20,
        ..Shape::default()
    }
}
