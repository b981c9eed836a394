;; Tells itself other params while it judges; the next transaction must not know of it.
;; tx: "a"
;; expect: rejected 2 ""
;; tx: "b"
;; expect: rejected 2 ""
(module
  (memory (export "memory") 1)
  (global $told (mut i32) (i32.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func $init (export "dseq_init") (param i32) (result i64)
    (global.set $told (i32.add (global.get $told) (i32.const 1)))
    (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (drop (call $init (i32.const 0)))
    (i64.or (i64.const 0x0003000000000000)
      (i64.shl (i64.extend_i32_u (global.get $told)) (i64.const 32))))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
