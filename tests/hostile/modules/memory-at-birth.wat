;; Wants a page more than the network allows.
;; expect: refused "starts with 6356992 bytes of memory, but limits.memory_bytes_max is 6291456"
(module
  (memory (export "memory") 97)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
