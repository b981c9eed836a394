;; Wants all that 32 bits can address.
;; expect: refused "has 65536 pages of memory; at most 4096 are allowed"
(module
  (memory (export "memory") 65536)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
