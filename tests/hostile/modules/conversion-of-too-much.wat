;; Converts the first float that no 32-bit integer holds: an overflow of integers.
;; expect: fault 1004 IntegerOverflow
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (i64.extend_i32_s (i32.trunc_f64_s (f64.const 2147483648))))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
