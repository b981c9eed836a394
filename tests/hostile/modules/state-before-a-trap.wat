;; Changes memory, a global and the size of its memory, then stops itself. The next transaction must see none of it.
;; tx: "trap"
;; expect: fault 1000 Unreachable
;; tx: "look"
;; expect: rejected 1 ""
;; tx: "trap again"
;; expect: fault 1000 Unreachable
;; tx: "look again"
;; expect: rejected 1 ""
(module
  (memory (export "memory") 1)
  (global $g (mut i32) (i32.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 116)) (then
      (global.set $g (i32.const 40))
      (i32.store (i32.const 60000) (i32.const 50))
      (drop (memory.grow (i32.const 60)))
      unreachable))
    (i32.add (memory.size) (i32.add (global.get $g) (i32.load (i32.const 60000))))
    i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
