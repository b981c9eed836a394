;; Writes to the global that would be the counter of its stack, one beyond its own.
;; expect: refused "unknown global"
(module
  (memory (export "memory") 1)
  (global (mut i32) (i32.const 0))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (global.set 1 (i32.const 0x7fffffff)) (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
