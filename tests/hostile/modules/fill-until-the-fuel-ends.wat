;; Fills its whole memory over and over: few instructions, each as long as the memory. It must be stopped by what it
;; writes, not by how many instructions it takes.
;; expect: fault 1001 OutOfFuel
(module
  (memory (export "memory") 96)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (loop $again
      (memory.fill (i32.const 0) (i32.const 255) (i32.const 0x600000))
      (br $again))
    unreachable)
  (func (export "dseq_output") (result i32) (i32.const 1024)))
