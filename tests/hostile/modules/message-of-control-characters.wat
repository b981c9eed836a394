;; Its message would clear a terminal, forge a line of a log and end a string of C.
;; expect: rejected 3 "\u001b[2J\r\nINFO all is well\u0000"
(module
  (memory (export "memory") 1)
  (data (i32.const 2000) "\1b[2J\0d\0aINFO all is well\00")
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0003000300000017))
  (func (export "dseq_output") (result i32) (i32.const 2000)))
