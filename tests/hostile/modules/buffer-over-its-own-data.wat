;; Has the host write over its constant data; the next transaction finds the data as it was.
;; tx: "XX"
;; expect: replaced "XXnstant da"
;; tx: "Y"
;; expect: replaced "Ycnstant da"
;; tx: "ZZZ"
;; expect: replaced "ZZZstant da"
(module
  (memory (export "memory") 1)
  (data (i32.const 1024) "constant data")
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64)
    (memory.fill (i32.const 1024) (i32.const 99) (i32.const 2))
    (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x000200000000000b))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
