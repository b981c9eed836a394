;; Copies one slot more than the table has.
;; expect: fault 1008 TableOutOfBounds
(module
  (memory (export "memory") 1)
  (table 4 funcref)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (table.copy (i32.const 1) (i32.const 0) (i32.const 4)) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
