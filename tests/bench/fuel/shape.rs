//! A shape of code, and the plugin that is made of it.

use dseq::plugin::Limits;

/// Somebody has to need what is computed.
const SINK: &str = "(global.set $sink_a (i64.xor (local.get $a) (local.get $b))) (global.set $sink_i (i32.xor (local.get $i) (local.get $p)))
    (global.set $sink_x (local.get $x)) (global.set $sink_s (local.get $s))";

/// A plugin whose `dseq_apply` repeats `body` until its fuel is spent, unless `once` is set.
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// Fields of the module beside the ABI's.
    pub(super) fields: String,
    /// Pages of its memory at first; 0 for as many as the default limits allow.
    pub(super) pages: u64,
    pub(super) init: String,
    /// What `dseq_apply` does before.
    pub(super) setup: String,
    /// One piece of work, repeated without a branch between `times` times.
    pub(super) body: String,
    pub(super) times: usize,
    pub(super) once: bool,
    pub(super) tx_bytes: usize,
    pub(super) answer: String,
    /// So many of them in a pipeline.
    pub(super) plugins: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            name: "",
            fields: String::new(),
            pages: 1,
            init: String::new(),
            setup: String::new(),
            body: String::new(),
            times: 200,
            once: false,
            tx_bytes: 1,
            answer: "(i64.const 0x0001000000000000)".to_owned(),
            plugins: 1,
        }
    }
}

impl Shape {
    /// A shape that is only work.
    pub(super) fn plain(name: &'static str, body: &str) -> Self {
        Self { name, body: body.to_owned(), ..Self::default() }
    }

    /// The plugin in WAT.
    pub(super) fn wat(&self) -> String {
        let pages = if self.pages == 0 { Limits::default().memory_bytes_max >> 16 } else { self.pages };
        let body = format!("{}\n", self.body).repeat(self.times);
        let body = if self.once { body } else { format!("(loop $forever {body} {SINK} (br $forever))") };
        let locals = "(local $i i32) (local $p i32) (local $a i64) (local $b i64) (local $s f32) (local $t f32) (local $x f64) (local $y f64)";
        format!(
            r#"(module
            {}
            (global $sink_a (mut i64) (i64.const 0)) (global $sink_i (mut i32) (i32.const 0))
            (global $sink_x (mut f64) (f64.const 0)) (global $sink_s (mut f32) (f32.const 0))
            (memory (export "memory") {pages})
            (func (export "dseq_abi_v1"))
            (func (export "dseq_buffer") (param i32) (result i32) (i32.const 8192))
            (func (export "dseq_init") (param i32) (result i64) {locals} {} (i64.const 0x0001000000000000))
            (func (export "dseq_apply") (param i32) (result i64) {locals} {} {body} {})
            (func (export "dseq_output") (result i32) (i32.const 0)))"#,
            self.fields, self.init, self.setup, self.answer
        )
    }
}

/// The next random number in `$b`.
pub(super) const RANDOM: &str = "(local.set $b (i64.add (i64.mul (local.get $b) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))";

/// The largest place in the default memory that is all ones.
pub(super) fn memory_mask() -> u64 {
    let bytes = Limits::default().memory_bytes_max;
    (1 << bytes.ilog2()) - 1
}
