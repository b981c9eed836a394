;; Has the host write at address 0, which is a place like any other.
;; tx: "first"
;; expect: replaced "first"
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 0))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (i64.or (i64.const 0x0002000000000000) (i64.extend_i32_u (local.get 0))))
  (func (export "dseq_output") (result i32) (i32.const 0)))
