;; The host's own entry calls itself.
;; expect: fault 1009 StackOverflow
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func $apply (export "dseq_apply") (param i32) (result i64)
    (i64.add (call $apply (local.get 0)) (i64.const 1)))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
