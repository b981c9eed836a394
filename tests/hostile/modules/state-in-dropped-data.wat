;; Uses its data and drops it; the next transaction must have it again.
;; tx: "a"
;; expect: rejected 5 ""
;; tx: "b"
;; expect: rejected 5 ""
(module
  (memory (export "memory") 1)
  (data $d "\05")
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (memory.init $d (i32.const 40000) (i32.const 0) (i32.const 1))
    (data.drop $d)
    (i32.load8_u (i32.const 40000))
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
