;; Reads all of its memory, in which it never wrote anything, and then fills it. Only what the host wrote may be
;; there.
;; tx: "one"
;; expect: unchanged
;; tx: "another"
;; expect: unchanged
;; tx: "x"
;; expect: unchanged
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64)
    (memory.fill (i32.const 1024) (i32.const 0) (local.get 0))
    (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (local $at i32)
    (memory.fill (i32.const 1024) (i32.const 0) (local.get 0))
    (loop $again
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
      (br_if $again (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 8)))
        (i32.const 0x10000))))
    (memory.fill (i32.const 0) (i32.const 170) (i32.const 0x10000))
    (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
