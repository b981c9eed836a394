;; Counts transactions in globals of all four types and answers with the count, which is always 1.
;; tx: "a"
;; expect: rejected 1 ""
;; tx: "b"
;; expect: rejected 1 ""
;; tx: "c"
;; expect: rejected 1 ""
(module
  (memory (export "memory") 1)
  (global $i (mut i32) (i32.const 0))
  (global $l (mut i64) (i64.const 0))
  (global $f (mut f32) (f32.const 0))
  (global $d (mut f64) (f64.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (global.set $i (i32.add (global.get $i) (i32.const 1)))
    (global.set $l (i64.add (global.get $l) (i64.const 1)))
    (global.set $f (f32.add (global.get $f) (f32.const 1)))
    (global.set $d (f64.add (global.get $d) (f64.const 1)))
    (i32.mul (i32.mul (global.get $i) (i32.wrap_i64 (global.get $l)))
      (i32.mul (i32.trunc_f32_u (global.get $f)) (i32.trunc_f64_u (global.get $d))))
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
