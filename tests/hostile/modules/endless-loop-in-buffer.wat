;; Loops for ever when it is asked where a transaction may be written; params get a place.
;; expect: fault 1001 OutOfFuel
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32)
    (if (i32.ne (local.get 0) (i32.const 2)) (then (loop $again (br $again))))
    (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
