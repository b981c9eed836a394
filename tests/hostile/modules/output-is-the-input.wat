;; Says that its record is what the host wrote, and a little of what lies around it.
;; tx: "abc"
;; expect: replaced "\u0000abc\u0000"
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64)
    (memory.fill (i32.const 1024) (i32.const 0) (local.get 0))
    (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (i64.or (i64.const 0x0002000000000000) (i64.extend_i32_u (i32.add (local.get 0) (i32.const 2)))))
  (func (export "dseq_output") (result i32) (i32.const 1023)))
