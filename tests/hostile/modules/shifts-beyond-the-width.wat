;; Shifts and rotates by more bits than there are, and counts the zeros of zero.
;; expect: unchanged
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (if (i32.ne (i32.shl (i32.const 1) (i32.const 33)) (i32.const 2)) (then unreachable))
    (if (i32.ne (i32.shr_s (i32.const -8) (i32.const 65)) (i32.const -4)) (then unreachable))
    (if (i64.ne (i64.rotr (i64.const 1) (i64.const 65)) (i64.const 0x8000000000000000)) (then unreachable))
    (if (i32.ne (i32.ctz (i32.const 0)) (i32.const 32)) (then unreachable))
    (if (i64.ne (i64.clz (i64.const 0)) (i64.const 64)) (then unreachable))
    (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
