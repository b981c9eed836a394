;; Exports a global under the name that the host would give to another.
;; expect: refused "exports \"dseq_global_1\", which ABI v1 does not know"
(module
  (memory (export "memory") 1)
  (global (export "dseq_global_1") (mut i32) (i32.const 0))
  (global (mut i32) (i32.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
