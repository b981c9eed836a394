;; Refuses its params at great length, in bytes that are no text.
;; expect: refused "refuses its params {}: \ufffd\ufffd"
(module
  (memory (export "memory") 17)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64)
    (memory.fill (i32.const 65536) (i32.const 255) (i32.const 0x100000))
    (i64.const 0x0003000400100000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 65536)))
