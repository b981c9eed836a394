;; Calls a function by another type than its own.
;; expect: fault 1007 BadSignature
(module
  (memory (export "memory") 1)
  (type $f (func (result i64)))
  (table 1 funcref)
  (func $g (param i64) (result i64) (local.get 0))
  (elem (i32.const 0) $g)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (call_indirect (type $f) (i32.const 0)))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
