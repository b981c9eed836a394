;; Takes memory that another instance may have had before, and looks whether anything is in it.
;; expect: unchanged
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (local $at i32)
    (drop (memory.grow (i32.const 15)))
    (local.set $at (i32.const 0x10000))
    (loop $again
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
      (br_if $again (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 8)))
        (i32.const 0x100000))))
    (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
