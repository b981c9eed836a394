;; Calls itself through a table, where no compiler sees a recursion.
;; expect: fault 1009 StackOverflow
(module
  (memory (export "memory") 1)
  (type $f (func))
  (table 1 funcref)
  (elem (i32.const 0) $f)
  (func $f (call_indirect (type $f) (i32.const 0)))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (call $f) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
