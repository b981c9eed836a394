;; Exports a global under the name by which the host finds the counter of its stack.
;; expect: refused "exports \"dseq_stack_left\", which ABI v1 does not know"
(module
  (memory (export "memory") 1)
  (global (export "dseq_stack_left") (mut i32) (i32.const 0x7fffffff))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
