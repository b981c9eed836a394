;; Has the largest table there may be, and calls through its last slot, which is empty.
;; expect: fault 1006 NullCall
(module
  (memory (export "memory") 1)
  (type $f (func (result i64)))
  (table 65536 funcref)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64) (call_indirect (type $f) (i32.const 65535)))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
