;; Changes its record, and grows its memory, when it is asked where it lies.
;; expect: replaced "late"
(module
  (memory (export "memory") 1)
  (data $late "late")
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0002000000000004))
  (func (export "dseq_output") (result i32)
    (drop (memory.grow (i32.const 1)))
    (memory.init $late (i32.const 130000) (i32.const 0) (i32.const 4))
    (i32.const 130000)))
