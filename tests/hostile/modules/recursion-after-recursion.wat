;; Overflows over some transactions and not over others: what the first did to the counter of its stack must be gone.
;; tx: "deep"
;; expect: fault 1009 StackOverflow
;; tx: "flat"
;; expect: unchanged
;; tx: "deeper"
;; expect: fault 1009 StackOverflow
;; tx: "nine thousand calls"
;; expect: unchanged
(module
  (memory (export "memory") 1)
  (func $down (param i32)
    (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 100)) (then (call $down (i32.const -1))))
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 110)) (then (call $down (i32.const 8000))))
    (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
