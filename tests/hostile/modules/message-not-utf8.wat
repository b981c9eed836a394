;; Its message is no UTF-8: cut characters, a surrogate, a byte that never stands in UTF-8.
;; expect: rejected 7 "a\ufffdb\ufffd\ufffd\ufffdc\ufffd\ufffd"
(module
  (memory (export "memory") 1)
  (data (i32.const 2000) "a\e2\82b\ed\a0\80c\ff\f0")
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x000300070000000a))
  (func (export "dseq_output") (result i32) (i32.const 2000)))
