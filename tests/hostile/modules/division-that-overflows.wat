;; The one division whose result does not fit; its remainder does, and is 0.
;; tx: "remainder"
;; expect: unchanged
;; tx: "division"
;; expect: fault 1004 IntegerOverflow
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (if (i32.rem_s (i32.const 0x80000000) (i32.const -1)) (then unreachable))
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 100))
      (then (drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))))
    (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
