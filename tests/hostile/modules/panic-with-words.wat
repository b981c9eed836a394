;; Says why it stopped itself.
;; expect: fault 1000 Unreachable "src/lib.rs:1:1: no"
(module
  (memory (export "memory") 1)
  (global (export "dseq_panic") i32 (i32.const 2000))
  (data (i32.const 2000) "\d8\07\00\00\12\00\00\00src/lib.rs:1:1: no")
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) unreachable)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
