//! Tables and segments.

use super::shape::Shape;

pub(super) fn shapes() -> Vec<Shape> {
    let fields = "(table 65536 funcref) (elem $e func $none) (func $none)";
    let all = [
        ("elem.drop", "(elem.drop $e)"),
        ("data.drop", "(data.drop $d)"),
        ("table.copy of nothing", "(table.copy (i32.const 0) (i32.const 1) (local.get $i))"),
        ("table.copy of 1 element", "(table.copy (i32.const 0) (i32.const 1) (i32.const 1))"),
        ("table.copy of all", "(table.copy (i32.const 1) (i32.const 0) (i32.const 65535))"),
        ("table.init of nothing", "(table.init $e (i32.const 0) (i32.const 0) (local.get $i))"),
        ("table.init of 1 element", "(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))"),
    ];
    let mut shapes: Vec<Shape> = all
        .map(|(name, body)| Shape {
            fields: format!("{fields} (data $d \"x\")"),
            times: 100,
            ..Shape::plain(name, body)
        })
        .into();
    let many = format!("(table 65536 funcref) (func $none) (elem $e func {})", "$none ".repeat(4_990));
    shapes.push(Shape {
        name: "table.init of 4,990 elements",
        fields: many,
        body: "(table.init $e (i32.const 0) (i32.const 0) (i32.const 4990))".to_owned(),
        times: 1,
        ..Shape::default()
    });
    shapes
}
