;; What init did is there for every transaction, and is what the next one starts from, however often it is changed.
;; tx: "a"
;; expect: rejected 7 ""
;; tx: "b"
;; expect: rejected 7 ""
;; tx: "c"
;; expect: rejected 7 ""
(module
  (memory (export "memory") 1)
  (global $g (mut i32) (i32.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64)
    (global.set $g (i32.const 3))
    (i32.store (i32.const 50000) (i32.const 4))
    (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (i32.add (global.get $g) (i32.load (i32.const 50000)))
    (global.set $g (i32.const 500))
    (i32.store (i32.const 50000) (i32.const 600))
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
