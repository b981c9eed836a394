;; Leaves a function by return, by branches and through tables of them, a hundred thousand times: were a frame not
;; given back it would overflow, given back twice it would never.
;; expect: fault 1009 StackOverflow
(module
  (memory (export "memory") 1)
  (func $leaf)
  (func $leave (param i32) (result i32)
    (call $leaf)
    (block (block (block
      (br_table 0 1 2 (i32.and (local.get 0) (i32.const 3))))
      (return (i32.const 0)))
      (br 1 (i32.const 1)))
    (loop (result i32) (br_if 1 (i32.const 2) (i32.const 1)) (drop) (br 0)))
  (func $down (call $down))
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (local $n i32)
    (loop $again
      (drop (call $leave (local.get $n)))
      (br_if $again (i32.lt_u
        (local.tee $n (i32.add (local.get $n) (i32.const 1)))
        (i32.const 100000))))
    (call $down)
    (i64.const 0x0001000000000000))
  (func (export "dseq_output") (result i32) (i32.const 1024)))
