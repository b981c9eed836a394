;; Returns with more values on the stack than it has results: the rest is dropped.
;; expect: rejected 2 ""
(module
  (memory (export "memory") 1)
  (func $leaf)
  (func $f (result i32)
    (call $leaf)
    (i32.const 1) (f64.const 7) (i64.const 9) (i32.const 2)
    (return))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (call $f)
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
