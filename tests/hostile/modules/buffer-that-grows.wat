;; Takes memory for a transaction of a megabyte only when it is asked for room, and puts it out again.
;; tx: "m" x 1048576
;; expect: replaced "m" x 1048576
;; tx: "short"
;; expect: replaced "short"
(module
  (memory (export "memory") 1)
  (global $at (mut i32) (i32.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32)
    (global.set $at (i32.mul (memory.grow (i32.const 17)) (i32.const 65536)))
    (global.get $at))
  (func (export "dseq_init") (param i32) (result i64)
    (if (i32.ne (memory.grow (i32.const 0)) (i32.const 18)) (then unreachable))
    (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (i64.or (i64.const 0x0002000000000000) (i64.extend_i32_u (local.get 0))))
  (func (export "dseq_output") (result i32) (global.get $at)))
