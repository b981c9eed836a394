;; Would tell of its panic in a global that it can change.
;; expect: refused "exports \"dseq_panic\" as a mutable global of type i32"
(module
  (memory (export "memory") 1)
  (global (export "dseq_panic") (mut i32) (i32.const 2000))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) unreachable)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
