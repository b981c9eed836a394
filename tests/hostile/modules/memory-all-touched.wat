;; Takes all the memory there is in one step and writes to every page of it.
;; expect: unchanged
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (local $at i32)
    (if (i32.ne (memory.grow (i32.const 95)) (i32.const 1)) (then unreachable))
    (loop $again
      (i32.store8 (local.get $at) (i32.const 255))
      (br_if $again (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 4096)))
        (i32.const 0x600000))))
    (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
