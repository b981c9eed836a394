;; Copies one slot of its table over another; the next transaction must find the old one.
;; tx: "a"
;; expect: rejected 1 ""
;; tx: "b"
;; expect: rejected 1 ""
(module
  (memory (export "memory") 1)
  (type $code (func (result i32)))
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (table 2 funcref)
  (elem (i32.const 0) $one $two)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (call_indirect (type $code) (i32.const 0))
    (table.copy (i32.const 0) (i32.const 1) (i32.const 1))
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
