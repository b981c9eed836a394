;; Says why it does not want its params.
;; expect: refused "unreachable code: no (code 1000)"
(module
  (memory (export "memory") 1)
  (global (export "dseq_panic") i32 (i32.const 2000))
  (data (i32.const 2000) "\d8\07\00\00\02\00\00\00no")
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) unreachable)
  (func (export "dseq_apply") (param i32) (result i64) unreachable)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
