;; Wants a table of 32 GiB.
;; expect: refused "has 4294967295 table elements; at most 65536 are allowed"
(module
  (memory (export "memory") 1)
  (table 4294967295 funcref)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
