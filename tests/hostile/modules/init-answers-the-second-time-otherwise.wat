;; Wants to accept its params once and refuse them when it is told again. It has nothing to remember the first time
;; by.
;; tx: "a"
;; expect: unchanged
;; tx: "b"
;; expect: unchanged
;; tx: "c"
;; expect: unchanged
(module
  (memory (export "memory") 1)
  (global $told (mut i32) (i32.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64)
    (if (i32.or (global.get $told) (i32.load (i32.const 60000))) (then (return (i64.const 0x0003000100000000))))
    (global.set $told (i32.const 1))
    (i32.store (i32.const 60000) (i32.const 1))
    (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (drop (memory.grow (i32.const 1)))
    (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
