;; Has a megabyte to say about its panic.
;; expect: fault 1000 Unreachable "p" x 1024
(module
  (memory (export "memory") 17)
  (global (export "dseq_panic") i32 (i32.const 2000))
  (data (i32.const 2000) "\00\00\01\00\00\00\10\00")
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (memory.fill (i32.const 65536) (i32.const 112) (i32.const 0x100000))
    unreachable)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
