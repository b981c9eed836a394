;; Calls through a slot that its table does not have.
;; expect: fault 1008 TableOutOfBounds
(module
  (memory (export "memory") 1)
  (type $f (func (result i64)))
  (table 4 funcref)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (call_indirect (type $f) (i32.const -1)))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
