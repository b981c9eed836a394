;; Uses its elements and drops them; the next transaction must have them again.
;; tx: "a"
;; expect: rejected 6 ""
;; tx: "b"
;; expect: rejected 6 ""
(module
  (memory (export "memory") 1)
  (type $code (func (result i32)))
  (func $six (result i32) (i32.const 6))
  (table 1 funcref)
  (elem $e func $six)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (table.init $e (i32.const 0) (i32.const 0) (i32.const 1))
    (elem.drop $e)
    (call_indirect (type $code) (i32.const 0))
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
