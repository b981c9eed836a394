;; Takes memory page by page until it gets no more, and answers with how many it has: the limit of genesis, whatever
;; the host could spare.
;; expect: rejected 96 ""
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (loop $again
      (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (i64.or (i64.const 0x0003000000000000) (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 32))))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
