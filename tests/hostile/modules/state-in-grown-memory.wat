;; Grows its memory and counts in what it got; answers with the count and the pages it began with.
;; tx: "a"
;; expect: rejected 101 ""
;; tx: "b"
;; expect: rejected 101 ""
;; tx: "c"
;; expect: rejected 101 ""
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (local $pages i32)
    (local.set $pages (memory.grow (i32.const 3)))
    (i32.store (i32.const 200000) (i32.add (i32.load (i32.const 200000)) (i32.const 1)))
    (i32.add (i32.mul (local.get $pages) (i32.const 100)) (i32.load (i32.const 200000)))
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
