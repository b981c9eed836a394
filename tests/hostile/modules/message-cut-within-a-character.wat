;; Its message has a character of three bytes where it is cut.
;; expect: rejected 9 "a" x 1023
(module
  (memory (export "memory") 1)
  (data $euro "\e2\82\ac")
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64)
    (memory.fill (i32.const 4096) (i32.const 97) (i32.const 2000))
    (memory.init $euro (i32.const 5119) (i32.const 0) (i32.const 3))
    (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x00030009000007d0))
  (func (export "dseq_output") (result i32) (i32.const 4096)))
