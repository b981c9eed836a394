;; Leaves a function with several results by branches to its end, from every depth.
;; expect: rejected 45 ""
(module
  (memory (export "memory") 1)
  (func $leaf)
  (func $three (param $how i32) (result i32 i64 i32)
    (call $leaf)
    (i32.const 1) (i64.const 2) (i32.const 3)
    (br_if 0 (i32.eqz (local.get $how)))
    drop drop drop
    (block (result i32 i64 i32)
      (i32.const 4) (i64.const 5) (i32.const 6)
      (br_if 1 (i32.eq (local.get $how) (i32.const 1)))
      drop drop drop
      (loop (result i32 i64 i32)
        (i32.const 7) (i64.const 8) (i32.const 9)
        (br_table 2 2 2 (local.get $how)))))
  (func $sum (param i32) (result i32)
    (local i32)
    (call $three (local.get 0))
    (local.set 1)
    i32.wrap_i64
    i32.add
    (i32.add (local.get 1)))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (i32.add (call $sum (i32.const 0)) (i32.add (call $sum (i32.const 1)) (call $sum (i32.const 2))))
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
