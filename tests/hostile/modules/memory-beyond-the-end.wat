;; Loads a value whose last byte lies one beyond the memory.
;; expect: fault 1002 MemoryOutOfBounds
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.load (i32.const 65529)))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
