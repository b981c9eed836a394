//! One shape for each instruction that a plugin may be made of: functions full of it.

use super::{Function, fit};

/// Locals that the operands come from and the results go to: two of each type.
const LOCALS: &str = "(local i32 i32 i64 i64 f32 f32 f64 f64)";

/// Gives them values that the compiler does not know.
const UNKNOWN: &str = "(local.set 1 (i32.load (i32.const 0))) (local.set 2 (i32.load (i32.const 4)))
    (local.set 3 (i64.load (i32.const 0))) (local.set 4 (i64.load (i32.const 8)))
    (local.set 5 (f32.load (i32.const 0))) (local.set 6 (f32.load (i32.const 4)))
    (local.set 7 (f64.load (i32.const 0))) (local.set 8 (f64.load (i32.const 8)))";

/// Keeps the compiler from leaving out what sets the locals.
const KEEP: &str = "(i32.store (i32.const 0) (local.get 1)) (i32.store (i32.const 0) (local.get 2))
    (i64.store (i32.const 0) (local.get 3)) (i64.store (i32.const 0) (local.get 4))
    (f32.store (i32.const 0) (local.get 5)) (f32.store (i32.const 0) (local.get 6))
    (f64.store (i32.const 0) (local.get 7)) (f64.store (i32.const 0) (local.get 8))";

/// Names of all such instructions in WAT, but for those of control flow, which have shapes of their own.
pub(super) fn names() -> Vec<String> {
    let mut names = Vec::new();
    macro_rules! each {
        ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident (arity $($ann:tt)*))*) => {
            $(
                let is_admitted = ["mvp", "bulk_memory", "sign_extension", "saturating_float_to_int"]
                    .contains(&stringify!($proposal));
                if is_admitted && stringify!($($ann)*) != "custom" {
                    names.push(stringify!($visit)["visit_".len()..].replacen('_', ".", 1));
                }
            )*
        };
    }
    wasmparser::for_each_operator!(each);
    names.retain(|name| !["unreachable", "nop"].contains(&name.as_str()));
    names
}

/// A function full of one instruction, its operands in locals.
pub(super) fn of_locals(bytes: usize, name: &str) -> Function {
    fit(bytes, |count| {
        let units: String = (0..count).map(|turn| unit(name, turn)).collect();
        Function { head: LOCALS.to_owned(), body: format!("{UNKNOWN} {units} {KEEP}") }
    })
}

/// The same, and a hundred more values alive all through it.
pub(super) fn beside_values(bytes: usize, name: &str) -> Function {
    let alive: String = (0..100).map(|n| format!("(i64.rotl (local.get 3) (i64.const {n}))\n")).collect();
    let joined = "i64.xor ".repeat(99);
    fit(bytes, |count| {
        let units: String = (0..count).map(|turn| unit(name, turn)).collect();
        let body = format!("{UNKNOWN} {alive} {units} {joined} (local.set 3) {KEEP}");
        Function { head: LOCALS.to_owned(), body }
    })
}

/// The instruction with its operands; the `turn` says which of two locals takes the result.
fn unit(name: &str, turn: usize) -> String {
    let local = |ty: &str, turn: usize| {
        let first = ["i32", "i64", "f32", "f64"].iter().position(|known| *known == ty).expect("a type");
        first * 2 + 1 + turn % 2
    };
    let (params, result) = types(name);
    // What never takes a result it has given would be computed once.
    let is_conversion = result.is_some_and(|result| params.first().is_some_and(|param| *param != result));
    let operand = |(place, ty): (usize, &&str)| {
        if is_conversion && place == 0 && !name.contains("load") {
            format!("({ty}.load offset={} (i32.const 0))", turn * 8)
        } else {
            format!("(local.get {})", local(ty, turn + place))
        }
    };
    let operands: Vec<String> = params.iter().enumerate().map(operand).collect();
    let immediate = match name {
        "local.get" | "local.set" | "local.tee" => "1",
        "global.get" | "global.set" => "$global",
        "memory.init" | "data.drop" => "$data",
        "table.init" | "elem.drop" => "$elements",
        name if name.ends_with(".const") => "7",
        _ => "",
    };
    let applied = format!("({name} {immediate} {})\n", operands.join(" "));
    match result {
        Some(ty) if is_conversion => {
            let sum = local(ty, turn);
            format!("(local.set {sum} ({ty}.add (local.get {sum}) {applied}))")
        }
        Some(ty) => format!("(local.set {} {applied})", local(ty, turn)),
        None => applied,
    }
}

/// What an instruction takes and leaves.
fn types(name: &str) -> (Vec<&str>, Option<&str>) {
    let (head, tail) = name.split_once('.').unwrap_or((name, ""));
    let compares = ["eq", "ne", "lt", "gt", "le", "ge"];
    match (head, tail) {
        ("drop", _) | ("local", "set") | ("global", "set") => (vec!["i32"], None),
        ("select", _) => (vec!["i32", "i32", "i32"], Some("i32")),
        ("local" | "global", "get") | ("memory", "size") => (vec![], Some("i32")),
        ("local", "tee") | ("memory", "grow") => (vec!["i32"], Some("i32")),
        ("memory" | "table", _) => (vec!["i32", "i32", "i32"], None),
        ("data" | "elem", _) => (vec![], None),
        (_, "const") => (vec![], Some(head)),
        (_, "eqz") => (vec![head], Some("i32")),
        (_, tail) if tail.starts_with("load") => (vec!["i32"], Some(head)),
        (_, tail) if tail.starts_with("store") => (vec!["i32", head], None),
        (_, tail) if compares.contains(&tail.split('_').next().unwrap_or(tail)) => {
            (vec![head, head], Some("i32"))
        }
        (_, tail) => {
            let from = ["i32", "i64", "f32", "f64"].into_iter().find(|ty| tail.contains(ty));
            let unary = ["clz", "ctz", "popcnt", "abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt"];
            match from {
                Some(from) => (vec![from], Some(head)),
                None if unary.contains(&tail) || tail.starts_with("extend") => (vec![head], Some(head)),
                None => (vec![head, head], Some(head)),
            }
        }
    }
}
