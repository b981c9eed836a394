;; Its message is a megabyte of one letter.
;; expect: rejected 9 "a" x 1024
(module
  (memory (export "memory") 17)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64)
    (memory.fill (i32.const 65536) (i32.const 97) (i32.const 0x100000))
    (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0003000900100000))
  (func (export "dseq_output") (result i32) (i32.const 65536)))
