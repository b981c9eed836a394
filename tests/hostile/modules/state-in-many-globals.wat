;; As state-in-a-global, with more globals than the host puts back one by one.
;; tx: "a"
;; expect: rejected 1 ""
;; tx: "b"
;; expect: rejected 1 ""
(module
  (memory (export "memory") 1)
  (global $g0 (mut i32) (i32.const 0))
  (global $g1 (mut i32) (i32.const 0))
  (global $g2 (mut i32) (i32.const 0))
  (global $g3 (mut i32) (i32.const 0))
  (global $g4 (mut i32) (i32.const 0))
  (global $g5 (mut i32) (i32.const 0))
  (global $g6 (mut i32) (i32.const 0))
  (global $g7 (mut i32) (i32.const 0))
  (global $g8 (mut i32) (i32.const 0))
  (global $g9 (mut i32) (i32.const 0))
  (global $g10 (mut i32) (i32.const 0))
  (global $g11 (mut i32) (i32.const 0))
  (global $g12 (mut i32) (i32.const 0))
  (global $g13 (mut i32) (i32.const 0))
  (global $g14 (mut i32) (i32.const 0))
  (global $g15 (mut i32) (i32.const 0))
  (global $g16 (mut i32) (i32.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (global.set $g16 (i32.add (global.get $g16) (i32.const 1)))
    (global.get $g16)
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
