;; Stores across the end of the memory. Nothing of it may be seen by the next transaction.
;; tx: "across"
;; expect: fault 1002 MemoryOutOfBounds
;; tx: "look"
;; expect: unchanged
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 97))
      (then (i64.store (i32.const 65532) (i64.const -1))))
    (if (i64.ne (i64.load (i32.const 65528)) (i64.const 0)) (then unreachable))
    (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
